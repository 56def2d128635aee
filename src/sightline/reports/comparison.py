"""Runs side by side: what differs between them, and by how much.

A comparison is one dict that JSON can hold; tables, sentences and figures are made
from it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sightline import plots
from sightline.errors import RunError, SightlineError
from sightline.files import write_atomically
from sightline.measures.metrics import (
    confusion_matrix,
    paired_difference,
    standard_error,
)
from sightline.models import build_model
from sightline.reports.tables import markdown_table
from sightline.training.engine import best_row
from sightline.training.run import Run

__all__ = [
    "compare",
    "difference_table",
    "overview",
    "sentences",
    "target_sentence",
    "write",
]

MARKS = {"same_data": "†", "same_budget": "‡"}
ON_TEST = "§"  # marks what was measured on test images after every epoch
DESCRIPTIONS = ("target", "reported", "protocol", "source", "repaired")  # not causes
LOSSES = ("label_smoothing", "l1", "l1_of")  # decide what a training loss means
MACHINE = ("device", "threads", "precision")
NORMAL = 1.96  # standard errors on each side of a 95 % interval
ROUGH = 25  # fewer images than this decide: the normal interval is only rough


def compare(paths: Sequence[str | Path], recipes: Sequence[dict]) -> dict:
    """Gather what distinguishes two or more runs; the first is the reference.

    Args:
        paths: run folders; unfinished runs give what they have.
        recipes: the recipe of each, with the same fields.

    Raises:
        RunError: if a folder is no run or named twice, or if classes differ.
        SightlineError: if there are fewer than two.
    """
    if len(paths) < 2:
        raise SightlineError(
            f"a comparison needs at least two run folders, not {len(paths)}"
        )
    runs = dict(zip(unique_names(paths), map(Run, paths), strict=True))
    refuse_other_classes(list(runs.values()))
    rows = [
        describe(name, run, recipe)
        for (name, run), recipe in zip(runs.items(), recipes, strict=True)
    ]
    first, *others = rows
    for row in rows:
        row["same_data"] = row["digest"] == first["digest"]
        row["same_budget"] = budget(row) == budget(first)
    differences = recipe_differences(rows)
    pairs = [
        pair(runs[row["name"]], runs[first["name"]], row["name"], first["name"])
        for row in others
        if same_test(runs[row["name"]], runs[first["name"]])
    ]
    return {
        "classes": list(runs[first["name"]].classes),
        "runs": rows,
        "recipe_differences": differences,
        "paired": [found for found in pairs if found],
        "notes": notes(rows, differences),
    }


def unique_names(paths: Sequence[str | Path]) -> list[str]:
    """Name each folder by as many last parts of its path as tell all apart."""
    folders = [Path(path).resolve() for path in paths]
    twice = next((f for i, f in enumerate(folders) if f in folders[:i]), None)
    if twice:
        raise RunError(f"{twice} is named twice; name different run folders")
    deepest = max(len(folder.parts) for folder in folders)
    choices = (
        [str(Path(*folder.parts[-length:])) for folder in folders]
        for length in range(1, deepest + 1)
    )
    return next(names for names in choices if len(set(names)) == len(names))


def refuse_other_classes(runs: Sequence[Run]) -> None:
    """Raise unless all runs distinguish the same classes, in the same order."""
    first = runs[0]
    for run in runs[1:]:
        if run.classes != first.classes:
            raise RunError(
                f"{run.path} distinguishes {', '.join(run.classes)}, but {first.path} "
                f"{', '.join(first.classes)}; compare runs of the same classes"
            )


def describe(name: str, run: Run, recipe: dict) -> dict:
    """Return one row of a comparison."""
    manifest, history = run.manifest, run.history
    seconds = sum(row["seconds"] for row in history)
    seen = sum(row["seconds"] * row["images_per_second"] for row in history)
    best = best_row(history) if history else {}
    row = {
        "name": name,
        "path": str(run.path),
        "recipe": recipe,
        "model": recipe["model"],
        "parameters": trained_parameters(recipe, len(run.classes)),
        "data": manifest["data"],
        "digest": manifest["digest"],
        "images": manifest["images"],
        "epochs_done": len(history),
        "epochs": recipe["epochs"],
        "watched": recipe.get("watch", "validation"),
        "best_accuracy": best.get("validation_accuracy"),
        "best_epoch": best.get("epoch"),
        "test_accuracy": None,
        "test_standard_error": None,
        "train_seconds": round(seconds, 1) if history else None,
        "images_per_second": round(seen / seconds, 1) if history else None,
        "target": recipe.get("target"),
        "machine": {key: manifest.get(key) for key in MACHINE},
        "resumed_on": manifest.get("resumed_on", []),
        "history": history,
    }
    if run.finished:
        accuracy, images = manifest["test"]["accuracy"], manifest["images"]["test"]
        row["test_accuracy"] = accuracy
        row["test_standard_error"] = standard_error(accuracy, images)
    return row


def trained_parameters(recipe: dict, num_classes: int) -> int | None:
    """Count the parameters that training changes; None for a model of the past."""
    try:
        with torch.device("meta"):  # shapes without memory
            model = build_model(
                recipe["model"], num_classes=num_classes, norm=recipe["norm"]
            )
    except SightlineError:
        return None
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def budget(row: dict) -> int:
    """Return how many training images the finished run will have seen."""
    return row["epochs"] * row["images"]["training"]


def recipe_differences(rows: Sequence[dict]) -> dict[str, dict]:
    """Return, for every field that differs, its value in each run."""
    recipes = {row["name"]: row["recipe"] for row in rows}
    names = dict.fromkeys(field for recipe in recipes.values() for field in recipe)
    found = {}
    for field in names:
        values = {run: recipe.get(field) for run, recipe in recipes.items()}
        different = any(v != values[rows[0]["name"]] for v in values.values())
        if different and field not in DESCRIPTIONS:
            found[field] = values
    return found


def same_test(one: Run, two: Run) -> bool:
    """Tell whether both have a result on the same test images.

    Runs of different seeds validate on other images, but test on the same.
    """
    names = "digest", "test_digest"
    equal = any(
        one.manifest.get(name) and one.manifest.get(name) == two.manifest.get(name)
        for name in names
    )
    return one.finished and two.finished and equal


def pair(run: Run, first: Run, name: str, first_name: str) -> dict | None:
    """Compare two test results image by image; None if the images are others."""
    one, two = run.test, first.test
    if not torch.equal(one.labels, two.labels):
        return None
    found = paired_difference(
        one.predictions == one.labels, two.predictions == two.labels
    )
    reach = NORMAL * found.standard_error
    size = len(run.classes)
    matrices = [confusion_matrix(e.labels, e.predictions, size) for e in (one, two)]
    return {
        "run": name,
        "minus": first_name,
        "images": len(one.labels),
        "difference": found.difference,
        "standard_error": found.standard_error,
        "interval": [found.difference - reach, found.difference + reach],
        "only_run": found.only_first,
        "only_minus": found.only_second,
        "confusion_difference": (matrices[0] - matrices[1]).tolist(),
    }


def notes(rows: Sequence[dict], differences: Mapping[str, dict]) -> list[str]:
    """Say what has to be known before the numbers are compared."""
    first, said = rows[0], []
    for key, what in (("same_data", "pictures"), ("same_budget", "budget")):
        if not all(row[key] for row in rows):
            said.append(
                f"{MARKS[key]} {other(what, first)}: its numbers must not be compared "
                f"with those of {first['name']} in one column."
            )
    for row in rows:
        if row["test_accuracy"] is None:
            said.append(
                f"{row['name']} is unfinished: {row['epochs_done']} of {row['epochs']} "
                "epochs are done, and it has no test result."
            )
        if row["watched"] == "test":
            said.append(
                f"{ON_TEST} {row['name']} watched the test images, not validation "
                "images: the accuracy of its best epoch was chosen on them."
            )
    if any(row["machine"] != first["machine"] or row["resumed_on"] for row in rows):
        said.append("The runs were not all made on one machine: ignore their speed.")
    if any(field in differences for field in LOSSES):
        said.append(
            "The training losses are of different kinds (label smoothing or L1): "
            "compare accuracies."
        )
    return said


def other(what: str, first: dict) -> str:
    """Say what a mark stands for."""
    if what == "pictures":
        return f"other pictures than {first['name']} ({first['data']})"
    images = first["images"]["training"]
    return (
        f"another budget than {first['name']} ({first['epochs']} epochs of {images:,} "
        "training images)"
    )


# --- words and figures from a comparison -------------------------------------


def overview(comparison: dict) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the table with one run a row."""
    header = ["run", "model", "parameters", "data", "training\nimages", "epochs"]
    header += ["best validation\naccuracy (epoch)", "test accuracy\n± SE"]
    header += ["seconds", "images/s"]
    return header, [overview_row(row) for row in comparison["runs"]]


def overview_row(row: dict) -> list[str]:
    """Return the cells of one run; – where it has nothing yet."""
    marks = "".join(mark for key, mark in MARKS.items() if not row[key])
    best, test = row["best_accuracy"], row["test_accuracy"]
    error, mark = row["test_standard_error"], ON_TEST * (row["watched"] == "test")
    seconds, speed = row["train_seconds"], row["images_per_second"]
    return [
        f"{row['name']} {marks}".strip(),
        row["model"],
        "–" if row["parameters"] is None else f"{row['parameters']:,}",
        row["data"],
        f"{row['images']['training']:,}",
        f"{row['epochs_done']}/{row['epochs']}",
        "–" if best is None else f"{best:.2%} ({row['best_epoch']}){mark}",
        "–" if test is None else f"{test:.2%} ± {100 * error:.2f}",
        "–" if seconds is None else f"{seconds:,.1f}",
        "–" if speed is None else f"{speed:,.0f}",
    ]


def difference_table(comparison: dict) -> tuple[list[str], list[list[str]]]:
    """Return header and cells of the recipe fields that differ, one a row."""
    names = [row["name"] for row in comparison["runs"]]
    rows = [
        [field, *("–" if values[n] is None else str(values[n]) for n in names)]
        for field, values in comparison["recipe_differences"].items()
    ]
    return ["recipe", *names], rows


def sentences(comparison: dict) -> list[str]:
    """Say everything that stands below the tables: notes, targets, differences."""
    said = list(comparison["notes"])
    for row in comparison["runs"]:
        if row["target"] is not None and row["test_accuracy"] is not None:
            sentence = target_sentence(row["test_accuracy"], row["target"])
            said.append(f"{row['name']}: {sentence}.")
    said += [pair_sentence(found) for found in comparison["paired"]]
    if comparison["paired"]:
        said.append(
            "The intervals cover the choice of test images, not that of seeds: "
            "each run is one training."
        )
    return said


def pair_sentence(found: dict) -> str:
    """Say how far apart two runs are on the same test images."""
    difference, low, high = (
        f"{100 * value:+.2f}".replace("-", "−")
        for value in (found["difference"], *found["interval"])
    )
    rough = found["only_run"] + found["only_minus"] < ROUGH
    return (
        f"{found['run']} minus {found['minus']}: {difference} points of test accuracy, "
        f"95% interval {low} to {high}{' (rough)' if rough else ''}; of "
        f"{found['images']:,} images {found['only_run']:,} are right only in "
        f"{found['run']}, {found['only_minus']:,} only in {found['minus']}."
    )


def target_sentence(accuracy: float, target: float) -> str:
    """Say whether an accuracy reaches its target, both 0..1, and by how much."""
    points = 100 * (accuracy - target)
    verdict = "reached" if points >= 0 else "missed"
    return f"target {target:.2%}: {verdict} by {abs(points):.2f} points"


def write(comparison: dict, out: Path) -> list[Path]:
    """Write `compare.md`, `curves.svg` and `confusion.svg`; return what was written.

    One confusion difference is drawn for each run whose test images are those of the
    first: `confusion.svg`, or `confusion-NAME.svg` if several runs were compared.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, str] = {}  # file: alternative text
    histories = {row["name"]: row["history"] for row in comparison["runs"]}
    if any(histories.values()):
        plots.save(plots.compare_histories(histories), out / "curves.svg")
        pictures["curves.svg"] = (
            f"Validation accuracy and training loss per epoch of {', '.join(histories)}"
        )
    for found in comparison["paired"]:
        safe = found["run"].replace("/", "-")
        file = "confusion.svg" if len(histories) == 2 else f"confusion-{safe}.svg"
        matrix = torch.tensor(found["confusion_difference"])
        figure = plots.confusion_difference(
            matrix, comparison["classes"], names=(found["run"], found["minus"])
        )
        plots.save(figure, out / file)
        pictures[file] = f"Confusion counts of {found['run']} minus {found['minus']}"
    text = markdown(comparison, pictures)
    write_atomically(out / "compare.md", lambda partial: partial.write_text(text))
    return [out / "compare.md", *(out / file for file in pictures)]


def markdown(comparison: dict, pictures: Mapping[str, str]) -> str:
    """Write a comparison as a page of Markdown."""
    header, rows = difference_table(comparison)
    parts = ["# Runs side by side\n", markdown_table(*overview(comparison))]
    parts += ["## Recipes\n"]
    parts += [markdown_table(header, rows) if rows else "All recipes are equal.\n"]
    parts += ["## What to know\n"] if sentences(comparison) else []
    parts += ["".join(f"- {said}\n" for said in sentences(comparison))]
    parts += [f"![{words}]({file})\n" for file, words in pictures.items()]
    return "\n".join(part for part in parts if part)
