"""Train the speed run: seconds, accuracy and time to a target, over several seeds.

It trains on all training images and evaluates on the test images after each epoch;
nothing is chosen by them: the result is the last epoch's. Time is that of whitening and
training, without decoding and without evaluation. Then a few steps of system S4's loop
are measured, and from them the time that its 20 epochs would take.

    python benchmarks/speedrun.py --data PATH --seeds 3 --s4-accuracy 0.90
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

import reference
import torch
from common import Clock, header, save, table, train_timed

from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.models import build_model
from sightline.training.machine import keep_freed_memory
from sightline.training.parts import build, chosen_splits
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

S4 = RECIPES["s4-published"]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="cifar10", help="cifar10 or a folder")
    add("--limit", type=int, help="training images; default: all")
    add("--recipe", default="speedrun")
    add("--epochs", type=int, help="default: the recipe's")
    add("--seeds", type=int, default=3)
    add("--threads", type=int, help="default: as many as torch takes")
    add("--device", default="auto")
    add("--s4-accuracy", type=float, help="with which S4-published ends, 0..1")
    add("--s4-steps", type=int, default=5, help="of its loop; 0: none")
    add("--json", type=Path, help="write the tables there, too")
    return parser.parse_args()


def seconds_to(rows: list[dict], accuracy: float) -> float:
    """Return after how many seconds the flip average reaches it; infinity: never."""
    return min(
        (r["so far"] for r in rows if r["flip average"] >= accuracy), default=math.inf
    )


def spread(values: list[float]) -> str:
    """Write mean and standard deviation."""
    if len(values) == 1 or not all(map(math.isfinite, values)):
        return ", ".join(f"{value:.4g}" for value in values)
    return f"{mean(values):.4g} ± {stdev(values):.2g}"


def summary(runs: list[list[dict]], accuracies: list[float]) -> list[dict]:
    """Return mean and spread over the seeds, and the time to each accuracy."""
    last = [rows[-1] for rows in runs]
    measures = {
        "images/s": [mean(row["images/s"] for row in rows) for rows in runs],
        "seconds, whitening and all epochs": [row["so far"] for row in last],
        "test accuracy": [row["test"] for row in last],
        "test accuracy, flip average": [row["flip average"] for row in last],
    }
    for accuracy in accuracies:
        times = [seconds_to(rows, accuracy) for rows in runs]
        measures[f"seconds to {accuracy:.2%}, flip average"] = times
    return [
        {"over seeds": name, f"{len(runs)} seeds": spread(values)}
        for name, values in measures.items()
    ]


def s4_epoch_seconds(splits: Splits, steps: int, epoch_images: int) -> float:
    """Measure steps of S4's training loop; return the seconds of one epoch."""
    model = build_model(S4.model, num_classes=len(splits.classes))
    optimizer = torch.optim.Adam(
        model.parameters(), lr=S4.max_lr / S4.div_factor, weight_decay=S4.weight_decay
    )
    loader = reference.train_loader(splits, S4)
    total = math.ceil(epoch_images / S4.batch_size) * S4.epochs
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, S4.max_lr, total)
    clock = Clock(loader, steps)
    reference.train(model, clock, optimizer, scheduler)
    return epoch_images / clock.rate


def compare_with_s4(options: argparse.Namespace, splits: Splits, runs: list) -> list:
    """Set our time to its accuracy against the time that its epochs would take."""
    images = len(splits.train)
    epoch = s4_epoch_seconds(splits, options.s4_steps, images)
    row = {
        "S4, steps measured": options.s4_steps,
        "seconds an epoch": round(epoch, 1),
        f"{S4.epochs} epochs, extrapolated": round(S4.epochs * epoch),
    }
    if options.s4_accuracy:
        ours = mean(seconds_to(rows, options.s4_accuracy) for rows in runs)
        row[f"ours to {options.s4_accuracy:.2%}"] = round(ours, 1)
        row["ratio of times"] = round(S4.epochs * epoch / ours, 1)
    return [row]


def main() -> None:
    """Train, compare, print."""
    options = arguments()
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    header()
    runtime = choose_runtime(options.device)
    recipe = replace(RECIPES[options.recipe], watch="test")
    recipe = replace(recipe, epochs=options.epochs or recipe.epochs)
    splits = chosen_splits(recipe, load(options.data).limited(options.limit))
    build(recipe, splits, runtime)  # what is imported late is no part of the time
    runs = [
        train_timed(replace(recipe, seed=seed), splits, runtime)
        for seed in range(options.seeds)
    ]
    targets = sorted({recipe.target or 0.9, options.s4_accuracy or 0.9})
    content = {
        "epochs": [row for rows in runs for row in rows],
        "summary": summary(runs, targets),
    }
    if options.s4_steps and runtime.device.type == "cpu":
        content["s4"] = compare_with_s4(options, splits, runs)
    for title, rows in content.items():
        table(rows, f"{recipe.name} on {splits.name}: {title}")
    save(options.json, data=splits.name, recipe=recipe.name, **content)


if __name__ == "__main__":
    main()
