"""Heatmaps: where a model found evidence for a class, without a trace left on it.

A map explains a *score*. The plain one is the logit of a class, as the methods were
published. But softmax ignores whatever is added to all logits alike: one vector added
to every row of the head changes no answer, and every plain map. So a plain map, its
sign and its blank places included, depends on a number that the training left where it
happened to be. Differences of logits do not: `against` explains those.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sightline.errors import SightlineError
from sightline.heatmaps.layers import find_layer
from sightline.heatmaps.layouts import Probe
from sightline.heatmaps.methods import METHODS, SLOW
from sightline.heatmaps.scaling import enlarge, is_blank, is_flat, scale
from sightline.models.lend import borrowed

__all__ = ["Against", "Explainer", "Explanation", "cam", "explain", "explain_batch"]

SLOW_BATCH = 4  # images between two steps of the progress bar of a slow method

Status = Literal["ok", "blank", "even", "not finite"]
Targets = Literal["predicted"] | int | Sequence[int] | Tensor
#: "rest" for all other classes, or a class as in `Targets`; None subtracts nothing
Against = Literal["rest"] | Targets | None
#: takes a model, images (B, C, H, W), targets (B,), and returns heatmaps (B, H, W)
Explainer = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Explanation:
    """The maps of one layer, one per image, on the CPU."""

    layer: str  #: name of the layer
    targets: Tensor  #: (B,) int64, the class that each map explains
    heatmaps: Tensor  #: (B, H, W) float32 in [0, 1], each scaled on its own
    evidence: Tensor  #: (B, h, w) float32 after ReLU, neither scaled nor resized
    scores: Tensor  #: (B,) float32, what is explained, in units of a logit
    #: "blank" without evidence (the heatmap is 0), "even" with the same evidence
    #: everywhere (it is 1), "not finite" with NaN or infinity in logits or evidence (0)
    status: list[Status]
    #: (B,) int64, the class whose logit was subtracted, or "rest" for all others
    against: Tensor | Literal["rest"] | None = None

    @property
    def enlarged(self) -> Tensor:
        """Return the evidence at the size of the images, (B, H, W), zero if blank.

        A heatmap also has its minimum subtracted, as grad-cam does and the papers do
        not: that moves share onto the brightest place. Scores take these maps.
        """
        drawn = torch.tensor([state in ("ok", "even") for state in self.status])
        maps = enlarge(self.evidence, self.heatmaps.shape[1:])
        return torch.where(drawn[:, None, None], maps, 0)


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    layers: str | Sequence[str] = "layer4",
    targets: Targets = "predicted",
    against: Against = None,
    method: str = "grad_cam",
    batch_size: int = 128,
) -> dict[str, Explanation]:
    """Make the heatmap of every image at every layer, in one pass per batch.

    Computes in evaluation mode and float32, and gives the model back as it was.

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised as in training.
        layers: names from `model.named_modules()`; a stage means its last block.
        targets: "predicted", one class for all images, or one for each.
        against: classes whose logits are subtracted; None: the published method. "rest"
            is all others, each by its probability among them: the gradient is then
            that of the log-odds of the target, log p / (1 - p).
        method: a key of `METHODS`, or one of `SLOW`, which take seconds per image.
        batch_size: images per pass; it bounds the memory, not the result.

    Raises:
        SightlineError: for an unknown layer, target or method, or unfit images.
    """
    _check(images, method)
    layers = [layers] if isinstance(layers, str) else list(layers)
    step = SLOW_BATCH if method in SLOW else batch_size
    classes = _class_numbers(targets, len(images), step)
    others = _class_numbers(against, len(images), step, ("rest", "predicted"))
    with borrowed(model) as model:
        probe = _probe(model, layers, images)
        # a bar only on a terminal, and only when the wait is long
        bar = tqdm(images.split(step), desc=method, delay=3, leave=False, disable=None)
        parts = zip(bar, classes, others, strict=False)
        batches = [explain_batch(model, *part, probe, method) for part in parts]
    return {name: _joined([batch[name] for batch in batches]) for name in layers}


def explain_batch(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | str,
    against: Tensor | str | None,
    probe: Probe,
    method: str,
) -> dict[str, Explanation]:
    """Explain one batch: one pass forward, one backward, one map for each layer.

    The model is frozen and in evaluation mode. The probe has the layers and tells how
    their outputs become maps; the other arguments are those of `explain`.
    """
    # tensors made in inference mode cannot take part in backward, their copies can
    place = next(model.parameters()).device
    images = images.detach().to(place, torch.float32, copy=True)
    logits, activations = _forward(model, images, probe.layers)
    targets = _choose(targets, logits)
    if against is not None and against != "rest":
        against = _choose(against, logits)
    question = _question(targets, against, logits.detach())
    scores = (logits * question).sum(1)
    gradients = _backward(scores.sum(), activations, probe.layers)
    explanations = {}
    for name, layer in probe.layers.items():
        layout = probe.require(name, activations[name], gradients[name], method)
        values = layout.maps(activations[name].detach())
        if method in SLOW:
            from sightline.heatmaps import slow  # takes seconds

            maps = getattr(slow, method)(model, layer, images, question, values)
        else:
            maps = METHODS[method](values, layout.maps(gradients[name]))
        explanations[name] = _explanation(
            name, targets, against, maps, scores, images.shape[2:]
        )
    return explanations


def cam(method: str, layer: str, against: Against = None) -> Explainer:
    """Return a function that makes the maps of `explain` at one layer.

    They are `Explanation.enlarged`: not negative, zero where blank, not scaled.
    """

    def explainer(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        asked: dict[str, Any] = {"targets": targets, "against": against}
        maps = explain(model, images, layers=layer, method=method, **asked)
        return maps[layer].enlarged

    return explainer


def _probe(model: nn.Module, layers: Sequence[str], images: Tensor) -> Probe:
    """Return what tells how the outputs of layers become maps."""
    chosen = {name: find_layer(model, name) for name in layers}
    return Probe(model, chosen, tuple(images.shape[1:]))


def _question(targets: Tensor, against: Tensor | str | None, logits: Tensor) -> Tensor:
    """Return (B, K) numbers, whose product with the logits adds up to the score."""
    question = F.one_hot(targets, logits.shape[1]).to(logits)
    if isinstance(against, Tensor):
        return question - F.one_hot(against, logits.shape[1]).to(logits)
    if against is None:
        return question
    others = logits.masked_fill(question.bool(), -torch.inf)
    return question - others.softmax(1)


def _check(images: Tensor, method: str) -> None:
    """Refuse images that are not a normalised batch, and unknown methods."""
    if images.ndim != 4 or not images.is_floating_point():
        raise SightlineError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}: "
            "expected a normalised batch (B, C, H, W)"
        )
    if method not in (*METHODS, *SLOW):
        known = ", ".join((*METHODS, *SLOW))
        raise SightlineError(f"unknown method {method!r}; choose from: {known}")


def _class_numbers(
    classes: Against, count: int, step: int, words: Sequence[str] = ("predicted",)
) -> Iterable[Any]:
    """Return what is asked about `count` images, in batches of `step`."""
    if classes is None:
        return repeat(None)
    if isinstance(classes, str):
        if classes not in words:
            known = "' or '".join(words)
            raise SightlineError(
                f"unknown targets {classes!r}; give '{known}', a class number, or "
                "one per image (for the actual classes: the labels)"
            )
        return repeat(classes)
    numbers = torch.as_tensor(classes)
    if numbers.is_floating_point() or numbers.ndim > 1:
        raise SightlineError(
            f"targets of shape {tuple(numbers.shape)} and type {numbers.dtype}: "
            "expected class numbers, one per image"
        )
    if numbers.ndim == 0:
        numbers = numbers.expand(count)
    if len(numbers) != count:
        raise SightlineError(
            f"{len(numbers)} targets for {count} images: give one per image"
        )
    return numbers.long().split(step)


def _choose(classes: Tensor | str, logits: Tensor) -> Tensor:
    """Return one class per image: as numbered, or that of the largest logit."""
    if isinstance(classes, str):
        return logits.argmax(1)
    outside = classes[(classes < 0) | (classes >= logits.shape[1])]
    if len(outside):
        raise SightlineError(
            f"target {int(outside[0])} is not a class: the model has "
            f"{logits.shape[1]}, numbered 0 to {logits.shape[1] - 1}"
        )
    return classes.to(logits.device)


def _forward(
    model: nn.Module, images: Tensor, layers: Mapping[str, nn.Module]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the logits and the output of each layer, as parts of one graph."""
    activations: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, layer in layers.items():
            hook = _recorder(name, activations)
            hooks.enter_context(layer.register_forward_hook(hook))
        logits = model(images)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise SightlineError(f"the model gives {shape}, expected logits (B, classes)")
    return logits, activations


def _recorder(
    name: str, activations: dict[str, Tensor]
) -> Callable[[nn.Module, tuple, Tensor], Tensor]:
    """Make a hook that keeps the first output of a layer, where backward may end."""

    def hook(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim < 3:
            shape = tuple(getattr(output, "shape", ()))
            raise SightlineError(
                f"layer {name!r} gives {shape}, not maps (B, C, H, W): "
                "choose a layer before the pooling"
            )
        activations.setdefault(name, output.requires_grad_())
        return output.clone()  # what changes it in place later changes the copy

    return hook


def _backward(
    score: Tensor, activations: dict[str, Tensor], layers: Iterable[str]
) -> dict[str, Tensor]:
    """Return the derivatives of a score with respect to the output of each layer."""
    gradients: dict[str, Tensor] = {}
    if score.requires_grad:
        values = list(activations.values())
        derivatives = torch.autograd.grad(score, values, allow_unused=True)
        pairs = zip(activations, derivatives, strict=True)
        gradients = {name: value for name, value in pairs if value is not None}
    for name in layers:
        if name not in gradients:
            raise SightlineError(
                f"layer {name!r} has no part in the logits: choose one they depend on"
            )
    return gradients


def _explanation(
    layer: str,
    targets: Tensor,
    against: Tensor | str | None,
    maps: Tensor,
    scores: Tensor,
    size: Sequence[int],
) -> Explanation:
    """Scale the maps of one layer, and say which of them show nothing."""
    finite = scores.isfinite() & maps.isfinite().all(2).all(1)
    others = against.cpu() if isinstance(against, Tensor) else None
    evidence = maps.relu()
    heatmaps = scale(enlarge(evidence, size), maps)
    flags = torch.stack([finite, is_blank(maps), is_flat(maps)], 1).tolist()
    return Explanation(
        layer=layer,
        targets=targets.cpu(),
        heatmaps=torch.where(finite[:, None, None], heatmaps, 0).cpu(),
        evidence=evidence.cpu(),
        scores=scores.detach().cpu(),
        status=[_status(*each) for each in flags],
        against="rest" if isinstance(against, str) else others,
    )


def _status(finite: bool, blank: bool, flat: bool) -> Status:
    """Say what a map shows; "ok" if some places have more evidence than others."""
    if not finite:
        return "not finite"
    return "blank" if blank else "even" if flat else "ok"


def _joined(batches: Sequence[Explanation]) -> Explanation:
    """Join the explanations of batches at one layer."""
    parts = [batch.against for batch in batches]
    others = [part for part in parts if isinstance(part, Tensor)]
    return Explanation(
        layer=batches[0].layer,
        targets=torch.cat([batch.targets for batch in batches]),
        heatmaps=torch.cat([batch.heatmaps for batch in batches]),
        evidence=torch.cat([batch.evidence for batch in batches]),
        scores=torch.cat([batch.scores for batch in batches]),
        status=[status for batch in batches for status in batch.status],
        against=torch.cat(others) if others else batches[0].against,
    )
