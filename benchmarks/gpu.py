"""Everything that waits for a GPU, as one call.

    python benchmarks/gpu.py --data PATH --airbench FOLDER       # all parts
    python benchmarks/gpu.py resnet18 --data PATH                # one of them
    python benchmarks/gpu.py --dry-run                           # on a CPU, tiny

resnet18: 20 epochs, compiled, data on the device; compiling, and all else (evaluating,
saving), apart.
speedrun: beside airbench94_muon.py of KellerJordan/cifar10-airbench, in FOLDER, on the
same pictures: time until the mean accuracy is at least its own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import torch
from common import header, save, table, train_timed

from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.training.machine import keep_freed_memory
from sightline.training.parts import chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

PARTS = ("resnet18", "speedrun")
SCRIPT, RUNS_IN_SCRIPT = "airbench94_muon.py", "range(200)"
FEW = 256  # training images of a dry run
# the speed run in the batches that a GPU likes; rates grow as the sum of losses does
BIG = replace(
    RECIPES["speedrun"],
    name="speedrun, batches of 2000",
    batch_size=2000,
    max_lr=0.24,
    bias_lr=106.0,
    head_lr=1340.0,
    weight_decay=4e-3,
)
# what a dry run starts in place of airbench94_muon.py: reads and prints as that does
STAND_IN = """
import torch
for part in ("train", "test"):
    data = torch.load(f"cifar10/{part}.pt", map_location="cpu")
    images = (data["images"].half() / 255).permute(0, 3, 1, 2)
    assert images.shape[1:] == (3, 32, 32) and len(data["labels"]) == len(images)
    assert len(data["classes"]) == 10
for run in ("warmup", *range(200)):
    print("|  %s  |     1  |     0.1000  |   0.1000  |       |  1.00  |" % run)
    print("|        |  eval  |     0.1000  |   0.1000  |       0.1000  |  2.00  |")
"""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("parts", nargs="*", default=list(PARTS), help=", ".join(PARTS))
    add("--data", default="cifar10", help="cifar10 or a folder")
    add("--airbench", type=Path, help=f"folder with {SCRIPT}")
    add("--runs", type=int, default=20, help=f"of {SCRIPT}, and seeds of ours")
    add("--epochs", type=int, nargs="+", default=[8, 9, 10, 12, 16], help="to try")
    add("--mode", default="default", help="of torch.compile, for the speed run")
    add("--out", type=Path, default=Path("runs/gpu"))
    add("--json", type=Path, help="write the tables there, too")
    add("--dry-run", action="store_true", help="the whole path on a CPU, tiny")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part!r}; choose from: {', '.join(PARTS)}")
    return options


def resnet18(options: argparse.Namespace, splits: Splits) -> list[dict]:
    """Train 20 epochs in two batch sizes; list training, compiling and evaluation."""
    return [resnet18_row(options, splits, batch_size) for batch_size in (512, 128)]


def resnet18_row(
    options: argparse.Namespace, splits: Splits, batch_size: int
) -> dict[str, object]:
    """Train in one batch size."""
    recipe = replace(RECIPES["resnet18"], batch_size=batch_size)
    if options.dry_run:
        recipe = replace(recipe, model="resnet10", epochs=3, batch_size=batch_size // 8)
    out = options.out / f"resnet18-{batch_size}-{time.strftime('%H%M%S')}"
    started = time.perf_counter()
    finished = train(recipe, splits, out=out, compiled=not options.dry_run)
    wall = time.perf_counter() - started
    seconds = [row["seconds"] for row in finished.history]
    usual = median(seconds[1:])  # the first epoch compiles the training step, too
    return {
        "batch": recipe.batch_size,
        "training s": round(usual * recipe.epochs, 2),
        "images/s": round(len(splits.train) / usual),
        "compiling s": round(seconds[0] - usual, 2),
        "all else s": round(wall - sum(seconds), 2),
        "test": round(finished.manifest["test"]["accuracy"], 4),
    }


def write_for_airbench(splits: Splits, folder: Path) -> None:
    """Write train.pt and test.pt as its CifarLoader reads them."""
    folder.mkdir(parents=True)
    for name, split in (("train", splits.train), ("test", splits.test)):
        content = {
            "images": split.images.cpu(),  # (N, H, W, 3) uint8
            "labels": split.labels.cpu(),
            "classes": list(splits.classes),
        }
        torch.save(content, folder / f"{name}.pt")


def read_airbench(printed: str) -> tuple[list[float], list[float]]:
    """Return seconds and accuracies of its runs; the first one only warms up."""
    lines = [line.split("|")[1:-1] for line in printed.splitlines()]
    cells = [[cell.strip() for cell in line] for line in lines]
    last = [row for row in cells if len(row) == 6 and row[1] == "eval"][1:]
    return [float(row[5]) for row in last], [float(row[4]) for row in last]


def airbench(options: argparse.Namespace, splits: Splits) -> tuple[float, float]:
    """Run it on our pictures; return its mean seconds and accuracy.

    Only the number of its runs is changed.
    """
    source = STAND_IN
    if options.airbench:
        source = (options.airbench / SCRIPT).read_text(encoding="utf-8")
    if RUNS_IN_SCRIPT not in source:
        sys.exit(f"{SCRIPT} is another version: it lacks {RUNS_IN_SCRIPT!r}")
    source = source.replace(RUNS_IN_SCRIPT, f"range({options.runs})")
    with tempfile.TemporaryDirectory() as folder:
        write_for_airbench(splits, Path(folder) / "cifar10")
        (Path(folder) / SCRIPT).write_text(source, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, SCRIPT],
            cwd=folder,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
    if done.returncode:
        sys.exit(f"{SCRIPT} failed; what it printed last:\n{done.stdout[-2000:]}")
    seconds, accuracies = read_airbench(done.stdout)
    return mean(seconds), mean(accuracies)


def ours(
    options: argparse.Namespace, splits: Splits, recipe: Recipe
) -> tuple[float, float]:
    """Train as many seeds as airbench has runs; return mean seconds and accuracy.

    As with airbench, evaluation of the test images at the end is part of the time, and
    a run before them, which compiles, is not.
    """
    runtime = choose_runtime("cpu" if options.dry_run else "cuda")
    last = [
        train_timed(
            replace(recipe, seed=seed, watch="test"),
            splits,
            runtime,
            mode=None if options.dry_run else options.mode,
        )[-1]
        for seed in range(options.runs + 1)
    ][1:]
    return (
        mean(row["so far"] + row["evaluating"] for row in last),
        mean(row["flip average"] for row in last),
    )


def speedrun(options: argparse.Namespace, splits: Splits) -> list[dict]:
    """Find the shortest training whose mean accuracy is at least airbench's."""
    splits = chosen_splits(replace(RECIPES["speedrun"], watch="test"), splits)
    measured, goal = [], None
    if options.airbench or options.dry_run:
        measured.append(("airbench94_muon", 8, *airbench(options, splits)))
        goal = measured[0][-1]
    for recipe in (RECIPES["speedrun"], BIG):
        for epochs in options.epochs:
            seconds, accuracy = ours(options, splits, replace(recipe, epochs=epochs))
            measured.append((recipe.name, epochs, seconds, accuracy))
            if goal is None or accuracy >= goal:
                break
    return [
        {
            "program": name,
            "epochs": epochs,
            "runs": options.runs,
            "seconds": round(seconds, 3),
            "accuracy": round(accuracy, 4),
            "× the first": round(seconds / measured[0][2], 3),
            "as accurate": "yes" if accuracy >= (goal or 0) else "no",
        }
        for name, epochs, seconds, accuracy in measured
    ]


MEASURES: dict[str, Callable] = {
    "resnet18": resnet18,
    "speedrun": speedrun,
}


def main() -> None:
    """Run the parts asked for and print their tables."""
    options = arguments()
    if options.dry_run:
        options.data, options.runs, options.epochs = "shapes", 1, [1]
        options.out = Path(tempfile.mkdtemp())
    elif not torch.cuda.is_available():
        sys.exit(f"torch {torch.__version__} sees no GPU here; --dry-run needs none")
    keep_freed_memory()
    header()
    splits = load(options.data).limited(FEW if options.dry_run else None)
    content = {}
    for part in options.parts:
        if rows := MEASURES[part](options, splits):
            content[part] = rows
            table(rows, part)
            save(options.json, data=splits.name, **content)


if __name__ == "__main__":
    main()
