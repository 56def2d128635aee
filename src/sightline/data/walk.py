"""Picture files wherever they lie: by name, in folders at any depth, in a stream."""

import os
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from sightline.data.listing import UNREAD, by_number
from sightline.data.pictures import picture_suffixes

__all__ = ["names_in", "picture_files"]

BLOCK = 2**16  # bytes, more than any path has


def picture_files(places: Iterable[str]) -> Iterator[str]:
    """Yield files as they are named, and of folders the pictures at any depth.

    Within a folder 2.png comes before 10.png. Hidden ones are left out, and links to
    folders not followed. Formats that are not read, as HEIC, come too, for whoever
    reads them to say so; and for the same reason a folder without any picture.
    """
    for place in places:
        files = _below(place) if os.path.isdir(place) else iter((place,))
        yield next(files, place)
        yield from files


def _below(folder: str) -> Iterator[str]:
    """Yield the pictures of a folder, and the name of what cannot be listed."""
    endings = picture_suffixes() | UNREAD.keys()
    waiting = [(folder, True)]
    while waiting:
        place, is_folder = waiting.pop()
        if not is_folder:
            yield place
            continue
        try:
            with os.scandir(place) as entries:
                inside = [
                    (entry.path, entry.is_dir(follow_symlinks=False))
                    for entry in entries
                    if _is_wanted(entry, endings)
                ]
        except OSError:
            yield place
            continue
        waiting += sorted(inside, key=lambda each: by_number(each[0]), reverse=True)


def _is_wanted(entry: os.DirEntry[str], endings: set[str]) -> bool:
    """Tell whether an entry of a folder is a folder or may be a picture."""
    if entry.name.startswith(".") or entry.name == "__MACOSX":
        return False
    if entry.is_dir(follow_symlinks=False):
        return True
    is_file = entry.is_file(follow_symlinks=False) or entry.is_symlink()
    return is_file and os.path.splitext(entry.name)[1].lower() in endings


def names_in(stream: BinaryIO) -> Iterator[str]:
    r"""Yield the names in a stream, one a line, or each ended by NUL if one is.

    The last needs no end. Empty lines are skipped, and so is the \r of Windows.
    """
    block = stream.read(BLOCK)
    end = b"\0" if b"\0" in block else b"\n"
    rest = b""
    while block:
        *names, rest = (rest + block).split(end)
        yield from _decoded(names, end)
        block = stream.read(BLOCK)
    yield from _decoded([rest], end)


def _decoded(names: Iterable[bytes], end: bytes) -> Iterator[str]:
    """Yield names that are not empty, as the file system knows them."""
    for name in names:
        if whole := name if end == b"\0" else name.removesuffix(b"\r"):
            yield os.fsdecode(whole)
