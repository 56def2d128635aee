"""A small residual network that learns in a page: its training step as an ONNX graph.

A page has no autograd and no optimizer. So a step of SGD is recorded, forward, backward
and update; a second graph classifies, and shows where the evidence was.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._decomp import get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from sightline.data.shapes import CLASSES, SIZE
from sightline.export.graph import write_graph

__all__ = [
    "BATCH_SIZE",
    "WEIGHTS",
    "WEIGHT_DECAY",
    "Weights",
    "look_graph",
    "step_graph",
    "training_files",
]

BATCH_SIZE = 16  #: pictures of a step
WEIGHT_DECAY = 5e-4  #: of all weights, as torch's SGD has it
EPSILON = 1e-5  # of batch norm, as in torch
UPDATE = 0.1  # share of a batch in the running statistics, as in torch
aten = torch.ops.aten

#: channels in and out of the convolutions; the stem takes 2x2 pixels at once
CONVOLUTIONS = {
    "stem": (12, 16),
    "body1": (16, 16),
    "body2": (16, 16),
    "wide": (16, 32),
    "last": (32, 64),
}


@dataclass(frozen=True)
class Weights:
    """Some of the weights, and how they are drawn before the first step."""

    name: str
    shape: tuple[int, ...]
    mean: float
    std: float  #: 0 if all are the mean


def _weights() -> list[Weights]:
    """List the weights of all layers."""
    weights = []
    for name, (inputs, outputs) in CONVOLUTIONS.items():
        shape, std = (outputs, inputs, 3, 3), math.sqrt(2 / (9 * inputs))
        weights.append(Weights(f"{name}.weight", shape, 0, std))  # He et al. 2015
        weights.append(Weights(f"{name}.scale", (outputs,), 1, 0))
        weights.append(Weights(f"{name}.shift", (outputs,), 0, 0))
    classes, std = len(CLASSES), 1 / math.sqrt(outputs)
    weights.append(Weights("head.weight", (classes, outputs), 0, std))
    weights.append(Weights("head.bias", (classes,), 0, 0))
    return weights


#: in the order of the vector that the graphs take
WEIGHTS = tuple(_weights())


def training_files() -> dict[str, bytes]:
    """Return, by name, the graphs and what a page needs to draw the first weights.

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    layout = {
        "weights": [
            {"count": math.prod(part.shape), "mean": part.mean, "std": part.std}
            for part in WEIGHTS
        ],
        "channels": [outputs for _, outputs in CONVOLUTIONS.values()],
    }
    return {
        "step.onnx": step_graph(),
        "look.onnx": look_graph(),
        "layout.json": f"{json.dumps(layout)}\n".encode(),
    }


def step_graph() -> bytes:
    """Write the graph of one step of SGD.

    Inputs: `images` (16, 32, 32, 3) uint8, `labels` (16,) int32; the numbers `rate`,
    `momentum` and `norm`, which is 1 with batch norm and 0 without; the vectors
    `weights`, `velocities` and `statistics` (means, then variances, of all channels).
    Outputs: `loss`, `correct` (pictures), and the new vectors.

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    vectors = ["new_weights", "new_velocities", "new_statistics"]
    return _write(_step, _examples(), ["loss", "correct", *vectors])


def look_graph() -> bytes:
    """Write the graph that classifies pictures and shows the evidence.

    Inputs: `images`, `norm`, `weights` and `statistics`, as of a step. Outputs:
    `logits` (16, 10), and `evidence` (16, 10, 8, 8), whose mean over the places is the
    logit less its bias: class activation maps (Zhou et al. 2016).

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    inputs = {
        name: _examples()[name] for name in ("images", "norm", "weights", "statistics")
    }
    return _write(_look, inputs, ["logits", "evidence"])


def _examples() -> dict[str, Tensor]:
    """Return inputs of the right shapes."""
    size = sum(math.prod(weights.shape) for weights in WEIGHTS)
    channels = sum(outputs for _, outputs in CONVOLUTIONS.values())
    return {
        "images": torch.zeros(BATCH_SIZE, SIZE, SIZE, 3, dtype=torch.uint8),
        "labels": torch.zeros(BATCH_SIZE, dtype=torch.int32),
        "rate": torch.tensor(0.1),
        "momentum": torch.tensor(0.9),
        "norm": torch.tensor(1.0),
        "weights": torch.ones(size),
        "velocities": torch.zeros(size),
        "statistics": torch.ones(2 * channels),
    }


def _write(
    function: Callable[..., tuple[Tensor, ...]],
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> bytes:
    """Record a function and write what was recorded as ONNX."""
    table: dict = get_decompositions([aten.threshold_backward])
    table[aten.convolution_backward.default] = _convolution_backward
    table[aten.avg_pool2d_backward.default] = _avg_pool_backward
    recorded = make_fx(function, decomposition_table=table)(*examples.values())
    return write_graph(recorded, examples, outputs, {})


def _step(
    images: Tensor,
    labels: Tensor,
    rate: Tensor,
    momentum: Tensor,
    norm: Tensor,
    weights: Tensor,
    velocities: Tensor,
    statistics: Tensor,
) -> tuple[Tensor, ...]:
    """Take a step as `torch.optim.SGD` does."""
    weights = weights.detach().requires_grad_()
    batch: list[Tensor] = []  # statistics

    def moments(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean((0, 2, 3))
        variance = (x * x).mean((0, 2, 3)) - mean * mean
        count = x.numel() // len(mean)
        batch.extend((mean.detach(), variance.detach() * (count / (count - 1))))
        return mean, variance

    parts = _split(weights)
    features = _forward(images, parts, norm, moments).mean((2, 3))
    logits = F.linear(features, parts["head.weight"], parts["head.bias"])
    chosen = (labels[:, None] == torch.arange(len(CLASSES))).float()
    largest = logits.amax(1, keepdim=True).detach()
    loss = (logits - largest).exp().sum(1).log() - ((logits - largest) * chosen).sum(1)
    loss = loss.mean()
    (gradient,) = torch.autograd.grad(loss, weights)
    weights, logits = weights.detach(), logits.detach()
    velocities = momentum * velocities + gradient + WEIGHT_DECAY * weights
    return (
        loss.detach(),
        ((logits * chosen).sum(1) >= logits.amax(1)).float().sum(),
        weights - rate * velocities,
        velocities,
        statistics + UPDATE * (torch.cat(batch) - statistics),
    )


def _look(
    images: Tensor, norm: Tensor, weights: Tensor, statistics: Tensor
) -> tuple[Tensor, Tensor]:
    """Classify pictures with running statistics."""
    sizes = [outputs for _, outputs in CONVOLUTIONS.values() for _ in range(2)]
    running = iter(statistics.split(sizes))
    parts = _split(weights)
    x = _forward(images, parts, norm, lambda _: (next(running), next(running)))
    evidence = F.conv2d(x, parts["head.weight"][:, :, None, None])
    return evidence.mean((2, 3)) + parts["head.bias"], evidence


def _split(vector: Tensor) -> dict[str, Tensor]:
    """Give each part of the vector its name and shape."""
    parts = vector.split([math.prod(weights.shape) for weights in WEIGHTS])
    pairs = zip(WEIGHTS, parts, strict=True)
    return {weights.name: part.view(weights.shape) for weights, part in pairs}


def _forward(
    images: Tensor,
    weights: Mapping[str, Tensor],
    norm: Tensor,
    moments: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> Tensor:
    """Compute the last map; `moments` gives mean and variance of channels."""

    def unit(name: str, x: Tensor) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.weight"], padding=1)
        mean, variance = moments(x)
        scale = weights[f"{name}.scale"] * (
            norm * (variance + EPSILON).rsqrt() + (1 - norm)
        )
        shift = weights[f"{name}.shift"] - norm * mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    x = unit("stem", F.pixel_unshuffle(_standardise(images), 2)).relu()
    x = (x + unit("body2", unit("body1", x).relu())).relu()
    x = unit("wide", F.avg_pool2d(x, 2)).relu()
    return unit("last", x).relu()


def _standardise(images: Tensor) -> Tensor:
    """Turn pictures (B, 32, 32, 3) uint8 into a batch, each of mean 0 and std 1.

    The mean is that of each colour, the standard deviation that of the picture.
    """
    pixels = images.permute(0, 3, 1, 2).float()
    pixels = pixels - pixels.mean((2, 3), keepdim=True)
    return pixels * (pixels * pixels).mean((1, 2, 3), keepdim=True).rsqrt()


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor, None]:
    """Return the gradients of a 3x3 convolution that keeps the size."""
    turned = weight.flip(2, 3).transpose(0, 1)
    geometry = (stride, padding, dilation, False, output_padding, groups)
    of_input = aten.convolution(gradient, turned, None, *geometry)
    of_weight = _weight_gradient(gradient, x)
    return of_input if output_mask[0] else None, of_weight, None


def _weight_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """Return the gradient of a 3x3 kernel, as one product of two matrices.

    For a place in the kernel, input and gradient are shifted against each other. The
    input takes the shifts of the columns and the gradient those of the rows: two times
    3 copies in place of 9, and a product that runs as fast as the convolution.
    """
    x, gradient = x.transpose(0, 1), gradient.transpose(0, 1)  # (C, B, H, W)
    columns = torch.cat([F.pad(x, (1, -1)), x, F.pad(x, (-1, 1))])
    up, down = F.pad(gradient, (0, 0, -1, 1)), F.pad(gradient, (0, 0, 1, -1))
    rows = torch.cat([up, gradient, down])
    product = rows.flatten(1) @ columns.flatten(1).T
    return product.view(3, len(gradient), 3, len(x)).permute(1, 3, 0, 2)


def _avg_pool_backward(
    gradient: Tensor, x: Tensor, kernel_size: Sequence[int], *_: object
) -> Tensor:
    """Return the gradient of the input of a pooling without overlap."""
    rows, columns = kernel_size
    spread = (gradient / (rows * columns))[:, :, :, None, :, None]
    batch, channels, height, width = gradient.shape
    shape = (batch, channels, height, rows, width, columns)
    return spread.expand(shape).reshape(x.shape)
