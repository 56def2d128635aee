"""From evidence to heatmaps: enlarged to the size of the image, scaled to [0, 1]."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["FLAT", "enlarge", "is_blank", "is_flat", "scale"]

#: grad-cam adds this to every divisor; a map that varies by less is rounding noise
FLAT = 1e-7


def enlarge(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Resize maps (B, h, w) to (B, H, W), bilinearly."""
    resized = F.interpolate(
        maps[:, None], tuple(size), mode="bilinear", align_corners=False
    )
    return resized[:, 0]


def is_blank(evidence: Tensor) -> Tensor:
    """Tell which maps (B, h, w) have no positive evidence, (B,)."""
    return evidence.amax((1, 2)) <= FLAT


def is_flat(evidence: Tensor) -> Tensor:
    """Tell which maps (B, h, w) are the same everywhere, (B,)."""
    return evidence.amax((1, 2)) - evidence.amin((1, 2)) <= FLAT


def scale(enlarged: Tensor, evidence: Tensor) -> Tensor:
    """Stretch each map to [0, 1]; a blank one becomes 0 everywhere, a flat one 1.

    Args:
        enlarged: (B, H, W), the maps to stretch.
        evidence: (B, h, w), not negative, before it was enlarged.
    """
    above = enlarged - enlarged.amin((1, 2), keepdim=True)
    tiny = torch.finfo(above.dtype).tiny
    stretched = above / above.amax((1, 2), keepdim=True).clamp_min(tiny)
    blank, flat = is_blank(evidence)[:, None, None], is_flat(evidence)[:, None, None]
    return torch.where(blank, 0, torch.where(flat, 1, stretched))
