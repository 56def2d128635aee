"""A folder of pictures, one sub-folder per class: listed, decoded once, kept.

The order is that of class names, then of file names, where 2.png comes before
10.png. Decoded pictures are kept beside a fingerprint of all files, and decoded
again when a file has come, gone or changed.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sightline.errors import DataError
from sightline.pictures import picture_suffixes, read_pictures

__all__ = ["Folder", "read_folder"]

File = tuple[str, str]  # name relative to the folder, size and time
Found = dict[str, dict[str, list[File]]]  # part ("" if not divided) → class → files

CACHE_VERSION = "1"  # a new number makes every decoded folder be decoded again

LAYOUT = """expected cifar10, shapes, or a folder laid out as
  {folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg, or as
  {folder}/<class>/*.jpg, which is then divided (any picture format will do)"""


@dataclass(frozen=True)
class Folder:
    """What could be read of a folder, in its final order."""

    images: Tensor  # (N, size, size, 3) uint8
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
    listing = _list_folder(folder)
    images, kept, notes = _decode_once(listing, image_size, keep_in, progress)
    return Folder(
        images,
        listing.labels[kept],
        listing.in_test[kept],
        listing.classes,
        listing.notes + notes,
    )


@dataclass(frozen=True)
class _Listing:
    """The pictures of a folder in their final order, not yet decoded."""

    folder: Path  # resolved
    classes: tuple[str, ...]
    names: list[str]  # relative to the folder
    labels: Tensor  # (N,) int64
    in_test: Tensor  # (N,) bool
    fingerprint: str  # changes when a file comes, goes, grows or is written
    notes: tuple[str, ...]


def _list_folder(folder: Path) -> _Listing:
    """Find classes and pictures in either layout."""
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


def _in_order(folder: Path, found: Found, ignored: Sequence[str]) -> _Listing:
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
    return _Listing(
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


def _decode_once(
    listing: _Listing, image_size: int, keep_in: Path, progress: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decode a folder, or take it from the cache while no file has changed.

    Returns:
        Images (N, size, size, 3), their places in the listing (N,), notes.
    """
    key = hashlib.sha256(os.fsencode(f"{listing.folder}\0{image_size}")).hexdigest()
    cache = keep_in / f"{listing.folder.name}-{key[:12]}.safetensors"
    try:
        with safe_open(cache, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("fingerprint") == listing.fingerprint:
                images, kept = file.get_tensor("images"), file.get_tensor("kept")
                return images, kept, tuple(json.loads(about["notes"]))
    except (OSError, SafetensorError):
        pass  # there is none, or a broken one: it is made anew
    images, kept, notes = _decode(listing, image_size, progress)
    about = {"fingerprint": listing.fingerprint, "notes": json.dumps(notes)}
    try:
        _write_cache(cache, {"images": images, "kept": kept}, about)
    except (OSError, SafetensorError) as error:
        notes += (f"decoded pictures could not be kept in {cache.parent}: {error}",)
    return images, kept, notes


def _write_cache(
    cache: Path, tensors: dict[str, Tensor], about: dict[str, str]
) -> None:
    """Write elsewhere, then move, so that the cache is whole or absent."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as scratch:
        written = Path(scratch, cache.name)
        save_file(tensors, written, about)
        os.replace(written, cache)


def _decode(
    listing: _Listing, image_size: int, progress: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Decode a folder, and put into notes what had to be done."""
    paths = [f"{listing.folder}/{name}" for name in listing.names]
    pictures = read_pictures(paths, image_size, progress=progress)
    kept = torch.from_numpy(pictures.kept)
    _check_readable(listing, kept, pictures.unreadable)
    notes = [
        f"{count:,} picture{'s' if count > 1 else ''} {change}"
        for change, count in sorted(pictures.changes.items())
    ]
    if pictures.unreadable:
        names = _enumerate([listing.names[place] for place in pictures.unreadable])
        notes.append(f"{len(pictures.unreadable):,} unreadable, left out: {names}")
    return torch.from_numpy(pictures.images), kept, tuple(notes)


def _check_readable(
    listing: _Listing, kept: Tensor, unreadable: dict[int, str]
) -> None:
    """Raise unless each class has a readable picture for every part it must fill."""
    readable = torch.zeros(len(listing.names), dtype=torch.bool)
    readable[kept] = True
    has_test = bool(listing.in_test.any())
    parts = {"train": (~listing.in_test, 2 if has_test else 3)}
    if has_test:
        parts["test"] = (listing.in_test, 1)
    for part, (in_part, needed) in parts.items():
        for label, name in enumerate(listing.classes):
            chosen = in_part & (listing.labels == label)
            count = int((chosen & readable).sum())
            if count >= needed:
                continue
            broken = torch.nonzero(chosen & ~readable)[:, 0].tolist()
            because = f" ({unreadable[broken[0]]})" if broken else ""
            where = f"{part}/{name}" if has_test else name
            raise DataError(
                f"{listing.folder}/{where} has {count} readable picture(s) and "
                f"{len(broken)} unreadable{because}; at least {needed} are needed. "
                "Add pictures or remove the class"
            )
