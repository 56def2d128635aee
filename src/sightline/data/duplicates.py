"""Equal files, and near duplicates in two parts of a data set or within one folder."""

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from sightline.data.stored import Images
from sightline.errors import SightlineError
from sightline.files import sha256

__all__ = [
    "THRESHOLD",
    "Duplicates",
    "Pair",
    "describe",
    "equal_files",
    "equal_pairs",
    "most_similar",
    "near_duplicates",
    "near_duplicates_within",
]

Pair = tuple[int, int]  #: places of a picture and of an earlier one
# takes places (n,) of pictures; tells for each list of pairs which of the first m
# originals count, (n, m) bool
Masks = Callable[[Tensor], list[Tensor]]

#: looked at by eye on CIFAR-10; above it nearly all pairs show one photograph, and
#: below it more and more show two aircraft in a blue sky
THRESHOLD = 0.85
SIDE = 8  # pixels of a descriptor
# of the largest variance, added to all: what hardly varies must not be blown up
FLOOR = 0.003
CHUNK = 500  # pictures compared at once: bounds the memory
CHUNK_BYTES = 2**26  # of float pixels that are shrunk at once, too


class Duplicates(NamedTuple):
    """Pairs, the most similar first: one for each picture that has a duplicate."""

    pictures: Tensor  #: (P,) int64, into the pictures asked about
    originals: Tensor  #: (P,) int64, into those searched
    similarity: Tensor  #: (P,) in [-1, 1]
    mirrored: Tensor  #: (P,) bool, the mirror image is the more similar
    exact: Tensor  #: (P,) bool, all pixels are equal, mirrored if `mirrored`


def equal_files(paths: Sequence[Path], *, progress: bool = False) -> list[list[int]]:
    """Find files with the same bytes; return their places, two or more a group.

    Only files of the same length are read; those that have gone meanwhile are not.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        with suppress(OSError):
            by_length[os.stat(path).st_size].append(place)
    alike = [place for same in by_length.values() if len(same) > 1 for place in same]
    by_bytes: dict[str, list[int]] = defaultdict(list)
    bar = {"desc": "finding copies", "unit": " files", "disable": not progress}
    for place in tqdm(alike, **bar):
        with suppress(OSError):
            by_bytes[sha256(Path(paths[place]))].append(place)
    return [places for places in by_bytes.values() if len(places) > 1]


def equal_pairs(equal: list[list[int]], group: Tensor | None) -> Iterator[Pair]:
    """Yield each file with its first copy, or the first one of another group.

    Args:
        equal: what `equal_files` returns.
        group: (N,) of every place, such as labels; None: all are of one group.
    """
    for first, *later in equal:
        other = None  # first copy that is not of the first one's group
        for place in later:
            if group is None or group[place] != group[first]:
                other = place if other is None else other
                yield place, first
            elif other is not None:
                yield place, other


def describe(images: Images) -> Tensor:
    """Return what `near_duplicates` compares, (N, 192), each of length 1."""
    shrunk = _shrink(images)
    mean, whiten = _whitening(shrunk)
    return F.normalize((shrunk - mean) @ whiten, dim=1)


def most_similar(images: Images, count: int) -> tuple[Tensor, Tensor]:
    """Find for each picture the `count` most similar others, or their mirror images.

    Compares as `near_duplicates` does. Fewer are found where there are no more.

    Returns:
        Places (n, count), and which of them are mirrored, (n, count) bool.
    """
    shrunk = _shrink(images)
    mean, whiten = _whitening(shrunk)
    searched = F.normalize((shrunk - mean) @ whiten, dim=1)
    flipped = shrunk.unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)
    turned = F.normalize((flipped - mean) @ whiten, dim=1)
    count = min(count, len(images) - 1)
    parts = []
    for places in torch.arange(len(images)).split(CHUNK):
        as_is, mirror = (rows[places] @ searched.T for rows in (searched, turned))
        similar = torch.maximum(as_is, mirror)
        similar[torch.arange(len(places)), places] = -math.inf
        best = similar.topk(count).indices
        parts.append((best, (mirror > as_is).gather(1, best)))
    others, mirrored = map(torch.cat, zip(*parts, strict=True))
    return others, mirrored


def near_duplicates(
    pictures: Images, originals: Images, *, threshold: float = THRESHOLD
) -> Duplicates:
    """Find for each picture the most similar original, or its mirror image.

    Pictures are compared as 8×8 pixels, whitened over the originals, by the cosine.
    Whitening takes away what all pictures share, as a bright upper half: without it a
    ship resembles every other ship. Both are (N, H, W, 3) uint8, of one size; pairs are
    kept from a similarity of `threshold` on.
    """
    if pictures.shape[1:] != originals.shape[1:]:
        raise SightlineError(
            f"pictures of {tuple(pictures.shape[1:])} and originals of "
            f"{tuple(originals.shape[1:])}: bring them to one size first"
        )

    def masks(places: Tensor) -> list[Tensor]:
        return [torch.ones(len(places), len(originals), dtype=torch.bool)]

    return _best_matches(pictures, originals, masks, threshold)[0]


def near_duplicates_within(
    images: Images,
    *groups: Tensor,
    threshold: float = THRESHOLD,
    progress: bool = False,
) -> list[Duplicates]:
    """Find for each picture the most similar earlier one, or its mirror image.

    Compares as `near_duplicates` does, whitened over all pictures. Returns all pairs,
    then for each of `groups`, (N,), such as labels, the pairs across its groups.
    """

    def masks(places: Tensor) -> list[Tensor]:
        end = int(places[-1]) + 1
        earlier = torch.arange(end) < places[:, None]
        across = [earlier & (g[:end] != g[places][:, None]) for g in groups]
        return [earlier, *across]

    return _best_matches(images, images, masks, threshold, progress)


def _best_matches(
    pictures: Images,
    originals: Images,
    masks: Masks,
    threshold: float,
    progress: bool = False,
) -> list[Duplicates]:
    """Find the most similar original, or its mirror image, that each mask allows."""
    shrunk = _shrink(originals)
    mean, whiten = _whitening(shrunk)

    def describe(rows: Tensor) -> Tensor:
        return F.normalize((rows - mean) @ whiten, dim=1)

    searched = describe(shrunk)
    small = shrunk if pictures is originals else _shrink(pictures)
    matches = []
    bar = {"desc": "comparing", "unit": f" times {CHUNK} pictures"}
    chunks = torch.arange(len(pictures)).split(CHUNK)
    # the longest first, so that what is left takes no longer than is said
    for places in tqdm(chunks[::-1], **bar, disable=not progress):
        allowed = masks(places)
        candidates = searched[: allowed[0].shape[1]].T
        flipped = small[places].unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)
        as_is = describe(small[places]) @ candidates  # (n, m)
        mirror = describe(flipped) @ candidates
        similar = torch.maximum(as_is, mirror)
        parts = []
        for mask in allowed:
            best, place = similar.masked_fill(~mask, -math.inf).max(1)
            turned = (mirror > as_is).gather(1, place[:, None])[:, 0]
            close = best >= threshold
            parts.append([c[close] for c in (places, place, best, turned)])
        matches.append(parts)
    return [_collect(pictures, originals, p) for p in zip(*matches[::-1], strict=True)]


def _collect(
    pictures: Images, originals: Images, parts: Sequence[list[Tensor]]
) -> Duplicates:
    """Join the pairs of all chunks, the most similar first."""
    columns = [torch.cat(column) for column in zip(*parts, strict=True)]
    order = columns[2].argsort(descending=True, stable=True)
    places, originals_at, similarity, mirrored = (column[order] for column in columns)
    exact = []
    for part in torch.arange(len(places)).split(CHUNK):
        pixels = pictures[places[part]]
        pixels = torch.where(mirrored[part, None, None, None], pixels.flip(2), pixels)
        exact.append((pixels == originals[originals_at[part]]).flatten(1).all(1))
    return Duplicates(places, originals_at, similarity, mirrored, torch.cat(exact))


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
    return mean, (directions * (variance.clamp_min(0) + floor).rsqrt()).float()
