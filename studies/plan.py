"""What a study will cost and can see, and what it has seen."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

import torch
from arms import Study, Task, whole
from rich.console import Console
from rich.table import Table

from sightline.book.studies import StudyRecord
from sightline.measures.inference import estimate, power
from sightline.training.engine import fit
from sightline.training.machine import keep_freed_memory
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.runtime import choose_runtime

__all__ = ["expected", "plan", "table"]

MARGIN = 0.005  # of accuracy: what is below is called no larger than half a point
ASSUMED = 0.008, 0.003  # sd of a paired difference over seeds; error of the images
PROBE_SECONDS = 5  # of training, for each network that has no recorded speed
EVALUATION = 1 / 3  # of a training pass: what one pass over images without it costs


def expected(
    study: Study,
    options: argparse.Namespace,
    record: StudyRecord,
    tasks: Sequence[Task],
) -> dict[str, float]:
    """Return the seconds of one training of each arm, recorded or by a probe."""
    speeds: dict[tuple, float] = {}
    seconds = {}
    for task in tasks:
        name, recipe = task.arm.name, task.arm.recipe
        if name in seconds:
            continue
        if name in record.arms and record.arms[name]["trainings"]:
            seconds[name] = float(record.values(name, "seconds").median())
            continue
        key = (recipe.model, recipe.batch_size, recipe.norm)
        if key not in speeds:
            speeds[key] = probe(task)
        pictures = passes(study, options, recipe)
        seconds[name] = pictures / speeds[key]
    return seconds


def passes(study: Study, options: argparse.Namespace, recipe: Recipe) -> float:
    """Return pictures trained on, those only evaluated counted as a third."""
    splits = whole(options.data)
    images = study.images or len(splits.train)
    judged = recipe.epochs * study.validation + len(splits.test)
    return recipe.epochs * images + EVALUATION * judged


def probe(task: Task) -> float:
    """Return training images per second of a task's network, one thread."""
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    runtime = choose_runtime()
    few = whole(task.data).limited(4 * task.recipe.batch_size, validation=10, test=10)
    recipe = replace(task.recipe, epochs=1000)
    parts, began, speed = build(recipe, chosen_splits(recipe, few), runtime), None, 0.0
    for epoch in fit(parts, recipe, runtime, progress=False):
        began = began or time.time()  # the first epoch warms up
        speed = max(speed, epoch.images_per_second)
        if time.time() - began > PROBE_SECONDS:
            break
    return speed


def plan(
    study: Study,
    options: argparse.Namespace,
    record: StudyRecord,
    tasks: Sequence[Task],
    seconds: dict[str, float],
    jobs: int,
) -> None:
    """Print what will be trained and how long it takes."""
    hours = sum(seconds[task.arm.name] for task in tasks) / 3600 / jobs
    pictures = sum(passes(study, options, task.arm.recipe) for task in tasks)
    done = sum(len(arm["trainings"]) for arm in record.arms.values())
    print(f"{study.name}: {study.question}")
    print(f"{len(study.arms)} arms, {options.seeds} seeds, {done} trainings recorded")
    print(
        f"{len(tasks)} trainings to do, {pictures / 1e6:,.1f} million pictures, about "
        f"{hours:.1f} hours, {jobs} at a time with {study.threads} thread(s) each",
        flush=True,
    )
    print(power_line(study, options, record))


def power_line(study: Study, options: argparse.Namespace, record: StudyRecord) -> str:
    """Say which difference these seeds will show, by what is recorded or assumed."""
    seeds = len(study.seeds[: options.seeds])
    if seeds < 2:
        return "one seed: a difference is about these networks only"
    sd, error, source = *ASSUMED, "assumed"
    compared = record.compare(recorded_controls(study, record))
    known = [effect for effect in compared.values() if effect.seeds > 2]
    if known:
        sd = median(effect.seed_sd for effect in known)
        error = median(effect.image_error for effect in known)
        source = f"median of {len(known)} recorded rows"
    seen = next(
        d
        for d in range(1, 1000)
        if power(d / 1e3, seeds, sd=sd, image_error=error) > 0.8
    )
    return (
        f"{seeds} seeds see a difference of {seen / 10:.1f} points in 80 % of studies; "
        f"sd of seeds {100 * sd:.2f}, error of images {100 * error:.2f}, {source}"
    )


def recorded_controls(study: Study, record: StudyRecord) -> dict[str, str]:
    """Return what each arm is compared with, where both have a seed in common."""
    controls = study.controls(record) if record.arms else {}
    return {
        arm: control
        for arm, control in controls.items()
        if {arm, control} <= set(record.arms) and record.seeds(arm, control)
    }


def table(study: Study, record: StudyRecord) -> None:
    """Print what is recorded: each arm, and its difference to its control."""
    if not record.arms:
        return
    controls = recorded_controls(study, record)
    compared = record.compare(controls)
    names = ("arm", "seeds", "updates", "validation", "test", "against", "difference")
    grid = Table(*names, "from", "to", "p (Holm)", "verdict", title=study.question)
    for arm in record.arms:
        recipe, accuracy = record.recipe(arm), estimate(record.answers(arm))
        validated = record.values(arm, "validation_accuracy").mean().item()
        updates = recipe.epochs * -(
            -record.protocol["images"]["training"] // recipe.batch_size
        )
        row = [arm, str(accuracy.seeds), f"{updates:,}", f"{validated:.2%}"]
        row.append(f"{accuracy.mean:.2%}")
        if effect := compared.get(arm):
            points = (effect.difference, effect.low, effect.high)
            row += [controls[arm], *(f"{100 * value:+.2f}" for value in points)]
            row += [f"{effect.p:.2g}", effect.verdict(MARGIN)]
        grid.add_row(*row)
    hours = sum(sum(record.values(arm, "seconds")) for arm in record.arms) / 3600
    Console(width=170).print(grid)
    print(f"{float(hours):.1f} hours of one thread; margin {100 * MARGIN:g} points")
