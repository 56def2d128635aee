"""Where, in which precision and in how many processes the arithmetic runs."""

import itertools
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from sightline.errors import RunError, SightlineError
from sightline.training.distributed import local_rank, processes

__all__ = ["Precision", "Runtime", "choose_runtime", "seed_everything", "set_tf32"]

#: of the numbers inside autocast; weights stay fp32
Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class Runtime:
    """A device, a precision, a memory format, and this process among its equals."""

    device: torch.device
    precision: Precision  #: of products; weights, sums and losses are float32 always
    channels_last: bool  #: NHWC in memory
    rank: int = 0  #: of this process; the one of rank 0 writes and reports
    world_size: int = 1  #: processes that train together

    def activate(self) -> None:
        """Set what torch keeps for the whole process; the last runtime to do so counts.

        "fp32" multiplies in float32; the others let a GPU round float32 to TF32.
        `train_one_epoch`, `evaluate` and `range_test` call this before they compute.
        """
        set_tf32(self.device.type == "cuda" and self.precision != "fp32")
        torch.backends.cudnn.benchmark = True  # tries its algorithms once per shape

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
        return model.to(self.device).to(memory_format=layout)

    def distribute(self, model: nn.Module) -> nn.Module:
        """Let the processes, if several, average the gradients of `model`."""
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
        """Wait until all processes have come to this point."""
        if self.world_size > 1:
            distributed.barrier()

    def alone(self) -> "Runtime":
        """Return this device and precision for work that one process does alone."""
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


def set_tf32(allowed: bool) -> None:
    """Let GPUs round float32 to TF32 where they multiply, or not; for all that follows.

    torch alone rounds in convolutions, but not in products of matrices.
    """
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed


def choose_runtime(device: str = "auto", precision: str = "auto") -> Runtime:
    """Choose the fastest device and precision that this machine really has.

    The device is "auto", "cpu", "cuda", "cuda:1" or "mps"; the precision "auto" or one
    of `Precision`. "auto" takes bf16 where the hardware multiplies in it (GPUs from
    Ampere on, CPUs with AVX-512 BF16 or AMX), else fp32. TF32 has the range of float32
    and 10 bits after the point.

    Raises:
        SightlineError: if the device is not there, or cannot compute in the precision.
    """
    hardware = find_device(device)
    if precision == "auto":
        precision = "bf16" if has_fast_bf16(hardware) else "fp32"
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise SightlineError(
            f"unknown precision {precision!r}; choose from: auto, {known}"
        )
    if precision == "tf32" and not (
        hardware.type == "cuda" and has_fast_bf16(hardware)
    ):
        raise SightlineError(
            f"precision 'tf32' needs a GPU from Ampere on, not {hardware}; use "
            "--precision fp32"
        )
    rank, world_size = 0, 1
    if distributed.is_available() and distributed.is_initialized():
        rank, world_size = distributed.get_rank(), distributed.get_world_size()
    return Runtime(
        hardware,
        cast(Precision, precision),
        channels_last=hardware.type != "mps",
        rank=rank,
        world_size=world_size,
    )


def find_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a GPU where torch sees one.

    Of several processes each has a GPU of its own, whichever is named. That of a Mac
    ("mps") serves one process only.

    Raises:
        SightlineError: if there is no such device, or fewer GPUs than processes.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available() and processes() == 1
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # is refused, too
    if device.type not in ("cpu", "cuda", "mps"):
        raise SightlineError(
            f"unknown device {name!r}; choose auto, cpu, cuda, cuda:1 … or mps"
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SightlineError(
            f"device {name!r} asked for, but torch {torch.__version__} sees no GPU "
            "on this machine; use --device cpu, or install a driver and a CUDA build"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SightlineError(
            f"device {name!r} asked for, but torch {torch.__version__} sees no GPU of "
            "Apple's on this machine; use --device cpu"
        )
    return own_gpu(device) if device.type == "cuda" else torch.device(device.type)


def own_gpu(device: torch.device) -> torch.device:
    """Return the GPU of this process; of a single one that which was named.

    Raises:
        SightlineError: if there are fewer GPUs than that takes.
    """
    count = torch.cuda.device_count()
    if processes() == 1:
        if device.index is not None and device.index >= count:
            raise SightlineError(
                f"device '{device}' asked for, but torch sees {count} GPUs, counted "
                "from cuda:0"
            )
        return device
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
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        names = "avx512_bf16", "amx_bf16", "bf16"
        return any(capabilities.get(name) for name in names)
    return False


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
