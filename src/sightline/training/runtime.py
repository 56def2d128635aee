"""Where, in which precision and in how many processes the arithmetic runs."""

import ctypes
import itertools
import json
import os
import platform
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sightline.errors import RunError, SightlineError

__all__ = [
    "Runtime",
    "choose_runtime",
    "describe",
    "first_process_first",
    "first_to_speak",
    "is_lost",
    "keep_freed_memory",
    "process_group",
    "seed_everything",
    "tell_torchrun",
]

PATIENCE = timedelta(hours=1)  # with a process that downloads, decodes or saves
LOST = "another process of this training has ended"


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

    def divides(self, model: nn.Module) -> bool:
        """Tell whether batch norm of `model` sees a part of each batch only."""
        kinds = nn.BatchNorm1d, nn.BatchNorm2d  # no others are in our networks
        on_cpu = self.world_size > 1 and self.device.type != "cuda"
        return on_cpu and any(isinstance(module, kinds) for module in model.modules())

    def part(self, count: int) -> Tensor:
        """Return which of `count` images are this process's own, in order.

        Raises:
            SightlineError: if there are fewer images than processes.
        """
        if count < self.world_size:
            raise SightlineError(
                f"{count} images cannot be divided between {self.world_size} processes;"
                " start fewer processes"
            )
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

    def agree(self, **values: object) -> None:
        """Wait for all processes, and make sure that they have the same values.

        Raises:
            RunError: in all of them, with the first difference.
        """
        if self.world_size == 1:
            return
        everyone: list = [None] * self.world_size
        distributed.all_gather_object(everyone, values)
        for name, rank in itertools.product(values, range(self.world_size)):
            if everyone[rank][name] != everyone[0][name]:
                raise RunError(
                    f"{name}: {everyone[0][name]} in the first process, but "
                    f"{everyone[rank][name]} in process {rank}; give all machines the "
                    "same command, the same pictures, and one --out that they share"
                )


M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Keep freed memory in this process until it ends; does nothing without glibc.

    Otherwise what an update frees goes back to the system, and the next one waits
    for empty pages: with large batches about a tenth of an update on a CPU.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)


def local_rank() -> int:
    """Return which of the processes on its machine this one is."""
    return int(os.environ.get("LOCAL_RANK", 0))


def processes() -> int:
    """Return how many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` started; a single process is left alone.

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
            raise RunError(f"{LOST}; what it said is above") from error
        raise
    distributed.destroy_process_group()


def is_lost(error: RuntimeError) -> bool:
    """Tell whether torch raised `error` because another process cannot be reached."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error)


@contextmanager
def first_process_first() -> Iterator[None]:
    """Let one process after the other into the block: the first may write a cache.

    First of all, then of each machine, then the others at once.
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
    """Tell whether no other process of this job has said yet why it ends."""
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
        Path(file).write_text(json.dumps(content))


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
    if chosen.type == "cuda":
        chosen = own_gpu(chosen)
        torch.backends.cudnn.benchmark = True  # tries its algorithms once per shape
        torch.set_float32_matmul_precision("high")  # TF32, as in convolutions
    group = (0, 1)
    if distributed.is_available() and distributed.is_initialized():
        group = distributed.get_rank(), distributed.get_world_size()
    return Runtime(chosen, precision, chosen.type != "mps", *group)


def own_gpu(device: torch.device) -> torch.device:
    """Return the GPU of this process: `device`, unless there are others beside it.

    Raises:
        SightlineError: if there are fewer GPUs than processes on this machine.
    """
    if processes() == 1:
        return device
    count = torch.cuda.device_count()
    if local_rank() >= count:
        raise SightlineError(
            f"process {local_rank()} of this machine has no GPU of its own: torch sees "
            f"{count}; use --nproc-per-node {count}, or --device cpu"
        )
    return torch.device("cuda", local_rank())


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
