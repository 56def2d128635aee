"""What a study is: arms, seeds, pictures; and the small recipe that most vary."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline.book.studies import StudyRecord
from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.measures.evaluation import Evaluation
from sightline.training.recipe import Recipe, variant
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime

__all__ = [
    "RESULTS",
    "RUNS",
    "SMALL",
    "Arm",
    "Outcome",
    "Study",
    "Task",
    "drawn_splits",
    "whole",
]

ROOT = Path(__file__).parents[1]
RESULTS, RUNS = ROOT / "book/results", ROOT / "runs/studies"

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


def first_arm(record: StudyRecord) -> dict[str, str]:
    """Compare every arm with the first one."""
    control, *others = record.arms
    return dict.fromkeys(others, control)


@dataclass(frozen=True)
class Study:
    """A question, and the trainings that answer it."""

    name: str  #: of its file in book/results
    question: str
    arms: Sequence[Arm]
    images: int | None = 10_000  #: training images, drawn anew by every seed
    validation: int = 2000  #: the same for all seeds
    seeds: Sequence[int] = range(5)
    threads: int = 1  #: of one training
    #: what each arm is compared with in the table
    controls: Callable[[StudyRecord], Mapping[str, str]] = first_arm


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
