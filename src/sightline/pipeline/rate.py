"""The choice of the learning rate, each measurement of which is kept."""

import math
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from sightline import plots
from sightline.errors import SightlineError
from sightline.measures.numbers import duration
from sightline.pipeline.network import measured_speed
from sightline.pipeline.state import Pipeline
from sightline.training import choices
from sightline.training.choices import Choice, trial_epochs, try_rate
from sightline.training.lr_finder import RangeTest, suggest
from sightline.training.train import range_tests

__all__ = ["find_rate"]

RANGE_SEEDS = (0, 1, 2)
UPDATES = 100  # of a range test


def find_rate(pipeline: Pipeline) -> None:
    """Choose the largest learning rate by range tests."""
    choice = pipeline.choose("max_lr", lambda: measure_rate(pipeline))
    pipeline.say(f"  max_lr {choice.value:.2g}: {choice.why}")


def measure_rate(pipeline: Pipeline) -> Choice:
    """Run the range tests; return the rate, why it was chosen, and the speed."""
    recipe = pipeline.chosen_recipe
    say_cost(pipeline)
    rows = [range_test(pipeline, seed) for seed in RANGE_SEEDS]
    tests = [RangeTest(row["lrs"], row["losses"], row["stopped"]) for row in rows]
    batch = min(recipe.batch_size, len(pipeline.splits.train))
    with suppress(SightlineError):  # of curves that are too short to read
        curves = plots.lr_curves(tests, [suggest(test) for test in tests])
        plots.save(curves, pipeline.out / "rate.svg")
    choice = choices.choose_rate(recipe, tests, partial(short_training, pipeline))
    images = batch * sum(len(test.lrs) for test in tests)
    speed = images / sum(row["seconds"] for row in rows)
    return replace(choice, images_per_second=speed)


def say_cost(pipeline: Pipeline) -> None:
    """Say how long the measurements will take."""
    recipe, splits = pipeline.chosen_recipe, pipeline.splits
    speed = measured_speed(pipeline, recipe, len(splits.classes))
    batch = min(recipe.batch_size, len(splits.train))
    tests = duration(len(RANGE_SEEDS) * UPDATES * batch / speed)
    trials = duration(2 * trial_epochs(recipe) * len(splits.train) / speed)
    pipeline.say(
        f"  {len(RANGE_SEEDS)} range tests, about {tests}; if they point far from "
        f"{recipe.max_lr:g}, two short trainings, about {trials}"
    )


def range_test(pipeline: Pipeline, seed: int) -> dict:
    """Run the range test of one seed."""
    p = pipeline
    one: dict[str, Any] = {"seeds": [seed], "num_iter": UPDATES, "progress": p.progress}

    def measure() -> dict:
        return asdict(range_tests(p.chosen_recipe, p.splits, p.runtime, **one)[0])

    name = f"range test {seed + 1} of {len(RANGE_SEEDS)}"
    return pipeline.measured("rate.json", name, measure)


def short_training(pipeline: Pipeline, rate: float) -> float:
    """Return the validation loss of a short training at a rate."""

    def measure() -> dict:
        loss = try_rate(pipeline.chosen_recipe, pipeline.splits, pipeline.runtime, rate)
        return {"loss": loss if math.isfinite(loss) else None}

    name = f"short training at {rate:.2g}"
    loss = pipeline.measured("rate.json", name, measure)["loss"]
    return math.inf if loss is None else loss
