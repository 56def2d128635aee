"""Measure augmentation: whole batches at once against albumentations.

Each line is measured on one core, except for worker processes, which take what there
is. The share is that of augmentation in the time of our training step, on one core.

    python benchmarks/augmentation.py --data PATH
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import torch
from common import Clock, alternate, header, save, table, training_rate, versus

from sightline.data.datasets import load
from sightline.data.loaders import albumentations_loader
from sightline.data.split import Splits
from sightline.data.transforms import TransformedDataset, train_transform
from sightline.training.machine import keep_freed_memory
from sightline.training.parts import build, chosen_splits, training_loader
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

NAMES = ("resnet18", "speedrun", "s3-published")
OURS = "whole batches"
WORKERS = (0, 1, 2)
BATCH = 512  # of albumentations' loader


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="*", default=list(NAMES))
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--images", type=int, default=8192, help="a window")
    parser.add_argument("--windows", type=int, default=5, help="of every line")
    parser.add_argument("--steps", type=int, default=3, help="training steps; 0: none")
    parser.add_argument("--json", type=Path, help="write the table there, too")
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    options = parser.parse_args()
    if options.quick:
        options.recipes, options.data = ["speedrun"], "shapes"
        options.images, options.windows, options.steps = 1024, 1, 0
    return options


def batches(loader: object, images: int, batch_size: int) -> float:
    """Take batches from a loader; return images per second."""
    clock = Clock(loader, images // batch_size)
    for _ in clock:
        pass
    return clock.rate


def one_by_one(pictures: TransformedDataset, images: int) -> float:
    """Take pictures without any loader; return images per second."""
    started = time.perf_counter()
    for index in range(images):
        pictures[index]
    return images / (time.perf_counter() - started)


def contestants(
    recipe: Recipe, splits: Splits, images: int
) -> dict[str, Callable[[], float]]:
    """Return what times each way to the same kind of pictures."""
    ours = training_loader(recipe, splits, choose_runtime("cpu"))
    transform = train_transform(ours.augmentation, mean=splits.mean, std=splits.std)
    pictures = TransformedDataset(splits.train, transform)
    ways = {
        OURS: partial(batches, ours, 4 * images, recipe.batch_size),
        "albumentations": partial(one_by_one, pictures, images // 2),
    }
    for workers in WORKERS:
        loader = albumentations_loader(
            splits.train, transform, batch_size=BATCH, shuffle=True, workers=workers
        )
        name = f"albumentations, DataLoader, {workers} workers"
        ways[name] = partial(batches, loader, images, BATCH)
    return ways


def rows(name: str, options: argparse.Namespace, splits: Splits) -> list[dict]:
    """Measure one recipe and return its lines."""
    recipe = RECIPES[name]
    splits = chosen_splits(recipe, splits)
    rates = alternate(contestants(recipe, splits, options.images), options.windows)
    runtime = choose_runtime("cpu")
    training = options.steps and training_rate(
        build(recipe, splits, runtime), runtime, options.steps
    )
    return [
        {
            "recipe": name,
            "augmentation": way,
            "images/s": round(median(rate)),
            "ours, times": round(versus(rates[OURS], rate), 1),
            "share of a step": f"{training / median(rate):.1%}"
            if training and way == OURS
            else "",
        }
        for way, rate in rates.items()
    ]


def main() -> None:
    """Measure and print."""
    options = arguments()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()
    header()
    splits = load(options.data)
    lines = [row for name in options.recipes for row in rows(name, options, splits)]
    table(lines, "Augmentation on one core (worker processes: on all)")
    save(options.json, augmentation=lines)


if __name__ == "__main__":
    main()
