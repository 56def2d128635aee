"""What is measured over all pixels of a data set: mean, standard deviation, digest."""

import hashlib
import math
from collections.abc import Iterable

import torch
from torch import Tensor

from sightline.data.stored import Images

__all__ = ["digest_of", "mean_and_std"]

Colour = tuple[float, float, float]
CHUNK_BYTES = 2**24  # of pixels that are measured at once


def mean_and_std(pictures: Images) -> tuple[Colour, Colour]:
    """Return mean and population std of each channel, 0 to 1, exactly.

    Counting how often each of the 256 levels occurs needs no float copy.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for part in _chunks(pictures):
        for channel in range(3):
            counts[channel] += part[..., channel].flatten().bincount(minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ levels
    std = (share * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    std = std.clamp(min=1 / 255)  # a channel that never changes must not divide by 0
    return _colour(mean), _colour(std)


def _colour(values: Tensor) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue


def digest_of(parts: Iterable[tuple[Images, Tensor]]) -> str:
    """Return the first 16 hex digits of SHA-256 over shapes, pixels and labels."""
    digest = hashlib.sha256()
    for pictures, labels in parts:
        digest.update(str(tuple(pictures.shape)).encode())
        for part in _chunks(pictures):
            digest.update(part.contiguous().numpy())
        digest.update(labels.contiguous().numpy())
    return digest.hexdigest()[:16]


def _chunks(pictures: Images) -> Iterable[Tensor]:
    """Divide pictures into parts of CHUNK_BYTES."""
    return pictures.split(max(1, CHUNK_BYTES // math.prod(pictures.shape[1:])))
