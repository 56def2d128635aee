"""Heatmaps: where a model found evidence for a class, without a trace left on it.

The maps come from grad-cam; this module removes its side effects, keeps the layers
apart, and says which maps show nothing.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sightline.errors import SightlineError
from sightline.heatmaps.layers import find_layer
from sightline.models.lend import borrowed

__all__ = ["METHODS", "SLOW", "Explanation", "explain", "grad_cam_by_hand"]

if TYPE_CHECKING:
    from pytorch_grad_cam.base_cam import BaseCAM

# names of grad-cam's classes; it is imported when it is used, since with it come
# torch's compiler and scikit-learn, which take longer to load than torch
METHODS = {
    "grad_cam": "GradCAM",
    "hires_cam": "HiResCAM",
    "layer_cam": "LayerCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "x_grad_cam": "XGradCAM",
    "eigen_cam": "EigenCAM",  # knows no class, and its sign is arbitrary
    "score_cam": "ScoreCAM",
    "ablation_cam": "AblationCAM",
}
SLOW = {"score_cam", "ablation_cam"}  # one forward pass for each channel of the layer
SLOW_BATCH = 4  # images between two steps of their progress bar
CHANNELS_AT_ONCE = 64

# grad-cam adds this to every divisor: a map that varies by less is rounding noise
FLAT = 1e-7


Status = Literal["ok", "blank", "not finite"]
Targets = Literal["predicted"] | int | Sequence[int] | Tensor


@dataclass(frozen=True)
class Explanation:
    """The maps of one layer, one per image, on the CPU."""

    layer: str
    targets: Tensor  # (B,) int64: the class that each map explains
    heatmaps: Tensor  # (B, H, W) float32 in [0, 1], each scaled on its own
    evidence: Tensor  # (B, h, w) float32 after ReLU, neither scaled nor resized
    status: list[Status]  # the heatmap is all zeros unless "ok"
    against: Tensor | None = None  # (B,) int64: the class whose logit was subtracted


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    layers: str | Sequence[str] = "layer4",
    targets: Targets = "predicted",
    against: Targets | None = None,
    method: str = "grad_cam",
    batch_size: int = 128,
) -> dict[str, Explanation]:
    """Make the heatmap of every image at every layer, in one pass per batch.

    Computes in evaluation mode and float32, and gives the model back as it was:
    mode, gradients, frozen weights, hooks.

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised as in training.
        layers: names from `model.named_modules()`; a stage means its last block.
        targets: "predicted", one class for all images, or one for each.
        against: the same; what speaks for this class is subtracted.
        method: a key of `METHODS`; those in `SLOW` take seconds per image.
        batch_size: images per pass; it bounds the memory, not the result.

    Raises:
        SightlineError: for an unknown layer, target or method, or unfit images.
    """
    wanted = [_check_targets(classes, images) for classes in (targets, against)]
    step = SLOW_BATCH if method in SLOW else batch_size
    starts, passes = range(0, max(len(images), 1), step), []
    with borrowed(model) as model:
        # a bar only on a terminal, and only when the wait is long
        for start in tqdm(starts, desc=method, delay=3, leave=False, disable=None):
            parts = _parts((images, *wanted), slice(start, start + step))
            with _recorders(model, layers, method) as recorders:
                passes.append(_one_pass(model, *parts, recorders))
    *said, maps = zip(*passes, strict=True)
    return _explanations(images, *map(torch.cat, said), maps)


def grad_cam_by_hand(
    model: nn.Module, images: Tensor, target_layer: nn.Module, targets: Tensor
) -> Tensor:
    """Compute Grad-CAM with two hooks and nothing else; `model` is in evaluation mode.

    Source: Selvaraju et al. (2017), "Grad-CAM", equations 1 and 2.

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised.
        target_layer: a layer whose output is (B, C', h, w).
        targets: (B,) int64, the class to explain in each image.

    Returns:
        (B, H, W) heatmaps in [0, 1].
    """
    seen = {}
    hooks = (
        target_layer.register_forward_hook(
            lambda layer, inputs, output: seen.update(activations=output.detach())
        ),
        target_layer.register_full_backward_hook(
            lambda layer, grad_in, grad_out: seen.update(gradients=grad_out[0])
        ),
    )
    images = images.detach().requires_grad_()
    score = model(images).gather(1, targets[:, None]).sum()
    torch.autograd.grad(score, images)  # runs the hooks; the weights get no gradient
    for hook in hooks:
        hook.remove()
    weights = seen["gradients"].mean(dim=(2, 3), keepdim=True)  # (B, C', 1, 1)
    evidence = F.relu((weights * seen["activations"]).sum(dim=1))  # (B, h, w)
    return _to_unit_range(_enlarge(evidence, images.shape[2:]))


@contextmanager
def _recorders(
    model: nn.Module, layers: str | Sequence[str], method: str
) -> Iterator[Mapping[str, "BaseCAM"]]:
    """Attach one grad-cam object per layer, so that a single pass serves them all.

    One object for all layers would pair layers and maps by the order of execution.
    """
    if method not in METHODS:
        raise SightlineError(
            f"unknown method {method!r}; choose from: {', '.join(METHODS)}"
        )
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.find_layers import replace_layer_recursive

    recorder_class = getattr(pytorch_grad_cam, METHODS[method])
    names = [layers] if isinstance(layers, str) else list(layers)
    hooks, recorders = [], {}
    try:
        for name in names:
            layer = find_layer(model, name)
            hooks.append(layer.register_forward_hook(_start_gradient(name)))
            recorders[name] = recorder_class(model, [layer])
            recorders[name].batch_size = CHANNELS_AT_ONCE
            if method == "ablation_cam":  # theirs is one for all, and keeps maps
                recorders[name].ablation_layer = pytorch_grad_cam.AblationLayer()
            # what grad-cam holds is not a copy: later in-place operations would
            # overwrite it
            hooks.append(
                layer.register_forward_hook(lambda m, i, output: output.clone())
            )
        yield recorders
    finally:
        for hook in hooks:
            hook.remove()
        for recorder in recorders.values():
            recorder.activations_and_grads.release()
            if method == "ablation_cam":  # an error leaves its own layer in the model
                (layer,) = recorder.target_layers
                replace_layer_recursive(model, recorder.ablation_layer, layer)


def _start_gradient(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
    """Make a hook that lets backward end at `name`: nothing below it is needed."""

    def hook(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(getattr(output, "shape", ()))
            raise SightlineError(
                f"layer {name!r} gives {shape}, not maps (B, C, H, W): "
                "choose a layer before the pooling"
            )
        output.requires_grad_()

    return hook


def _parts(values: Sequence[Tensor | str | None], part: slice) -> list:
    """Take a part of what is given per image, as copies.

    Tensors made in inference mode cannot take part in backward.
    """
    return [
        value[part].detach().clone() if isinstance(value, Tensor) else value
        for value in values
    ]


def _one_pass(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | str,
    against: Tensor | str | None,
    recorders: Mapping[str, "BaseCAM"],
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Run forward, and backward from the targets.

    Returns:
        Logits, targets, the classes against which they were asked, and the maps.
    """
    batch = images.to(next(model.parameters()).device, torch.float32)
    logits = model(batch)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(getattr(logits, "shape", ())) or type(logits).__name__
        raise SightlineError(f"the model gives {shape}, expected logits (B, classes)")
    targets, others = (_classes_in(logits, each) for each in (targets, against))
    if logits.requires_grad:
        score = logits.gather(1, targets[:, None]).sum()
        known = others >= 0
        (score - logits[known].gather(1, others[known, None]).sum()).backward()
    scores = [
        lambda output, target=target, other=other: (
            output[target] - (output[other] if other >= 0 else 0)
        )
        for target, other in zip(targets.tolist(), others.tolist(), strict=True)
    ]
    seen = {name: _take(recorder, name) for name, recorder in recorders.items()}
    maps = {
        name: _read(recorders[name], batch, scores, *arrays)
        for name, arrays in seen.items()
    }
    return logits.detach().cpu(), targets.cpu(), others.cpu(), maps


def _classes_in(logits: Tensor, classes: Tensor | str | None) -> Tensor:
    """Return one class per image; -1 stands for none."""
    if classes is None:
        return torch.full((len(logits),), -1, device=logits.device)
    if isinstance(classes, str):
        return logits.argmax(dim=1)
    classes, num_classes = classes.to(logits.device), logits.shape[1]
    outside = classes[(classes < 0) | (classes >= num_classes)]
    if len(outside):
        raise SightlineError(
            f"target {int(outside[0])} is not a class: "
            f"the model has {num_classes}, numbered 0 to {num_classes - 1}"
        )
    return classes


def _take(recorder: "BaseCAM", name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return activations and gradients, both (B, C, h, w), and record no more.

    Otherwise the passes of the slow methods would be recorded, too.
    """
    seen = recorder.activations_and_grads
    if not (seen.activations and seen.gradients):
        raise SightlineError(
            f"layer {name!r} has no part in the logits: choose one they depend on"
        )
    arrays = seen.activations[0].numpy(), seen.gradients[0].numpy()
    seen.activations, seen.gradients = [], []
    seen.release()
    return arrays


def _read(
    recorder: "BaseCAM",
    batch: Tensor,
    scores: Sequence[Callable[[Tensor], Tensor]],
    activations: np.ndarray,
    gradients: np.ndarray,
) -> Tensor:
    """Take the method's own map from `recorder` before it is scaled, (B, h, w)."""
    from pytorch_grad_cam import ScoreCAM

    (layer,) = recorder.target_layers
    # ScoreCAM holds a picture for each channel: 300 MB for 512 channels of 224×224
    step = 1 if isinstance(recorder, ScoreCAM) else max(len(batch), 1)
    raw = []
    with (
        redirect_stderr(io.StringIO()),  # a bar for every image
        np.errstate(divide="ignore", invalid="ignore"),  # the status tells
    ):
        for start in range(0, max(len(batch), 1), step):
            part = slice(start, start + step)
            arrays = activations[part], gradients[part]
            raw.append(
                recorder.get_cam_image(batch[part], layer, scores[part], *arrays, False)
            )
    return torch.from_numpy(np.concatenate(raw)).clamp_min(0)


def _explanations(
    images: Tensor,
    logits: Tensor,
    targets: Tensor,
    others: Tensor,
    passes: Sequence[dict[str, Tensor]],
) -> dict[str, Explanation]:
    """Scale the evidence of each layer, and empty the maps that show none."""
    against, found = (None if (others < 0).any() else others), {}
    for layer in passes[0]:
        evidence = torch.cat([maps[layer] for maps in passes])
        finite = logits.isfinite().all(dim=1) & evidence.isfinite().flatten(1).all(
            dim=1
        )
        flat = evidence.amax(dim=(1, 2)) - evidence.amin(dim=(1, 2)) <= FLAT
        heatmaps = _to_unit_range(_enlarge(evidence, images.shape[2:]))
        heatmaps[flat | ~finite] = 0
        status = [
            "not finite" if not f else "blank" if b else "ok"
            for f, b in zip(finite.tolist(), flat.tolist(), strict=True)
        ]
        found[layer] = Explanation(layer, targets, heatmaps, evidence, status, against)
    return found


def _enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, h, w) to (B, H, W), bilinearly."""
    resized = F.interpolate(
        maps[:, None], tuple(size), mode="bilinear", align_corners=False
    )
    return resized[:, 0]


def _to_unit_range(maps: Tensor) -> Tensor:
    """Stretch each map of (B, H, W) to [0, 1]; a flat one becomes zeros."""
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    tiny = torch.finfo(maps.dtype).tiny
    return maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(tiny)


def _check_targets(targets: Targets | None, images: Tensor) -> Tensor | str | None:
    """Return one target per image, or what says that the logits decide."""
    if images.ndim != 4 or not images.is_floating_point():
        raise SightlineError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}: "
            "expected a normalised batch (B, C, H, W)"
        )
    if targets is None or isinstance(targets, str):
        if targets not in (None, "predicted"):
            raise SightlineError(
                f"unknown targets {targets!r}; give 'predicted', a class number, or "
                "one per image (for the actual classes: the labels)"
            )
        return targets
    classes = torch.as_tensor(targets)
    if classes.is_floating_point() or classes.ndim > 1:
        raise SightlineError(
            f"targets of shape {tuple(classes.shape)} and type {classes.dtype}: "
            "expected class numbers, one per image"
        )
    if classes.ndim == 0:
        classes = classes.expand(len(images))
    if len(classes) != len(images):
        raise SightlineError(
            f"{len(classes)} targets for {len(images)} images: give one per image"
        )
    return classes.long()
