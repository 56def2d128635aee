"""Where, in which precision and in how many processes the arithmetic runs."""

import ctypes
import os
import platform
import random
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sightline.errors import SightlineError

__all__ = [
    "Runtime",
    "choose_runtime",
    "describe",
    "first_process_first",
    "keep_freed_memory",
    "process_group",
    "seed_everything",
]


@dataclass(frozen=True)
class Runtime:
    """A device, a precision, a memory format, and this process among its equals."""

    device: torch.device
    precision: str  # "fp32" or "bf16": the type inside autocast; weights stay fp32
    channels_last: bool  # NHWC in memory
    rank: int = 0  # of this process; the one of rank 0 writes and reports
    world_size: int = 1  # processes that train together

    def autocast(self) -> AbstractContextManager:
        """Return the autocast context of one forward pass."""
        enabled = self.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def move(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Move one batch to the device and into the memory format."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        images = images.to(self.device, memory_format=layout, non_blocking=True)
        return images, labels.to(self.device, non_blocking=True)

    def place(self, model: nn.Module) -> nn.Module:
        """Move `model` to the device and into the memory format.

        Batch norm of several processes on GPUs is over the whole batch; torch has no
        such layer for CPUs, where each process normalises by its own images.
        """
        if self.world_size > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)

    def distribute(self, model: nn.Module) -> nn.Module:
        """Let all processes average the gradients of `model`; one needs no help."""
        return model if self.world_size == 1 else DistributedDataParallel(model)

    def part(self, count: int) -> Tensor:
        """Return which of `count` images are this process's own, in order."""
        return torch.arange(count).tensor_split(self.world_size)[self.rank]

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of `values` over all processes."""
        if self.world_size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows (n, …) of all processes, one process after the other."""
        if self.world_size == 1:
            return rows
        counts = self.sum(
            torch.eye(self.world_size, dtype=torch.int64, device=rows.device)[self.rank]
            * len(rows)
        ).tolist()
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded)
        return torch.cat([p[:n] for p, n in zip(parts, counts, strict=True)])

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers of the first: running means and variances."""
        if self.world_size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world_size > 1:
            distributed.barrier()

    def alone(self) -> "Runtime":
        """Return the same device and precision for work of this process only."""
        return replace(self, rank=0, world_size=1)


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Keep freed memory in this process until it ends; does nothing without glibc.

    Otherwise what an update frees goes back to the system, and the next one waits
    for empty pages: about a tenth of the time of an update on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started; a single process is left alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let the first process go through the block before the others: it may write."""
    together = distributed.is_available() and distributed.is_initialized()
    if together and distributed.get_rank() > 0:
        distributed.barrier()
    yield
    if together and distributed.get_rank() == 0:
        distributed.barrier()


def choose_runtime(device: str = "auto", precision: str = "auto") -> Runtime:
    """Choose the fastest device and precision that this machine really has.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "fp32" or "bf16". "auto" takes bf16 where the hardware
            multiplies in it: GPUs from Ampere on, CPUs with AVX-512 BF16 or AMX.

    Raises:
        SightlineError: if the device is not there or the precision is unknown.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise SightlineError(
            f"device {device!r} asked for, but torch {torch.__version__} sees no GPU "
            "on this machine; use --device cpu, or install a driver and a CUDA build"
        )
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SightlineError(
            f"unknown device {device!r}; choose auto, cpu, cuda, cuda:1 … or mps"
        ) from error
    if precision not in ("auto", "fp32", "bf16"):
        raise SightlineError(
            f"unknown precision {precision!r}; choose auto, fp32 or bf16"
        )
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(chosen) else "fp32"
    rank, world_size = 0, 1
    if distributed.is_available() and distributed.is_initialized():
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
        if chosen.type == "cuda":
            chosen = torch.device("cuda", torch.cuda.current_device())
    return Runtime(chosen, precision, chosen.type != "mps", rank, world_size)


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether matrix units of `device` multiply bfloat16 natively."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # older torch cannot tell: fp32 is always right
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()
        names = "avx512_bf16", "amx_bf16", "bf16"
        return any(capabilities.get(name) for name in names)
    return False


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def describe(runtime: Runtime) -> dict[str, str | int]:
    """Return what a manifest records about machine and software."""
    device = platform.processor() or platform.machine()
    if runtime.device.type == "cuda":
        device = torch.cuda.get_device_name(runtime.device)
    elif Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":")[1] for line in lines if line.startswith("model name")]
        device = names[0].strip() if names else device
    return {
        "device": f"{runtime.device.type}: {device}",
        "threads": torch.get_num_threads(),
        "processes": runtime.world_size,
        "precision": runtime.precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "revision": git_revision(),
    }


def git_revision() -> str:
    """Return the revision of the source tree, "unknown" outside a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
