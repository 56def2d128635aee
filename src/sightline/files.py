"""Files and folders that are whole or absent, text always in UTF-8."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from sightline.errors import RunError

__all__ = [
    "claim",
    "locked",
    "printable",
    "read_json",
    "replace_files",
    "shell_line",
    "whole_or_absent",
    "write_atomically",
    "write_json",
    "write_text",
]

MARKER = ".sightline"  # in every folder that a command made for itself
# folders from before there were markers: a JSON file by kind, some of its keys
OLDER = {
    "run": ("recipe.json", {"name", "epochs", "batch_size", "max_lr"}),
    "export": ("model.json", {"run", "classes", "layers", "bits", "accuracy", "bytes"}),
    "pipeline": ("pipeline.json", {"folder", "digest", "fixed", "max_lr"}),
    "report": ("report.json", {"run", "classes", "mistakes", "confidence"}),
}
# control characters but tab and line feed, what turns the direction of writing, and
# bytes of file names that are no text
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Write out what a terminal would obey and a page or UTF-8 cannot hold."""
    return UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def shell_line(*words: object) -> str:
    """Join words to a line that a shell takes apart into the same words."""
    return shlex.join(map(str, words))


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
    with suppress(OSError, ValueError):
        return read_json(folder / MARKER) == {"kind": kind}
    with suppress(OSError, ValueError, KeyError):
        name, keys = OLDER[kind]
        value = read_json(folder / name)
        return isinstance(value, dict) and keys <= value.keys()
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


def replace_files(
    folder: Path,
    write: Callable[[Path], object],
    *,
    last: str,
    remedy: str = "try again",
) -> None:
    """Let `write` fill an empty folder, then move its files into `folder`.

    What else `folder` holds stays. The file `last` comes last: where it is, all are.
    Errors and the `remedy` are those of `write_atomically`.
    """
    partial = folder / ".export.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a killed process
        partial.mkdir(parents=True)
        write(partial)
        files = sorted(file for file in partial.rglob("*") if file.is_file())
        for file in sorted(files, key=lambda file: file == partial / last):
            place = folder / file.relative_to(partial)
            place.parent.mkdir(exist_ok=True)
            os.replace(file, place)
    except OSError as error:
        raise _not_written(folder, error, remedy) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


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
    lock = FileLock(path)
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
