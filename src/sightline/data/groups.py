"""Which pictures of a folder stay together: the forms that a `group` can have."""

import csv
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.findings import as_text
from sightline.data.folders import Decoded
from sightline.data.headers import Header, read_headers
from sightline.data.listing import Listing
from sightline.data.series import propose_series
from sightline.errors import DataError
from sightline.files import write_atomically

__all__ = ["AUTO", "FOLDER", "series_of", "write_series"]

FOLDER = "folder"  #: each folder inside a class folder is a series
AUTO = "auto"  #: series are proposed by `propose_series`
NAMED = 3  # pictures without a group that a message shows
EXPECTED = (
    "expected folder, auto, the name of a .csv file with the columns file and group, "
    "or a pattern that names the series"
)


def series_of(
    listing: Listing,
    decoded: Decoded,
    group: str,
    headers: Sequence[Header | None] = (),
) -> tuple[Tensor | None, tuple[str, ...]]:
    """Number the series of the readable pictures, (n,) int64; None without a `group`.

    "folder" takes each folder inside a class folder for a series, and one of the same
    name in another class for the same series. "auto" proposes them. A .csv file has
    the columns file, relative to the folder, and group; no group means a series of its
    own. Anything else is a regular expression that is searched in the file's name; its
    first group, or else the whole match, names the series. Only "auto" needs
    `headers`, of all pictures of the listing; it reads them if there are none.

    Returns:
        The series, and what is to be said about them.

    Raises:
        DataError: if a picture has no group, or the file or pattern is none.
    """
    if not group:
        return None, ()
    names = [listing.names[place] for place in decoded.places.tolist()]
    if group == AUTO:
        headers = headers or list(read_headers(listing, progress=False))
        return propose_series(listing, decoded, headers), ()
    if group == FOLDER:
        depth = 3 if listing.in_test.any() else 2  # parts of a name without a series
        parts = [name.split("/") for name in names]
        return _number([p[-2] if len(p) > depth else "" for p in parts]), ()
    if group.lower().endswith(".csv"):
        return _by_file(Path(group).expanduser(), listing.folder, names)
    return _number(_by_pattern(group, names)), ()


def _number(groups: Sequence[str]) -> Tensor:
    """Number names of groups in their order, (n,) int64; "" is one of its own."""
    keys = [name or place for place, name in enumerate(groups)]
    numbers = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys], dtype=torch.int64)


def _by_pattern(pattern: str, names: Sequence[str]) -> list[str]:
    """Search a pattern in the names of all files; return what it names."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(
            f"group {pattern!r} is no pattern: {error}; {EXPECTED}"
        ) from error
    matches = [expression.search(name.rsplit("/", 1)[-1]) for name in names]
    _require_all(
        [name for name, match in zip(names, matches, strict=True) if not match],
        f"group {pattern!r} does not match",
        f"{EXPECTED}. {pattern}|.* makes each of the others a series of its own",
    )
    first = min(expression.groups, 1)  # 0 is the whole match
    return [match[first] or match[0] for match in matches if match]


def _by_file(
    file: Path, folder: Path, names: Sequence[str]
) -> tuple[Tensor, tuple[str, ...]]:
    """Read the group of every picture from a file of two columns."""
    known = set(names)
    groups: dict[str, str] = {}
    for line, (cell, group) in _rows(file).items():
        name = _within(folder, cell, known)
        if groups.setdefault(name, group) != group:
            raise DataError(
                f"{file}, line {line}: {as_text(name)} is in the group {group!r}, and "
                f"above in {groups[name]!r}; leave one of the two"
            )
    _require_all(
        [name for name in names if name not in groups],
        f"{file} does not name",
        "every picture needs a line: its file, relative to the folder, and its group, "
        "or nothing for a series of its own",
    )
    header = next(iter(groups))  # it may be one
    unknown = len(groups.keys() - known - {header})
    notes = (f"{unknown:,} lines of {file.name} name no picture of the folder",)
    return _number([groups[name] for name in names]), notes * bool(unknown)


def _rows(file: Path) -> dict[int, list[str]]:
    """Return the two cells of every line that is not empty, by its number."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); {EXPECTED}"
        ) from error
    first = text.split("\n", 1)[0]
    delimiter = next((d for d in ";\t" if d in first and "," not in first), ",")
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    rows = {}
    try:
        for row in reader:
            if row and len(row) != 2:
                raise csv.Error(f"{len(row)} columns instead of two, file and group")
            if row:
                rows[reader.line_num] = [row[0], row[1].strip()]
    except csv.Error as error:
        raise DataError(
            f"{file}, line {reader.line_num}: {error}. A name that holds a comma must "
            "be in double quotes"
        ) from error
    return rows


def _within(folder: Path, name: str, known: set[str]) -> str:
    """Return a name as it is in the folder; it may be absolute, or of Windows."""
    path = Path(name)
    if path.is_absolute():
        path = path.parent.resolve() / path.name
        path = path.relative_to(folder) if path.is_relative_to(folder) else path
    slashes = path.as_posix().replace("\\", "/")
    return slashes if slashes in known else path.as_posix()


def _require_all(missing: Sequence[str], problem: str, remedy: str) -> None:
    """Refuse groups of only some of the pictures."""
    if missing:
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        names = ", ".join(map(as_text, missing[:NAMED]))
        raise DataError(f"{problem} {names}{more}; {remedy}")


def write_series(file: Path, names: Sequence[str], series: Tensor) -> None:
    """Write the series of pictures to a file that `series_of` reads.

    Pictures that are alone in their series have no group.

    Raises:
        RunError: if it cannot be written.
    """
    sizes = series.bincount()[series].tolist()
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "group"])
    for name, place, size in zip(names, series.tolist(), sizes, strict=True):
        writer.writerow([name, f"series {place + 1}" if size > 1 else ""])
    content = text.getvalue().encode(errors="surrogateescape")
    write_atomically(file, lambda partial: partial.write_bytes(content))
