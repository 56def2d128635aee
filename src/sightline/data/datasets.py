"""Pictures with labels: CIFAR-10, a folder of your own, or drawn shapes.

All three arrive as the same `Splits`: uint8 tensors for training, validation and
test, which share no picture; only a folder larger than memory stays in a file, from
which `images[index]` reads. Downloads and decoded folders are kept in the data folder:
the environment variable SIGHTLINE_DATA, or ~/.cache/sightline.
"""

import hashlib
import math
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sightline.data import shapes
from sightline.data.folders import read_folder
from sightline.data.stored import StoredImages
from sightline.errors import DataError

__all__ = [
    "Split",
    "Splits",
    "data_folder",
    "load",
    "load_cifar10",
    "load_folder",
    "load_shapes",
]

TEST_FRACTION = 0.2  # of each class, where a folder has no test/ of its own
CHUNK_BYTES = 2**24  # of pixels that are measured at once


@dataclass(frozen=True)
class Split:
    """Pictures and labels of one part; masks and shortcuts where they are known."""

    images: Tensor | StoredImages  # (N, H, W, 3) uint8
    labels: Tensor  # (N,) int64
    masks: Tensor | None = None  # (N, H, W) bool
    shortcuts: Tensor | None = None  # (N, H, W) bool

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the pictures at `index`, in that order."""
        stored = isinstance(self.images, StoredImages)
        images = self.images.take(index) if stored else self.images[index]
        masks = None if self.masks is None else self.masks[index]
        shortcuts = None if self.shortcuts is None else self.shortcuts[index]
        return Split(images, self.labels[index], masks, shortcuts)

    def join(self, other: "Split") -> "Split":
        """Return the pictures and labels of both, without masks and shortcuts."""
        stored = isinstance(self.images, StoredImages)
        both = [self.images, other.images]
        images = StoredImages.join(*both) if stored else torch.cat(both)
        return Split(images, torch.cat([self.labels, other.labels]))


@dataclass(frozen=True)
class Splits:
    """A data set: three parts without a common picture, and what describes them."""

    name: str  # "cifar10", "shapes" or the folder's name
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, float, float]  # of the training part, 0 to 1
    std: tuple[float, float, float]
    digest: str  # changes when any pixel or label of any part does
    notes: tuple[str, ...] = ()  # what had to be done to the pictures, for people

    @property
    def test_digest(self) -> str:
        """Return what changes when any pixel or label of the test part does."""
        return _digest(self.test)

    def limited(self, limit: int | None, seed: int = 0) -> "Splits":
        """Keep `limit` training pictures and a quarter as many of the other parts.

        Classes stay as equal as they can be, and order and mean/std stay as they
        are. `None` returns the data set itself.

        Raises:
            DataError: if `limit` is smaller than the number of classes.
        """
        if limit is None:
            return self
        if limit < len(self.classes):
            raise DataError(
                f"a limit of {limit} pictures leaves classes without any; "
                f"at least {len(self.classes)} are needed, one per class"
            )
        generator = torch.Generator().manual_seed(seed)
        few = max(limit // 4, len(self.classes))
        train = _fewer(self.train, limit, generator)
        validation = _fewer(self.validation, few, generator)
        test = _fewer(self.test, few, generator)
        return replace(
            self,
            train=train,
            validation=validation,
            test=test,
            digest=_digest(train, validation, test),
        )


def load(
    data: str | Path,
    *,
    image_size: int = 32,
    validation_fraction: float = 0.1,
    seed: int = 0,
    root: Path | None = None,
    progress: bool = True,
) -> Splits:
    """Load "cifar10", "shapes", or a folder of pictures.

    Args:
        data: one of the two names, or a path; write ./shapes for a folder so named.
        image_size: side in pixels to which the pictures of a folder are brought.
        validation_fraction: share of each class of the training part.
        seed: decides which pictures validate (and test, if there is no test/).
        root: data folder for downloads and decoded pictures, if not the usual one.
        progress: show a bar while a folder is decoded.

    Raises:
        DataError: with what was found, what was expected, and the remedy.
    """
    if data in ("cifar10", "shapes") and image_size != 32:
        raise DataError(
            f"{data} has pictures of 32x32 pixels, image_size {image_size} is not "
            "possible; leave it at 32, or give a folder of pictures"
        )
    if data == "cifar10":
        return load_cifar10(
            validation_fraction=validation_fraction, seed=seed, root=root
        )
    if data == "shapes":
        return load_shapes(validation_fraction=validation_fraction, seed=seed)
    return load_folder(
        data,
        image_size=image_size,
        validation_fraction=validation_fraction,
        seed=seed,
        root=root,
        progress=progress,
    )


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

    Args:
        training: pictures to draw, from which validation is then taken.
        test: pictures to draw from a stream of their own.
        validation_fraction: share of each class of `training`.
        seed: decides the pictures and which of them validate.
    """
    parts = []
    for stream, n in enumerate((training, test)):
        drawn = shapes.draw_shapes(n, seed=(seed, stream))
        arrays = (drawn.images, drawn.labels, drawn.masks, drawn.shortcuts)
        parts.append(Split(*map(torch.from_numpy, arrays)))
    return _splits(
        "shapes", *parts, shapes.CLASSES, validation_fraction, _generator(seed)
    )


def load_cifar10(
    *, validation_fraction: float = 0.1, seed: int = 0, root: Path | None = None
) -> Splits:
    """Load CIFAR-10 through torchvision, downloading it once.

    torchvision's files are pickles: they are opened only after the checksum of
    each has been verified.

    Raises:
        DataError: if it can neither be found nor downloaded; what is broken is
            removed before.
    """
    train, test, classes = _read_cifar10(root or data_folder())
    return _splits(
        "cifar10", train, test, classes, validation_fraction, _generator(seed)
    )


def _read_cifar10(folder: Path) -> tuple[Split, Split, tuple[str, ...]]:
    """Read both parts in torchvision's order, downloading them if need be."""
    # only here: with torchvision comes torch's compiler, as slow to import as torch
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    archive = folder / CIFAR10.filename
    try:
        try:
            parts = [CIFAR10(folder, train=train) for train in (True, False)]
        except RuntimeError:  # torchvision's: absent, or a checksum is wrong
            shutil.rmtree(folder / CIFAR10.base_folder, ignore_errors=True)
            parts = [CIFAR10(folder, train=t, download=True) for t in (True, False)]
    except (OSError, RuntimeError, HTTPException) as error:
        with suppress(OSError):
            if not check_integrity(archive, CIFAR10.tgz_md5):
                archive.unlink()
        raise DataError(
            f"CIFAR-10 could not be read from {folder}, nor downloaded: "
            f"{str(error).rstrip('.')}. Any of these helps:\n"
            "  connect to the network and try again (170 MB, once);\n"
            f"  put {CIFAR10.url} into {folder};\n"
            "  set SIGHTLINE_DATA to a folder that has this file;\n"
            "  use shapes, which needs no download, or a folder of pictures"
        ) from error
    train, test = (
        Split(torch.from_numpy(np.ascontiguousarray(p.data)), torch.tensor(p.targets))
        for p in parts
    )
    return train, test, tuple(parts[0].classes)


def load_folder(
    folder: str | Path,
    *,
    image_size: int = 32,
    validation_fraction: float = 0.1,
    seed: int = 0,
    root: Path | None = None,
    progress: bool = True,
) -> Splits:
    """Load a folder of pictures, one sub-folder per class.

    With `train/` and `test/` inside, those are the parts; else a fifth of every
    class becomes the test part. Order is that of class names, then of file names,
    numbers in them counted as numbers. Whatever Pillow reads is brought to RGB:
    transparent pixels become white, 16 bits become 8, EXIF rotation is applied;
    the shorter side is scaled to `image_size` and the middle cut out. Unreadable
    pictures are left out and named in `notes`.

    Raises:
        DataError: if the layout is another, classes differ between train/ and
            test/, fewer than two are there, or one has too few readable pictures.
    """
    folder = Path(folder).expanduser()
    keep_in = (root or data_folder()) / "decoded"
    found = read_folder(folder, image_size, keep_in=keep_in, progress=progress)
    generator = _generator(seed)
    if found.in_test.any():
        training, test = (
            torch.nonzero(t)[:, 0] for t in (~found.in_test, found.in_test)
        )
    else:
        training, test = _carve(found.labels, TEST_FRACTION, generator)
    everything = Split(found.images, found.labels)
    return _splits(
        folder.resolve().name,
        everything.take(training),
        everything.take(test),
        found.classes,
        validation_fraction,
        generator,
        found.notes,
    )


def _splits(
    name: str,
    training: Split,
    test: Split,
    classes: Sequence[str],
    validation_fraction: float,
    generator: torch.Generator,
    notes: tuple[str, ...] = (),
) -> Splits:
    """Take the validation part out of the training part and measure what is left."""
    if not 0 < validation_fraction < 1:
        raise DataError(
            f"validation_fraction {validation_fraction} is not between 0 and 1; "
            "0.1 keeps a tenth of the training pictures for validation"
        )
    rest, taken = _carve(training.labels, validation_fraction, generator)
    train, validation = training.take(rest), training.take(taken)
    mean, std = _mean_and_std(train.images)
    digest = _digest(train, validation, test)
    return Splits(
        name, train, validation, test, tuple(classes), mean, std, digest, notes
    )


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _carve(
    labels: Tensor, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Divide the places of `labels` so that each class gives its share, at least 1.

    Returns:
        The places that stay and those that are taken, both ascending.
    """
    taken = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        count = min(max(round(fraction * len(places)), 1), len(places) - 1)
        order = torch.randperm(len(places), generator=generator)
        taken[places[order[:count]]] = True
    return torch.nonzero(~taken)[:, 0], torch.nonzero(taken)[:, 0]


def _fewer(split: Split, limit: int, generator: torch.Generator) -> Split:
    """Keep `limit` pictures, going round the classes, in their order."""
    rank = torch.empty(len(split), dtype=torch.int64)  # place within the class
    for label in split.labels.unique():
        places = torch.nonzero(split.labels == label)[:, 0]
        rank[places] = torch.randperm(len(places), generator=generator)
    chosen = torch.argsort(rank, stable=True)[:limit]
    return split.take(chosen.sort().values)


def _chunks(images: Tensor | StoredImages) -> Iterable[Tensor]:
    """Divide pictures into parts of CHUNK_BYTES."""
    return images.split(max(1, CHUNK_BYTES // math.prod(images.shape[1:])))


def _mean_and_std(
    images: Tensor | StoredImages,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and population std of each channel, 0 to 1, exactly.

    Counting how often each of the 256 levels occurs needs no float copy.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for part in _chunks(images):
        for channel in range(3):
            counts[channel] += part[..., channel].flatten().bincount(minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ levels
    std = (share * (levels - mean[:, None]) ** 2).sum(1).sqrt()
    std = std.clamp(min=1 / 255)  # a channel that never changes must not divide by 0
    return tuple(mean.tolist()), tuple(std.tolist())


def _digest(*parts: Split) -> str:
    """Return the first 16 hex digits of SHA-256 over shapes, pixels and labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(tuple(part.images.shape)).encode())
        for images in _chunks(part.images):
            digest.update(images.contiguous().numpy())
        digest.update(part.labels.contiguous().numpy())
    return digest.hexdigest()[:16]
