"""Train every recipe of the five systems, and ours, at one equal budget.

Resumable: what is finished is not trained again, what was cut off goes on. The table
is written after every run, so a later run on faster hardware only fills it up.

    python benchmarks/systems.py --data PATH                      # reduced budget
    python benchmarks/systems.py --data PATH --full --seeds 3     # as the recipes say
"""

import argparse
from dataclasses import replace
from datetime import date
from pathlib import Path

from common import header, reduced, table

from sightline.book.notebook import label
from sightline.data.datasets import load
from sightline.files import read_json, write_json
from sightline.training.machine import keep_freed_memory
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES
from sightline.training.train import train

ORDER = (
    "resnet18",
    "resnet18-muon",
    "s0",
    "s4",
    "s3",
    "s2",
    "a9",
    "s4b",
    "s1",
    "s4-sgd",
    "s2-first",
)
NAMES = [
    name
    for system in ORDER
    for name in (system, f"{system}-published", f"{system}-corrected")
    if name in RECIPES
]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("recipes", nargs="*", default=NAMES, help="default: all")
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--full", action="store_true", help="all images, own epochs")
    parser.add_argument("--limit", type=int, default=5000, help="training images")
    parser.add_argument("--test-limit", type=int, default=5000, help="test images")
    parser.add_argument("--epochs", type=int, default=4, help="of every recipe")
    parser.add_argument("--seeds", type=int, default=1, help="of every recipe")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument(
        "--results", type=Path, default=Path("book/results/systems.json")
    )
    return parser.parse_args()


def budget(options: argparse.Namespace) -> str:
    """Name the budget that all rows of one column share."""
    if options.full:
        return "full: all training images, each recipe's own epochs"
    return (
        f"reduced: {options.limit:,} images × {options.epochs} epochs, "
        f"{options.test_limit:,} test images"
    )


def record(recipe: Recipe, folder: Path, manifest: dict, history: list[dict]) -> dict:
    """Return one row of the results."""
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "run": str(folder),
        "test_accuracy": manifest["test"]["accuracy"],
        "best_epoch": manifest["best_epoch"],
        "watched": [row["validation_accuracy"] for row in history],
        "train_loss": [row["train_loss"] for row in history],
        "seconds": manifest["train_seconds"],
        "date": date.today().isoformat(),
        **{
            key: manifest[key]
            for key in ("data", "digest", "images", "device", "threads", "precision")
        },
        "torch": manifest["torch"],
        "settings": recipe.flat(),
    }


def keep(results: Path, column: str, row: dict) -> None:
    """Put a row into the file, in the place of an older one of the same run."""
    columns = read_json(results) if results.exists() else {}
    rows = columns.setdefault(column, [])
    key = (row["recipe"], row["seed"], row["digest"])
    rows[:] = [r for r in rows if (r["recipe"], r["seed"], r["digest"]) != key]
    rows.append(row)
    write_json(results, columns, remedy="start this script again")


def main() -> None:
    """Train what is missing and print the table."""
    options = arguments()
    keep_freed_memory()
    header()
    splits = load(options.data)
    splits = replace(splits, name=label(options.data, splits.name))
    if not options.full:
        splits = reduced(splits, options.limit, options.test_limit)
    rows = []
    for seed in range(options.seeds):
        for name in options.recipes:
            recipe = replace(RECIPES[name], seed=seed)
            if not options.full:
                recipe = replace(recipe, epochs=options.epochs)
            folder = options.out / ("full" if options.full else "reduced")
            folder = folder / f"{name}-seed{seed}"
            run = train(recipe, splits, out=folder, resume=True, device=options.device)
            row = record(recipe, folder, run.manifest, run.history)
            keep(options.results, budget(options), row)
            rows.append(
                {
                    "recipe": name,
                    "seed": seed,
                    "test": f"{row['test_accuracy']:.2%}",
                    "last watched": f"{row['watched'][-1]:.2%}",
                    "training s": row["seconds"],
                }
            )
            print(rows[-1], flush=True)
    table(rows)


if __name__ == "__main__":
    main()
