"""Measure what each ingredient of our recipe brings: take one away at a time.

All rows train the same small network on the same images for equally many epochs, with
the same seeds; a row's difference to the first row is taken seed by seed.

    python benchmarks/ablation.py --data PATH --json book/results/ablation.json
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from common import header, reduced, save, table

from sightline.data.datasets import load
from sightline.training.machine import keep_freed_memory
from sightline.training.recipe import variant
from sightline.training.recipes import RECIPES
from sightline.training.train import train

CHANGES = {  # of the recipe resnet18, with a network that a CPU can train often
    "as it is": {},
    "without mirror images": {"flip": 0.0},
    "without shifts": {"crop_padding": 0},
    "with cutout 16": {"cutout": 16},
    "without label smoothing": {"label_smoothing": 0.0},
    "without weight decay": {"weight_decay": 0.0},
    "decay of gains and biases too": {"decay": "all"},
    "plain momentum, not Nesterov's": {"nesterov": False},
    "constant learning rate": {"schedule": "constant", "max_lr": 0.025},
    "cosine, no climb": {"schedule": "cosine"},
    "straight climb and fall": {"anneal": "linear"},
    "batches of 512": {"batch_size": 512},
    "Adam (0.002)": {"optimizer": "adam", "max_lr": 0.002},
    "Muon (0.05)": {
        **{"optimizer": "muon", "max_lr": 0.05, "bias_lr": 0.05, "head_lr": 0.05},
        "weight_decay": 0.0,
    },
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--model", default="resnet10")
    parser.add_argument("--limit", type=int, default=5000, help="training images")
    parser.add_argument("--test-limit", type=int, default=5000, help="test images")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the table there, too")
    return parser.parse_args()


def main() -> None:
    """Train all rows, seed after seed, and print the table."""
    options = arguments()
    keep_freed_memory()
    header()
    splits = reduced(load(options.data), options.limit, options.test_limit)
    accuracies: dict[str, list[float]] = {name: [] for name in CHANGES}
    base = replace(RECIPES["resnet18"], model=options.model, epochs=options.epochs)
    for seed in range(options.seeds):
        for name, changes in CHANGES.items():
            recipe = variant(base, seed=seed, **changes)
            with tempfile.TemporaryDirectory() as folder:
                run = train(recipe, splits, out=folder, progress=False)
                accuracies[name].append(run.manifest["test"]["accuracy"])
            print(f"seed {seed}  {name:32} {accuracies[name][-1]:.2%}", flush=True)
        base_accuracies = accuracies["as it is"]
        rows = [row(n, values, base_accuracies) for n, values in accuracies.items()]
        protocol = (
            f"{options.model}, {options.limit:,} images × {options.epochs} epochs, "
            f"{options.test_limit:,} test images, {seed + 1} seeds"
        )
        save(options.json, protocol=protocol, digest=splits.digest, rows=rows)
    table(rows, protocol)


def row(name: str, accuracies: list[float], ours: list[float]) -> dict:
    """Return mean accuracy and the paired difference to ours, in points."""
    points = [100 * (a - b) for a, b in zip(accuracies, ours, strict=False)]
    spread = stdev(points) if len(points) > 1 else 0.0
    return {
        "change": name,
        "accuracy": round(100 * mean(accuracies), 2),
        "difference": round(mean(points), 2),
        "std over seeds": round(spread, 2),
        "seeds": len(points),
        "accuracies": [round(100 * a, 2) for a in accuracies],
    }


if __name__ == "__main__":
    main()
