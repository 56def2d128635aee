"""Layers by name, and those that are worth a heatmap."""

from collections.abc import Mapping

from torch import nn

from sightline.errors import SightlineError
from sightline.models.lend import borrowed
from sightline.models.summary import output_shapes

__all__ = ["default_layers", "find_layer"]


def default_layers(model: nn.Module, image_size: int) -> list[str]:
    """Name the last two stages of a network that give maps beyond 1×1.

    A network that does not name its stages is searched: for each of the last two sizes
    of maps, take the last of its outermost parts that gives it and is no pooling. What
    lies before tokens, or before maps with their channels last, is not looked at: the
    network mixes places there, so that such a map would not say what it looks at.

    Raises:
        SightlineError: if no part gives maps.
    """
    with borrowed(model) as model:
        own = getattr(model, "stages", None)
        names = own or [name for name, _ in model.named_modules() if name]
        kinds = {name: type(find_layer(model, name)).__name__ for name in names}
        names = [name for name in names if not kinds[name].endswith("Pool2d")]
        shapes = output_shapes(model, names, image_size)
    maps = [name for name, shape in shapes.items() if _is_map(shape)]
    early = maps[-1:]
    if not own:
        last = {}
        maps = _after_mixing(maps, shapes)
        for name in sorted(maps, key=lambda name: -name.count(".")):  # outermost last
            last[shapes[name][1:]] = name
        maps = [name for name in maps if name in last.values()]
    if not maps and early:
        raise SightlineError(
            f"this {type(model).__name__} gives no maps after its tokens, in which it "
            f"mixes the places of a picture; the maps of {early[0]!r} lie before, and "
            "do not say what it looks at: name a layer to have its maps all the same"
        )
    if not maps:
        raise SightlineError(
            f"no part of this {type(model).__name__} gives maps for pictures of "
            f"{image_size}×{image_size}: name a layer"
        )
    return maps[-2:]


def _is_map(shape: tuple[int, ...]) -> bool:
    """Tell whether an output is (C, H, W), beyond one place; the picture is square."""
    return len(shape) == 3 and shape[1] == shape[2] > 1


def _after_mixing(maps: list[str], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Leave out maps after which places are no longer rows and columns.

    Such outputs are tokens (N, C) or maps (H, W, C); inside a part that itself gives
    maps they do not count.
    """
    whole = set(maps)
    mixed = [
        place
        for place, (name, shape) in enumerate(shapes.items())
        if len(shape) > 1
        and max(shape[1:]) > 1
        and name not in whole
        and not whole & {name[:i] for i, letter in enumerate(name) if letter == "."}
    ]
    later = list(shapes)[max(mixed, default=-1) + 1 :]
    return [name for name in maps if name in later]


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
