"""Several processes that `torchrun` started."""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

from sightline.errors import RunError

__all__ = [
    "first_process_first",
    "first_to_speak",
    "is_lost",
    "process_group",
    "tell_torchrun",
]

PATIENCE = timedelta(hours=1)  # with a process that downloads, decodes or saves
LOST = "another process of this training has ended"
# gloo has no error of its own: its RuntimeErrors begin with the C++ file they are from
GLOO = re.compile(r"\[[^\]]*gloo[/\\]transport[/\\]")


def local_rank() -> int:
    """Return which of the processes on its machine this one is."""
    return int(os.environ.get("LOCAL_RANK", 0))


def processes() -> int:
    """Return how many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started; do nothing in a single one.

    Raises:
        RunError: if another one of them ended before the block did.
    """
    if processes() == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(min(local_rank(), torch.cuda.device_count() - 1))
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        if is_lost(error):
            raise RunError(f"{LOST}; its own message is above") from error
        raise
    distributed.destroy_process_group()


def is_lost(error: RuntimeError) -> bool:
    """Tell whether torch raised `error` because another process cannot be reached."""
    if processes() == 1:
        return False
    return isinstance(error, distributed.DistError) or bool(GLOO.match(str(error)))


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let processes into the block by turns, so that the first can write a cache.

    The first of all has its turn, then the first of each machine, then all others.
    """
    if processes() == 1:
        yield
        return
    turn = 0 if distributed.get_rank() == 0 else 1 if local_rank() == 0 else 2
    for step in range(3):
        if step == turn:
            yield
        distributed.barrier()


def first_to_speak() -> bool:
    """Tell whether this process is the first of its job to report why the job ends."""
    if processes() == 1:
        return True
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    start = os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)
    try:  # the store is torchrun's, which outlives its processes
        store = distributed.TCPStore(address, port, timeout=timedelta(seconds=5))
        return store.add(f"sightline has spoken {start}", 1) == 1
    except RuntimeError:  # without torchrun it went with the first process
        return True


def tell_torchrun(message: str) -> None:
    """Let `torchrun` repeat `message` at the end of its report on failures."""
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        extra = {"timestamp": str(int(time.time()))}
        content = {"message": {"message": message, "extraInfo": extra}}
        Path(file).write_text(json.dumps(content), encoding="utf-8")
