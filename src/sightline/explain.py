"""Heatmaps: where a model found evidence for a class, without a trace left on it.

The maps come from grad-cam; this module removes its side effects, keeps the layers
apart, and says which maps show nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from sightline.errors import SightlineError
from sightline.models.summary import stage_shapes

__all__ = [
    "METHODS",
    "Explanation",
    "default_layers",
    "explain",
    "find_layer",
    "grad_cam_by_hand",
    "overlay",
]

if TYPE_CHECKING:
    from pytorch_grad_cam.base_cam import BaseCAM

# names of grad-cam's classes; it is imported when it is used, since with it come
# torch's compiler and scikit-learn, which take longer to load than torch
METHODS = {"grad_cam": "GradCAM", "hires_cam": "HiResCAM", "layer_cam": "LayerCAM"}

# grad-cam adds this to every divisor: a map that varies by less is rounding noise
FLAT = 1e-7

LUMA = torch.tensor((0.299, 0.587, 0.114))  # weights of red, green, blue: ITU-R BT.601

Status = Literal["ok", "blank", "not finite"]


@dataclass(frozen=True)
class Explanation:
    """The maps of one layer, one per image, on the CPU."""

    layer: str
    targets: Tensor  # (B,) int64: the class that each map explains
    heatmaps: Tensor  # (B, H, W) float32 in [0, 1], each scaled on its own
    evidence: Tensor  # (B, h, w) float32 after ReLU, neither scaled nor resized
    status: list[Status]  # the heatmap is all zeros unless "ok"


def explain(
    model: nn.Module,
    images: Tensor,
    *,
    layers: str | Sequence[str] = "layer4",
    targets: Literal["predicted"] | int | Sequence[int] | Tensor = "predicted",
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
        method: a key of `METHODS`.
        batch_size: images per pass; it bounds the memory, not the result.

    Raises:
        SightlineError: for an unknown layer, target or method, or unfit images.
    """
    wanted = _check_targets(targets, images)
    starts, passes = range(0, max(len(images), 1), batch_size), []
    with _borrowed(model) as device, _recorders(model, layers, method) as recorders:
        # a bar only on a terminal, and only when the wait is long
        for start in tqdm(starts, desc=method, delay=3, leave=False, disable=None):
            part = slice(start, start + batch_size)
            # copies: tensors made in inference mode cannot take part in backward
            batch = images[part].detach().clone().to(device, torch.float32)
            chosen = None if wanted is None else wanted[part].clone().to(device)
            passes.append(_one_pass(model, batch, chosen, recorders))
    logits, classes, *maps = (torch.cat(parts) for parts in zip(*passes, strict=True))
    return {
        name: _explanation(name, logits, classes, evidence, images)
        for name, evidence in zip(recorders, maps, strict=True)
    }


def default_layers(model: nn.Module, image_size: int) -> list[str]:
    """Name the last two stages of a network of ours that give maps beyond 1×1."""
    shapes = stage_shapes(model, image_size)
    maps = [name for name, (_, *sides) in shapes.items() if max(sides, default=1) > 1]
    return maps[-2:]


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """Look up a layer by its dotted name; a stage (`nn.Sequential`) is its last block.

    Raises:
        SightlineError: if `model` has no such layer; the message lists those it has.
    """
    modules = dict(model.named_modules())
    if not name or name not in modules:
        known = ", ".join(top for top, _ in model.named_children())
        raise SightlineError(
            f"unknown layer {name!r}; choose from: {known}, "
            "or a part of one by its dotted name"
        )
    layer = modules[name]
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[-1]
    return layer


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


def overlay(
    images: Tensor | np.ndarray, heatmaps: Tensor | np.ndarray, *, opacity: float = 0.6
) -> Tensor:
    """Lay heatmaps over pictures turned grey, so that all colour is evidence.

    The lightness of the colour map (inferno) rises evenly with the evidence.

    Args:
        images: (..., H, W, 3) uint8.
        heatmaps: (..., H, W) in [0, 1], as many as `images`.
        opacity: share of the colour; 0 leaves the grey picture, 1 hides it.

    Returns:
        (..., H, W, 3) uint8.
    """
    grey = torch.as_tensor(images).float() @ LUMA
    colours = mpl.colormaps["inferno"](np.asarray(heatmaps))[..., :3]
    colours = torch.from_numpy(colours).float() * 255
    mixed = torch.lerp(grey[..., None].expand_as(colours), colours, opacity)
    return mixed.round().to(torch.uint8)


@contextmanager
def _borrowed(model: nn.Module) -> Iterator[torch.device]:
    """Lend `model`, frozen, in evaluation mode and float32; give it back as it was."""
    modes = [(module, module.training) for module in model.modules()]
    weights = [(weight, weight.requires_grad) for weight in model.parameters()]
    device = weights[0][0].device
    half = {weight.dtype for weight, _ in weights} - {torch.float32}
    if half:
        raise SightlineError(
            f"heatmaps need float32 weights, not {half.pop()}: call model.float()"
        )
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        try:
            model.eval()
            for weight, _ in weights:
                weight.requires_grad_(False)  # so that backward leaves .grad alone
            yield device
        finally:
            for module, training in modes:
                module.training = training
            for weight, trainable in weights:
                weight.requires_grad_(trainable)


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

    recorder_class = getattr(pytorch_grad_cam, METHODS[method])
    names = [layers] if isinstance(layers, str) else list(layers)
    hooks, recorders = [], {}
    try:
        for name in names:
            layer = find_layer(model, name)
            hooks.append(layer.register_forward_hook(_start_gradient(name)))
            recorders[name] = recorder_class(model, [layer])
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


def _one_pass(
    model: nn.Module,
    batch: Tensor,
    targets: Tensor | None,
    recorders: Mapping[str, "BaseCAM"],
) -> list[Tensor]:
    """Run forward, and backward from the targets; return logits, targets and maps."""
    logits = model(batch)
    targets = logits.argmax(dim=1) if targets is None else targets
    num_classes = logits.shape[1]
    outside = targets[(targets < 0) | (targets >= num_classes)]
    if len(outside):
        raise SightlineError(
            f"target {int(outside[0])} is not a class: "
            f"the model has {num_classes}, numbered 0 to {num_classes - 1}"
        )
    if logits.requires_grad:
        logits.gather(1, targets[:, None]).sum().backward()
    maps = [_read(recorder, name, batch) for name, recorder in recorders.items()]
    return [logits.detach().cpu(), targets.cpu(), *maps]


def _read(recorder: "BaseCAM", name: str, batch: Tensor) -> Tensor:
    """Take the method's own map from `recorder` before it is scaled, (B, h, w)."""
    seen = recorder.activations_and_grads
    if not (seen.activations and seen.gradients):
        raise SightlineError(
            f"layer {name!r} has no part in the logits: choose one they depend on"
        )
    activations, gradients = seen.activations[0].numpy(), seen.gradients[0].numpy()
    seen.activations, seen.gradients = [], []
    layer = recorder.target_layers[0]
    raw = recorder.get_cam_image(batch, layer, None, activations, gradients, False)
    return torch.from_numpy(raw).clamp_min(0)


def _explanation(
    layer: str, logits: Tensor, targets: Tensor, evidence: Tensor, images: Tensor
) -> Explanation:
    """Scale the evidence, and empty the maps that show none."""
    finite = logits.isfinite().all(dim=1) & evidence.isfinite().flatten(1).all(dim=1)
    flat = evidence.amax(dim=(1, 2)) - evidence.amin(dim=(1, 2)) <= FLAT
    heatmaps = _to_unit_range(_enlarge(evidence, images.shape[2:]))
    heatmaps[flat | ~finite] = 0
    status = [
        "not finite" if not f else "blank" if b else "ok"
        for f, b in zip(finite.tolist(), flat.tolist(), strict=True)
    ]
    return Explanation(layer, targets, heatmaps, evidence, status)


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


def _check_targets(
    targets: str | int | Sequence[int] | Tensor, images: Tensor
) -> Tensor | None:
    """Return one target per image, or None for the predicted classes."""
    if images.ndim != 4 or not images.is_floating_point():
        raise SightlineError(
            f"images of shape {tuple(images.shape)} and type {images.dtype}: "
            "expected a normalised batch (B, C, H, W)"
        )
    if isinstance(targets, str):
        if targets != "predicted":
            raise SightlineError(
                f"unknown targets {targets!r}; give 'predicted', a class number, or "
                "one per image (for the actual classes: the labels)"
            )
        return None
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
