"""Runs side by side: what differs between them, and by how much."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from sightline.errors import RunError, SightlineError
from sightline.measures.inference import Verdict, effects, estimate
from sightline.measures.metrics import confusion_matrix
from sightline.measures.numbers import with_interval
from sightline.models import build_model
from sightline.training.engine import best_row
from sightline.training.machine import MACHINE
from sightline.training.recipe import Recipe
from sightline.training.run import Run

__all__ = ["Comparison", "Entry", "Pair", "compare", "target_sentence"]

OTHER_PICTURES, OTHER_BUDGET = "†", "‡"
ON_TEST = "§"  # marks what was measured on test images after every epoch
DESCRIPTIONS = ("target", "reported", "protocol", "source", "repaired")  # not causes
LOSSES = ("label_smoothing", "l1", "l1_of")  # decide what a training loss means


@dataclass(frozen=True)
class Entry:
    """One run in a comparison; None where it has no number yet."""

    name: str  #: of the folder, with as much of its path as tells runs apart
    path: str
    recipe: Recipe
    parameters: int | None  #: that training changes; None for a model of the past
    data: str
    digest: str
    images: dict[str, int]  #: of the training, validation and test part
    epochs_done: int
    best_accuracy: float | None  #: validation, 0..1
    best_epoch: int | None
    test_accuracy: float | None  #: 0..1
    test_interval: tuple[float, float] | None  #: 95 %, of this network's accuracy
    train_seconds: float | None
    images_per_second: float | None  #: of training
    machine: dict[str, object]
    resumed_on: list[dict]  #: further machines
    history: list[dict]  #: one row an epoch, as in `Run.history`
    same_data: bool  #: as the first run
    same_budget: bool

    @property
    def budget(self) -> str:
        """Say how many training images the finished run has seen, and how often."""
        images = self.images["training"]
        return f"{self.recipe.epochs} epochs of {images:,} training images"

    def cells(self) -> list[str]:
        """Write the row of a table; – where there is nothing yet."""
        marks = OTHER_PICTURES * (not self.same_data)
        marks += OTHER_BUDGET * (not self.same_budget)
        best, test, ends = "–", "–", self.test_interval
        if self.best_accuracy is not None:
            mark = ON_TEST * (self.recipe.watch == "test")
            best = f"{self.best_accuracy:.2%} ({self.best_epoch}){mark}"
        if self.test_accuracy is not None and ends is not None:
            test = f"{self.test_accuracy:.2%} ({ends[0]:.2%} to {ends[1]:.2%})"
        seconds, speed = self.train_seconds, self.images_per_second
        return [
            f"{self.name} {marks}".strip(),
            self.recipe.model,
            "–" if self.parameters is None else f"{self.parameters:,}",
            self.data,
            f"{self.images['training']:,}",
            f"{self.epochs_done}/{self.recipe.epochs}",
            best,
            test,
            "–" if seconds is None else f"{seconds:,.1f}",
            "–" if speed is None else f"{speed:,.0f}",
        ]


@dataclass(frozen=True)
class Pair:
    """The test results of two runs, compared image by image."""

    run: str
    minus: str  #: name of the first run
    images: int
    difference: float  #: of the accuracies, -1..1
    interval: tuple[float, float]  #: 95 %
    p: float  #: adjusted for all pairs
    verdict: Verdict  #: about these two networks
    only_run: int  #: images that this run alone classifies correctly
    only_minus: int
    confusion_difference: list[list[int]]  #: (K, K), rows actual

    def sentence(self) -> str:
        """Say how far apart the two are."""
        points = [100 * value for value in (self.difference, *self.interval)]
        return (
            f"{self.run} minus {self.minus}: {with_interval(points, 2)} points of "
            f"test accuracy with the 95% interval, {self.verdict}; of "
            f"{self.images:,} images {self.only_run:,} are right only in {self.run}, "
            f"{self.only_minus:,} only in {self.minus}."
        )


@dataclass(frozen=True)
class Comparison:
    """Two or more runs side by side; the first is the reference."""

    classes: tuple[str, ...]
    runs: tuple[Entry, ...]
    recipe_differences: dict[str, dict[str, object]]  #: field → name → value
    paired: tuple[Pair, ...]  #: each later run with the first, if tested alike
    notes: tuple[str, ...]  #: what to know before the numbers are compared

    def as_json(self) -> dict:
        """Return everything as plain values."""
        return asdict(self)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Lay out the results: header, and a row for each run."""
        header = ["run", "model", "parameters", "data", "training\nimages", "epochs"]
        header += ["best validation\naccuracy (epoch)", "test accuracy\n(95% interval)"]
        return [*header, "seconds", "images/s"], [entry.cells() for entry in self.runs]

    def recipe_table(self) -> tuple[list[str], list[list[str]]]:
        """Lay out the recipes: header, and a row for each field that differs."""
        names = [entry.name for entry in self.runs]
        rows = [
            [field, *("–" if values[n] is None else str(values[n]) for n in names)]
            for field, values in self.recipe_differences.items()
        ]
        return ["recipe", *names], rows

    def sentences(self) -> list[str]:
        """Say everything that belongs below the tables: notes, targets, differences."""
        lines = list(self.notes)
        for entry in self.runs:
            if entry.recipe.target is not None and entry.test_accuracy is not None:
                sentence = target_sentence(entry.test_accuracy, entry.recipe.target)
                lines.append(f"{entry.name}: {sentence}.")
        lines += [pair.sentence() for pair in self.paired]
        if self.paired:
            lines.append(
                "The intervals cover the choice of test images, not that of seeds: "
                "each run is one training, and what is larger here may be smaller with "
                "other seeds."
            )
        return lines


def compare(runs: Sequence[Run]) -> Comparison:
    """Gather what distinguishes two or more runs; the first is the reference.

    Unfinished runs give what they have.

    Raises:
        RunError: if a folder is no run or named twice, or if classes differ.
        SightlineError: if there are fewer than two.
    """
    if len(runs) < 2:
        raise SightlineError(
            f"a comparison needs at least two run folders, not {len(runs)}"
        )
    names = unique_names([run.path for run in runs])
    for run in runs:
        if run.classes != runs[0].classes:
            raise RunError(
                f"{run.path} distinguishes {', '.join(run.classes)}, but "
                f"{runs[0].path} {', '.join(runs[0].classes)}; compare runs of the "
                "same classes"
            )
    first, *others = zip(names, runs, strict=True)
    entries = [describe(name, run, runs[0]) for name, run in (first, *others)]
    differences = recipe_differences(entries)
    return Comparison(
        classes=runs[0].classes,
        runs=tuple(entries),
        recipe_differences=differences,
        paired=tuple(paired(first, others)),
        notes=tuple(notes(entries, set(differences))),
    )


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each folder by as many last parts of its path as tell all apart."""
    folders = [path.resolve() for path in paths]
    twice = next((f for i, f in enumerate(folders) if f in folders[:i]), None)
    if twice:
        raise RunError(f"{twice} is named twice; name different run folders")
    deepest = max(len(folder.parts) for folder in folders)
    choices = (
        [Path(*folder.parts[-length:]).as_posix() for folder in folders]
        for length in range(1, deepest + 1)
    )
    return next(names for names in choices if len(set(names)) == len(names))


def describe(name: str, run: Run, first: Run) -> Entry:
    """Gather the facts about one run, and whether it may be held against the first."""
    manifest, history, recipe = run.manifest, run.history, run.recipe
    budgets = [
        each.recipe.epochs * each.manifest["images"]["training"]
        for each in (run, first)
    ]
    seconds = sum(row["seconds"] for row in history)
    seen = sum(row["seconds"] * row["images_per_second"] for row in history)
    best = best_row(history) if history else {}
    accuracy = manifest["test"]["accuracy"] if run.finished else None
    interval = estimate(run.test.right) if run.finished else None
    return Entry(
        name=name,
        path=str(run.path),
        recipe=recipe,
        parameters=trained_parameters(recipe, len(run.classes)),
        data=manifest["data"],
        digest=manifest["digest"],
        images=manifest["images"],
        epochs_done=len(history),
        best_accuracy=best.get("validation_accuracy"),
        best_epoch=best.get("epoch"),
        test_accuracy=accuracy,
        test_interval=(interval.low, interval.high) if interval else None,
        train_seconds=round(seconds, 1) if history else None,
        images_per_second=round(seen / seconds, 1) if history else None,
        machine={key: manifest.get(key) for key in MACHINE},
        resumed_on=manifest.get("resumed_on", []),
        history=history,
        same_data=manifest["digest"] == first.manifest["digest"],
        same_budget=budgets[0] == budgets[1],
    )


def trained_parameters(recipe: Recipe, num_classes: int) -> int | None:
    """Count the parameters that training changes; None for a model of the past."""
    try:
        with torch.device("meta"):  # shapes without memory
            model = build_model(recipe.model, num_classes=num_classes, norm=recipe.norm)
    except SightlineError:
        return None
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def recipe_differences(entries: Sequence[Entry]) -> dict[str, dict[str, object]]:
    """Return, for every field that differs, its value in each run."""
    recipes = {entry.name: entry.recipe.flat() for entry in entries}
    rows = {
        field: {name: recipe[field] for name, recipe in recipes.items()}
        for field in recipes[entries[0].name]
        if field not in DESCRIPTIONS
    }
    return {
        field: values
        for field, values in rows.items()
        if any(value != values[entries[0].name] for value in values.values())
    }


def paired(first: tuple[str, Run], others: Sequence[tuple[str, Run]]) -> list[Pair]:
    """Compare each later run with the first image by image, where the images are its.

    Runs of different seeds validate on other images, but test on the same.
    """
    first_name, reference = first
    alike = {name: run.test for name, run in others if same_test(run, reference)}
    if not alike:
        return []
    two = reference.test
    differences = effects({name: (one.right, two.right) for name, one in alike.items()})
    size = len(reference.classes)
    counts = confusion_matrix(two.labels, two.predictions, size)
    return [
        Pair(
            run=name,
            minus=first_name,
            images=effect.images,
            difference=effect.difference,
            interval=(effect.low, effect.high),
            p=effect.p,
            verdict=effect.verdict(),
            only_run=int((alike[name].right & ~two.right).sum()),
            only_minus=int((two.right & ~alike[name].right).sum()),
            confusion_difference=(
                confusion_matrix(two.labels, alike[name].predictions, size) - counts
            ).tolist(),
        )
        for name, effect in differences.items()
    ]


def same_test(run: Run, first: Run) -> bool:
    """Say whether two runs are finished and were tested on the same images."""
    digests = [
        (run.manifest.get(key), first.manifest.get(key))
        for key in ("digest", "test_digest")
    ]
    if not any(digest and digest == other for digest, other in digests):
        return False
    if not (run.finished and first.finished):
        return False
    return torch.equal(run.test.labels, first.test.labels)


def notes(entries: Sequence[Entry], differences: set[str]) -> list[str]:
    """Say what has to be known before the numbers are compared."""
    first, lines = entries[0], []
    alone = f"its numbers must not be compared with those of {first.name} in one column"
    if not all(entry.same_data for entry in entries):
        pictures = f"{OTHER_PICTURES} other pictures than {first.name} ({first.data})"
        lines.append(f"{pictures}: {alone}.")
    if not all(entry.same_budget for entry in entries):
        passes = f"{OTHER_BUDGET} another budget than {first.name} ({first.budget})"
        lines.append(f"{passes}: {alone}.")
    for entry in entries:
        if entry.test_accuracy is None:
            lines.append(
                f"{entry.name} is unfinished: {entry.epochs_done} of "
                f"{entry.recipe.epochs} epochs are done, and it has no test result."
            )
        if entry.recipe.watch == "test":
            lines.append(
                f"{ON_TEST} {entry.name} watched the test images, not validation "
                "images: the accuracy of its best epoch was chosen on them."
            )
    if any(entry.machine != first.machine or entry.resumed_on for entry in entries):
        lines.append("The runs were not all made on one machine: ignore their speed.")
    if differences & set(LOSSES):
        lines.append(
            "The training losses are of different kinds (label smoothing or L1): "
            "compare accuracies."
        )
    return lines


def target_sentence(accuracy: float, target: float) -> str:
    """Say whether an accuracy reaches its target, both 0..1, and by how much."""
    points = 100 * (accuracy - target)
    verdict = "reached" if points >= 0 else "missed"
    return f"target {target:.2%}: {verdict} by {abs(points):.2f} points"
