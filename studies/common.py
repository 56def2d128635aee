"""What studies share: arms, a plan, one-thread workers, a record to go on from.

A study trains all arms with one seed before it begins the next seed, so that whatever
cuts it off leaves a balanced table. What is recorded is not trained again.
"""

import argparse
import functools
import hashlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sightline.book.notebook import label
from sightline.book.studies import StudyRecord, pack
from sightline.data.datasets import Splits, load
from sightline.errors import NonFiniteLossError
from sightline.files import read_json, write_json
from sightline.measures.evaluation import Evaluation
from sightline.training.engine import fit
from sightline.training.machine import describe, keep_freed_memory
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe, variant
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

__all__ = ["SMALL", "Arm", "Outcome", "Study", "drawn_splits", "main"]

ROOT = Path(__file__).parents[1]
RESULTS, RUNS = ROOT / "book/results", ROOT / "runs/studies"
PROBE_SECONDS = 5  # of training, for each network that has no recorded speed
EVALUATION = 1 / 3  # of a training pass: what one pass over images without it costs

# the recipe of the main run with a network that a CPU trains in minutes; no epoch is
# chosen, so that arms which validate wrongly can be compared with it
SMALL = variant(
    RECIPES["resnet18"], name="small", model="resnet10", epochs=15, keep="last"
)


@dataclass(frozen=True)
class Outcome:
    """What one training ended with."""

    history: list[dict]  #: as in `sightline.training.run.Run`
    test: Evaluation  #: read once
    extra: dict[str, Any] | None = None  #: what else the study wants to record


@dataclass(frozen=True)
class Arm:
    """One way to train; a study compares some."""

    name: str
    recipe: Recipe
    #: (recipe, splits, runtime) → Outcome, of a module; None: as the recipe says
    train: Callable[[Recipe, Splits, Runtime], Outcome] | None = None


@dataclass(frozen=True)
class Study:
    """A question, and the trainings that answer it."""

    name: str  #: of its file in book/results
    question: str
    arms: Sequence[Arm]
    images: int | None = 10_000  #: training images, drawn anew by every seed
    validation: int = 2000  #: the same for all seeds
    seeds: int = 5
    threads: int = 1  #: of one training


@dataclass(frozen=True)
class Task:
    """One training of a study."""

    arm: Arm
    seed: int
    data: str
    images: int | None
    validation: int
    threads: int

    @property
    def recipe(self) -> Recipe:
        """Return what is trained, with the seed."""
        return replace(self.arm.recipe, seed=self.seed)


@functools.cache
def whole(data: str) -> Splits:
    """Load the data once in a process."""
    return load(data, progress=False)


def drawn_splits(data: str, images: int | None, validation: int, seed: int) -> Splits:
    """Return a seed's own draw of training images; all seeds judge the same others."""
    splits = whole(data)
    if images is None:
        return splits
    classes, test = len(splits.classes), splits.test
    few = splits.limited(images, validation=validation, test=len(test), seed=seed)
    judged = splits.limited(classes, validation=validation, test=classes)
    return replace(few, validation=judged.validation, test=test)


def run(task: Task) -> dict:
    """Train once and return the row of the record."""
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    runtime, started = choose_runtime(), time.time()
    splits = drawn_splits(task.data, task.images, task.validation, task.seed)
    diverged = False
    try:
        outcome = (task.arm.train or recipe_outcome)(task.recipe, splits, runtime)
    except NonFiniteLossError:  # a network of NaN calls everything the first class
        diverged = True
        logits = torch.eye(len(splits.classes))[:1].expand(len(splits.test), -1)
        outcome = Outcome([], Evaluation(logits, splits.test.labels))
    columns = (
        "train_loss",
        "train_accuracy",
        "validation_loss",
        "validation_accuracy",
    )
    return {
        "seed": task.seed,
        "digest": splits.digest,
        "test_accuracy": round(outcome.test.accuracy, 6),
        "test_loss": round(outcome.test.loss, 4),
        "right": pack(outcome.test.right),
        **{
            column: [round(row[column], 4) for row in outcome.history]
            for column in columns
        },
        **({"diverged": True} if diverged else {}),
        **(outcome.extra or {}),
        "seconds": round(time.time() - started, 1),
        "training_seconds": round(sum(row["seconds"] for row in outcome.history), 1),
        **{k: describe(runtime)[k] for k in ("device", "precision", "revision")},
        "threads": task.threads,
        "date": time.strftime("%Y-%m-%d"),
    }


def recipe_outcome(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Train as the recipe says, in a run folder that a cut-off training resumes."""
    folder = RUNS / f"{recipe.name}-{recipe.seed}-{fingerprint(recipe, splits)}"
    try:
        done = train(recipe, splits, out=folder, resume=True, progress=False)
    except NonFiniteLossError:
        shutil.rmtree(folder)
        raise
    (folder / "state.pt").unlink(missing_ok=True)  # optimizer: to go on, no longer
    return Outcome(done.history, done.test)


def fingerprint(recipe: Recipe, splits: Splits) -> str:
    """Name a training by what it depends on: equal ones are shared by studies."""
    text = repr((sorted(recipe.flat().items(), key=str), splits.digest))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main(study: Study) -> None:
    """Print the plan, train what is missing, record every training."""
    options = arguments(study)
    runtime = choose_runtime()
    default = 6 if runtime.device.type == "cuda" else (os.cpu_count() or 1)
    jobs = options.jobs or max(default // study.threads, 1)
    record, file = read(study, options), RESULTS / f"{study.name}.json"
    tasks = list(missing(study, options, record))
    seconds = expected(study, options, record, tasks)
    plan(study, options, record, tasks, seconds, jobs)
    if options.plan or not tasks:
        return
    began, ends = time.time(), deadline(options.minutes)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running: dict[Future, Task] = {}
        while tasks or running:
            while tasks and len(running) < jobs:
                task = tasks.pop(0)
                if time.time() + seconds[task.arm.name] < ends:
                    running[pool.submit(run, task)] = task
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task, row = running.pop(future), future.result()
                keep(record, task, row)
                write_json(
                    file,
                    {"study": study.name, **asdict(record)},
                    remedy="start this study again",
                )
                left = sum(seconds[t.arm.name] for t in tasks) / jobs
                print(
                    f"{(time.time() - began) / 60:6.1f} min  {task.arm.name:36} seed "
                    f"{task.seed}  test {row['test_accuracy']:7.2%}  "
                    f"{row['seconds']:6.0f} s  about {left / 60:.0f} min left",
                    flush=True,
                )


def arguments(study: Study) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=study.question)
    parser.add_argument("arms", nargs="*", help="only arms that begin so")
    parser.add_argument("--data", default="cifar10", help="cifar10 or a folder")
    parser.add_argument("--seeds", type=int, default=study.seeds)
    parser.add_argument("--jobs", type=int, help="trainings at a time")
    parser.add_argument("--minutes", type=float, help="begin none that ends later")
    parser.add_argument("--plan", action="store_true", help="print the plan, stop")
    return parser.parse_args()


def deadline(minutes: float | None) -> float:
    """Return when to end, in seconds since 1970."""
    return float("inf") if minutes is None else time.time() + 60 * minutes


def read(study: Study, options: argparse.Namespace) -> StudyRecord:
    """Return what is recorded, with the protocol of this start."""
    file = RESULTS / f"{study.name}.json"
    record = StudyRecord.of(read_json(file) if file.exists() else {})
    record.question = study.question
    splits = whole(options.data)
    record.protocol = {
        "data": label(options.data, splits.name),
        "digest": splits.digest,
        "images": {
            "training": study.images or len(splits.train),
            "validation": study.validation,
            "test": len(splits.test),
        },
    }
    return record


def missing(
    study: Study, options: argparse.Namespace, record: StudyRecord
) -> Iterator[Task]:
    """Yield the trainings that are not recorded, seed after seed."""
    for seed in range(options.seeds):
        for arm in study.arms:
            if options.arms and not arm.name.startswith(tuple(options.arms)):
                continue
            if arm.name in record.arms and record.recipe(arm.name) != arm.recipe:
                print(f"{arm.name}: recorded by another recipe; it is trained again")
                del record.arms[arm.name]
            if arm.name in record.arms and seed in record.seeds(arm.name):
                continue
            yield Task(
                arm, seed, options.data, study.images, study.validation, study.threads
            )


def keep(record: StudyRecord, task: Task, row: dict) -> None:
    """Add a row to its arm."""
    empty = {"recipe": asdict(task.arm.recipe), "trainings": []}
    record.arms.setdefault(task.arm.name, empty)["trainings"].append(row)


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
    few = whole(task.data).limited(8 * task.recipe.batch_size, validation=10, test=10)
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
