"""The pictures of a folder in their final order, before any of them is decoded.

The order is that of class names, then of file names, where 2.png comes before 10.png.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.pictures import picture_suffixes
from sightline.errors import DataError

__all__ = ["Listing", "enumerate_names", "list_folder"]

VERSION = "3"  # of decoding: a new number makes every folder be decoded again

LAYOUT = """expected cifar10, shapes, or a folder laid out as
  {folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg, or as
  {folder}/<class>/*.jpg, which is then divided (any picture format will do)"""


File = tuple[str, str]  # name within the folder; size and time, new with every writing
Classes = dict[str, list[File]]  # class → its files


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder in their final order."""

    folder: Path  #: resolved
    classes: tuple[str, ...]
    names: list[str]  #: relative to the folder
    labels: Tensor  #: (N,) int64
    in_test: Tensor  #: (N,) bool; all False where the folder has no test/
    fingerprint: str  #: changes when a file comes, goes, grows or is written
    notes: tuple[str, ...]

    def parts(self) -> dict[str, Tensor]:
        """Return which pictures are in "train" and "test", (N,) bool each.

        A folder without these has one part, "pictures".
        """
        if not self.in_test.any():
            return {"pictures": torch.ones_like(self.in_test)}
        return {"train": ~self.in_test, "test": self.in_test}


def list_folder(folder: Path) -> Listing:
    """List classes and pictures of a folder in either layout.

    Raises:
        DataError: if the folder is missing or laid out in another way.
    """
    layout = LAYOUT.format(folder=folder)
    if not folder.is_dir():
        problem = "is no folder (unpack it?)" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}; {layout}")
    folder = folder.resolve()
    names = [part for part in ("train", "test") if _folders(folder / part)]
    if len(names) == 1:
        other = "test" if names == ["train"] else "train"
        raise DataError(
            f"{folder} has classes in {names[0]}/ but none in {other}/; {layout}"
        )
    ignored = [name for name in _folders(folder) if names and name not in names]
    parts = {name: _classes(folder, name, ignored) for name in names or [""]}
    _check_classes(folder, list(parts.values()), layout)
    return _in_order(folder, parts, ignored)


def _check_classes(folder: Path, parts: Sequence[Classes], layout: str) -> None:
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
        classes = f"only {', '.join(first)}" if first else "none"
        raise DataError(
            f"{folder}: a data set needs at least 2 classes with pictures, "
            f"found {classes}; {layout}"
        )


def _in_order(
    folder: Path, parts: Mapping[str, Classes], ignored: Sequence[str]
) -> Listing:
    """Line up all pictures, and take the fingerprint of their files."""
    rows = [
        (name, f"{name}\0{state}", label, part == "test")
        for part, classes in parts.items()
        for label, files in enumerate(classes.values())
        for name, state in files
    ]
    names, states, labels, in_test = zip(*rows, strict=True)
    notes: tuple[str, ...] = ()
    if ignored:
        more = f" and {len(ignored) - 5:,} more" if len(ignored) > 5 else ""
        named = enumerate_names(sorted(ignored)[:5])
        notes = (f"not pictures, left out: {named}{more}",)
    return Listing(
        folder,
        tuple(map(as_text, next(iter(parts.values())))),
        list(names),
        torch.tensor(labels),
        torch.tensor(in_test),
        hashlib.sha256(os.fsencode(VERSION + "\n".join(states))).hexdigest(),
        notes,
    )


def _classes(folder: Path, part: str, ignored: list[str]) -> Classes:
    """Return the pictures of every class that has any; add other files to `ignored`."""
    classes = {
        name: _files(folder, f"{part}/{name}".lstrip("/"), ignored)
        for name in sorted(_folders(folder / part))
    }
    return {name: files for name, files in classes.items() if files}


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


def enumerate_names(names: Sequence[str]) -> str:
    """Join file names as text."""
    return ", ".join(map(as_text, names))


def as_text(name: str) -> str:
    r"""Read a file's name as UTF-8; a byte that is none is written as \xe9."""
    return os.fsencode(name).decode(errors="backslashreplace")
