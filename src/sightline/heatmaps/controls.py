"""Maps whose worth is known beforehand: a test that misjudges them tells nothing."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sightline.heatmaps.explain import Explainer
from sightline.heatmaps.scaling import enlarge
from sightline.models.lend import borrowed, evaluating

__all__ = ["guided_backprop", "inverted", "occlusion"]

BATCH = 256  # images per forward pass


def occlusion(cells: int, side: int) -> Explainer:
    """Return a function that measures how much the log-odds of a class fall.

    In a picture of `side` pixels each of `cells` × `cells` squares is filled with the
    mean colour in its turn; a larger picture has more squares of that size. So the
    brightest place of a map is the one whose loss was seen to cost most.
    Source: Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional
    Networks", section 4.2.
    """

    def explainer(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        rows, columns = (cells * n // side for n in images.shape[2:])
        whole = _log_odds(model, images, targets)
        falls = []
        for cell in range(rows * columns):
            present = torch.ones(rows * columns)
            present[cell] = 0
            kept = F.interpolate(present.view(1, 1, rows, columns), images.shape[2:])
            falls.append(whole - _log_odds(model, images * kept.to(images), targets))
        maps = torch.stack(falls, 1).view(-1, rows, columns)
        return enlarge(maps.relu(), images.shape[2:])

    return explainer


def inverted(explainer: Explainer) -> Explainer:
    """Return a function that turns maps round: what was brightest becomes zero."""

    def opposite(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        maps = explainer(model, images, targets)
        return maps.amax((1, 2), keepdim=True) - maps

    return opposite


def guided_backprop(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Make maps (B, H, W) of a gradient that passes a ReLU only where it is positive.

    They are sharp, and look like the picture whatever the class and the upper layers
    are: Adebayo et al. (2018), "Sanity Checks for Saliency Maps", figure 2. The map is
    the largest absolute value over the colours.
    Source: Springenberg et al. (2015), "Striving for Simplicity", section 3.4.
    """
    with borrowed(model) as model, _Guided():
        images = images.detach().clone().requires_grad_()
        logits = model(images)
        score = logits.gather(1, targets.to(logits.device)[:, None]).sum()
        (gradients,) = torch.autograd.grad(score, images)
    return gradients.abs().amax(1).cpu()


class _GuidedReLU(torch.autograd.Function):
    """A ReLU whose backward pass drops negative gradients, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.relu()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return gradients[0].relu() * (values > 0)


class _Guided(TorchFunctionMode):
    """Replaces every ReLU, whether a network has it as a module or calls it."""

    RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)

    def __torch_function__(
        self, func: Callable, types: Sequence, args: tuple = (), kwargs: Any = None
    ) -> Any:
        if func in self.RELUS:
            return _GuidedReLU.apply(args[0])
        return func(*args, **(kwargs or {}))


def _log_odds(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Return log p / (1 - p) of one class for each image, (B,) on the CPU."""
    with evaluating(model):
        logits = torch.cat([model(part) for part in images.split(BATCH)]).cpu()
    own = F.one_hot(targets.cpu(), logits.shape[1]).bool()
    others = logits.masked_fill(own, -torch.inf)
    return logits[own] - others.logsumexp(1)
