"""From evidence to heatmaps: enlarged to the size of the image, scaled to [0, 1]."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FLAT", "enlarge", "is_blank", "is_flat", "scale"]

#: what varies by less, measured by the largest value, is rounding; sums of n terms in
#: float32 are off by about 4·√n·1.2e-7 of their size, and a layer adds some 500
FLAT = 1e-5


def enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, h, w) to (B, H, W), bilinearly."""
    resized = F.interpolate(
        maps[:, None], tuple(size), mode="bilinear", align_corners=False
    )
    return resized[:, 0]


def is_blank(maps: Tensor) -> Tensor:
    """Tell which maps (B, h, w), before the ReLU, are nowhere positive, (B,)."""
    return maps.amax((1, 2)) <= FLAT * maps.abs().amax((1, 2))


def is_flat(maps: Tensor) -> Tensor:
    """Tell which maps (B, h, w) are the same everywhere, (B,)."""
    return maps.amax((1, 2)) - maps.amin((1, 2)) <= FLAT * maps.abs().amax((1, 2))


def scale(enlarged: Tensor, maps: Tensor) -> Tensor:
    """Stretch each map to [0, 1]; a blank one becomes 0 everywhere, a flat one 1.

    Args:
        enlarged: (B, H, W), the maps to stretch, not negative.
        maps: (B, h, w), before the ReLU and before they were enlarged.
    """
    above = enlarged - enlarged.amin((1, 2), keepdim=True)
    tiny = torch.finfo(above.dtype).tiny
    stretched = above / above.amax((1, 2), keepdim=True).clamp_min(tiny)
    blank, flat = is_blank(maps)[:, None, None], is_flat(maps)[:, None, None]
    return torch.where(blank, 0, torch.where(flat, 1, stretched))
