"""A comparison as a page of Markdown with its figures."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from sightline import plots
from sightline.files import claim, write_text
from sightline.reports.comparison import Comparison
from sightline.reports.tables import markdown_table, plain

__all__ = ["write"]

LETTERS = 60  # of a run's name in that of a figure, whose bytes are limited


def write(comparison: Comparison, out: Path) -> list[Path]:
    """Write `compare.md`, `curves.svg` and `confusion.svg`; return what was written.

    One confusion difference is drawn for each run whose test images are those of the
    first: `confusion.svg`, or `confusion-NAME.svg` if several runs were compared.

    Raises:
        RunError: if `out` holds anything but a comparison, or cannot be written.
    """
    claim(out, "comparison")
    pictures: dict[str, str] = {}  # file: alternative text
    histories = {entry.name: entry.history for entry in comparison.runs}
    if any(histories.values()):
        plots.save(plots.compare_histories(histories), out / "curves.svg")
        pictures["curves.svg"] = (
            f"Validation accuracy and training loss per epoch of {', '.join(histories)}"
        )
    for pair in comparison.paired:
        safe = re.sub(r"[^\w.-]", "-", pair.run)[-LETTERS:]
        file = "confusion.svg" if len(histories) == 2 else f"confusion-{safe}.svg"
        if file in pictures:  # two runs whose names differ in other letters only
            file = f"confusion-{safe}-{len(pictures)}.svg"
        figure = plots.confusion_difference(
            torch.tensor(pair.confusion_difference),
            comparison.classes,
            names=(pair.run, pair.minus),
        )
        plots.save(figure, out / file)
        pictures[file] = f"Confusion counts of {pair.run} minus {pair.minus}"
    text = markdown(comparison, pictures)
    write_text(out / "compare.md", text)
    return [out / "compare.md", *(out / file for file in pictures)]


def markdown(comparison: Comparison, pictures: Mapping[str, str]) -> str:
    """Write a comparison as a page of Markdown."""
    header, rows = comparison.recipe_table()
    sentences = comparison.sentences()
    parts = ["# Runs side by side\n", markdown_table(*comparison.table())]
    parts += ["## Recipes\n"]
    parts += [markdown_table(header, rows) if rows else "All recipes are equal.\n"]
    parts += ["## What to know\n"] if sentences else []
    parts += ["".join(f"- {plain(sentence)}\n" for sentence in sentences)]
    parts += [f"![{plain(words)}]({file})\n" for file, words in pictures.items()]
    return "\n".join(part for part in parts if part)
