"""What does the LR range test draw for the recipes whose best rate is measured?

Records the curves, not the suggestions: a rule is applied where it is discussed.

    python studies/range_tests.py [--data FOLDER] [--seeds 5]
"""

import argparse
import time

import torch
from rates import GRIDS
from study import RESULTS, drawn_splits

from sightline.book.notebook import label
from sightline.files import read_json, write_json
from sightline.training.machine import describe, keep_freed_memory
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime
from sightline.training.train import range_tests

RECIPES_TESTED = {
    **{name: recipe for name, (recipe, _) in GRIDS.items()},
    "resnet18": RECIPES["resnet18"],  # the main run
}
FILE = RESULTS / "range_tests.json"


def main() -> None:
    """Test every recipe with every seed that is not recorded yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    runtime = choose_runtime()
    content = read_json(FILE) if FILE.exists() else {"tests": []}
    done = {(row["recipe"], row["seed"]) for row in content["tests"]}
    for seed in range(options.seeds):
        splits = drawn_splits(options.data, 10_000, 2000, seed)
        for name, recipe in RECIPES_TESTED.items():
            if (name, seed) in done:
                continue
            began = time.time()
            (test,) = range_tests(
                recipe, splits, runtime, seeds=[seed], end_lr=30.0, progress=False
            )
            content["tests"].append(
                {
                    "recipe": name,
                    "seed": seed,
                    "lrs": [float(f"{lr:.6g}") for lr in test.lrs],
                    "losses": [round(loss, 5) for loss in test.losses],
                    "stopped": test.stopped,
                    "seconds": round(time.time() - began, 1),
                }
            )
            content["protocol"] = {
                "data": label(options.data, splits.name),
                "images": 10_000,
                "start_lr": 1e-5,
                "end_lr": 30.0,
                "num_iter": 100,
                **describe(runtime),
            }
            write_json(FILE, content, remedy="start this study again")
            print(f"{name} seed {seed}: {test.stopped}", flush=True)


if __name__ == "__main__":
    main()
