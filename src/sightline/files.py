"""Files that are whole or absent."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from sightline.errors import RunError

__all__ = ["locked", "write_atomically"]


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then move it into place.

    Raises:
        RunError: if the disk is full or the folder cannot be written to; the old
            file is untouched then.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # of a full disk
        raise RunError(
            f"could not write {path}: {error}. Free some space or make the folder "
            "writable, then go on with --resume; nothing already saved is lost"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold the lock file `path` while the block lasts; its folder is made if need be.

    The system drops the lock of a process that dies. The file stays: if it were
    removed, a process that had opened it before and one that makes it anew could both
    hold it. Where a drive knows no locks, nobody is kept out.

    Args:
        path: the lock file.
        refusal: the message if another process holds the lock; empty: wait for it.

    Raises:
        RunError: with the `refusal`.
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
