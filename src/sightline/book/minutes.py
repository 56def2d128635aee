"""What a page asks of its reader: minutes to read, time to run, pages before it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from sightline.book.chapters import Book, tags
from sightline.book.manifest import EditionRecord, duration

__all__ = [
    "PACE",
    "Demand",
    "demands",
    "reading_minutes",
    "shown_lines",
    "substitutions",
    "words",
]

#: of each, in a minute. Most adults read 175 to 300 words of non-fiction (Brysbaert,
#: 2019, doi 10.1016/j.jml.2019.104047); lines of code and figures are estimates
PACE = {"words": 200, "lines": 12, "figures": 1}
SPACE = "\N{NO-BREAK SPACE}"
FOLDED = {
    *["hide-input", "hide-cell", "remove-cell", "remove-input"],
    *["parameters", "check", "solution"],
}
HIDDEN = {"hide-output", "hide-cell", "remove-cell", "remove-output", "solution"}


@dataclass(frozen=True)
class Demand:
    """What one page asks of its reader."""

    read: int  #: minutes, without its exercises
    full: float  #: seconds to run it in full, 0 if not measured
    fast: float  #: the same in the fast profile
    trains: float  #: seconds of the main run, if the page takes it; else 0
    needs: tuple[str, ...] | None  #: pages that it builds on, None if it does not say

    def __str__(self) -> str:
        """Say all but the pages before it in one line."""
        facts = f"{self.read} minutes to read"
        if times := self.times():
            facts += f" · {times} to run"
        if self.full and self.trains:
            facts += f", {duration(self.trains)} more if the network is not trained yet"
        return facts

    def times(self) -> str:
        """Return the time to run in both profiles, as far as it was measured."""
        full, fast = (duration(s) if s else "" for s in (self.full, self.fast))
        if full and fast:
            return f"{full} ({fast} in the fast profile)"
        return full or (f"{fast} in the fast profile" if fast else "")


def demands(
    book: Book,
    notebooks: Sequence[Path],
    committed: EditionRecord | None,
    built: EditionRecord | None,
) -> dict[str, Demand]:
    """Return what each executed page asks, by its name.

    The times are those of the `committed` edition; one that is built from a fast run
    brings its own of that profile.
    """
    full = committed.chapters if committed else {}
    fast = built.chapters if built and built.profile == "fast" else {}
    run = committed.run if committed else None
    found, trained = {}, False
    for path in notebooks:
        name, cells = path.stem, nbformat.read(path, as_version=4).cells
        takes = any("main_run(" in cell.source for cell in cells)
        trains = run.manifest["train_seconds"] if takes and run else 0.0
        seconds = full[name].seconds if name in full else 0.0
        if takes and not trained and seconds > trains:  # it made the main run itself
            seconds -= trains
        trained |= takes
        fast_seconds = full[name].fast_seconds if name in full else 0.0
        found[name] = Demand(
            read=reading_minutes(cells),
            full=seconds,
            fast=fast[name].seconds if name in fast else fast_seconds,
            trains=trains,
            needs=needed(book, name),
        )
    return found


def needed(book: Book, name: str) -> tuple[str, ...] | None:
    """Return the pages that a page builds on: `needs` in its header, below jupytext."""
    needs = jupytext.read(book.source(name)).metadata["jupytext"].get("needs")
    return None if needs is None else tuple(needs)


def substitutions(book: Book, found: Mapping[str, Demand]) -> dict[str, str]:
    """Return what pages may quote, such as {{ read_NAME }} and {{ run_NAME }}."""
    paces = [
        f"{pace} {kind[: None if pace > 1 else -1]}" for kind, pace in PACE.items()
    ]
    texts = {"pace": f"{', '.join(paces[:-1])} or {paces[-1]} a minute"}
    trains = max([demand.trains for demand in found.values()], default=0.0)
    texts["main_run"] = duration(trains) if trains else "hours"
    for name in book.chapters:
        demand = found.get(name)
        texts[f"read_{name}"] = f"{demand.read}{SPACE}min" if demand else "–"
        texts[f"run_{name}"] = brief(demand.full) if demand else "–"
    return texts


def brief(seconds: float) -> str:
    """Write a time as short as a table wants it; a dash for 0, which is not known."""
    value, unit = duration(seconds).split()
    short = {"minutes": "min", "seconds": "s"}[unit]
    return f"{value}{SPACE}{short}" if seconds else "–"


def reading_minutes(cells: Sequence[NotebookNode]) -> int:
    """Return the minutes that reading a page takes, up to its exercises."""
    cells = before_exercises(cells)
    code = [c for c in cells if c.cell_type == "code" and not HIDDEN & set(tags(c))]
    outputs = [out.get("data", {}) for c in code for out in c.get("outputs", [])]
    figures = sum(any(k.startswith("image/") for k in data) for data in outputs)
    listings = "\n".join(data.get("text/markdown", "") for data in outputs)
    library = re.findall(r"^```python\n(.*?)^```", listings, flags=re.M | re.S)
    lines = [*shown_lines(cells), *filter(str.strip, "".join(library).splitlines())]
    amounts = {"words": words(cells), "lines": len(lines), "figures": figures}
    return math.ceil(sum(amounts[kind] / PACE[kind] for kind in PACE))


def before_exercises(cells: Sequence[NotebookNode]) -> Sequence[NotebookNode]:
    """Return the cells of a page up to the one in which its exercises begin."""
    for number, cell in enumerate(cells):
        if re.search(r"^## Exercises", cell.source, flags=re.M):
            return cells[: number + 1]  # whose words before the heading count
    return cells


def words(cells: Sequence[NotebookNode]) -> int:
    """Count the words of a page before its exercises, without formulas and marks."""
    text = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    text = f"\n{text}".split("\n## Exercises")[0]
    text = re.sub(r"\$\$.*?\$\$", "", text, flags=re.S)
    text = re.sub(r"^(```|:::).*$|^:\w+:.*$", "", text, flags=re.M)
    return len(re.sub(r"\{[\w:]+\}`(.*?)`", r"\1", text).split())


def shown_lines(cells: Sequence[NotebookNode]) -> list[str]:
    """Return the lines of code that a reader sees without opening anything."""
    shown = [
        cell
        for cell in cells
        if cell.cell_type == "code" and not FOLDED & set(tags(cell))
    ]
    lines = [line for cell in shown for line in cell.source.splitlines()]
    return [line for line in lines if line.strip()]
