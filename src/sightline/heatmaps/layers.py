"""Layers by name, and those that are worth a heatmap."""

from torch import nn

from sightline.errors import SightlineError
from sightline.models.lend import borrowed
from sightline.models.summary import output_shapes

__all__ = ["default_layers", "find_layer"]


def default_layers(model: nn.Module, image_size: int) -> list[str]:
    """Name the last two stages of a network that give maps beyond 1×1.

    A network that does not name its stages is searched: for each of the last two sizes
    of maps, take the last of its outermost parts that gives it and is no pooling.

    Raises:
        SightlineError: if no part gives maps.
    """
    with borrowed(model) as model:
        own = getattr(model, "stages", None)
        names = own or [name for name, _ in model.named_modules() if name]
        kinds = {name: type(find_layer(model, name)).__name__ for name in names}
        names = [name for name in names if not kinds[name].endswith("Pool2d")]
        shapes = output_shapes(model, names, image_size)
    maps = [n for n, shape in shapes.items() if len(shape) == 3 and max(shape[1:]) > 1]
    if not own:
        last = {}
        for name in sorted(maps, key=lambda name: -name.count(".")):  # outermost last
            last[shapes[name][1:]] = name
        maps = [name for name in maps if name in last.values()]
    if not maps:
        raise SightlineError(
            f"no part of this {type(model).__name__} gives maps for pictures of "
            f"{image_size}×{image_size}: name a layer"
        )
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
