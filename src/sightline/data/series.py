"""Series of pictures, such as bursts, proposed by likeness, numbers and times.

How alike two pictures are is how well the middle of one, somewhat larger or smaller and
moved, fits into the other. It is 0 for what two pictures of the folder that are drawn
at random typically reach, and 1 for the very same. Two pictures are of one series

- from a likeness of `NEAR` on, or
- from `BESIDE` on if hardly anything was photographed between them, by the numbers in
  the names of their files or by the times that the camera noted.

Numbers and times alone prove nothing: unrelated pictures have them, too.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.duplicates import most_similar
from sightline.data.folders import Decoded
from sightline.data.headers import Header
from sightline.data.listing import Listing
from sightline.data.stored import Images

__all__ = ["BESIDE", "MOST", "NEAR", "propose_series"]

#: likeness of two pictures of a series, whatever else is known of them; measured by
#: `studies/series.py`, as is the next one
NEAR = 0.7
BESIDE = 0.5  #: likeness of two that follow each other by number or time
MOST = 50_000  #: pictures, up to which each is compared with all others
SECONDS = 10.0  # at most, between two pictures that follow each other
NUMBERS = 3  # at most, from one to the next: some may have been deleted
REACH = 2  # places in such an order up to which pictures are compared
CANDIDATES = 4  # most similar pictures of each that are compared closely
SIDE = 32  # pixels of the pictures that are compared closely
MARGIN = 4  # pixels by which the middle may be moved
SCALES = (0.92, 1.0, 1.087)  # of the middle
DETAIL = 5  # pixels: brightness that varies more slowly is taken away
SAMPLE = 2000  # random pairs that show what is typical
CHUNK = 500  # pairs, or pictures, that are held as floats at once

Key = tuple[tuple[str, ...], float]  # what is ordered together, and its place there


def propose_series(
    listing: Listing, decoded: Decoded, headers: Sequence[Header | None]
) -> Tensor:
    """Number the series of the readable pictures, (n,) int64.

    Beyond `MOST` pictures only those that follow each other are compared.
    """
    from scipy.sparse import coo_array  # late: half a second
    from scipy.sparse.csgraph import connected_components

    count, places = len(decoded.images), decoded.places.tolist()
    if count < 2:
        return torch.arange(count)
    details = _details(decoded.images)
    generator = torch.Generator().manual_seed(0)
    sample = torch.randint(count, (2, SAMPLE), generator=generator)
    typical = _fit(details, sample[:, sample[0] != sample[1]]).median()
    numbers = _numbers([listing.names[place] for place in places])
    taken = [header.taken if (header := headers[place]) else None for place in places]
    times = [None if time is None else ((), time) for time in taken]
    edges = []
    for pairs, mirrored, least in (
        (_following(numbers, NUMBERS), None, BESIDE),
        (_following(times, SECONDS), None, BESIDE),
        (*_candidates(decoded.images), NEAR),
    ):
        likeness = (_fit(details, pairs, mirrored) - typical) / (1 - typical).clamp_min(
            1e-6
        )
        edges.append(pairs[:, likeness >= least])
    rows, columns = torch.cat(edges, 1).numpy()
    graph = coo_array((rows >= 0, (rows, columns)), shape=(count, count))
    return torch.from_numpy(connected_components(graph, directed=False)[1]).long()


def _numbers(names: Sequence[str]) -> list[Key | None]:
    """Return the last number in the name of each file, and what is before it.

    A camera counts on from class to class. Where classes have the same numbers, they
    were counted apart, and the folder is of what is before the number.
    """
    matches = [re.fullmatch(r"((?:.*/)?)(.*?)([0-9]+)([^0-9/]*)", n) for n in names]
    known = [match.groups() for match in matches if match]
    apart = len({(*words, number) for _, *words, number, _ in known}) < len(known)
    keys: list[Key | None] = []
    for match in matches:
        folder, before, number, _ = match.groups() if match else ("", "", "", "")
        key = ((folder if apart else "", before), float(number or 0))
        keys.append(key if match else None)
    return keys


def _following(keys: Sequence[Key | None], gap: float) -> Tensor:
    """Pair places that follow each other at most `gap` apart, (2, P)."""
    orders: defaultdict[tuple[str, ...], list[tuple[float, int]]] = defaultdict(list)
    for place, key in enumerate(keys):
        if key:
            orders[key[0]].append((key[1], place))
    pairs = [
        (place, other)
        for order in map(sorted, orders.values())
        for step in range(1, REACH + 1)
        for (at, place), (later, other) in zip(order, order[step:], strict=False)
        if later - at <= step * gap
    ]
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T


def _candidates(images: Images) -> tuple[Tensor, Tensor | None]:
    """Pair each picture with the most similar ones, (2, P); tell which are mirrored."""
    if len(images) > MOST:
        return torch.empty(2, 0, dtype=torch.int64), None
    others, mirrored = most_similar(images, CANDIDATES)
    places = torch.arange(len(images)).repeat_interleave(others.shape[1])
    return torch.stack([places, others.flatten()]), mirrored.flatten()


def _details(images: Images) -> Tensor:
    """Return what is left of pictures without colour and slow changes, (n, 32, 32)."""
    parts = []
    for index in torch.arange(len(images)).split(CHUNK):
        pixels = images[index].permute(0, 3, 1, 2).float().mean(1, keepdim=True)
        pixels = F.adaptive_avg_pool2d(pixels, SIDE)
        padded = F.pad(pixels, (DETAIL // 2,) * 4, mode="reflect")
        parts.append((pixels - F.avg_pool2d(padded, DETAIL, 1))[:, 0])
    return torch.cat(parts)


def _fit(details: Tensor, pairs: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """Return how well first pictures fit into second ones, (P,) from -1 to 1.

    It is the correlation at the best place and scale, by the Fourier transform.

    Args:
        details: (n, 32, 32).
        pairs: (2, P) places.
        mirrored: (P,) bool, where the mirror image of the first one is compared.
    """
    side = SIDE - 2 * MARGIN
    fits = [torch.empty(0)]
    for start in range(0, pairs.shape[1], CHUNK):
        first, second = details[pairs[:, start : start + CHUNK]]
        if mirrored is not None:
            turned = mirrored[start : start + CHUNK, None, None]
            first = torch.where(turned, first.flip(2), first)
        products = torch.fft.irfft2(
            torch.fft.rfft2(second)[:, None] * _middles(first, side).conj(),
            s=(SIDE, SIDE),
        )[..., : 2 * MARGIN + 1, : 2 * MARGIN + 1]
        # what the middle lies on, without its mean, has this length
        mean, square = (F.avg_pool2d(x[:, None], side, 1) for x in (second, second**2))
        length = side * (square - mean**2).clamp_min(1e-6).sqrt()
        fits.append((products / length).flatten(1).max(1).values)
    return torch.cat(fits)


def _middles(pictures: Tensor, side: int) -> Tensor:
    """Transform the middles of pictures, in all SCALES, with mean 0 and length 1."""
    count, transforms = len(pictures), []
    for scale in SCALES:
        zoom = torch.eye(2, 3) * scale * side / SIDE
        grid = F.affine_grid(
            zoom.expand(count, 2, 3), [count, 1, side, side], align_corners=False
        )
        middle = F.grid_sample(pictures[:, None], grid, align_corners=False)[:, 0]
        middle = middle - middle.mean((1, 2), keepdim=True)
        middle = middle / middle.flatten(1).norm(dim=1).clamp_min(1e-6)[:, None, None]
        transforms.append(torch.fft.rfft2(middle, s=(SIDE, SIDE)))
    return torch.stack(transforms, 1)
