"""Measure how much memory a training holds, and that large folders stream.

cifar10: resident memory of training ResNet-18 on all of CIFAR-10, beyond that of
importing torch. folder: pictures that decoded are larger than a limit are trained on
under this limit, from the disk: what is read is pushed out of the system's cache after
each report, as if the rest of the machine needed its memory.
"""

import argparse
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import fmean, linear_regression, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # functions import these: what they take in memory is measured
    from torch import Tensor

    from sightline.data.split import Splits
    from sightline.training.parts import Parts
    from sightline.training.runtime import Runtime

MB, GB = 1e6, 1e9
GOAL = 2500  # MB beyond torch's own
DRAWN = 2000  # different pictures; the folder repeats them


def main() -> None:
    """Run the parts asked for, each in a process of its own."""
    words = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="The limit is one of private memory (RLIMIT_DATA), which needs no "
        "rights; for one by control group run\n"
        "  systemd-run --user --scope -p MemoryMax=2G python benchmarks/memory.py",
    )
    add = words.add_argument
    add("parts", nargs="*", default=["cifar10", "folder"], help="cifar10, folder")
    add("--data", default="cifar10", help="CIFAR-10: the name, or a folder of it")
    add("--recipe", default="resnet18", help="what to train on CIFAR-10")
    add("--pictures", type=int, default=200_000, help="in the folder")
    add("--side", type=int, default=64, help="of these pictures, in pixels")
    add("--limit", type=float, default=2.0, help="GB of memory for the folder")
    add("--steps", type=int, default=20, help="updates on CIFAR-10")
    add("--folder-steps", type=int, default=400, help="updates on the folder")
    add("--every", type=int, default=40, help="updates between reports")
    add("--work", help="folder for temporary files, on a real disk")
    add("--json", type=Path, help="write each table there, PART added to the name")
    arguments = words.parse_args()
    if sys.platform != "linux":
        words.error("memory is read from /proc, which only Linux has")
    if arguments.folder_steps < 4 * arguments.every:
        words.error(
            "a trend needs 4 reports: more --folder-steps, or a smaller --every"
        )
    measures = {"cifar10": measure_cifar10, "folder": measure_folder}
    for part in arguments.parts:
        if part not in measures:
            words.error(f"unknown part {part!r}; choose from: cifar10, folder")
    spawn = multiprocessing.get_context("spawn")  # a fresh process, without torch
    for part in arguments.parts:
        process = spawn.Process(target=measures[part], args=(arguments,))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{part}: the measurement ended with {process.exitcode}")


def measure_cifar10(arguments: argparse.Namespace) -> None:
    """Print resident memory phase by phase."""
    import torch

    torch.rand(1)
    own = resident()
    from common import header, save, table

    header()
    from sightline.data.datasets import load
    from sightline.training.engine import evaluate
    from sightline.training.machine import keep_freed_memory
    from sightline.training.parts import build, evaluation_loader
    from sightline.training.recipes import RECIPES
    from sightline.training.runtime import choose_runtime

    rows = []

    def note(phase: str) -> None:
        now, most = resident(), peak()
        rows.append(
            {
                "after": phase,
                "resident MB": round(now / MB),
                "peak MB": round(most / MB),
                "peak beyond torch MB": round((most - own) / MB),
            }
        )
        forget_peak()

    note("importing torch and sightline")
    keep_freed_memory()  # as `sightline train` does
    splits, runtime = load(arguments.data), choose_runtime("cpu")
    note(f"loading {len(splits.train):,} training pictures")
    parts = build(RECIPES[arguments.recipe], splits, runtime)
    update_weights(parts, islice(parts.train_loader, arguments.steps), runtime)
    note(f"{arguments.steps} updates of {parts.train_loader.batch_size} pictures")
    few = splits.test.take(torch.arange(min(2000, len(splits.test))))
    loader = evaluation_loader(few, splits.mean, splits.std, runtime)
    evaluate(parts.model, loader, runtime=runtime)
    note(f"evaluating {len(few):,} pictures")
    table(rows, f"{arguments.recipe} on {splits.name}, {runtime.precision}")
    most = max(row["peak beyond torch MB"] for row in rows)
    verdict = "reached" if most <= GOAL else "missed"
    save(named(arguments.json, "cifar10"), torch_mb=own / MB, memory=rows)
    print(f"goal: at most {GOAL:,} MB beyond torch's own {own / MB:,.0f} MB: {verdict}")


def measure_folder(arguments: argparse.Namespace) -> None:
    """Print memory and throughput of a training on generated pictures."""
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        started = time.perf_counter()
        generate(Path(scratch, "pictures"), arguments.pictures, arguments.side)
        seconds = time.perf_counter() - started
        print(f"\n{arguments.pictures:,} JPEGs written in {seconds:.0f} s")
        limit = int(arguments.limit * GB)
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        stream(arguments, Path(scratch))


def stream(arguments: argparse.Namespace, scratch: Path) -> None:
    """Decode the folder and train on it, under the limit that is set."""
    import torch

    torch.rand(1)
    own = resident()
    from common import header, save, table

    from sightline.data.datasets import load
    from sightline.data.split import Split
    from sightline.data.stored import StoredImages, usable_memory
    from sightline.training.machine import keep_freed_memory

    keep_freed_memory()  # as `sightline train` does
    header()
    print(
        f"limit      {arguments.limit:g} GB of private memory (RLIMIT_DATA); "
        f"usable {usable_memory() / GB:.2f} GB; torch's own {own / MB:,.0f} MB resident"
    )
    forget_peak()
    started = time.perf_counter()
    splits = load(
        scratch / "pictures", image_size=arguments.side, root=scratch, progress=False
    )
    seconds = time.perf_counter() - started
    import resource

    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        f"decoding   {seconds:.0f} s, {arguments.pictures / seconds:,.0f} pictures/s; "
        f"peak {peak() / MB:,.0f} MB, of a worker {workers / MB:,.0f} MB; "
        f"now {resident() / MB:,.0f} MB"
    )
    print("note       " + "; ".join(splits.notes))
    images = splits.train.images
    if not isinstance(images, StoredImages):
        raise SystemExit("these pictures fit into memory: more --pictures or --side")
    few = torch.arange(min(5000, len(splits.train)))
    held = Split(images[few], splits.train.labels[few])
    rows = train_by_turns(arguments, splits, replace(splits, train=held), images.path)
    table(rows, "ResNet-10 on pictures from the disk and, in turns, on some in memory")
    later = rows[1:]  # after the first report everything has been allocated once
    save(named(arguments.json, "folder"), notes=splits.notes, streaming=rows)
    slope, error = trend(
        [row["updates"] for row in later], [row["resident MB"] for row in later]
    )
    print(
        f"resident memory: {1000 * slope:+.0f} MB in 1,000 updates, standard error "
        f"{1000 * error:.0f} MB"
    )
    extra = sorted(row["/s from memory"] / row["/s from disk"] - 1 for row in later)
    print(
        f"streaming takes {median(extra):+.0%} of time, median of {len(extra)} rows "
        f"from {extra[0]:+.0%} to {extra[-1]:+.0%}"
    )


def named(path: Path | None, part: str) -> Path | None:
    """Add the name of a part to that of a file."""
    return path and path.with_stem(f"{path.stem}-{part}")


def trend(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return the slope of a line through points, and its standard error."""
    slope, start = linear_regression(x, y)
    rest = sum((b - start - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    spread = sum((a - fmean(x)) ** 2 for a in x)
    return slope, math.sqrt(rest / (len(x) - 2) / spread)


def train_by_turns(
    arguments: argparse.Namespace, streamed: "Splits", held: "Splits", cache: Path
) -> list[dict[str, float]]:
    """Train a small network; return memory and speed after every few updates."""
    from sightline.training.parts import build
    from sightline.training.recipes import RECIPES
    from sightline.training.runtime import choose_runtime

    runtime, every = choose_runtime("cpu"), arguments.every
    recipe = replace(RECIPES["resnet10"], batch_size=128)
    parts = build(recipe, streamed, runtime)
    on_disk = endless(parts.train_loader)
    in_memory = endless(build(recipe, held, runtime).train_loader)
    rows: list[dict[str, float]] = []

    def watched() -> Iterator[tuple["Tensor", "Tensor"]]:
        for updates in range(every, arguments.folder_steps + 1, every):
            push_out(cache)
            started, before = time.perf_counter(), read_from_disk()
            yield from islice(on_disk, every)
            middle, read = time.perf_counter(), read_from_disk() - before
            row = {
                "updates": updates,
                "resident MB": resident() / MB,
                "peak MB": peak() / MB,
                "MB read from disk": read / MB,
                "/s from disk": every * recipe.batch_size / (middle - started),
            }
            yield from islice(in_memory, every)
            seconds = time.perf_counter() - middle
            rows.append({**row, "/s from memory": every * recipe.batch_size / seconds})

    update_weights(parts, watched(), runtime)
    return rows


def update_weights(parts: "Parts", batches: Iterable, runtime: "Runtime") -> None:
    """Update once per batch, however many there are, as an epoch does."""
    parts.model.train()
    for images, labels in batches:
        images, labels = runtime.move(images, labels)
        with runtime.autocast():
            logits = parts.model(images)
        loss = parts.loss_fn(logits.float(), labels)
        parts.optimizer.zero_grad()
        loss.backward()
        parts.optimizer.step()


def endless(loader: Iterable) -> Iterator:
    """Yield the batches of one epoch after the other."""
    while True:
        yield from loader


def generate(folder: Path, count: int, side: int) -> None:
    """Write JPEGs of gradients and noise in ten classes told apart by their colour."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 160, side)[:, None, None]
    drawn = []
    for number in range(min(count, DRAWN)):
        colour = 20 + 60 * np.array([number % 10 // 4, number % 4, number % 3])
        pixels = (ramp + rng.integers(0, 40, (side, side, 1)) + colour).clip(0, 255)
        buffer = BytesIO()
        turned = np.rot90(pixels, rng.integers(4)).astype(np.uint8)
        Image.fromarray(turned).save(buffer, "JPEG", quality=80)
        drawn.append(buffer.getvalue())
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for number in range(count):  # a multiple of 10 are drawn: number % 10 is the class
        name = folder / str(number % 10) / f"{number}.jpg"
        name.write_bytes(drawn[number % len(drawn)])


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return status("VmRSS")


def peak() -> int:
    """Return the most bytes that were in memory since `forget_peak`."""
    return status("VmHWM")


def forget_peak() -> None:
    """Let the peak begin again at what is in memory now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def status(field: str) -> int:
    """Return one number of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])


def read_from_disk() -> int:
    """Return the bytes that this process had fetched from storage, not from a cache."""
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("read_bytes")))


def push_out(path: Path) -> None:
    """Have the system forget the pages of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
