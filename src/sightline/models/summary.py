"""What a network is made of: shapes, receptive fields, parameters.

Every network of this package names its parts, in the order of the forward pass, in
`stages`: parts that give maps first, then `pool` and `head`.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from sightline.models.lend import evaluating

__all__ = [
    "Stage",
    "describe_stages",
    "output_shapes",
    "receptive_fields",
    "stage_shapes",
]


@dataclass(frozen=True)
class Stage:
    """One part of a network, and what it gives for one square picture."""

    name: str  #: dotted, in the network
    kind: str  #: class of the part; of equal blocks also their number
    shape: tuple[int, ...]  #: of its output without the batch, (C, H, W) of maps
    parameters: int  #: trainable or not
    field: int | None  #: pixels of the receptive field, where `stages` names the part
    stride: int | None  #: input pixels from one unit to the next, likewise


def describe_stages(
    model: nn.Module, image_size: int = 32, depth: int = 1
) -> list[Stage]:
    """Return the parts of any network in the order of execution.

    They are its `stages`, or else what is `depth` levels deep, or a part without parts
    above. A part that is not called, or returns no tensor, is left out.
    """
    fields: dict[str, tuple[int, int]] = {}
    names = getattr(model, "stages", None)
    if names and depth == 1:
        fields = receptive_fields(model)
    else:
        names = [
            name
            for name, part in model.named_modules()
            if name
            and (
                name.count(".") == depth - 1
                or (name.count(".") < depth - 1 and not list(part.children()))
            )
        ]
    stages = []
    for name, shape in output_shapes(model, names, image_size).items():
        part = model.get_submodule(name)
        count = sum(p.numel() for p in part.parameters())
        field, stride = fields.get(name, (None, None))
        stages.append(Stage(name, kind_of(part), shape, count, field, stride))
    return stages


def kind_of(part: nn.Module) -> str:
    """Name the class of a part, or the number and class of its equal blocks."""
    kinds = {type(child).__name__ for child in part.children()}
    if isinstance(part, nn.Sequential) and len(kinds) == 1:
        return f"{len(part)} × {kinds.pop()}"
    return type(part).__name__


def stage_shapes(model: nn.Module, image_size: int = 32) -> dict[str, tuple[int, ...]]:
    """Return the shape (C, H, W) of each stage's output for one square picture."""
    assert isinstance(model.stages, tuple)
    return output_shapes(model, model.stages, image_size)


def output_shapes(
    model: nn.Module, names: Iterable[str], image_size: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each named part's output, in the order of execution.

    The shape leaves out the batch; parts that are not called, or return no tensor, are
    left out.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def record(name: str, part: nn.Module, inputs: tuple, output: object) -> None:
        if isinstance(output, torch.Tensor):
            shapes[name] = tuple(output.shape[1:])

    with ExitStack() as hooks, evaluating(model):
        for name in names:
            part = model.get_submodule(name)
            hooks.enter_context(part.register_forward_hook(partial(record, name)))
        model(next(model.parameters()).new_zeros(1, 3, image_size, image_size))
    return shapes


def receptive_fields(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return (receptive field, stride) in input pixels after each stage before `pool`.

    A convolution or max-pooling of kernel size k widens the field by (k − 1) ·
    dilation · stride so far and multiplies the stride by its own; a shortcut never
    widens it.
    """
    assert isinstance(model.stages, tuple)
    field, jump = 1, 1
    fields = {}
    for name in model.stages[: model.stages.index("pool")]:
        for path, module in getattr(model, name).named_modules():
            if isinstance(module, nn.Conv2d | nn.MaxPool2d) and "shortcut" not in path:
                field += (_side(module.kernel_size) - 1) * _side(module.dilation) * jump
                jump *= _side(module.stride)
        fields[name] = (field, jump)
    return fields


def _side(size: int | tuple[int, ...]) -> int:
    """Return one side of a square size, which torch's poolings keep as a number."""
    return size if isinstance(size, int) else size[0]
