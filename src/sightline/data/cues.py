"""Places and facts that should not tell the class of a picture, as a few numbers each.

A place has another one beside it that a planted mark does not reach, described by as
many numbers: what both tell is what pictures of a class honestly have in common.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import ExifTags
from torch import Tensor

from sightline.data.pictures import open_picture
from sightline.data.split import chunks
from sightline.data.stored import Images

__all__ = [
    "FACTS",
    "HONEST",
    "PLACES",
    "FileFacts",
    "Place",
    "categories",
    "collect_facts",
    "read_facts",
    "shrink",
]

SIDE = 32  # pixels of a side, to which pictures are brought
CORNER, CELLS = SIDE // 4, 8  # a side of a corner; of the grid for the background
DEPTH, INSET = (
    3,
    SIDE // 8,
)  # pixels: rows of a border, and the distance of the inner one
SMALL = 1 / 64  # of a range of 1: a spread below that is noise of a JPEG
OFTEN = 5  # pictures with one value: it is a kind of its own
KINDS = 20  # of other values: as many pictures in each

Describe = Callable[[Tensor], Tensor]  # pictures (n, 3, SIDE, SIDE) → (n, D)


@dataclass(frozen=True)
class Place:
    """A part of every picture in numbers, and the parts that it is compared with."""

    describe: Describe
    beside: tuple[Describe, ...] = ()  #: none where too much is honest for an alarm
    called: str = ""  #: what is beside it


@dataclass(frozen=True)
class FileFacts:
    """What a file says apart from its pixels; a network sees traces of it at most."""

    kind: str  #: of file and pixels, such as "JPEG RGB"
    size: int  #: pixels
    shape: float  #: width over height
    density: float  #: bytes per pixel
    quality: int  #: sum of the tables of a JPEG, the smaller the better; 0 without
    camera: str  #: maker and model of EXIF, or nothing


#: fields of FileFacts, and what they are called
FACTS = {
    "kind": "file format",
    "size": "number of pixels",
    "shape": "shape of the picture",
    "density": "bytes per pixel",
    "quality": "JPEG quality",
    "camera": "camera",
}
#: the fact that classes honestly differ in, as grass makes larger files than sky
HONEST = ("density",)


def shrink(images: Images) -> Tensor:
    """Bring pictures (N, H, W, 3) uint8 to (N, 3, SIDE, SIDE), 0 to 1."""
    small = [
        F.adaptive_avg_pool2d(chunk.permute(0, 3, 1, 2).float() / 255, SIDE)
        for chunk in chunks(images)
    ]
    return torch.cat(small)


def corner(down: int, across: int) -> Describe:
    """Take the pixels of a corner; 0 is the upper and the left side."""
    rows, columns = (
        slice(-CORNER, None) if far else slice(CORNER) for far in (down, across)
    )
    return lambda pictures: pictures[..., rows, columns].flatten(1)


def border(inset: int) -> Describe:
    """Measure mean colour and evenness of rows along the four sides."""

    def describe(pictures: Tensor) -> Tensor:
        inner = pictures[..., inset : SIDE - inset, inset : SIDE - inset]
        rows = [
            row
            for depth in range(DEPTH)
            for row in (
                *(inner[..., depth, :], inner[..., -1 - depth, :]),
                *(inner[..., depth], inner[..., -1 - depth]),
            )
        ]
        numbers = [n for row in rows for n in (row.mean(2), evenness(row.std(2)))]
        return torch.cat(numbers, 1)

    return describe


def plainness(inset: int) -> Describe:
    """Measure how even four patches are, and how alike; no colour is among that."""

    def describe(pictures: Tensor) -> Tensor:
        inner = pictures[..., inset : SIDE - inset, inset : SIDE - inset]
        side = CORNER // 2
        ends = (slice(side), slice(-side, None))
        patches = [inner[..., rows, columns] for rows in ends for columns in ends]
        means = torch.stack([patch.mean((2, 3)) for patch in patches], 1)
        spread = torch.stack([patch.std((2, 3)).mean(1) for patch in patches], 1)
        first, second = torch.triu_indices(4, 4, 1)
        apart = (means[:, first] - means[:, second]).norm(dim=2)
        return torch.cat([evenness(spread), evenness(apart)], 1)

    return describe


def evenness(spread: Tensor) -> Tensor:
    """Tell nothing at all from a little: a linear rule could not."""
    return (spread + SMALL).log()


def around(pictures: Tensor) -> Tensor:
    """Take colours and contrast of coarse cells, without those in the middle."""
    outside = torch.ones(CELLS, CELLS, dtype=torch.bool)
    outside[CELLS // 4 : -CELLS // 4, CELLS // 4 : -CELLS // 4] = False
    mean = F.adaptive_avg_pool2d(pictures, CELLS)
    square = F.adaptive_avg_pool2d(pictures.square(), CELLS)
    contrast = (square - mean.square()).clamp_min(0).sqrt().mean(1, keepdim=True)
    return torch.cat([mean, contrast], 1)[..., outside].flatten(1)


def levels(*shares: float) -> Describe:
    """Take the levels of each channel below which so many of its pixels are."""
    ranks = [round(share * (SIDE**2 - 1)) for share in shares]
    return lambda pictures: pictures.flatten(2).sort(2).values[..., ranks].flatten(1)


CORNERS = {
    f"{row} {column} corner": corner(down, across)
    for down, row in enumerate(("upper", "lower"))
    for across, column in enumerate(("left", "right"))
}
#: by name
PLACES = {
    **{
        name: Place(
            own,
            tuple(other for other in CORNERS.values() if other is not own),
            "the other corners",
        )
        for name, own in CORNERS.items()
    },
    "border": Place(border(0), (border(INSET),), "rows further inside"),
    "plain background": Place(plainness(0), (plainness(SIDE // 4),), "the middle"),
    "background": Place(around),
    "darkest and brightest colours": Place(
        levels(0, 0.01, 0.99, 1), (levels(0.2, 0.4, 0.6, 0.8),), "those between"
    ),
}


def read_facts(path: Path) -> FileFacts:
    """Read the first bytes of a picture file.

    Raises:
        OSError: if the file is missing or no picture.
    """
    with warnings.catch_warnings(action="ignore"), open_picture(path) as picture:
        exif = picture.getexif()
        tables = getattr(picture, "quantization", None) or {}
        maker, model = (
            str(exif.get(tag, "")).strip(" \0")
            for tag in (ExifTags.Base.Make, ExifTags.Base.Model)
        )
        pixels = picture.width * picture.height
        return FileFacts(
            f"{picture.format} {picture.mode}",
            pixels,
            round(picture.width / picture.height, 2),
            path.stat().st_size / pixels,
            sum(sum(table) for table in tables.values()),
            f"{maker} {model}".strip(),
        )


def collect_facts(folder: Path, names: Sequence[str]) -> list[FileFacts]:
    """Read the facts of all files, or nothing if one is there no more."""
    try:
        return [read_facts(folder / name) for name in names]
    except OSError:
        return []


def categories(values: Sequence[Any]) -> Tensor:
    """Sort values into numbered kinds, (N,): frequent ones apart, others by size."""
    distinct = sorted(set(values))
    places = torch.tensor([distinct.index(value) for value in values])
    frequent = places.bincount(minlength=len(distinct))[places] >= OFTEN
    ranks = places.double()
    ends = ranks.quantile(torch.linspace(0, 1, KINDS + 1)[1:-1].double())
    kinds = torch.where(frequent, KINDS + places, torch.bucketize(ranks, ends))
    return kinds.unique(return_inverse=True)[1]
