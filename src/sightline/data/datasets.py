"""Pictures with labels: CIFAR-10, a folder of your own, or drawn shapes.

All three arrive as the same `Splits`: uint8 tensors for training, validation and
test, which share no picture; only a folder larger than memory stays in a file, from
which `images[index]` reads. Downloads and decoded folders are kept in the data folder:
the environment variable SIGHTLINE_DATA, or ~/.cache/sightline. SIGHTLINE_CIFAR10_URL is
an address of CIFAR-10's archive that is asked before the published ones.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.data import shapes
from sightline.data.cifar10 import read_cifar10
from sightline.data.division import carve, divide
from sightline.data.folders import decode_once, find_lacking
from sightline.data.groups import FOLDER, series_of
from sightline.data.listing import list_folder
from sightline.data.options import Framing
from sightline.data.split import Colour, Split, Splits, chunks, digest_of
from sightline.data.stored import Images
from sightline.errors import DataError

__all__ = [
    "data_folder",
    "draw_split",
    "load",
    "load_folder",
    "load_shapes",
]


def load(
    data: str | Path,
    *,
    image_size: int = 32,
    framing: Framing = "crop",
    group: str = "",
    validation_fraction: float = 0.1,
    seed: int = 0,
    root: Path | None = None,
    progress: bool = True,
) -> Splits:
    """Load "cifar10", "shapes", or a folder of pictures.

    Args:
        data: one of the two names, or a path; write ./shapes for a folder so named.
        image_size: side in pixels to which the pictures of a folder are brought.
        framing: "crop" takes the middle square of each, "pad" all of it, on grey.
        group: which pictures of a folder stay in one part, as `series_of` reads it.
        validation_fraction: share of each class of the training part.
        seed: decides which pictures validate (and test, if there is no test/).
        root: folder for downloads and decoded pictures; None: `data_folder()`.
        progress: show a bar while a folder is decoded.

    Raises:
        DataError: if the pictures are missing, too few or laid out in another way.
    """
    if data in ("cifar10", "shapes"):
        _refuse_folder_options(data, image_size, group)
    if data == "cifar10":
        return _load_cifar10(root or data_folder(), validation_fraction, seed)
    if data == "shapes":
        return load_shapes(validation_fraction=validation_fraction, seed=seed)
    return load_folder(
        data,
        image_size=image_size,
        framing=framing,
        group=group,
        validation_fraction=validation_fraction,
        seed=seed,
        root=root,
        progress=progress,
    )


def _refuse_folder_options(data: str | Path, image_size: int, group: str) -> None:
    """Refuse what is possible with a folder only."""
    if image_size != 32:
        raise DataError(
            f"{data} has pictures of 32x32 pixels, image_size {image_size} is not "
            "possible; leave it at 32, or name a folder of pictures"
        )
    if group:
        raise DataError(
            f"{data} has no files that group {group!r} could keep together; leave it "
            "out, or name a folder of pictures"
        )


def _load_cifar10(root: Path, validation_fraction: float, seed: int) -> Splits:
    """Load CIFAR-10, downloaded to `root` if it is not there."""
    training, test, classes = read_cifar10(root)
    parts = _validated(Split(*training), validation_fraction, seed)
    return _splits("cifar10", (*parts, Split(*test)), classes)


def data_folder() -> Path:
    """Return where downloads and decoded pictures are kept."""
    chosen = os.environ.get("SIGHTLINE_DATA") or "~/.cache/sightline"
    return Path(chosen).expanduser()


def load_shapes(
    *,
    training: int = 8_000,
    test: int = 2_000,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Splits:
    """Draw the embedded data set: 10 classes with exact masks, no download.

    Validation is taken from the `training` pictures; test has a stream of its own.
    """
    parts = _validated(draw_split(training, (seed, 0)), validation_fraction, seed)
    return _splits("shapes", (*parts, draw_split(test, (seed, 1))), shapes.CLASSES)


def _validated(training: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Take the validation part out of the training part; return both."""
    taken = carve(training.labels, fraction, torch.Generator().manual_seed(seed))
    return training.take(~taken), training.take(taken)


def draw_split(n: int, seed: int | Sequence[int] = 0, **options: Any) -> Split:
    """Draw `n` shapes with their masks and shortcuts.

    `seed` and `options`, such as `shortcut_class`, are those of
    `sightline.data.shapes.draw_shapes`.
    """
    drawn = shapes.draw_shapes(n, seed=seed, **options)
    arrays = (drawn.images, drawn.labels, drawn.masks, drawn.shortcuts)
    images, labels, masks, shortcuts = map(torch.from_numpy, arrays)
    return Split(images, labels, masks, shortcuts)


def load_folder(
    folder: str | Path,
    *,
    image_size: int = 32,
    framing: Framing = "crop",
    group: str = "",
    validation_fraction: float = 0.1,
    seed: int = 0,
    root: Path | None = None,
    progress: bool = True,
) -> Splits:
    """Load a folder of pictures, one sub-folder per class.

    If it has `train/` and `test/`, those are the parts; else a fifth of every class
    becomes the test part. With a `group`, as `series_of` reads it, no series is in two
    parts. Classes and files are in the order of their names, 2.png before 10.png.
    `read_picture` says what is done to a picture; those that cannot be read are left
    out and named in `notes`.

    Raises:
        DataError: if the layout is another, classes differ between train/ and
            test/, there are fewer than two, or one has too few readable pictures or
            series, or a picture has no group.
    """
    listing = list_folder(Path(folder).expanduser(), deeper=group == FOLDER)
    keep_in = (root or data_folder()) / "decoded"
    decoded = decode_once(listing, image_size, framing, keep_in, progress)
    if lacking := find_lacking(listing, decoded):
        raise DataError(f"{lacking[0]}. Add pictures or remove the class")
    labels, in_test = (
        rows[decoded.readable] for rows in (listing.labels, listing.in_test)
    )
    series, notes = series_of(listing, decoded, group)
    division = divide(
        labels,
        in_test,
        series,
        listing.classes,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    files = tuple(listing.names[place] for place in decoded.places.tolist())
    whole = Split(decoded.images, labels, files=files, series=series)
    train, validation, test = map(whole.take, division.parts)
    notes = (*(f.words for f in listing.findings), *decoded.notes, *notes)
    del decoded, whole  # of which the parts are copies
    splits = _splits(str(listing.folder), (train, validation, test), listing.classes)
    notes += division.notes
    return replace(splits, notes=notes, framing=framing, group=group)


def _splits(
    source: str, parts: tuple[Split, Split, Split], classes: tuple[str, ...]
) -> Splits:
    """Measure the training pictures, and take the digest of all parts."""
    colours = _mean_and_std(parts[0].images)
    name, digest = Path(source).name, digest_of(*parts)
    return Splits(name, *parts, classes, *colours, digest, source=source)


def _mean_and_std(images: Images) -> tuple[Colour, Colour]:
    """Return mean and population std of each channel, 0 to 1, exactly.

    Counting how often each of the 256 levels occurs needs no float copy.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for chunk in chunks(images):
        for channel in range(3):
            counts[channel] += chunk[..., channel].flatten().bincount(minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ levels
    std = (share * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    std = std.clamp(min=1 / 255)  # a channel that never changes must not divide by 0
    return _colour(mean), _colour(std)


def _colour(values: Tensor) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue
