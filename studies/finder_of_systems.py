"""Measure the range tests that S0 and S2 would have made, had they begun low.

Their own began at 0.01 to 0.3, where the loss of Adam explodes. Network, optimizer,
decay, batches of 512 and augmentation are as theirs; S2's two runs share one test.
`sightline.training.repairs` has the rates that come out.

    python studies/finder_of_systems.py --data PATH      # half an hour on one core
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from sightline.book.notebook import label
from sightline.data.datasets import load
from sightline.files import read_json, write_json
from sightline.training.lr_finder import range_test
from sightline.training.machine import describe, keep_freed_memory
from sightline.training.optim import make_optimizer
from sightline.training.parts import build, chosen_splits
from sightline.training.runtime import choose_runtime
from sightline.training.systems import PUBLISHED

RESULTS = Path(__file__).parents[1] / "book/results/finder.json"
SYSTEMS = ("s2", "s0")
WINDOW = 5  # batches: the median of their losses does not jump


def upper_bound(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """Return the rate above which the loss no longer falls: the top of a cycle.

    Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3.
    A running mean with a weight of 0.05 is late by up to 20 batches, a third of this
    test.
    """
    half = WINDOW // 2
    inner = range(half, len(losses) - half)
    return lrs[min(inner, key=lambda i: median(losses[i - half : i + half + 1]))]


def main() -> None:
    """Test each system that is not recorded yet, and record its curve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("systems", nargs="*", default=SYSTEMS, help="default: all")
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--steps", type=int, default=60, help="updates of a test")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    keep_freed_memory()
    splits, runtime = load(options.data), choose_runtime()
    record = read_json(options.json) if options.json.exists() else {}
    for system in options.systems:
        if system in record:
            continue
        recipe, began = PUBLISHED[system], time.time()
        parts = build(recipe, chosen_splits(recipe, splits), runtime)
        test = range_test(
            parts.model,
            lambda model, recipe=recipe: make_optimizer(recipe, model),
            parts.train_loader,
            loss_fn=parts.loss_fn,
            runtime=runtime,
            start_lr=1e-5,
            end_lr=1.0,
            num_iter=options.steps,
            progress=True,
        )
        record[system] = {
            "recipe": asdict(recipe),
            "data": label(options.data, splits.name),
            "digest": splits.digest,
            "lrs": test.lrs,
            "losses": test.losses,
            "max_lr": upper_bound(test.lrs, test.losses),
            "seconds": round(time.time() - began),
            **describe(runtime),
            "date": time.strftime("%Y-%m-%d"),
        }
        write_json(options.json, record, remedy="start this script again")
        print(f"{system}: max_lr {record[system]['max_lr']:.2g}", flush=True)


if __name__ == "__main__":
    main()
