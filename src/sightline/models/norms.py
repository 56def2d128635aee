"""Normalisation layers by name."""

from collections.abc import Callable

from torch import nn

from sightline.errors import SightlineError

__all__ = ["NORMS", "make_norm"]


def _group_norm(channels: int) -> nn.GroupNorm:
    """Make as many groups as divide `channels` evenly and have 8 of them or more."""
    at_most = max(channels // 8, 1)
    groups = next(g for g in range(at_most, 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


#: by name; each takes the number of channels
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),  # over (C, H, W)
    "group": _group_norm,
}


def make_norm(norm: str, channels: int) -> nn.Module:
    """Build the normalisation layer called `norm`.

    Raises:
        SightlineError: if `norm` is not in `NORMS`.
    """
    if norm not in NORMS:
        known = ", ".join(sorted(NORMS))
        raise SightlineError(f"unknown norm {norm!r}; choose from: {known}")
    return NORMS[norm](channels)
