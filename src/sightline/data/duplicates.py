"""Near duplicates: in two parts of a data set, or within one folder."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.stored import StoredImages
from sightline.errors import SightlineError

__all__ = ["THRESHOLD", "Duplicates", "near_duplicates", "near_duplicates_within"]

Images = Tensor | StoredImages

# looked at by eye on CIFAR-10: above it nearly all pairs show one photograph, and
# below it more and more show two aircraft in a blue sky
THRESHOLD = 0.85
SIDE = 8  # pixels of a descriptor
# of the largest variance, added to all: what hardly varies must not be blown up
FLOOR = 0.003
CHUNK = 500  # pictures compared at once: bounds the memory
CHUNK_BYTES = 2**26  # of float pixels that are shrunk at once, too


class Duplicates(NamedTuple):
    """Pairs, the most similar first: one for each picture that has a duplicate."""

    pictures: Tensor  # (P,) int64, into the pictures asked about
    originals: Tensor  # (P,) int64, into those searched
    similarity: Tensor  # (P,) in [-1, 1]
    mirrored: Tensor  # (P,) bool: the mirror image is the more similar
    exact: Tensor  # (P,) bool: all pixels are equal, mirrored if `mirrored`


def near_duplicates(
    pictures: Images, originals: Images, *, threshold: float = THRESHOLD
) -> Duplicates:
    """Find for each picture the most similar original, or its mirror image.

    Pictures are compared as 8×8 pixels, whitened over the originals, by the cosine.
    Whitening takes away what all pictures share, as a bright upper half: without it a
    ship resembles every other ship.

    Args:
        pictures: (N, H, W, 3) uint8.
        originals: (M, H, W, 3) uint8, of the same size.
        threshold: similarity from which a pair is kept.
    """
    if pictures.shape[1:] != originals.shape[1:]:
        raise SightlineError(
            f"pictures of {tuple(pictures.shape[1:])} and originals of "
            f"{tuple(originals.shape[1:])}: bring them to one size first"
        )
    shrunk = _shrink(originals)
    mean, whiten = _whitening(shrunk)
    searched = F.normalize((shrunk - mean) @ whiten, dim=1)
    best, place, mirrored = [], [], []
    for part in _shrink(pictures).split(CHUNK):
        flipped = part.unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)
        found = []
        for view in (part, flipped):
            asked = F.normalize((view - mean) @ whiten, dim=1)
            found.append((asked @ searched.T).max(1))
        as_is, mirror = found
        turned = mirror.values > as_is.values
        best.append(torch.where(turned, mirror.values, as_is.values))
        place.append(torch.where(turned, mirror.indices, as_is.indices))
        mirrored.append(turned)
    columns = [torch.cat(parts) for parts in (place, best, mirrored)]
    similar = columns[1]
    chosen = similar.argsort(descending=True, stable=True)
    chosen = chosen[: int((similar >= threshold).sum())]
    pairs = [column[chosen] for column in columns]
    return Duplicates(chosen, *pairs, _equal(pictures, originals, chosen, *pairs[::2]))


def near_duplicates_within(
    images: Images, *groups: Tensor, threshold: float = THRESHOLD
) -> list[Duplicates]:
    """Find for each picture the most similar earlier one, or its mirror image.

    Compares as `near_duplicates` does, whitened over all pictures.

    Args:
        images: (N, H, W, 3) uint8.
        groups: (N,) each, such as labels: only pairs across groups count there.
        threshold: similarity from which a pair is kept.

    Returns:
        All pairs, and those across the groups of each of `groups`; into `images`.
    """
    shrunk = _shrink(images)
    mean, whiten = _whitening(shrunk)
    searched = F.normalize((shrunk - mean) @ whiten, dim=1)
    flipped = shrunk.unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)
    mirrored = F.normalize((flipped - mean) @ whiten, dim=1)
    places = torch.arange(len(images))
    found: list[list[Tensor]] = [[] for _ in range(1 + len(groups))]
    for here in places.split(CHUNK):
        earlier = places[: int(here[-1]) + 1]
        as_is = searched[here] @ searched[earlier].T
        mirror = mirrored[here] @ searched[earlier].T
        similar = torch.maximum(as_is, mirror)
        similar[earlier >= here[:, None]] = -1
        for parts, group in zip(found, (None, *groups), strict=True):
            apart = similar
            if group is not None:
                same = group[here][:, None] == group[earlier]
                apart = similar.masked_fill(same, -1)
            best, place = apart.max(1)
            turned = (mirror > as_is).gather(1, place[:, None])[:, 0]
            kept = best >= threshold
            parts.append(torch.stack([here, place, turned, best.double()], 1)[kept])
    return [_pairs(images, torch.cat(parts)) for parts in found]


def _pairs(images: Images, rows: Tensor) -> Duplicates:
    """Sort rows of (place, earlier place, mirrored, similarity) by similarity."""
    rows = rows[rows[:, 3].argsort(descending=True, stable=True)]
    here, there, turned = rows[:, 0].long(), rows[:, 1].long(), rows[:, 2].bool()
    exact = _equal(images, images, here, there, turned)
    return Duplicates(here, there, rows[:, 3], turned, exact)


def _shrink(images: Images) -> Tensor:
    """Average pictures down to 8×8 pixels, (N, 192)."""
    parts = []
    count = max(1, CHUNK_BYTES // (4 * math.prod(images.shape[1:])))
    for index in torch.arange(len(images)).split(count):
        pixels = images[index].permute(0, 3, 1, 2).float()
        parts.append(F.adaptive_avg_pool2d(pixels, SIDE).flatten(1))
    return torch.cat(parts)


def _whitening(shrunk: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean, and the matrix after which all directions vary alike."""
    mean = shrunk.mean(0)
    centred = (shrunk - mean).double()
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(shrunk))
    floor = (FLOOR * variance.max()).clamp_min(1e-6)
    scale = (variance.clamp_min(0) + floor).rsqrt()
    return mean, (directions * scale).float()


def _equal(
    pictures: Images, originals: Images, here: Tensor, there: Tensor, mirrored: Tensor
) -> Tensor:
    """Tell for each pair whether all pixels are equal."""
    one, other = pictures[here], originals[there]
    one = torch.where(mirrored[:, None, None, None], one.flip(2), one)
    return (one == other).flatten(1).all(1)
