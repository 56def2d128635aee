"""Pictures with labels: CIFAR-10, a folder of your own, or drawn shapes.

All three arrive as the same `Splits`: uint8 tensors for training, validation and
test, which share no picture. Downloads and decoded folders are kept in the data
folder: the environment variable SIGHTLINE_DATA, or ~/.cache/sightline.
"""

import hashlib
import json
import multiprocessing
import os
import re
import shutil
import sys
import tarfile
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity
from tqdm import tqdm

from sightline import shapes
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
CACHE_VERSION = "1"  # a new number makes every decoded folder be decoded again
CHUNK = 128  # pictures that a decoding process takes at once

LAYOUT = """expected either
  {folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg, or
  {folder}/<class>/*.jpg (then split into training, validation and test)"""


@dataclass(frozen=True)
class Split:
    """Pictures and labels of one part; masks and shortcuts where they are known."""

    images: Tensor  # (N, H, W, 3) uint8
    labels: Tensor  # (N,) int64
    masks: Tensor | None = None  # (N, H, W) bool
    shortcuts: Tensor | None = None  # (N, H, W) bool

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the pictures at `index`, in that order."""
        masks = None if self.masks is None else self.masks[index]
        shortcuts = None if self.shortcuts is None else self.shortcuts[index]
        return Split(self.images[index], self.labels[index], masks, shortcuts)


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
    split = {"validation_fraction": validation_fraction, "seed": seed}
    if data == "cifar10":
        return load_cifar10(**split, root=root)
    if data == "shapes":
        return load_shapes(**split)
    return load_folder(
        data, **split, image_size=image_size, root=root, progress=progress
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
    folder = root or data_folder()
    try:
        try:
            found = _read_cifar10(folder, download=False)
        except RuntimeError:  # torchvision: absent, or a checksum is wrong
            shutil.rmtree(folder / CIFAR10.base_folder, ignore_errors=True)
            found = _read_cifar10(folder, download=True)
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        archive = folder / CIFAR10.filename
        if not check_integrity(archive, CIFAR10.tgz_md5):
            archive.unlink(missing_ok=True)
        raise DataError(_cifar10_remedies(folder, error)) from error
    train, test, classes = found
    return _splits(
        "cifar10", train, test, classes, validation_fraction, _generator(seed)
    )


def _read_cifar10(
    folder: Path, *, download: bool
) -> tuple[Split, Split, tuple[str, ...]]:
    """Read both parts as torchvision stores them."""
    parts = [CIFAR10(folder, train=train, download=download) for train in (True, False)]
    train, test = (
        Split(torch.from_numpy(np.ascontiguousarray(p.data)), torch.tensor(p.targets))
        for p in parts
    )
    return train, test, tuple(parts[0].classes)


def _cifar10_remedies(folder: Path, error: Exception) -> str:
    """Say what to do when CIFAR-10 cannot be had."""
    return (
        f"CIFAR-10 is not in {folder} and could not be downloaded: {error}.\n"
        "What helps, one of:\n"
        "  - connect to the network and try again (170 MB, once);\n"
        f"  - put {CIFAR10.filename} from {CIFAR10.url} into {folder};\n"
        "  - set SIGHTLINE_DATA to a folder that has it;\n"
        '  - use --data shapes, which needs no download, or --data "a folder of '
        'pictures".'
    )


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
    listing = _list_folder(folder)
    images, kept, notes = _decode_once(
        listing, image_size, root or data_folder(), progress
    )
    labels, in_test = listing.labels[kept], listing.in_test[kept]
    generator = _generator(seed)
    test_is_given = bool(listing.in_test.any())
    if test_is_given:
        rest, test = torch.nonzero(~in_test)[:, 0], torch.nonzero(in_test)[:, 0]
    else:
        rest, test = _carve(labels, TEST_FRACTION, generator)
    return _splits(
        folder.resolve().name,
        Split(images[rest], labels[rest]),
        Split(images[test], labels[test]),
        listing.classes,
        validation_fraction,
        generator,
        listing.notes + notes,
    )


@dataclass(frozen=True)
class _Listing:
    """The pictures of a folder in their final order, not yet decoded."""

    folder: Path  # resolved
    classes: tuple[str, ...]
    names: list[str]  # relative to the folder
    labels: Tensor  # (N,) int64
    in_test: Tensor  # (N,) bool; all False where the folder has no test/
    fingerprint: str  # changes when a file comes, goes, grows or is written
    notes: tuple[str, ...]


def _list_folder(folder: Path) -> _Listing:
    """Find classes and pictures in either layout."""
    layout = LAYOUT.format(folder=folder)
    if not folder.is_dir():
        what = "is a file, not a folder; unpack it" if folder.exists() else "is missing"
        raise DataError(
            f"{folder} {what}; {layout}\nor one of the names: cifar10, shapes"
        )
    folder = folder.resolve()
    given = [part for part in ("train", "test") if _folders(folder / part)]
    if len(given) == 1:
        lacking = "test" if given == ["train"] else "train"
        raise DataError(f"{folder} has {given[0]}/ but no classes in {lacking}/; {layout}")
    ignored: list[str] = []
    found = {
        part: {
            name: _pictures(folder, f"{part}{name}", ignored)
            for name in sorted(_folders(folder / part))
        }
        for part in ("train/", "test/")[: len(given)] or ("",)
    }
    found = {part: {c: p for c, p in of.items() if p} for part, of in found.items()}
    return _checked_listing(folder, found, ignored, layout)


def _checked_listing(
    folder: Path,
    found: dict[str, dict[str, list[tuple[str, str]]]],
    ignored: list[str],
    layout: str,
) -> _Listing:
    """Put what was found in order, or say what is wrong with it."""
    parts = list(found)
    classes = tuple(found[parts[0]])
    if len(parts) == 2 and found[parts[1]].keys() != found[parts[0]].keys():
        raise DataError(_different_classes(folder, found))
    if len(classes) < 2:
        raise DataError(
            f"{folder} has {len(classes)} class(es) with pictures"
            f"{''.join(f' ({name})' for name in classes)}, at least 2 are needed; {layout}"
        )
    rows = [
        (name, label, part == "test/", state)
        for part in parts
        for label, pictures in enumerate(found[part].values())
        for name, state in pictures
    ]
    fingerprint = hashlib.sha256(os.fsencode(CACHE_VERSION))
    for name, _, _, state in rows:
        fingerprint.update(os.fsencode(f"{name}\0{state}\n"))
    notes = (f"left out, not pictures: {_enumerate(ignored)}",) if ignored else ()
    return _Listing(
        folder,
        classes,
        [row[0] for row in rows],
        torch.tensor([row[1] for row in rows]),
        torch.tensor([row[2] for row in rows]),
        fingerprint.hexdigest(),
        notes,
    )


def _different_classes(
    folder: Path, found: dict[str, dict[str, list[tuple[str, str]]]]
) -> str:
    """Name the classes that only one of train/ and test/ has."""
    train, test = (set(of) for of in found.values())
    complaints = [
        f"{part}/ has no pictures of {', '.join(sorted(lacking))}"
        for part, lacking in (("train", test - train), ("test", train - test))
        if lacking
    ]
    return (
        f"train/ and test/ in {folder} have different classes: "
        f"{'; '.join(complaints)}. Rename, add or remove these folders"
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, which may be missing."""
    if not folder.is_dir():
        return []
    return [e.name for e in _entries(folder) if e.is_dir()]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, hidden things left out."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not _is_hidden(entry.name)]
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}") from error


def _pictures(
    folder: Path, class_name: str, ignored: list[str]
) -> list[tuple[str, str]]:
    """Return the pictures of a class in order: relative name, size and time."""
    suffixes = _picture_suffixes()
    pictures = []
    for entry in _entries(folder / class_name):
        name = f"{class_name}/{entry.name}"
        if entry.is_file() and os.path.splitext(entry.name)[1].lower() in suffixes:
            stat = entry.stat()
            pictures.append((name, f"{stat.st_size} {stat.st_mtime_ns}"))
        else:
            ignored.append(name)
    return sorted(pictures, key=lambda picture: _natural(picture[0]))


def _picture_suffixes() -> set[str]:
    """Return the file name endings of every format that Pillow can read."""
    endings = Image.registered_extensions()  # this also fills Image.OPEN
    return {ending for ending, kind in endings.items() if kind in Image.OPEN}


def _natural(name: str) -> list[str | int]:
    """Split a name so that it sorts by its numbers: 2.png before 10.png."""
    return [
        int(piece) if index % 2 else piece
        for index, piece in enumerate(re.split("([0-9]+)", name))
    ]


def _enumerate(names: Sequence[str]) -> str:
    """Join file names, showing bytes that are no text as a replacement sign."""
    return ", ".join(os.fsencode(name).decode(errors="replace") for name in names)


def _decode_once(
    listing: _Listing, image_size: int, root: Path, progress: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decode a folder, or take it from the cache if no file has changed.

    Returns:
        Images (N, size, size, 3), their places in the listing (N,), notes.
    """
    place = hashlib.sha256(os.fsencode(f"{listing.folder}\0{image_size}")).hexdigest()
    cache = root / "decoded" / f"{listing.folder.name}-{place[:12]}.safetensors"
    try:
        with safe_open(cache, framework="pt") as file:
            about = file.metadata()
            if about["fingerprint"] == listing.fingerprint:
                images, kept = file.get_tensor("images"), file.get_tensor("kept")
                return images, kept, tuple(json.loads(about["notes"]))
    except (OSError, SafetensorError):
        pass  # none yet, or a broken one: it is made anew
    images, kept, notes = _decode_folder(listing, image_size, progress)
    about = {"fingerprint": listing.fingerprint, "notes": json.dumps(notes)}
    try:
        _write_cache(cache, {"images": images, "kept": kept}, about)
    except (OSError, SafetensorError) as error:
        notes += (f"decoded pictures could not be kept in {cache.parent}: {error}",)
    return images, kept, notes


def _write_cache(
    cache: Path, tensors: dict[str, Tensor], about: dict[str, str]
) -> None:
    """Write under another name first, so that the cache is whole or absent."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        written = Path(scratch, cache.name)
        save_file(tensors, written, about)
        os.replace(written, cache)


def _decode_folder(
    listing: _Listing, image_size: int, progress: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decode every picture on all cores."""
    names = listing.names
    images = np.empty((len(names), image_size, image_size, 3), np.uint8)
    seen: Counter[str] = Counter()
    unreadable: dict[int, str] = {}
    done = 0
    bar = tqdm(total=len(names), desc="decoding", unit="picture", disable=not progress)
    with bar:
        for pixels, kinds, broken in _decode_in_parallel(listing, image_size):
            images[done : done + len(pixels)] = pixels
            unreadable |= {done + index: why for index, why in broken.items()}
            seen += kinds
            done += len(pixels)
            bar.update(len(pixels))
    kept = np.setdiff1d(np.arange(len(names)), list(unreadable))
    _check_readable(listing, kept, unreadable)
    notes = [f"{count:,} pictures {kind}" for kind, count in sorted(seen.items())]
    if unreadable:
        named = _enumerate([names[index] for index in unreadable])
        notes.append(f"{len(unreadable)} unreadable, left out: {named}")
        images = images[kept]
    return torch.from_numpy(images), torch.from_numpy(kept), tuple(notes)


def _check_readable(
    listing: _Listing, kept: NDArray[np.int64], unreadable: dict[int, str]
) -> None:
    """Raise unless every class has a picture for each part that it must fill."""
    has_test = bool(listing.in_test.any())
    readable = torch.zeros(len(listing.names), dtype=torch.bool)
    readable[torch.from_numpy(kept)] = True
    for part, needed in ((False, 2 if has_test else 3), (True, 1 if has_test else 0)):
        for label, name in enumerate(listing.classes):
            chosen = (listing.labels == label) & (listing.in_test == part)
            count = int((chosen & readable).sum())
            if count < needed:
                raise DataError(_too_few(listing, name, chosen, count, needed, unreadable))


def _too_few(
    listing: _Listing,
    name: str,
    chosen: Tensor,
    count: int,
    needed: int,
    unreadable: dict[int, str],
) -> str:
    """Say which class lacks pictures, and why one of them cannot be read."""
    broken = [index for index in torch.nonzero(chosen)[:, 0].tolist() if index in unreadable]
    message = (
        f"class {name} has {count} readable picture(s), at least {needed} are needed"
    )
    if broken:
        message += (
            f"; {len(broken)} cannot be read, the first is "
            f"{listing.names[broken[0]]} ({unreadable[broken[0]]})"
        )
    return f"{listing.folder}: {message}. Add pictures or remove the class"


def _decode_in_parallel(
    listing: _Listing, image_size: int
) -> Iterator[tuple[NDArray[np.uint8], Counter[str], dict[int, str]]]:
    """Decode chunk by chunk, in order."""
    chunks = [listing.names[i : i + CHUNK] for i in range(0, len(listing.names), CHUNK)]
    with _workers() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd EXIF and the like; what fails is named
        yield from pool.map(
            _decode_chunk, repeat(str(listing.folder)), chunks, repeat(image_size)
        )


def _workers() -> Executor:
    """Return one worker per core: forked processes, or threads where fork is unsafe.

    Small pictures are mostly Python's work, for which threads would take turns:
    60,000 JPEGs of 32x32 took 4 s in two processes, 10 s in two threads.
    """
    if sys.platform == "linux":
        fork = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=fork)
    return ThreadPoolExecutor(os.cpu_count())


def _decode_chunk(
    folder: str, names: list[str], image_size: int
) -> tuple[NDArray[np.uint8], Counter[str], dict[int, str]]:
    """Decode some pictures; count their kinds and give the reason for each failure."""
    images = np.zeros((len(names), image_size, image_size, 3), np.uint8)
    kinds: Counter[str] = Counter()
    unreadable = {}
    for index, name in enumerate(names):
        try:
            images[index], kind = _decode(f"{folder}/{name}", image_size)
            kinds.update(kind)
        except Exception as error:  # decoders of broken files raise nearly anything
            unreadable[index] = str(error)
    return images, kinds, unreadable


def _decode(path: str, image_size: int) -> tuple[NDArray[np.uint8], list[str]]:
    """Read one picture as RGB of the wanted size; say what was done to it."""
    kinds = []
    with Image.open(path) as picture:
        width, height = picture.size
        # JPEG can be decoded at a fraction of its size, much faster; twice the
        # wanted size leaves the rest to the antialiasing filter
        picture.draft(None, (2 * image_size, 2 * image_size))
        if picture.getexif().get(0x0112, 1) != 1:
            picture = ImageOps.exif_transpose(picture)
            kinds.append("turned upright as their EXIF data says")
        picture, kind = _to_rgb(picture)
        kinds += kind
        if (width, height) != (image_size, image_size):
            picture = ImageOps.fit(picture, (image_size, image_size))
            kinds.append(f"resized to {image_size}x{image_size}")
        return np.asarray(picture), kinds


def _to_rgb(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Convert any kind of pixel; transparent ones become white."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture, []
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        levels = np.asarray(picture).clip(0, 65535) // 257
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB"), [
            "of 16 bits reduced to 8"
        ]
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        kind = "with transparency put on white"
        return Image.alpha_composite(white, layer).convert("RGB"), [kind]
    names = {"L": "grey", "1": "black and white", "P": "palette"}
    kind = f"in {names.get(picture.mode, picture.mode)} converted to RGB"
    return picture.convert("RGB"), [kind]


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


def _mean_and_std(
    images: Tensor,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and population std of each channel, 0 to 1, exactly.

    Counting how often each of the 256 levels occurs needs no float copy.
    """
    counts = torch.zeros(3, 256, dtype=torch.float64)
    for part in images.split(4096):
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
        digest.update(part.images.contiguous().numpy())
        digest.update(part.labels.contiguous().numpy())
    return digest.hexdigest()[:16]
