"""Layers by name, and those that are worth a heatmap."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.layouts import Layout, Probe
from sightline.models.lend import borrowed

__all__ = ["default_layers", "find_layer"]


def default_layers(model: nn.Module, image_size: int | tuple[int, int]) -> list[str]:
    """Name the last two stages of a network that give maps beyond 1×1.

    A network that does not name its stages is searched: for each of the last two sizes
    of maps, take the last of its outermost parts that gives it and is no pooling. If
    the logits do not depend on its places, as those of a transformer with a class token
    do not after its last block, take the last part of that shape on which they do.
    What lies before tokens is not looked at: the network mixes places there, so that
    such a map would not say what it looks at.

    Args:
        model: a network for pictures of three channels.
        image_size: side of the pictures in pixels, or height and width.

    Raises:
        SightlineError: if no part gives maps.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    with borrowed(model) as model:
        own = getattr(model, "stages", None)
        names = own or [name for name, _ in model.named_modules() if name]
        parts = {
            name: model.get_submodule(name) for name in names if _maps(model, name)
        }
        probe = Probe(model, parts, (3, *size))
        shapes = probe.shapes(torch.zeros(1, 3, *size))
        layouts = {name: probe.layout(name, shape) for name, shape in shapes.items()}
        maps = {n: each for n, each in layouts.items() if each and each.grid > (1, 1)}
        late = maps if own else _after_mixing(maps, shapes)
        _require_maps(type(model).__name__, maps, late, size)
        named = late if own else _outermost(model, late, shapes, size)
    return [*named][-2:]


def _require_maps(
    kind: str,
    maps: Mapping[str, Layout],
    late: Mapping[str, Layout],
    size: tuple[int, int],
) -> None:
    """Refuse a network that gives no maps, or none after its tokens."""
    if maps and not late:
        raise SightlineError(
            f"this {kind} gives no maps after its tokens, in which it mixes the places "
            f"of a picture; the maps of {[*maps][-1]!r} lie before, and do not say "
            "what it looks at: name a layer to have its maps all the same"
        )
    if not maps:
        raise SightlineError(
            f"no part of this {kind} gives maps for pictures of {size[0]}×{size[1]}: "
            "name a layer"
        )


def _maps(model: nn.Module, name: str) -> bool:
    """Tell whether a part may give maps that are worth looking at: no pooling does."""
    return not type(find_layer(model, name)).__name__.endswith("Pool2d")


def _after_mixing(
    maps: Mapping[str, Layout], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Layout]:
    """Leave out maps after which places are no longer rows and columns.

    Outputs of which those cannot be told, and tokens, have mixed them; inside a part
    that itself gives maps they do not count.
    """
    whole = {name for name, layout in maps.items() if layout.kind != "tokens"}
    mixed = [
        place
        for place, (name, shape) in enumerate(shapes.items())
        if len(shape) > 1
        and max(shape[1:]) > 1
        and name not in whole
        and not whole & {name[:i] for i, letter in enumerate(name) if letter == "."}
    ]
    later = list(shapes)[max(mixed, default=-1) + 1 :]
    return {n: m for n, m in maps.items() if n in later or m.kind == "tokens"}


def _outermost(
    model: nn.Module,
    maps: Mapping[str, Layout],
    shapes: Mapping[str, tuple[int, ...]],
    size: Sequence[int],
) -> list[str]:
    """Name the last of the outermost parts for each size of maps, in order."""
    alive = _alive(model, maps, size)
    last = {}
    for name in sorted(maps, key=lambda name: -name.count(".")):  # outermost last
        last[maps[name].grid] = name
    for grid, name in last.items():
        if name not in alive:
            same = [n for n in maps if n in alive and shapes[n] == shapes[name]]
            last[grid] = [name, *same][-1]
    return [name for name in maps if name in last.values()]


def _alive(
    model: nn.Module, maps: Mapping[str, Layout], size: Sequence[int]
) -> set[str]:
    """Name the parts on whose places the logits for some picture depend."""
    outputs: dict[str, Tensor] = {}

    def hook(name: str, part: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        outputs.setdefault(name, output)
        return output.clone()  # what changes it in place later changes the copy

    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, 3, *size, generator=generator)
    with ExitStack() as hooks:
        for name in maps:
            part = model.get_submodule(name)
            hooks.enter_context(part.register_forward_hook(partial(hook, name)))
        place = next(model.parameters()).device
        logits = model(picture.to(place).requires_grad_())
    weights = torch.randn(logits.shape, generator=generator).to(logits)
    values = list(outputs.values())
    gradients = torch.autograd.grad((logits * weights).sum(), values, allow_unused=True)
    pairs = zip(outputs, gradients, strict=True)
    return {n for n, g in pairs if g is not None and maps[n].maps(g).any()}


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
