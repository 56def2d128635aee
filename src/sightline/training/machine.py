"""This machine: what a manifest says of it, and its memory."""

import ctypes
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from sightline.training.runtime import Runtime

__all__ = ["MACHINE", "describe", "git_revision", "keep_freed_memory"]

#: what `describe` records and can change the last bits of a training
MACHINE = ("device", "threads", "processes", "precision", "torch")
CHECKOUT = Path(__file__).parents[3]
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


def describe(runtime: Runtime) -> dict[str, str | int]:
    """Return what a manifest records about machine and software."""
    device = platform.processor() or platform.machine()
    if runtime.device.type == "cuda":
        device = torch.cuda.get_device_name(runtime.device)
    elif Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
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


def git_revision(checkout: Path = CHECKOUT, made: Sequence[str] = ()) -> str:
    """Return the revision of Sightline's own checkout, "unknown" outside of one.

    An installed Sightline may lie inside a repository that has nothing to do with it.
    The revision ends in "-dirty" if a file is changed, those `made` from others aside.
    """
    if not all((checkout / name).exists() for name in (".git", "_toc.yml")):
        return "unknown"
    changed = ["status", "--porcelain", "--untracked-files=no", "--", "."]
    changed += [f":(exclude){pattern}" for pattern in made]
    try:
        revision = git(checkout, "rev-parse", "--short=12", "HEAD")
        dirty = "-dirty" if git(checkout, *changed) else ""
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{revision}{dirty}"


def git(checkout: Path, *words: str) -> str:
    """Return what a command of git prints."""
    command = ["git", "--no-optional-locks", *words]
    return subprocess.check_output(
        command, cwd=checkout, encoding="utf-8", stderr=subprocess.DEVNULL
    ).strip()
