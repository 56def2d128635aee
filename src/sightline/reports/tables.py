"""Tables for a terminal and for Markdown, from plain data, and words for Markdown."""

import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from sightline.files import printable
from sightline.training.engine import best_row

__all__ = ["code", "epoch_table", "markdown_table", "plain", "text_table"]

# what Markdown reads as more than a letter; _ inside a word is one
MARKS = re.compile(r"[\\`*\[\]<>&|~${}#]|:(?=//)|(?<![^\W_])_|_(?![^\W_])")

PADDING = (0, 1, 0, 0)  # top, right, bottom, left of each cell


def epoch_table(
    history: Sequence[Mapping[str, float]], *, watched: str = "validation"
) -> Table:
    """Show every epoch of a run, at least one, and mark the best.

    Images of the `watched` part, validation or test, were measured after each epoch.
    """
    best = best_row(history)
    columns = ["training\nloss", "training\naccuracy"]
    columns += [f"{watched}\nloss", f"{watched}\naccuracy"]
    caption = f"* best {watched} accuracy"
    table = Table(box=box.SIMPLE_HEAD, padding=PADDING, caption=caption)
    table.caption_justify = "left"
    for column in ("epoch", *columns, "learning rate\nfirst → last", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in history:
        mark = "*" if row is best else " "
        table.add_row(
            f"{row['epoch']}{mark}",
            f"{row['train_loss']:.4f}",
            f"{row['train_accuracy']:.2%}",
            f"{row['validation_loss']:.4f}",
            f"{row['validation_accuracy']:.2%}",
            f"{row['lr']:.3g} → {row['last_lr']:.3g}",
            f"{row['seconds']:.1f}",
            style="bold" if row is best else "",
        )
    return table


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, width: int = 80
) -> Table:
    """Lay out cells for a terminal, names at the left and numbers at the right.

    What is wider than `width` letters is turned round, if it fits then.
    """
    turned = list(zip(header, *rows, strict=True))
    if width_of([header, *rows]) > width >= width_of(turned):
        header, *rows = turned
    table = Table(box=box.SIMPLE_HEAD, padding=PADDING)
    for i, column in enumerate(header):
        table.add_column(
            Text(column), justify="right" if i else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # not markup: [a] stays [a]
    return table


def width_of(lines: Sequence[Sequence[str]]) -> int:
    """Return the letters that a line of the table takes, margins included."""
    return 2 + sum(
        1 + max(len(part) for cell in column for part in cell.split("\n"))
        for column in zip(*lines, strict=True)
    )


def plain(words: str) -> str:
    """Write words so that Markdown shows them as they are, in one line.

    Names of files and classes pass through here on their way to any page: they can
    hold pictures, links, HTML.
    """
    return MARKS.sub(r"\\\g<0>", _one_line(words))


def code(words: str) -> str:
    """Write words as code in Markdown, which nothing in them ends."""
    longest = max(map(len, re.findall("`+", words)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {_one_line(words)} {fence}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write words as a Markdown table, names at the left and numbers at the right."""
    lines = [[plain(cell) for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---", *["--:"] * (len(header) - 1)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _one_line(words: str) -> str:
    """Join lines, and write out what is no letter."""
    return printable(" ".join(words.splitlines()))
