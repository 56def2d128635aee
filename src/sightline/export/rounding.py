"""Fewer bits per weight: batch norms folded away, weights rounded to whole steps."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sightline.errors import SightlineError

__all__ = ["BITS", "Rounded", "fold_batch_norms", "round_weight", "round_weights"]

BITS = range(2, 9)  #: of a weight; more than 8 do not fit the stored bytes
EXACT = 32  # bits: the weights stay as they are
SMALL = 0.01  # a layer with a smaller share of all weights keeps 8 bits


@dataclass(frozen=True)
class Rounded:
    """One weight tensor in steps: `levels * scale` is what the network computes with.

    The first axis is that of the outputs of a convolution or a linear layer.
    """

    levels: Tensor  #: int8, shape of the weight
    scale: Tensor  #: float32, one for each output

    def weight(self) -> Tensor:
        """Return the weight as numbers."""
        shape = (-1, *[1] * (self.levels.ndim - 1))
        return self.levels.float() * self.scale.view(shape)


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose convolutions include their batch norms.

    The names of all modules stay, and an `nn.Identity` takes the place of each norm. A
    norm that follows anything but a convolution stays.
    """
    model = copy.deepcopy(model).eval()
    parts = dict(model.named_modules())
    for node in fx.symbolic_trace(model).graph.nodes:
        norm = parts.get(node.target)
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        before = node.args[0]
        conv = parts[before.target] if before.op == "call_module" else None
        if isinstance(conv, nn.Conv2d) and len(before.users) == 1:
            model.set_submodule(before.target, fuse_conv_bn_eval(conv, norm))
            model.set_submodule(node.target, nn.Identity())
    return model


def round_weights(model: nn.Module, bits: int) -> dict[str, Rounded]:
    """Round the weights of all convolutions and linear layers of `model`, in place.

    Layers with less than 1 % of all weights are rounded to 8 bits, whatever `bits` is:
    the first convolution and the head are such layers; they cost little and matter
    much. Returns the rounded weights by name; with 32 bits none, and rounds nothing.

    Raises:
        SightlineError: unless `bits` is 2 to 8, or 32.
    """
    if bits == EXACT:
        return {}
    if bits not in BITS:
        raise SightlineError(
            f"{bits} bits a weight; choose {BITS[0]} to {BITS[-1]}, of which 8 changes "
            "the answers least and 4 makes about the smallest file worth having, or "
            f"{EXACT} to round nothing"
        )
    weights = {
        f"{name}.weight": layer.weight
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    }
    total = sum(weight.numel() for weight in weights.values())
    rounded = {}
    with torch.no_grad():
        for name, weight in weights.items():
            small = weight.numel() < SMALL * total
            rounded[name] = round_weight(weight, BITS[-1] if small else bits)
            weight.copy_(rounded[name].weight())
    return rounded


def round_weight(weight: Tensor, bits: int) -> Rounded:
    """Round a weight (outputs, ...) to multiples of one step for each output.

    Levels go from −(2^(bits−1) − 1) to the same with a plus, and the largest weight
    lies on one of the two. Smaller steps, of least squared error, were tried: cutting
    off the largest weights moved the logits of ResNet-18 twice as far (0.147 against
    0.066, 4 bits, 2,000 test images) and made the file larger.
    """
    rows = weight.detach().float().flatten(1)
    most = 2 ** (bits - 1) - 1
    scale = rows.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / most
    levels = (rows / scale[:, None]).round().clamp(-most, most).to(torch.int8)
    return Rounded(levels.view(weight.shape), scale)
