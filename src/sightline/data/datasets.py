"""Pictures with labels: CIFAR-10, a folder of your own, or drawn shapes.

All three arrive as the same `Splits`: uint8 tensors for training, validation and
test, which share no picture; only a folder larger than memory stays in a file, from
which `images[index]` reads. Downloads and decoded folders are kept in the data folder:
the environment variable SIGHTLINE_DATA, or ~/.cache/sightline. SIGHTLINE_CIFAR10_URL is
an address of CIFAR-10's archive that is asked before the published ones.
"""

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.data import shapes
from sightline.data.cifar10 import read_cifar10
from sightline.data.folders import decode_once, find_lacking
from sightline.data.listing import list_folder
from sightline.data.stored import Images, StoredImages
from sightline.errors import DataError

__all__ = [
    "Split",
    "Splits",
    "data_folder",
    "draw_split",
    "load",
    "load_folder",
    "load_shapes",
]

Colour = tuple[float, float, float]

CHUNK_BYTES = 2**24  # of pixels that are measured at once
TEST_FRACTION = 0.2  # of each class, where a folder has no test/ of its own


@dataclass(frozen=True)
class Split:
    """Pictures and labels of one part; masks and shortcuts where they are known."""

    images: Images  #: (N, H, W, 3) uint8
    labels: Tensor  #: (N,) int64
    masks: Tensor | None = None  #: (N, H, W) bool
    shortcuts: Tensor | None = None  #: (N, H, W) bool

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the pictures at `index`, places or a mask, in that order."""
        stored = isinstance(self.images, StoredImages)
        images = self.images.take(index) if stored else self.images[index]
        masks = None if self.masks is None else self.masks[index]
        shortcuts = None if self.shortcuts is None else self.shortcuts[index]
        return Split(images, self.labels[index], masks, shortcuts)

    def join(self, other: "Split") -> "Split":
        """Return the pictures and labels of both, without masks and shortcuts."""
        labels = torch.cat([self.labels, other.labels])
        if isinstance(self.images, StoredImages) and not torch.is_tensor(other.images):
            return Split(self.images.join(other.images), labels)
        return Split(torch.cat([self.images[:], other.images[:]]), labels)


@dataclass(frozen=True)
class Splits:
    """A data set: three parts without a common picture, and what describes them."""

    name: str  #: "cifar10", "shapes" or the folder's name
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: Colour  #: of the training part, 0 to 1
    std: Colour
    digest: str  #: changes when any pixel or label of any part does
    notes: tuple[str, ...] = ()  #: what had to be done to the pictures, for people
    source: str = ""  #: what `load` finds them by, a name or an absolute folder

    @property
    def test_digest(self) -> str:
        """Return what changes when any pixel or label of the test part does."""
        return _digest(self.test)

    def limited(
        self,
        training: int | None,
        *,
        validation: int | None = None,
        test: int | None = None,
        seed: int = 0,
    ) -> "Splits":
        """Keep fewer pictures, the classes as equal as they can be.

        Their order and mean/std stay as they are. None keeps all training pictures,
        and of the others a quarter as many as of these.

        Raises:
            DataError: if a number is smaller than that of the classes.
        """
        if training is None:
            return self
        quarter = max(training // 4, len(self.classes))
        validation = quarter if validation is None else validation
        test = quarter if test is None else test
        generator = torch.Generator().manual_seed(seed)
        whole = (self.train, self.validation, self.test)
        train, validated, tested = (
            part.take(_choose(part.labels, count, generator))
            for part, count in zip(whole, (training, validation, test), strict=True)
        )
        return replace(
            self,
            train=train,
            validation=validated,
            test=tested,
            digest=_digest(train, validated, tested),
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
        root: folder for downloads and decoded pictures; None: `data_folder()`.
        progress: show a bar while a folder is decoded.

    Raises:
        DataError: if the pictures are missing, too few or laid out in another way.
    """
    if data in ("cifar10", "shapes") and image_size != 32:
        raise DataError(
            f"{data} has pictures of 32x32 pixels, image_size {image_size} is not "
            "possible; leave it at 32, or name a folder of pictures"
        )
    if data == "cifar10":
        return _load_cifar10(root or data_folder(), validation_fraction, seed)
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


def _load_cifar10(root: Path, validation_fraction: float, seed: int) -> Splits:
    """Load CIFAR-10, downloaded to `root` if it is not there."""
    training, test, classes = read_cifar10(root)
    generator = torch.Generator().manual_seed(seed)
    parts = Split(*training), Split(*test)
    return _splits("cifar10", *parts, classes, validation_fraction, generator)


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
    parts = draw_split(training, (seed, 0)), draw_split(test, (seed, 1))
    generator = torch.Generator().manual_seed(seed)
    return _splits("shapes", *parts, shapes.CLASSES, validation_fraction, generator)


def draw_split(n: int, seed: int | Sequence[int] = 0, **options: Any) -> Split:
    """Draw `n` shapes with their masks and shortcuts.

    `seed` and `options`, such as `shortcut_class`, are those of
    `sightline.data.shapes.draw_shapes`.
    """
    drawn = shapes.draw_shapes(n, seed=seed, **options)
    arrays = (drawn.images, drawn.labels, drawn.masks, drawn.shortcuts)
    return Split(*(torch.from_numpy(array) for array in arrays))


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

    If it has `train/` and `test/`, those are the parts; else a fifth of every class
    becomes the test part. Classes and files are in the order of their names, 2.png
    before 10.png. `read_picture` says what is done to a picture; those that cannot be
    read are left out and named in `notes`.

    Raises:
        DataError: if the layout is another, classes differ between train/ and
            test/, there are fewer than two, or one has too few readable pictures.
    """
    listing = list_folder(Path(folder).expanduser())
    keep_in = (root or data_folder()) / "decoded"
    decoded = decode_once(listing, image_size, keep_in, progress)
    if lacking := find_lacking(listing, decoded):
        raise DataError(f"{lacking[0]}. Add pictures or remove the class")
    everything = Split(decoded.images, listing.labels[decoded.readable])
    in_test = listing.in_test[decoded.readable]
    generator = torch.Generator().manual_seed(seed)
    if not in_test.any():
        in_test = _carve(everything.labels, TEST_FRACTION, generator)
    return _splits(
        str(listing.folder),
        everything.take(~in_test),
        everything.take(in_test),
        listing.classes,
        validation_fraction,
        generator,
        listing.notes + decoded.notes,
    )


def _splits(
    source: str,
    training: Split,
    test: Split,
    classes: tuple[str, ...],
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
    taken = _carve(training.labels, validation_fraction, generator)
    parts = training.take(~taken), training.take(taken), test
    colours = _mean_and_std(parts[0].images)
    name, digest = Path(source).name, _digest(*parts)
    return Splits(name, *parts, classes, *colours, digest, notes, source)


def _carve(labels: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Choose the share of each class, at least 1, that is taken out, (N,) bool."""
    taken = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        count = min(max(round(fraction * len(places)), 1), len(places) - 1)
        order = torch.randperm(len(places), generator=generator)
        taken[places[order[:count]]] = True
    return taken


def _choose(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose `count` places, going round the classes; return them ascending."""
    if count < len(labels.unique()):
        raise DataError(
            f"a limit of {count} pictures leaves classes without any; "
            f"at least {len(labels.unique())} are needed, one per class"
        )
    rank = torch.empty(len(labels), dtype=torch.int64)  # place within the class
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        rank[places] = torch.randperm(len(places), generator=generator)
    return torch.argsort(rank, stable=True)[:count].sort().values


def _mean_and_std(images: Images) -> tuple[Colour, Colour]:
    """Return mean and population std of each channel, 0 to 1, exactly.

    Counting how often each of the 256 levels occurs needs no float copy.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for chunk in _chunks(images):
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


def _digest(*parts: Split) -> str:
    """Return the first 16 hex digits of SHA-256 over shapes, pixels and labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(tuple(part.images.shape)).encode())
        for chunk in _chunks(part.images):
            digest.update(chunk.contiguous().numpy())
        digest.update(part.labels.contiguous().numpy())
    return digest.hexdigest()[:16]


def _chunks(images: Images) -> Iterable[Tensor]:
    """Divide pictures into parts of CHUNK_BYTES."""
    return images.split(max(1, CHUNK_BYTES // math.prod(images.shape[1:])))
