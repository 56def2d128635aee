"""A folder of pictures, one sub-folder per class: listed, decoded once, kept.

The order is that of class names, then of file names, where 2.png comes before
10.png. Decoded pictures are kept beside a fingerprint of all files, and decoded
again when a file has come, gone or changed. They are loaded into memory or, where
they would fill too much of it, stay in their file.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sightline.data.pictures import picture_suffixes, read_pictures
from sightline.data.stored import HEADER, StoredImages, header, usable_memory
from sightline.errors import DataError

__all__ = [
    "Decoded",
    "Folder",
    "Listing",
    "decode_once",
    "find_lacking",
    "list_folder",
    "read_folder",
]

File = tuple[str, str]  # name relative to the folder, size and time
Found = dict[str, dict[str, list[File]]]  # part ("" if not divided) → class → files

CACHE_VERSION = "3"  # a new number makes every decoded folder be decoded again
# of the usable memory, that decoded pictures may fill: parts are copies of them, and
# network, activations and the rest of the machine need some too
MEMORY_SHARE = 0.25

LAYOUT = """expected cifar10, shapes, or a folder laid out as
  {folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg, or as
  {folder}/<class>/*.jpg, which is then divided (any picture format will do)"""


@dataclass(frozen=True)
class Folder:
    """What could be read of a folder, in its final order."""

    images: Tensor | StoredImages  # (N, size, size, 3) uint8
    labels: Tensor  # (N,) int64
    in_test: Tensor  # (N,) bool; all False where the folder has no test/
    classes: tuple[str, ...]
    notes: tuple[str, ...]  # what was left out, and what had to be done


def read_folder(
    folder: Path, image_size: int, *, keep_in: Path, progress: bool = True
) -> Folder:
    """Read all pictures of a folder, from `keep_in` if they were decoded before.

    Raises:
        DataError: if the folder is missing or laid out in another way, or a class
            has too few readable pictures.
    """
    listing = list_folder(folder)
    decoded = decode_once(listing, image_size, keep_in, progress)
    if lacking := find_lacking(listing, decoded):
        raise DataError(f"{lacking[0]}. Add pictures or remove the class")
    return Folder(
        decoded.images,
        listing.labels[decoded.kept],
        listing.in_test[decoded.kept],
        listing.classes,
        listing.notes + decoded.notes,
    )


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder in their final order, not yet decoded."""

    folder: Path  # resolved
    classes: tuple[str, ...]
    names: list[str]  # relative to the folder
    labels: Tensor  # (N,) int64
    in_test: Tensor  # (N,) bool
    fingerprint: str  # changes when a file comes, goes, grows or is written
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Decoded:
    """The pictures of a listing that could be read."""

    images: Tensor | StoredImages  # (N, size, size, 3) uint8
    kept: Tensor  # (N,) int64: their places in the listing, ascending
    notes: tuple[str, ...]
    unreadable: dict[int, str]  # place in the listing → reason


def list_folder(folder: Path) -> Listing:
    """Find classes and pictures in either layout.

    Raises:
        DataError: if the folder is missing or laid out in another way.
    """
    layout = LAYOUT.format(folder=folder)
    if not folder.is_dir():
        problem = "is no folder (unpack it?)" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}; {layout}")
    folder = folder.resolve()
    given = [part for part in ("train", "test") if _folders(folder / part)]
    if len(given) == 1:
        other = "test" if given == ["train"] else "train"
        raise DataError(
            f"{folder} has classes in {given[0]}/ but none in {other}/; {layout}"
        )
    ignored = [name for name in _folders(folder) if given and name not in given]
    found: Found = {}
    for part in given or [""]:
        in_classes = {
            name: _files(folder, f"{part}/{name}".lstrip("/"), ignored)
            for name in sorted(_folders(folder / part))
        }
        found[part] = {name: files for name, files in in_classes.items() if files}
    _check_classes(folder, list(found.values()), layout)
    return _in_order(folder, found, ignored)


def _check_classes(
    folder: Path, parts: Sequence[dict[str, list[File]]], layout: str
) -> None:
    """Raise unless all parts have the same classes, two at least."""
    first, last = set(parts[0]), set(parts[-1])
    if first != last:
        lacking = [
            f"{part}/ has no pictures of {', '.join(sorted(names))}"
            for part, names in (("train", last - first), ("test", first - last))
            if names
        ]
        raise DataError(
            f"{folder} has different classes in train/ and test/: "
            f"{'; '.join(lacking)}. Rename, fill or remove these folders"
        )
    if len(first) < 2:
        found = f"only {', '.join(first)}" if first else "none"
        raise DataError(
            f"{folder}: a data set needs at least 2 classes with pictures, "
            f"found {found}; {layout}"
        )


def _in_order(folder: Path, found: Found, ignored: Sequence[str]) -> Listing:
    """Line up all pictures, and take the fingerprint of their files."""
    rows = [
        (file, label, part == "test")
        for part, classes in found.items()
        for label, files in enumerate(classes.values())
        for file in files
    ]
    files, labels, in_test = zip(*rows, strict=True)
    states = "\n".join(f"{name}\0{state}" for name, state in files)
    fingerprint = hashlib.sha256(os.fsencode(CACHE_VERSION + states))
    notes = ()
    if ignored:
        more = f" and {len(ignored) - 5:,} more" if len(ignored) > 5 else ""
        notes = (f"not pictures, left out: {_enumerate(sorted(ignored)[:5])}{more}",)
    return Listing(
        folder,
        tuple(next(iter(found.values()))),
        [name for name, _ in files],
        torch.tensor(labels),
        torch.tensor(in_test),
        fingerprint.hexdigest(),
        notes,
    )


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that may be missing."""
    if not folder.is_dir():
        return []
    return [entry.name for entry in _entries(folder) if entry.is_dir()]


def _files(folder: Path, class_name: str, ignored: list[str]) -> list[File]:
    """Return the pictures of a class by the numbers in their names: 2 before 10."""
    suffixes = picture_suffixes()
    files = []
    for entry in _entries(folder / class_name):
        name = f"{class_name}/{entry.name}"
        if entry.is_file() and os.path.splitext(name)[1].lower() in suffixes:
            stat = entry.stat()
            files.append((name, f"{stat.st_size} {stat.st_mtime_ns}"))
        else:
            ignored.append(name)
    return sorted(files, key=lambda file: _by_number(file[0]))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder and not hidden."""
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in entries
                if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error


def _by_number(name: str) -> list[str | int]:
    """Split a name into text and numbers, which alternate."""
    pieces = re.split("([0-9]+)", name)
    return [int(p) if place % 2 else p for place, p in enumerate(pieces)]


def _enumerate(names: Sequence[str]) -> str:
    """Join file names; bytes that are no text become replacement signs."""
    return ", ".join(os.fsencode(name).decode(errors="replace") for name in names)


def decode_once(
    listing: Listing, image_size: int, keep_in: Path, progress: bool
) -> Decoded:
    """Decode a folder, or take it from the cache while no file has changed.

    Raises:
        DataError: if pictures too many for the memory cannot be kept on the disk.
    """
    key = hashlib.sha256(os.fsencode(f"{listing.folder}\0{image_size}")).hexdigest()
    cache = keep_in / f"{listing.folder.name}-{key[:12]}.safetensors"
    size = _bytes(listing, image_size)
    stay = size > MEMORY_SHARE * usable_memory()
    found = _open_cache(cache, listing.fingerprint, stay)
    if found is None:
        decode = _decode_to_disk if stay else _decode_to_memory
        found = decode(listing, image_size, cache, progress)
    if stay:
        note = f"{len(found.images):,} pictures ({size / 1e9:.2f} GB) stay on disk and "
        found = replace(found, notes=(*found.notes, note + "are read batch by batch"))
    return found


def _bytes(listing: Listing, image_size: int) -> int:
    """Return how many bytes the pictures of a listing have when decoded."""
    return len(listing.names) * image_size**2 * 3


def _open_cache(cache: Path, fingerprint: str, stay: bool) -> Decoded | None:
    """Return what is kept; None if it is absent, broken or of other pictures."""
    try:
        with safe_open(cache, framework="np") as file:
            if (file.metadata() or {}).get("fingerprint") != fingerprint:
                return None
            if stay:
                shape = file.get_slice("images").get_shape()
                images = StoredImages.open(cache, tuple(shape))
            else:
                images = torch.from_numpy(file.get_tensor("images"))
            readable = torch.from_numpy(file.get_tensor("readable"))
            notes, unreadable = json.loads(file.get_tensor("notes").tobytes())
    except (OSError, SafetensorError):
        return None
    kept = torch.nonzero(readable)[:, 0]
    reasons = {int(place): reason for place, reason in unreadable.items()}
    return Decoded(images, kept, tuple(notes), reasons)


def _decode_to_disk(
    listing: Listing, image_size: int, cache: Path, progress: bool
) -> Decoded:
    """Decode into the cache what would fill too much of the memory."""
    size = _bytes(listing, image_size)
    try:
        if _free(cache) < size:  # said now, not after an hour of decoding
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with _whole_or_absent(cache) as file:
            said = _decode(listing, image_size, file, progress)
        images = StoredImages.open(cache, (len(said[0]), image_size, image_size, 3))
    except OSError as error:
        raise DataError(
            f"{len(listing.names):,} decoded pictures need {size / 1e9:.2f} GB in "
            f"{cache.parent}, where {_free(cache) / 1e9:.2f} GB are free: "
            f"{error.strerror}. Make room, or set SIGHTLINE_DATA to a folder on a "
            "larger disk"
        ) from error
    return Decoded(images, *said)


def _free(cache: Path) -> int:
    """Return the free bytes of the disk on which a file would be."""
    there = next(folder for folder in cache.parents if folder.exists())
    return shutil.disk_usage(there).free


def _decode_to_memory(
    listing: Listing, image_size: int, cache: Path, progress: bool
) -> Decoded:
    """Decode a folder, and keep it for the next time if that is possible."""
    memory = BytesIO()
    kept, notes, unreadable = _decode(listing, image_size, memory, progress)
    try:
        with _whole_or_absent(cache) as file:
            file.write(memory.getbuffer())
    except OSError as error:
        notes += (f"decoded pictures could not be kept in {cache.parent}: {error}",)
    shape = (len(kept), image_size, image_size, 3)
    images = torch.empty(shape, dtype=torch.uint8)
    if len(kept):  # torch refuses an empty buffer
        images = torch.frombuffer(
            memory.getbuffer(), dtype=torch.uint8, count=math.prod(shape), offset=HEADER
        )
    return Decoded(images.view(shape), kept, notes, unreadable)


@contextmanager
def _whole_or_absent(cache: Path) -> Iterator[BinaryIO]:
    """Open a file elsewhere, and move it into its place when it is complete."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        written = Path(scratch, cache.name)
        with written.open("wb") as file:
            yield file
        os.replace(written, cache)


def _decode(
    listing: Listing, image_size: int, out: BinaryIO, progress: bool
) -> tuple[Tensor, tuple[str, ...], dict[int, str]]:
    """Write pictures as they are decoded; put into notes what had to be done.

    Returns:
        Places in the listing of the pictures that could be read (N,), notes, and why
        the others could not be read.
    """
    paths = [f"{listing.folder}/{name}" for name in listing.names]
    readable = torch.zeros(len(paths), dtype=torch.bool)
    changes: Counter[str] = Counter()
    unreadable: dict[int, str] = {}
    out.seek(HEADER)
    with closing(read_pictures(paths, image_size, progress=progress)) as parts:
        for part in parts:
            out.write(part.images)
            readable[part.kept] = True
            changes.update(part.changes)
            unreadable |= part.unreadable
    kept = torch.nonzero(readable)[:, 0]
    notes = _describe(listing, changes, unreadable)
    text = json.dumps([notes, unreadable]).encode()
    out.write(readable.numpy())
    out.write(text)
    shapes = {
        "images": (len(kept), image_size, image_size, 3),
        "readable": (len(paths),),
        "notes": (len(text),),
    }
    out.seek(0)
    out.write(header(listing.fingerprint, shapes))
    return kept, notes, unreadable


def _describe(
    listing: Listing, changes: Counter[str], unreadable: dict[int, str]
) -> tuple[str, ...]:
    """Say what was done to how many pictures, and which could not be read."""
    notes = [
        f"{count:,} picture{'s' if count > 1 else ''} {change}"
        for change, count in sorted(changes.items())
    ]
    if unreadable:
        names = _enumerate([listing.names[place] for place in unreadable])
        notes.append(f"{len(unreadable):,} unreadable, left out: {names}")
    return tuple(notes)


def find_lacking(listing: Listing, decoded: Decoded) -> list[str]:
    """Name each class that lacks readable pictures for a part that it must fill."""
    readable = torch.zeros(len(listing.names), dtype=torch.bool)
    readable[decoded.kept] = True
    has_test = bool(listing.in_test.any())
    parts = {"train": (~listing.in_test, 2 if has_test else 3)}
    if has_test:
        parts["test"] = (listing.in_test, 1)
    lacking = []
    for part, (in_part, needed) in parts.items():
        for label, name in enumerate(listing.classes):
            chosen = in_part & (listing.labels == label)
            count = int((chosen & readable).sum())
            if count >= needed:
                continue
            broken = torch.nonzero(chosen & ~readable)[:, 0].tolist()
            because = f" ({decoded.unreadable[broken[0]]})" if broken else ""
            where = f"{part}/{name}" if has_test else name
            lacking.append(
                f"{listing.folder}/{where} has {count} readable picture(s) and "
                f"{len(broken)} unreadable{because}; at least {needed} are needed"
            )
    return lacking
