"""The scalars of a run, for TensorBoard."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import RunError

__all__ = ["scalars", "summary_writer"]


def summary_writer() -> type:
    """Return TensorBoard's writer.

    Raises:
        RunError: if TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            "TensorBoard is not installed: pip install 'sightline[tensorboard]'"
        ) from error
    return SummaryWriter


@contextmanager
def scalars(
    folder: Path, history: list[dict], enabled: bool
) -> Iterator[Callable[[dict], None]]:
    """Open TensorBoard's file; yield what appends one epoch to it, if `enabled`.

    Loss and accuracy share axes per kind and stand at the end of their epoch, the
    learning rate of its first update at the beginning. A restart writes all epochs
    anew: a kill may have come between saving one and writing it here.
    """
    if not enabled:
        yield lambda row: None
        return

    def write(row: dict) -> None:
        for name in ("loss", "accuracy"):
            for part in ("train", "validation"):
                value = row[f"{part}_{name}"]
                writer.add_scalar(f"{name}/{part}", value, row["epoch"])
        writer.add_scalar("lr", row["lr"], row["epoch"] - 1)
        writer.flush()

    shutil.rmtree(folder, ignore_errors=True)
    with summary_writer()(folder) as writer:
        for row in history:
            write(row)
        yield write
