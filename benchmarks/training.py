"""Measure training and evaluation of ResNet-18 against the published loop.

Every row of the first table changes one thing of the row above it, from the loop that
the published systems share to ours. All rows are measured in turn, again and again, on
the same pictures with augmentations of the same kind. Freed memory is given back in all
of them, as in the published loop; what keeping it brings, as `sightline train` does, is
measured in processes of their own, because it cannot be undone.

    python benchmarks/training.py --data PATH
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import reference
import torch
from common import Clock, alternate, header, save, table, training_rate, versus

from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.models import build_model
from sightline.training.engine import evaluate
from sightline.training.machine import keep_freed_memory
from sightline.training.parts import build, evaluation_loader
from sightline.training.recipe import variant
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime, choose_runtime

BATCH = 512  # of the published loop
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Step:
    """One row: the library's loop with these settings."""

    name: str
    precision: str
    channels_last: bool
    batch_size: int


LADDER = (
    Step("whole batches augmented at once", "fp32", False, BATCH),
    Step("channels last in memory", "fp32", True, BATCH),
    Step("bfloat16", "bf16", True, BATCH),
    Step("batches of 128", "bf16", True, 128),
)
PUBLISHED = "published loop: fp32, one picture at a time"
GIVEN, KEPT = "freed memory given back", "freed memory kept"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--steps", type=int, default=2, help="of 512 images, a window")
    parser.add_argument("--windows", type=int, default=3, help="of every row")
    parser.add_argument("--threads", type=int, help="default: as many as torch takes")
    parser.add_argument("--json", type=Path, help="write the tables there, too")
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    parser.add_argument("--last", action="store_true", help="only our rate, a number")
    parser.add_argument("--give-back", action="store_true", help="memory, with --last")
    options = parser.parse_args()
    if options.quick:
        options.data, options.model = "shapes", "resnet10"
        options.steps = options.windows = 1
    return options


def trainer(step: Step, model: str, splits: Splits, steps: int) -> Callable:
    """Return what trains `steps` batches of 512, or as many images, and times it."""
    runtime = Runtime(CPU, step.precision, step.channels_last)
    recipe = variant(
        RECIPES["resnet18"],
        model=model,
        batch_size=step.batch_size,
        crop_padding=2,
        flip=0.0,
        cutout=16,
        cutout_place="inside",
    )
    parts = build(recipe, splits, runtime)

    def measure() -> float:
        return training_rate(parts, runtime, steps * BATCH // step.batch_size)

    return measure


def published_trainer(model: str, splits: Splits, steps: int) -> Callable:
    """Return what times the published loop."""
    network = build_model(model, num_classes=len(splits.classes))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-5)
    s0 = replace(RECIPES["s0-published"], batch_size=BATCH)
    loader = reference.train_loader(splits, s0)

    def measure() -> float:
        clock = Clock(loader, steps)
        reference.train(network, clock, optimizer)
        return clock.rate

    return measure


def evaluators(model: str, splits: Splits, steps: int) -> dict[str, Callable]:
    """Return what times evaluation, the published loop and ours."""
    runtime = choose_runtime("cpu")
    published = build_model(model, num_classes=len(splits.classes))
    ours = runtime.place(build_model(model, num_classes=len(splits.classes)))
    their_loader = reference.test_loader(splits, BATCH)
    our_loader = evaluation_loader(splits.test, splits.mean, splits.std, runtime)

    def measure(loader: object, evaluate: Callable) -> float:
        clock = Clock(loader, steps)
        evaluate(clock)
        return clock.rate

    def run_ours(clock: Clock) -> None:
        evaluate(ours, clock, runtime=runtime)

    return {
        "published loop": partial(
            measure, their_loader, partial(reference.evaluate, published)
        ),
        "ours": partial(measure, our_loader, run_ours),
    }


def child(options: argparse.Namespace, kept: bool) -> float:
    """Measure the last row in a new process; freed memory is kept or given back."""
    command = [sys.executable, __file__, "--last", "--data", options.data]
    command += ["--model", options.model, "--steps", str(options.steps)]
    command += ["--threads", str(torch.get_num_threads())]
    command += [] if kept else ["--give-back"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return float(done.stdout)


def ladder(rates: dict[str, list[float]]) -> list[dict]:
    """Return the rows of the table: each with what it gained."""
    rows, names = [], list(rates)
    for name, above in zip(names, names[:1] + names, strict=False):
        rows.append(
            {
                "step": name,
                "images/s": round(median(rates[name]), 1),
                "× row above": round(versus(rates[name], rates[above]), 2),
                "× published": round(versus(rates[name], rates[names[0]]), 2),
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    splits = load(options.data)
    if options.last:
        if not options.give_back:
            keep_freed_memory()
        print(trainer(LADDER[-1], options.model, splits, options.steps)())
        return
    header()
    contestants = {PUBLISHED: published_trainer(options.model, splits, options.steps)}
    for step in LADDER:
        contestants[step.name] = trainer(step, options.model, splits, options.steps)
    training = ladder(alternate(contestants, options.windows))
    memory = {
        GIVEN: partial(child, options, False),
        KEPT: partial(child, options, True),
    }
    memory = ladder(alternate(memory, options.windows))
    both = evaluators(options.model, splits, options.steps)
    evaluation = ladder(alternate(both, options.windows))
    table(training, f"Training {options.model}: what each step brought")
    table(memory, "Ours, in a process of its own")
    table(evaluation, f"Evaluating {options.model}")
    save(options.json, training=training, memory=memory, evaluation=evaluation)


if __name__ == "__main__":
    main()
