"""Files that are whole or absent."""

import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from sightline.errors import RunError

__all__ = ["write_atomically"]


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
