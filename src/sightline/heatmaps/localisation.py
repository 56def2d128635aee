"""Do heatmaps lie on the object? Scores against masks.

Every score is one number per image, so that an interval can be computed. A map that is
zero everywhere says nothing: its score is NaN, never a good or a bad one. Count those
(`scores.isnan()`) and tell them beside the mean of the others: a method that is silent
about hard pictures would look better than it is.
"""

import torch
from torch import Tensor

from sightline.errors import SightlineError

__all__ = ["energy_in_mask", "pointing_game", "rank_accuracy"]


def pointing_game(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Tell whether the brightest pixel lies in the mask.

    Where several are equally bright it is the share of them that do, which is what
    choosing one at random would hit: an even map scores the area of the mask.
    Source: Zhang et al. (2018), "Top-Down Neural Attention by Excitation Backprop".

    Args:
        heatmaps: (B, H, W), not negative.
        masks: (B, H, W) bool.

    Returns:
        (B,) in [0, 1]; NaN where the map is blank or the mask is empty.
    """
    check_pairs(heatmaps, masks)
    top = heatmaps == heatmaps.amax((1, 2), keepdim=True)
    hits = (top & masks).sum((1, 2)) / top.sum((1, 2))
    return only_said(hits, heatmaps, masks)


def energy_in_mask(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of each map that lies in its mask.

    Source: Wang et al. (2020), "Score-CAM", section 4.3.

    Args:
        heatmaps: (B, H, W), not negative.
        masks: (B, H, W) bool.

    Returns:
        (B,) in [0, 1]; NaN where the map is blank or the mask is empty.
    """
    check_pairs(heatmaps, masks)
    share = (heatmaps * masks).sum((1, 2)) / heatmaps.sum((1, 2))
    return only_said(share, heatmaps, masks)


def rank_accuracy(heatmaps: Tensor, masks: Tensor) -> Tensor:
    """Return the share of the mask among as many of the brightest pixels.

    Of pixels that are equally bright at the border the expected share is counted, so
    an even map scores the area of the mask.
    Source: Arras et al. (2022), "CLEVR-XAI", relevance rank accuracy.

    Args:
        heatmaps: (B, H, W), not negative.
        masks: (B, H, W) bool.

    Returns:
        (B,) in [0, 1]; NaN where the map is blank or the mask is empty.
    """
    check_pairs(heatmaps, masks)
    maps, inside = heatmaps.flatten(1), masks.flatten(1)
    wanted = inside.sum(1, keepdim=True)
    falling = maps.sort(1, descending=True).values
    border = falling.gather(1, (wanted - 1).clamp_min(0))
    above, tied = maps > border, maps == border
    room = wanted - above.sum(1, keepdim=True)  # for how many of the tied ones
    share = (tied & inside).sum(1) / tied.sum(1)
    found = (above & inside).sum(1) + room[:, 0] * share
    return only_said(found / wanted[:, 0], heatmaps, masks)


def check_pairs(heatmaps: Tensor, others: Tensor) -> None:
    """Ask for maps of the same number and size."""
    if heatmaps.ndim != 3 or heatmaps.shape != others.shape:
        raise SightlineError(
            f"maps of shape {tuple(heatmaps.shape)} do not fit {tuple(others.shape)}: "
            "give one of (H, W) for each image, as large as the image"
        )


def only_said(scores: Tensor, heatmaps: Tensor, masks: Tensor | None = None) -> Tensor:
    """Replace the scores of blank maps, and of empty masks, by NaN."""
    said = heatmaps.flatten(1).any(1).to(scores.device)
    if masks is not None:
        said &= masks.flatten(1).any(1)
    return torch.where(said, scores.float(), torch.nan)
