"""What benchmarks share: machine and load in front of every table, and timed work.

A number without these lines cannot be compared with another one.
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table
from torch import Tensor

from sightline.data.split import Splits
from sightline.files import write_json
from sightline.training.engine import evaluate, fit, train_one_epoch
from sightline.training.machine import describe
from sightline.training.parts import Parts, build
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime, choose_runtime

__all__ = [
    "Clock",
    "alternate",
    "header",
    "reduced",
    "save",
    "table",
    "train_timed",
    "training_rate",
    "versus",
]

BUSY = 1.2  # 1-minute load above which other work disturbs timings, per 2 cores


def header() -> None:
    """Print machine, versions, threads and the load of the last minute."""
    about = describe(choose_runtime())
    for name in ("device", "precision", "threads", "torch", "python", "revision"):
        print(f"{name:10} {about[name]}")
    cores, load = os.cpu_count() or 1, work_of_others()
    busy = "  (other work runs: times are too long)" if load > BUSY * cores / 2 else ""
    print(
        f"{'load':10} {load:.2f} over the last minute, {cores} cores{busy}", flush=True
    )


def work_of_others() -> float:
    """Return the load of the last minute; NaN on Windows, which knows none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan


def table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Print rows under the names of the first one's fields; numbers to the right."""
    grid = Table(title=title or None, title_justify="left")
    for name, value in rows[0].items():
        right = isinstance(value, int | float)
        grid.add_column(name, justify="right" if right else "left")
    for row in rows:
        grid.add_row(*(written(value) for value in row.values()))
    # wide enough for a log file, where rich would otherwise assume 80 columns
    Console(width=None if os.isatty(1) else 120).print(grid)


def written(value: object) -> str:
    """Write a number as people read it: thousands apart, four digits at most."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def save(path: Path | None, **content: object) -> None:
    """Write tables beside machine, versions and load, for a chapter to read."""
    if path is None:
        return
    about = describe(choose_runtime())
    about |= {"cores": os.cpu_count(), "load": round(work_of_others(), 2)}
    write_json(path, {"machine": about, **content})


class Clock:
    """A loader's first batches; takes the time when the work on each has ended.

    The first `warm` batches, during which workers start and memory is found, are not
    counted.
    """

    def __init__(self, loader: Iterable, steps: int, warm: int = 1):
        self.loader, self.steps, self.warm = loader, steps, warm
        self.ends: list[float] = []
        self.images = 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches."""
        for step, (images, labels) in enumerate(
            islice(self.loader, self.warm + self.steps)
        ):
            yield images, labels
            self.ends.append(time.perf_counter())
            self.images += len(labels) if step >= self.warm else 0

    def __getattr__(self, name: str) -> object:
        """Return what the loader has under this name."""
        return getattr(self.loader, name)

    @property
    def rate(self) -> float:
        """Return images per second."""
        return self.images / (self.ends[-1] - self.ends[self.warm - 1])


def training_rate(parts: Parts, runtime: Runtime, steps: int) -> float:
    """Return images per second of our training loop."""
    clock = Clock(parts.train_loader, steps)
    train_one_epoch(
        parts.model,
        clock,
        parts.optimizer,
        None,
        loss_fn=parts.loss_fn,
        runtime=runtime,
    )
    return clock.rate


def alternate(
    contestants: Mapping[str, Callable[[], float]], windows: int
) -> dict[str, list[float]]:
    """Measure each in turn, `windows` times: what disturbs one disturbs the next."""
    measured = {name: [] for name in contestants}
    for _ in range(windows):
        for name, measure in contestants.items():
            measured[name].append(measure())
            print(f"{name:45} {measured[name][-1]:12,.1f}", flush=True)
    return measured


def versus(rates: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of what was measured side by side."""
    return median(a / b for a, b in zip(rates, others, strict=True))


def reduced(splits: Splits, limit: int, test_limit: int) -> Splits:
    """Keep `limit` images to train with, a tenth of them to validate, some to test.

    As in the full budget, a recipe that watches the test images trains on the tenth.
    """
    few = splits.limited(limit * 9 // 10, validation=limit // 10, test=test_limit)
    return replace(few, digest=f"{splits.digest}-{limit}-{test_limit}")


def train_timed(
    recipe: Recipe, splits: Splits, runtime: Runtime, *, mode: str | None = None
) -> list[dict]:
    """Train with one seed, compiled if there is a `mode`; return a row per epoch."""
    started = time.perf_counter()
    parts = build(recipe, splits, runtime)
    if mode:
        parts.model.compile(mode=mode, dynamic=False)
    seconds, rows = time.perf_counter() - started, []
    for epoch in fit(parts, recipe, runtime, progress=False):
        seconds += epoch.seconds
        began = time.perf_counter()
        averaged = evaluate(
            parts.model, parts.validation_loader, runtime=runtime, flip_average=True
        )
        row = {
            "seed": recipe.seed,
            "epoch": epoch.epoch,
            "seconds": round(epoch.seconds, 3),
            "so far": round(seconds, 3),
            "images/s": round(epoch.images_per_second),
            "training": round(epoch.train_accuracy, 4),
            "test": round(epoch.validation_accuracy, 4),
            "flip average": round(averaged.accuracy, 4),
            "evaluating": round(time.perf_counter() - began, 3),
        }
        print(*(f"{name} {value}" for name, value in row.items()), flush=True)
        rows.append(row)
    return rows
