"""One training of a study, in a process of its own, and the row that it leaves."""

import hashlib
import shutil
import time

import torch
from arms import RUNS, Outcome, Task, drawn_splits

from sightline.book.studies import pack
from sightline.data.split import Splits
from sightline.errors import NonFiniteLossError
from sightline.measures.evaluation import Evaluation
from sightline.training.machine import describe, keep_freed_memory
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

__all__ = ["run"]

CURVES = "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"


def run(task: Task) -> dict:
    """Train once and return the row of the record."""
    torch.set_num_threads(task.threads)
    keep_freed_memory()
    runtime, started = choose_runtime(), time.time()
    splits = drawn_splits(task.data, task.images, task.validation, task.seed)
    try:
        outcome = (task.arm.train or recipe_outcome)(task.recipe, splits, runtime)
    except NonFiniteLossError:  # a network of NaN calls everything the first class
        logits = torch.eye(len(splits.classes))[:1].expand(len(splits.test), -1)
        guessed = (splits.validation.labels == 0).double().mean().item()
        extra = {"diverged": True, "validation_accuracy": [round(guessed, 4)]}
        outcome = Outcome([], Evaluation(logits, splits.test.labels), extra)
    return {
        "seed": task.seed,
        "digest": splits.digest,
        "test_accuracy": round(outcome.test.accuracy, 6),
        "test_loss": round(outcome.test.loss, 4),
        "right": pack(outcome.test.right),
        **{
            column: [round(row[column], 4) for row in outcome.history]
            for column in CURVES
        },
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
