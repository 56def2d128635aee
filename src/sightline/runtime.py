"""Where and in which precision the arithmetic runs."""

import platform
import random
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sightline.errors import SightlineError

__all__ = ["Runtime", "choose_runtime", "describe", "seed_everything"]


@dataclass(frozen=True)
class Runtime:
    """A device, a precision and a memory format."""

    device: torch.device
    precision: str  # "fp32" or "bf16": the type inside autocast; weights stay fp32
    channels_last: bool  # NHWC in memory

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
        """Move `model` to the device and into the memory format."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)


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
    return Runtime(chosen, precision, channels_last=chosen.type != "mps")


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
