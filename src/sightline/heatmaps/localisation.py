"""Do heatmaps lie on the object? Scores against masks.

Each takes heatmaps (B, H, W), not negative, and masks (B, H, W) bool. It returns one
number in [0, 1] per image, (B,), so that an interval can be computed. A map that is
zero everywhere shows nothing: its score is NaN, neither good nor bad, and so it is
where the mask is empty. Report how many there are (`scores.isnan()`) beside the mean of
the others: a method that gives blank maps for hard pictures would otherwise look better
than it is.
"""

import math

import torch
from torch import Tensor

from sightline.errors import SightlineError

__all__ = ["energy_in_mask", "filled_hull", "pointing_game", "rank_accuracy"]

DIRECTIONS = 64  # of the half-planes whose intersection is a hull


def pointing_game(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Tell whether the brightest pixel lies in the mask.

    Where several are equally bright it is the share of them that do, which is what
    choosing one at random would hit: an even map scores the area of the mask.
    Source: Zhang et al. (2018), "Top-Down Neural Attention by Excitation Backprop",
    who count hits up to 15 pixels off, in photographs of some 400.
    """
    check_same_shape(heatmaps, masks)
    top = heatmaps == heatmaps.amax((1, 2), keepdim=True)
    hits = (top & masks).sum((1, 2)) / top.sum((1, 2))
    return nan_where_blank(hits, heatmaps, masks)


def energy_in_mask(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map that lies in its mask.

    Source: Wang et al. (2020), "Score-CAM", section 4.3, with boxes for masks.
    """
    check_same_shape(heatmaps, masks)
    share = (heatmaps * masks).sum((1, 2)) / heatmaps.sum((1, 2))
    return nan_where_blank(share, heatmaps, masks)


def rank_accuracy(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the mask among as many of the brightest pixels.

    Of pixels that are equally bright at the border the expected share is counted, so
    an even map scores the area of the mask.
    Source: Arras et al. (2022), "CLEVR-XAI", relevance rank accuracy.

    Args:
        heatmaps: (B, H, W), not negative.
        masks: (B, H, W) bool.
    """
    check_same_shape(heatmaps, masks)
    maps, inside = heatmaps.flatten(1), masks.flatten(1)
    area = inside.sum(1, keepdim=True)
    falling = maps.sort(1, descending=True).values
    border = falling.gather(1, (area - 1).clamp_min(0))
    above, tied = maps > border, maps == border
    room = area - above.sum(1, keepdim=True)  # how many of the tied pixels count
    share = (tied & inside).sum(1) / tied.sum(1)
    hits = (above & inside).sum(1) + room[:, 0] * share
    return nan_where_blank(hits / area[:, 0], heatmaps, masks)


def filled_hull(masks: Tensor, *, margin: float = 1.0) -> Tensor:
    """Fill the convex hull of each mask (B, H, W), and `margin` pixels around it.

    What tells one outline from another may lie off the object: the hole of a ring tells
    it from a disc. Nothing outside the hull does, but for the edge itself, which takes
    a pixel on either side.
    """
    rows, columns = (torch.arange(n, device=masks.device) for n in masks.shape[1:])
    inside = masks.flatten(1).any(1)[:, None, None].expand_as(masks)
    for turn in range(DIRECTIONS):
        angle = 2 * math.pi * turn / DIRECTIONS
        along = math.sin(angle) * rows[:, None] + math.cos(angle) * columns
        reach = torch.where(masks, along, -torch.inf).amax((1, 2), keepdim=True)
        inside = inside & (along <= reach + margin)
    return inside


def check_same_shape(heatmaps: Tensor, others: Tensor) -> None:
    """Refuse heatmaps (B, H, W) that differ from `others` in number or size."""
    if heatmaps.ndim != 3 or heatmaps.shape != others.shape:
        raise SightlineError(
            f"maps of shape {tuple(heatmaps.shape)} do not fit {tuple(others.shape)}: "
            "give one of (H, W) for each image, as large as the image"
        )


def nan_where_blank(scores: Tensor, *maps: Tensor) -> Tensor:
    """Replace a score (B,) by NaN where one of the image's maps is zero everywhere."""
    for each in maps:
        blank = ~each.flatten(1).any(1).to(scores.device)
        scores = torch.where(blank, torch.nan, scores.float())
    return scores
