"""Files and folders that are whole or absent, text always in UTF-8."""

import hashlib
import json
import os
import reprlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import UnionType
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from sightline.errors import RunError

__all__ = [
    "claim",
    "locked",
    "misfit",
    "parse_json",
    "read_json",
    "replace_folder",
    "sha256",
    "whole_or_absent",
    "write_atomically",
    "write_json",
    "write_text",
]

RESTORE = "put a copy of it back, or make it anew"  # the remedy for a damaged file
#: what a JSON value must be, a type or several, [a shape] for a list, or a shape by key
#: for an object, which may have other keys; one that ends in "?" may be missing
Shape = type | UnionType | list["Shape"] | Mapping[str, "Shape"]
MARKER = ".sightline"  # in every folder that a command made for itself
# folders from before there were markers: a JSON file by kind, some of its keys
RECIPE: Shape = {"name": str, "epochs": int, "batch_size": int, "max_lr": float}
OLDER = {"run": ("recipe.json", RECIPE)}
LARGEST = 2**63  # in absolute value, of a number in JSON


def claim(folder: Path, kind: str) -> None:
    """Make a folder to write to, or make sure that it is one that we made.

    A missing or an empty one gets a marker, which names the `kind`: "run" for one.

    Raises:
        RunError: if it holds anything else, of which nothing is touched, or cannot be
            made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # of a process that was killed while it wrote the marker
        half = {*folder.glob(f".{MARKER}.*.partial")}
        empty = not {*folder.iterdir()} - half
    except OSError as error:
        raise RunError(
            f"{folder} cannot be a folder to write to ({error.strerror}); choose "
            "another --out"
        ) from error
    if empty:
        write_json(folder / MARKER, {"kind": kind}, remedy="choose another --out")
    elif not _is_ours(folder, kind):
        raise RunError(
            f"{folder} is not empty, and is no {kind} that sightline made (it has no "
            f"{MARKER} of that kind); nothing in it was touched. Choose another --out, "
            "a new or an empty folder"
        )


def _is_ours(folder: Path, kind: str) -> bool:
    """Tell whether a folder has the marker of a kind, or is older than markers."""
    with suppress(RunError):
        return read_json(folder / MARKER) == {"kind": kind}
    with suppress(RunError, KeyError):
        name, shape = OLDER[kind]
        read_json(folder / name, shape)
        return True
    return False


@contextmanager
def whole_or_absent(path: Path) -> Iterator[Path]:
    """Yield a place beside `path` to write to; move the file to `path` at the end.

    After an error the old file is untouched. Of several processes that write `path`
    the last one wins. A killed one leaves a hidden file that ends in .partial.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        with open(partial, "r+b") as file:  # Windows flushes only writable files
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(
    path: Path, write: Callable[[Path], object], *, remedy: str = "try again"
) -> None:
    """Let `write` fill a file, whole or not at all; its folder is made if need be.

    The `remedy` says in the message how to go on once there is room again.

    Raises:
        RunError: if the disk is full or the folder cannot be written to.
    """
    try:
        with whole_or_absent(path) as partial:
            write(partial)
    except (OSError, RuntimeError, SafetensorError) as error:  # of a full disk
        raise _not_written(path, error, remedy) from error


def replace_folder(
    path: Path, write: Callable[[Path], object], *, remedy: str = "try again"
) -> None:
    """Let `write` make a folder, then put it in the place of `path`.

    Arguments and errors are those of `write_atomically`.
    """
    partial, old = (path.with_name(f".{path.name}.{end}") for end in ("partial", "old"))
    try:
        for folder in (partial, old):  # of a killed process
            shutil.rmtree(folder, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
    except OSError as error:
        raise _not_written(path, error, remedy) from error
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


def _not_written(path: Path, error: Exception, remedy: str) -> RunError:
    """Return the error that names the file, the reason and the remedy."""
    return RunError(
        f"could not write {path}: {error}. Free some space or make the folder "
        f"writable, then {remedy}"
    )


def write_text(path: Path, text: str, *, remedy: str = "try again") -> None:
    """Write a text file atomically, lines ended by a line feed on every system."""
    write_atomically(
        path,
        lambda partial: partial.write_text(text, encoding="utf-8", newline="\n"),
        remedy=remedy,
    )


def read_json(path: Path, shape: Shape = object, *, remedy: str = RESTORE) -> Any:
    """Read a JSON file of a shape.

    Raises:
        RunError: if it cannot be read, is no JSON, or has another shape.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    return parse_json(content, path, shape, remedy=remedy)


def parse_json(
    content: bytes, path: Path, shape: Shape = object, *, remedy: str = RESTORE
) -> Any:
    """Return the JSON value that `path` holds; errors are those of `read_json`."""
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path} is damaged: it is not valid JSON ({error}); {remedy}"
        ) from error
    if reason := misfit(value, shape):
        raise RunError(f"{path} is damaged: {reason}; {remedy}")
    return value


def misfit(value: Any, shape: Shape, place: str = "it") -> str:
    """Say where a value has another shape; return "" if it has this one."""
    if isinstance(shape, list):
        kind: type | UnionType = list
    else:
        kind = dict if isinstance(shape, Mapping) else shape
    fits = isinstance(value, int | float if kind is float else kind)
    if kind in (int, float):  # of which Python's bool is one, and NaN is the other
        fits = fits and not isinstance(value, bool) and abs(value) < LARGEST
    if not fits:
        name = kind.__name__ if isinstance(kind, type) else kind
        return f"{place} is {reprlib.repr(value)}, not of the type {name}"
    parts: Iterable[tuple[str, Any, Shape]] = ()
    if isinstance(shape, list):
        parts = ((f"{place}[{i}]", each, shape[0]) for i, each in enumerate(value))
    elif isinstance(shape, Mapping):
        needed = {key for key in shape if not key.endswith("?")}
        if missing := needed - value.keys():
            return f"{place} has no {', '.join(sorted(missing))}"
        names = {key: key.removesuffix("?") for key in shape}
        parts = (
            (names[key], value[names[key]], each)
            for key, each in shape.items()
            if names[key] in value
        )
    return next(filter(None, (misfit(v, each, p) for p, v, each in parts)), "")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: object, *, remedy: str = "try again") -> None:
    """Write a JSON file atomically; what is not ASCII is escaped.

    So names of files that are no text in any encoding do no harm.
    """
    write_text(path, json.dumps(value, indent=2) + "\n", remedy=remedy)


@contextmanager
def locked(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold the lock file `path` while the block lasts; its folder is made if need be.

    The system drops the lock of a process that dies. The file stays: if it were
    removed, a process that had opened it before and one that makes it anew could both
    hold it. Where a drive knows no locks, nobody is kept out.

    Raises:
        RunError: with the `refusal`, if another process holds the lock; where it is
            empty, the lock is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a file that only exists would keep everybody out once its process has died
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0 if refusal else -1)
    except Timeout as error:
        raise RunError(refusal) from error
    except OSError:  # of a drive without locks
        pass
    try:
        yield
    finally:
        lock.release()
