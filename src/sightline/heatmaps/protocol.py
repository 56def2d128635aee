"""What is asked of every heatmap: one protocol, the same for any network.

A method at a layer is asked whatever the network and its pictures allow, and so are
maps that know nothing, of as few cells, and controls whose answer is known. All
pictures are correctly classified: where a network is wrong, nobody knows where it
should look.

A blank map is scored as the even map that it is, and counted: nothing is left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sightline.data.split import Split
from sightline.errors import SightlineError
from sightline.heatmaps import baselines
from sightline.heatmaps.controls import guided_backprop, inverted, occlusion
from sightline.heatmaps.explain import Against, Explainer, cam
from sightline.heatmaps.faithfulness import (
    Grids,
    deletion_insertion,
    disconnected_maps,
    picture_grids,
    road,
)
from sightline.heatmaps.imputation import blurred
from sightline.heatmaps.layers import default_layers
from sightline.heatmaps.localisation import energy_in_mask, filled_hull, rank_accuracy
from sightline.heatmaps.methods import METHODS
from sightline.heatmaps.sanity import (
    cascading_randomisation,
    class_sensitivity,
    likeness,
    parts_with_weights,
)
from sightline.models.summary import output_shapes
from sightline.training.classifier import Classifier

__all__ = ["DRAWS", "Scored", "score_maps"]

DRAWS = 10  #: of random weights, and of other pictures

#: a method at a layer, a map that knows nothing, one whose worth is known, and the best
#: that maps of so many cells can be
Kind = Literal["method", "floor", "control", "ceiling"]


@dataclass(frozen=True)
class Scored:
    """Every score of every map, picture by picture."""

    #: by test, then by map; (pictures,), for grids (grids,), each the mean of its four
    #: cells, and for random networks (draws, pictures)
    scores: dict[str, dict[str, Tensor]]
    #: by map, the likeness with its maps of other pictures, (draws, pictures)
    strangers: dict[str, Tensor]
    blank: dict[str, Tensor]  #: by map, (pictures,) bool
    kinds: dict[str, Kind]  #: by map
    cells: dict[str, int]  #: by map, of a side
    left_out: tuple[str, ...]  #: tests that were not possible, and why


@dataclass(frozen=True)
class _Row:
    """Maps that are scored."""

    kind: Kind
    cells: int
    explainer: Explainer
    disconnected: Callable[[nn.Module, Grids], Tensor] | None = None  # of DiFull
    sane: bool = True  # asked for other classes and random networks, too


@dataclass(frozen=True)
class _Questions:
    """What every map is asked about."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    runners_up: Tensor
    grids: Grids | None
    masks: Tensor | None
    draws: int


def score_maps(
    classifier: Classifier,
    split: Split,
    *,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(METHODS),
    against: Against = "rest",
    draws: int = DRAWS,
) -> Scored:
    """Score every method at every layer, and the maps beside which they stand.

    The same split gives tensors of the same pictures in the same places, so that the
    scores of several networks that recognise all of them can be stacked.

    Args:
        classifier: a network.
        split: pictures, at least two, that it classifies correctly.
        layers: by default the last two that give maps.
        methods: keys of `METHODS`.
        against: as in `explain`.
        draws: of random weights, and of other pictures.

    Raises:
        SightlineError: without two pictures.
    """
    if len(split) < 2:
        raise SightlineError(f"{len(split)} recognised pictures: give at least 2")
    model, size = classifier.model, classifier.image_size
    layers = list(layers or default_layers(model, size))
    shapes = output_shapes(model, layers, size)
    sides = {layer: shapes[layer][1] for layer in layers}
    judged = _methods(methods, sides, against)
    rows = judged | _floors(sides, size) | _controls(sides, size)
    scored = _score_all(rows, classifier, split, draws)
    if split.masks is not None:
        for name, (side, maps) in _drawn(split.masks, sides).items():
            scored.kinds[name], scored.cells[name] = "ceiling", side
            for test, values in _against_masks(maps, split.masks).items():
                scored.scores[test][name] = values
    return scored


def _score_all(
    rows: Mapping[str, _Row], classifier: Classifier, split: Split, draws: int
) -> Scored:
    """Ask all maps about the same pictures."""
    model, images = classifier.model, classifier.normalise(split.images[:])
    asked, left_out = _questions(model, images, split, draws)
    scores: dict[str, dict[str, Tensor]] = {}
    strangers, blank = {}, {}
    for name, row in tqdm(rows.items(), desc="maps", leave=False, disable=None):
        maps = row.explainer(model, images, split.labels).cpu()
        blank[name] = ~maps.flatten(1).any(1)
        maps = _even_where_blank(maps)
        for test, values in _score(row, maps, asked).items():
            scores.setdefault(test, {})[name] = values
        others = [maps.roll(shift + 1, 0) for shift in range(draws)]
        strangers[name] = torch.stack([likeness(maps, each) for each in others])
    kinds = {name: row.kind for name, row in rows.items()}
    cells = {name: row.cells for name, row in rows.items()}
    return Scored(scores, strangers, blank, kinds, cells, left_out)


def _questions(
    model: nn.Module, images: Tensor, split: Split, draws: int
) -> tuple[_Questions, tuple[str, ...]]:
    """Return what can be asked about these pictures, and what cannot, and why."""
    grids, left_out = None, []
    try:
        grids = picture_grids(model, images, split.labels, count=len(split))
    except SightlineError as error:  # too few classes, or pictures of one size only
        left_out.append(f"grid, DiFull: {error}")
    if split.masks is None:
        left_out.append("on the object, in its hull, rank: there are no masks")
    with torch.no_grad():
        runners_up = model(images).topk(2).indices[:, 1].cpu()
    about = model, images, split.labels, runners_up, grids, split.masks
    return _Questions(*about, draws), tuple(left_out)


def _methods(
    methods: Sequence[str], sides: dict[str, int], against: Against
) -> dict[str, _Row]:
    """Return every method at every layer."""
    return {
        f"{method} {layer}": _Row(
            "method",
            side,
            cam(method, layer, against),
            partial(disconnected_maps, layer=layer, method=method, against=against),
        )
        for method in methods
        for layer, side in sides.items()
    }


def _floors(sides: dict[str, int], size: int) -> dict[str, _Row]:
    """Return the maps that know nothing, of as many cells as the layers have."""

    def explainer(
        model: nn.Module, images: Tensor, targets: Tensor, *, name: str, side: int
    ) -> Tensor:
        cells = side * images.shape[-1] // size  # of a grid twice as many
        if name == "random":
            return baselines.random(images, cells=cells)
        return baselines.coarsened(baselines.BASELINES[name](images), cells)

    finest = max(sides.values())
    return {
        f"{name} {side}×{side}": _Row(
            "floor",
            side,
            partial(explainer, name=name, side=side),
            sane=(name, side) == ("edges", finest),
        )
        for side in sorted(set(sides.values()))
        for name in baselines.BASELINES
    }


def _controls(sides: dict[str, int], size: int) -> dict[str, _Row]:
    """Return maps whose worth is known: measured, its inverse, and a sharp picture."""
    coarsest, finest = min(sides.values()), max(sides.values())
    measured = occlusion(coarsest, size)
    return {
        "occlusion": _Row("control", coarsest, measured),
        "occlusion, inverted": _Row(
            "control", coarsest, inverted(measured), sane=False
        ),
        "guided backpropagation": _Row("control", finest, guided_backprop),
    }


def _score(row: _Row, maps: Tensor, asked: _Questions) -> dict[str, Tensor]:
    """Ask one kind of maps everything that it can be asked."""
    scores = _remove(maps, asked)
    if asked.masks is not None:
        scores |= _against_masks(maps, asked.masks)
    if asked.grids is not None:
        game = row.explainer(asked.model, asked.grids.images, asked.grids.targets)
        scores["grid"] = _shares(game, asked.grids)
        if row.disconnected is not None:
            apart = row.disconnected(asked.model, asked.grids)
            scores["DiFull"] = _shares(apart, asked.grids)
        elif row.kind == "floor":
            scores["DiFull"] = scores["grid"]  # the same maps of the same grids
    if row.sane:
        scores |= _doubt(row.explainer, asked)
    return scores


def _remove(maps: Tensor, asked: _Questions) -> dict[str, Tensor]:
    """Take pixels away, and bring them back, in the order of a map."""
    about = asked.model, asked.images, asked.labels, maps
    grey = deletion_insertion(*about)
    soft = deletion_insertion(*about, fill=blurred(asked.images))
    return {
        "deletion": grey.deletion,
        "insertion": grey.insertion,
        "insertion, blurred": soft.insertion,
        "ROAD": road(*about),
    }


def _against_masks(maps: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """Compare maps with the object, and with what tells its class from others."""
    return {
        "on the object": energy_in_mask(maps, masks),
        "in its hull": energy_in_mask(maps, filled_hull(masks)),
        "rank": rank_accuracy(maps, masks),
    }


def _doubt(explainer: Explainer, asked: _Questions) -> dict[str, Tensor]:
    """Ask for another class, and networks that are partly or wholly random."""
    about = asked.model, asked.images, asked.labels
    *rest, head = parts_with_weights(asked.model)
    stages = {"random head": [head], "random network": rest[::-1]}
    drawn = [
        cascading_randomisation(*about, explainer, stages=stages, seed=seed)
        for seed in range(asked.draws)
    ]
    return {
        "class": class_sensitivity(*about, asked.runners_up, explainer),
        **{name: torch.stack([draw[name] for draw in drawn]) for name in stages},
    }


def _drawn(masks: Tensor, sides: dict[str, int]) -> dict[str, tuple[int, Tensor]]:
    """Return the best maps of so few cells, the object, and all but the object."""
    finest = max(sides.values())
    whole = baselines.coarsened(masks, finest)
    maps = {
        f"best possible {side}×{side}": (side, baselines.ceiling(masks, side))
        for side in sorted(set(sides.values()))
    }
    return maps | {"the object": (finest, whole), "outside": (finest, 1 - whole)}


def _shares(maps: Tensor, grids: Grids) -> Tensor:
    """Return the mean share of the four maps of each grid in their own cells, (G,).

    It is a quarter for maps that ignore the class, up to the rounding of their sums.
    """
    maps = _even_where_blank(maps.cpu())
    return energy_in_mask(maps, grids.masks).view(-1, 4).mean(1).round(decimals=5)


def _even_where_blank(maps: Tensor) -> Tensor:
    """Make the maps that show nothing the same everywhere."""
    blank = ~maps.flatten(1).any(1)
    return torch.where(blank[:, None, None], 1, maps)
