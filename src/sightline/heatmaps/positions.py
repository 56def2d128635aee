"""Where the maps of each class lie, beside those of the others and beside the middle.

Objects of all classes are photographed alike, mostly in the middle. A class whose maps
lie in a corner or along the border, where the others' do not, may be told by something
that is no object.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.heatmaps.baselines import centre
from sightline.measures.inference import LEVEL, Effect, effects

__all__ = ["FEWEST", "MARGIN", "Leaning", "find_leanings", "mean_maps", "zones"]

#: by so much of a map, and by as much as the others have there, a class must exceed
#: them, at the lower end of the interval
MARGIN = 0.1
FEWEST = 5  #: maps of a class, below which nothing is said of it
CORNER, EDGE = 4, 8  # of a side: a corner is a quarter of it, the border an eighth
SHOWN = 6  # pictures


@dataclass(frozen=True)
class Leaning:
    """A class whose maps lie where those of the other classes do not."""

    zone: str  #: a key of `zones`
    label: int
    share: float  #: of its maps, in the mean, that lies in the zone
    others: float  #: the same of all other classes
    middle: float  #: the same of a bell in the middle of the picture
    excess: Effect  #: of the first over the second
    shown: Tensor  #: (n,) places of the maps that lie there most


def zones(height: int, width: int) -> dict[str, Tensor]:
    """Return the corners and the border as masks (H, W) bool."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    near = {"upper": rows < height / CORNER, "left": columns < width / CORNER}
    near |= {"lower": near["upper"].flip(0), "right": near["left"].flip(0)}
    corners = {
        f"{row} {column} corner": near[row] & near[column]
        for row in ("upper", "lower")
        for column in ("left", "right")
    }
    edge = (rows < height / EDGE) | (columns < width / EDGE)
    return corners | {"border": edge | edge.flip(0, 1)}


def mean_maps(maps: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Average the maps (B, H, W) of every class, (K, H, W), each of them of sum 1.

    Maps without evidence are left out; the mean of none is zero everywhere.
    """
    shares = _shares(maps)
    drawn = shares.flatten(1).any(1)
    means = torch.zeros(classes, *maps.shape[1:])
    means.index_add_(0, labels[drawn], shares[drawn])
    counts = labels[drawn].bincount(minlength=classes).clamp_min(1)
    return means / counts[:, None, None]


def find_leanings(maps: Tensor, labels: Tensor) -> list[Leaning]:
    """Find classes whose maps (B, H, W) lie in a corner or along the border.

    The rule is that for a difference: between each map of a class and the mean of all
    other classes, corrected for all classes and places.
    """
    shares, places = _shares(maps), torch.arange(len(maps))
    drawn = shares.flatten(1).any(1)
    bell = _shares(centre(maps[:1, None]))[0]
    rows, pairs = {}, {}
    for label in labels[drawn].unique().tolist():
        own, rest = drawn & (labels == label), drawn & (labels != label)
        if own.sum() < FEWEST or rest.sum() < FEWEST:
            continue
        for zone, mask in zones(*maps.shape[1:]).items():
            inside = shares[:, mask].sum(1).clamp_max(1)
            others = inside[rest].mean().expand(int(own.sum()))
            pairs[f"{label} {zone}"] = inside[own], others
            order = inside[own].argsort(descending=True, stable=True)[:SHOWN]
            beside = others[0].item(), bell[mask].sum().item()
            rows[f"{label} {zone}"] = (
                zone,
                label,
                inside[own].mean().item(),
                *beside,
                places[own][order],
            )
    leanings = [
        Leaning(zone, label, share, others, middle, excess, shown)
        for key, excess in effects(pairs).items()
        for zone, label, share, others, middle, shown in [rows[key]]
        if excess.p <= LEVEL and excess.low > max(MARGIN, others)
    ]
    return sorted(leanings, key=lambda leaning: -leaning.excess.low)


def _shares(maps: Tensor) -> Tensor:
    """Divide every map by its sum; a map without evidence stays zero."""
    total = maps.flatten(1).sum(1)[:, None, None]
    return torch.where(total > 0, maps / total.clamp_min(1e-12), 0)
