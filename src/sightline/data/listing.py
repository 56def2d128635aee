"""The pictures of a folder in their final order, before any of them is decoded.

The order is that of class names, then of file names, where 2.png comes before 10.png.
"""

import hashlib
import os
import re
import stat
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from sightline.data.findings import Finding, as_text, count_pictures, enumerate_names
from sightline.data.pictures import picture_suffixes
from sightline.errors import DataError

__all__ = ["UNREAD", "Listing", "by_number", "list_folder"]

VERSION = "4"  # of decoding: a new number makes every folder be decoded again

LAYOUT = """expected cifar10, shapes, or a folder laid out as
  {folder}/train/<class>/*.jpg and {folder}/test/<class>/*.jpg, or as
  {folder}/<class>/*.jpg, which is then divided (any picture format will do)"""

VALIDATION = ("val", "valid", "validation", "dev")  # folders beside train/ and test/

# kind → what files or folders are, and what to do about them
OMISSIONS = {
    "no class": (
        "folders without a picture of their own are no classes",
        "Fill or remove these folders.",
    ),
    "one level deeper": (
        "pictures in folders inside a class folder are left out",
        "Move the pictures up into the folder of their class, name a folder one level "
        "down if its sub-folders are the classes, or read each of these folders as one "
        "series with --group folder.",
    ),
    "loose pictures": (
        "pictures in no class folder are left out",
        "Move each picture into the folder of its class.",
    ),
    "validation part": (
        "validation pictures of your own are left out",
        "Move its pictures into train/, of which a part is taken for validation.",
    ),
    "HEIC": (
        "HEIC pictures are not read",
        "Save them as JPEG; an iPhone takes JPEGs if told so under Settings, Camera, "
        "Formats, Most Compatible.",
    ),
    "RAW": (
        "raw pictures of a camera are not read",
        "Develop them to JPEG with the program of the camera, or with darktable.",
    ),
    "other formats": (
        "these formats are not read",
        "Save them as PNG or JPEG.",
    ),
    "unreachable": (
        "links that lead nowhere or files that may not be opened are left out",
        "Repair the links and the permissions, or delete the files.",
    ),
    "left out": ("not pictures, left out", ""),
}
#: file name ending → kind of omission, of formats that are not read
#:
#: :meta hide-value:
UNREAD = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf"), "RAW"),
    **dict.fromkeys((".rw2", ".raf", ".pef", ".srw", ".raw"), "RAW"),
    **dict.fromkeys((".psd", ".xcf", ".svg", ".eps", ".ai"), "other formats"),
    **dict.fromkeys((".jxl", ".jxr", ".pcx", ".dds", ".sgi", ".qoi"), "other formats"),
}

File = tuple[str, str]  # name within the folder; size and time, new with every writing
Classes = dict[str, list[File]]  # class → its files
Omitted = dict[str, list[str]]  # kind of omission → names within the folder


class _Entry(NamedTuple):
    """What is in a folder."""

    name: str
    kind: str  # "folder", "file", "other", or "unreachable"
    state: str = ""  # size and time


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder in their final order."""

    folder: Path  #: resolved
    classes: tuple[str, ...]
    names: list[str]  #: relative to the folder
    labels: Tensor  #: (N,) int64
    in_test: Tensor  #: (N,) bool; all False where the folder has no test/
    fingerprint: str  #: changes when a file comes, goes, grows or is written
    findings: tuple[Finding, ...]  #: what is left out

    def parts(self) -> dict[str, Tensor]:
        """Return which pictures are in "train" and "test", (N,) bool each.

        A folder without these has one part, "pictures".
        """
        if not self.in_test.any():
            return {"pictures": torch.ones_like(self.in_test)}
        return {"train": ~self.in_test, "test": self.in_test}


def list_folder(folder: Path, *, deeper: bool = False) -> Listing:
    """List classes and pictures of a folder in either layout.

    Pictures in folders inside a class folder are listed, too, if asked to go `deeper`.

    Raises:
        DataError: if the folder is missing or laid out in another way.
    """
    layout = LAYOUT.format(folder=folder)
    if not os.path.isdir(folder):
        exists = os.path.lexists(folder)
        problem = "is no folder (unpack it?)" if exists else "does not exist"
        raise DataError(f"{folder} {problem}; {layout}")
    folder = folder.resolve()
    names = [part for part in ("train", "test") if _folders(folder / part)]
    if len(names) == 1:
        other = "test" if names == ["train"] else "train"
        raise DataError(
            f"{folder} has classes in {names[0]}/ but none in {other}/; {layout}"
            f"{_other_name(folder, other)}"
        )
    omitted: Omitted = defaultdict(list)
    if names:
        for entry in _entries(folder):
            if entry.kind == "folder" and entry.name not in names:
                validation = entry.name.lower() in VALIDATION
                omitted["validation part" if validation else "left out"].append(
                    entry.name
                )
    parts = {name: _classes(folder, name, deeper, omitted) for name in names or [""]}
    _check_classes(folder, list(parts.values()), layout, _findings(omitted))
    return _in_order(folder, parts, _findings(omitted))


def _other_name(folder: Path, part: str) -> str:
    """Say what to do if the folder of a part may have another name."""
    folders = [name for name in _folders(folder) if _folders(folder / name)]
    others = [name for name in folders if name not in ("train", "test")]
    if not others:
        return ""
    return (
        f".\n{enumerate_names(others)} holds folders, too: if it is the {part} part, "
        f"rename it to {part}"
    )


def _findings(omitted: Omitted) -> tuple[Finding, ...]:
    """Say what is left out, and what to do about it."""
    return tuple(
        Finding(kind, f"{what}: {enumerate_names(sorted(omitted[kind]))}", remedy)
        for kind, (what, remedy) in OMISSIONS.items()
        if omitted[kind]
    )


def _check_classes(
    folder: Path, parts: Sequence[Classes], layout: str, findings: Sequence[Finding]
) -> None:
    """Raise unless all parts have the same classes, two at least."""
    first, last = set(parts[0]), set(parts[-1])
    if first != last:
        lacking = [
            f"{part}/ has no pictures of {enumerate_names(sorted(names))}"
            for part, names in (("train", last - first), ("test", first - last))
            if names
        ]
        raise DataError(
            f"{folder} has different classes in train/ and test/: "
            f"{'; '.join(lacking)}. Rename, fill or remove these folders"
        )
    if len(first) < 2:
        classes = f"only {enumerate_names(list(first))}" if first else "none"
        seen = "".join(f"\n{f.kind}: {f.words}. {f.remedy}" for f in findings)
        raise DataError(
            f"{folder}: a data set needs at least 2 classes with pictures, "
            f"found {classes}; {layout}{seen}"
        )


def _in_order(
    folder: Path, parts: Mapping[str, Classes], findings: tuple[Finding, ...]
) -> Listing:
    """Line up all pictures, and take the fingerprint of their files."""
    rows = [
        (name, f"{name}\0{state}", label, part == "test")
        for part, classes in parts.items()
        for label, files in enumerate(classes.values())
        for name, state in files
    ]
    names, states, labels, in_test = zip(*rows, strict=True)
    return Listing(
        folder,
        tuple(map(as_text, next(iter(parts.values())))),
        list(names),
        torch.tensor(labels),
        torch.tensor(in_test),
        hashlib.sha256(os.fsencode(VERSION + "\n".join(states))).hexdigest(),
        findings,
    )


def _classes(folder: Path, part: str, deeper: bool, omitted: Omitted) -> Classes:
    """Return the pictures of every class that has any; add others to `omitted`."""
    classes = {}
    for entry in sorted(_entries(folder / part)):
        name = f"{part}/{entry.name}".lstrip("/")
        if entry.kind == "folder":
            classes[entry.name] = _files(folder, name, deeper, omitted)
            if not classes[entry.name]:
                omitted["no class"].append(name)
        elif entry.kind == "unreachable":
            omitted["unreachable"].append(name)
        elif entry.kind == "file" and _suffix(name) in picture_suffixes():
            omitted["loose pictures"].append(name)
    return {name: files for name, files in classes.items() if files}


def _files(folder: Path, class_name: str, deeper: bool, omitted: Omitted) -> list[File]:
    """Return the pictures of a class by the numbers in their names: 2 before 10."""
    suffixes = picture_suffixes()
    files = []
    for entry in _entries(folder / class_name):
        name = f"{class_name}/{entry.name}"
        if entry.kind == "file" and _suffix(name) in suffixes:
            files.append((name, entry.state))
        elif entry.kind == "folder" and deeper:
            files += _files(folder, name, False, omitted)
        elif entry.kind == "folder" and (count := _count_within(folder / name)):
            omitted["one level deeper"].append(f"{name} ({count_pictures(count)})")
        elif entry.kind == "unreachable":
            omitted["unreachable"].append(name)
        else:
            omitted[UNREAD.get(_suffix(name), "left out")].append(name)
    return sorted(files, key=lambda file: by_number(file[0]))


def _count_within(folder: Path) -> int:
    """Count the pictures at any depth of a folder, no links to folders followed."""
    suffixes = picture_suffixes()
    return sum(
        _suffix(name) in suffixes for *_, names in os.walk(folder) for name in names
    )


def _suffix(name: str) -> str:
    """Return the ending of a file name, in lower case."""
    return os.path.splitext(name)[1].lower()


def _folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that may be missing."""
    if not os.path.isdir(folder):
        return []
    return [entry.name for entry in _entries(folder) if entry.kind == "folder"]


def _entries(folder: Path) -> list[_Entry]:
    """Return what is in a folder and not hidden."""
    try:
        with os.scandir(folder) as entries:
            return [
                _look_at(entry)
                for entry in entries
                if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}") from error


def _look_at(entry: os.DirEntry[str]) -> _Entry:
    """Tell files from folders; a link may lead nowhere or to itself."""
    try:
        found = entry.stat()
    except OSError:
        return _Entry(entry.name, "unreachable")
    if stat.S_ISDIR(found.st_mode):
        return _Entry(entry.name, "folder")
    kind = "file" if stat.S_ISREG(found.st_mode) else "other"
    return _Entry(entry.name, kind, f"{found.st_size} {found.st_mtime_ns}")


def by_number(name: str) -> list[str | int]:
    """Split a name into text and numbers, which alternate."""
    pieces = re.split("([0-9]+)", name)
    return [int(p) if place % 2 else p for place, p in enumerate(pieces)]
