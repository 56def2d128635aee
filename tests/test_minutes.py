"""What a page asks of its reader."""

from dataclasses import replace
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from test_manifest import CHAPTER, EDITION
from tiny_book import write_book

from sightline.book import minutes
from sightline.book.chapters import Book, read_chapter, save_notebook
from sightline.book.minutes import Demand

ROOT = Path(__file__).parents[1]
BOOK = Book(ROOT)
SVG = {"image/svg+xml": "<svg/>"}


def code(lines, tags=(), **data):
    """Make a cell of some lines of code, and an output if there are `data`."""
    outputs = [new_output("display_data", data)] if data else []
    metadata = {"tags": list(tags)}
    return new_code_cell("a\n\n" * lines, outputs=outputs, metadata=metadata)


def test_reading_takes_in_words_lines_and_figures_up_to_the_exercises():
    listing = {"text/markdown": "*From it:*\n\n```python\nb\n\nc\n```\n"}
    cells = [
        new_markdown_cell("word " * 400 + "\n$$x = 1 + 2 + 3$$"),
        code(22, **listing),
        code(100, ["check"]),
        code(100, ["hide-input"], **SVG),
        code(100, ["hide-cell"], **SVG),
        new_markdown_cell("end\n\n## Exercises\n\n" + "word " * 1000),
        code(100),
        code(0, **SVG),
    ]
    assert minutes.words(cells) == 401
    assert len(minutes.shown_lines(cells[:6])) == 22
    assert minutes.reading_minutes(cells) == 6  # 401 / 200 + 24 / 12 + 1, rounded up
    assert minutes.reading_minutes(cells[:1]) == 2


def test_a_page_says_its_times_as_far_as_they_are_known():
    demand = Demand(read=9, full=600, fast=20, trains=0, needs=None)
    times = "10 minutes (20 seconds in the fast profile)"
    assert str(demand) == f"9 minutes to read · {times} to run"
    assert str(replace(demand, full=0)).endswith(
        "20 seconds in the fast profile to run"
    )
    assert str(replace(demand, full=0, fast=0)) == "9 minutes to read"
    trains = str(replace(demand, trains=3600))
    assert trains.endswith(", 60 minutes more if the network is not trained yet")


def test_times_come_from_the_edition_and_in_the_fast_profile_from_its_own_run(tmp_path):
    book = Book(write_book(tmp_path))
    path = book.notebook("01_first")
    save_notebook(read_chapter(book.source("01_first")), path)
    chapter = replace(CHAPTER, fast_seconds=5.0)
    full = replace(EDITION, chapters={"01_first": chapter})
    (demand,) = minutes.demands(book, [path], full, full).values()
    assert (demand.full, demand.fast, demand.trains) == (46.8, 5.0, 0)
    fast = replace(full, profile="fast", chapters={"01_first": CHAPTER})
    (demand,) = minutes.demands(book, [path], full, fast).values()
    assert (demand.full, demand.fast) == (46.8, 46.8)
    (demand,) = minutes.demands(book, [path], None, None).values()
    assert (demand.full, demand.fast) == (0, 0)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(new_code_cell("run = notebook.main_run(edition)"))
    save_notebook(notebook, path)
    (demand,) = minutes.demands(book, [path], full, full).values()
    assert (demand.trains, demand.full) == (600.0, 46.8)
    longer = replace(full, chapters={"01_first": replace(chapter, seconds=650.0)})
    (made,) = minutes.demands(book, [path], longer, longer).values()
    assert (made.trains, made.full) == (600.0, 50.0)
    texts = minutes.substitutions(book, {"01_first": demand})
    assert texts["main_run"] == "10 minutes"
    assert minutes.substitutions(book, {})["main_run"] == "hours"
    assert texts["pace"] == "200 words, 12 lines or 1 figure a minute"
    assert texts["read_01_first"] == "1\N{NO-BREAK SPACE}min"
    assert texts["run_01_first"] == "47\N{NO-BREAK SPACE}s"
    assert texts["read_02_second"] == texts["run_02_second"] == "–"


@pytest.mark.parametrize("name", BOOK.chapters)
def test_a_page_says_which_earlier_pages_it_builds_on(name):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_bytes())
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    order = [Path(entry["file"]).stem for entry in entries]
    needs = minutes.needed(BOOK, name)
    assert needs is not None, "its header lacks `needs`, below `formats`"
    for other in needs:
        assert other in BOOK.chapters
        if name in order:
            assert order.index(other) < order.index(name), f"{other} comes later"


def test_the_pages_before_it_survive_jupytext():
    source = BOOK.source("02_residual_networks")
    again = jupytext.writes(jupytext.read(source), fmt="md:myst")
    assert "  needs: [01_data]\n" in again
