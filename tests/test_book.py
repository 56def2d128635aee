"""The rules that every chapter keeps."""

import ast
import re
from pathlib import Path

import jupytext
import pytest
import yaml
from lessons import LESSONS, LONG

from sightline.book.chapters import Book
from sightline.book.minutes import shown_lines, words

ROOT = Path(__file__).parents[1]
BOOK = Book(ROOT)
# the live demo installs more, and teaches less
CHAPTERS = [BOOK.source(name) for name in BOOK.chapters if name != "demo"]
SHORT = [path for path in LESSONS if path.stem not in LONG]
WORDS, LINES, FIGURES = 1800, 150, 6  # of a page, before its exercises
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_bytes())
SETUP = f"""\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("sightline") is None:  # Colab: install it
    source = "git+{CONFIG["repository"]["url"]}"
    install = [sys.executable, "-m", "pip", "install", "-q", source]
    subprocess.run(install, check=True)"""
CODE_COLUMNS = 76
HAND_LINES = 25

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
each_short_lesson = pytest.mark.parametrize("path", SHORT, ids=lambda p: p.stem)


def code_of(path: Path) -> list:
    """Code cells of a chapter."""
    return [c for c in jupytext.read(path).cells if c.cell_type == "code"]


def tagged(path: Path, tag: str) -> list:
    """Code cells of a chapter with a tag."""
    return [c for c in code_of(path) if tag in c.metadata.get("tags", [])]


def squeezed(source: str) -> str:
    """Code without the differences a formatter makes."""
    return ast.unparse(ast.parse(source))


def headings(path: Path) -> list[str]:
    """Headings of a chapter, in order."""
    text = [c.source for c in jupytext.read(path).cells if c.cell_type == "markdown"]
    return re.findall(r"^#+ (.+)$", "\n".join(text), flags=re.M)


def test_the_table_of_contents_lists_every_chapter_as_a_notebook():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_bytes())
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    assert {f"book/{path.stem}.ipynb" for path in CHAPTERS} <= set(files)


def figures_of(path: Path) -> list:
    """Cells of a page that draw a figure, solutions apart."""
    cells = [c for c in code_of(path) if "mystnb" in c.metadata]
    return [c for c in cells if "solution" not in c.metadata.get("tags", [])]


@each_short_lesson
def test_a_page_keeps_its_limits(path):
    cells = jupytext.read(path).cells
    lines = shown_lines(cells)
    assert words(cells) <= WORDS
    assert len(lines) <= LINES
    assert len(figures_of(path)) <= FIGURES


@each_chapter
def test_a_chapter_is_paired_with_its_notebook(path):
    header = yaml.safe_load(path.read_text(encoding="utf-8").split("---")[1])
    assert header["jupytext"]["formats"] == "ipynb,md:myst"
    assert "jupytext_version" not in header["jupytext"]["text_representation"]
    assert header["kernelspec"]["name"] == "python3"


@each_chapter
def test_a_chapter_is_written_as_jupytext_would_write_it(path):
    chapter = jupytext.read(path)
    again = jupytext.reads(jupytext.writes(chapter, fmt="md:myst"), fmt="md:myst")
    assert [c.source for c in again.cells] == [c.source for c in chapter.cells]


@each_chapter
def test_the_first_cell_installs_only_what_is_missing(path):
    first = code_of(path)[0]
    assert squeezed(first.source) == squeezed(SETUP)
    assert first.metadata["tags"] in (["hide-input"], ["remove-cell"])


@each_chapter
def test_the_second_cell_holds_the_parameters_of_a_full_run(path):
    second = code_of(path)[1]
    assert second.metadata["tags"][0] == "parameters"
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(second.source).body
    }
    assert values == {"profile": "full", "data": None}


@each_chapter
def test_a_chapter_says_what_it_ran_on(path):
    source = "\n".join(cell.source for cell in code_of(path))
    assert "notebook.setup()" in source
    edition = r"(edition = )?notebook\.edition\(profile, data\)$"
    assert re.search(rf"^{edition}|^print\({edition[:-1]}\)$", source, flags=re.M)
    assert re.search(r"^print\((edition|notebook\.edition\(.*\))\)$", source, re.M)


@each_lesson
def test_a_chapter_has_the_rhythm_of_the_book(path):
    found = [h.lower() for h in headings(path)]
    wanted = ["what you will build and measure", "summary", "exercises", "references"]
    places = [found.index(h) for h in wanted if h in found]
    assert len(places) == len(wanted), f"headings are {found}"
    assert places == sorted(places)


@each_chapter
def test_what_is_built_by_hand_is_short(path):
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for cell in code_of(path)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno - node.lineno + 1 > HAND_LINES
    ]
    assert not long


def test_the_first_hour_shows_at_most_forty_lines():
    cells = jupytext.read(BOOK.source("00_one_evening")).cells
    assert 20 < len(shown_lines(cells)) <= 40


@each_lesson
def test_a_chapter_checks_what_it_builds(path):
    checks = tagged(path, "check")
    assert checks
    for cell in checks:
        assert re.search(r"\bassert|assert_close|assert_allclose", cell.source)


def sections(path: Path) -> list[tuple[str, list]]:
    """Headings of the second level, each with the code cells below it."""
    found = []
    for cell in jupytext.read(path).cells:
        if cell.cell_type == "markdown":
            found += [
                (name, []) for name in re.findall(r"^## (.+)$", cell.source, re.M)
            ]
        elif cell.cell_type == "code" and found:
            found[-1][1].append(cell)
    return found


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        pytest.param(heading, cells, id=f"{path.stem}: {heading}")
        for path in CHAPTERS
        for heading, cells in sections(path)
        if "by hand" in heading.lower() or re.search(r"def \w+_by_hand\(", str(cells))
    ],
)
def test_what_is_written_by_hand_is_checked_in_its_section(heading, cells):
    assert any("check" in cell.metadata.get("tags", []) for cell in cells)


WAYS = {"LARGER", "SMALLER", "OPEN"}


def ways_of(node: ast.Dict) -> set[str]:
    """Verdicts that a dictionary has words for."""
    keys = [ast.unparse(key) for key in node.keys if key]
    return {key.removeprefix("Verdict.") for key in keys if "Verdict." in key}


@each_chapter
def test_a_chapter_has_words_for_a_verdict_whichever_way_it_falls(path):
    text = "\n".join(c.source for c in code_of(path))
    nodes = list(ast.walk(ast.parse(text)))
    names = {
        node.value: ast.unparse(node.targets[0])
        for node in nodes
        if isinstance(node, ast.Assign)
    }
    for node in nodes:
        said = ways_of(node) if isinstance(node, ast.Dict) else set()
        name = names.get(node, "no name")
        has_another_word = f"{name}.get(" in text and f"{name}[" not in text
        assert not said or said >= WAYS or has_another_word, (name, said)


@each_chapter
def test_code_fits_a_narrow_column(path):
    wide = [
        line
        for cell in code_of(path)[1:]  # the set-up cell is folded away
        for line in cell.source.splitlines()
        if len(line) > CODE_COLUMNS
    ]
    assert not wide


@each_chapter
def test_a_chapter_neither_installs_nor_changes_the_path(path):
    for cell in code_of(path)[1:]:
        for word in ("!pip", "%pip", "sys.path", "google.colab", "os.chdir", "myst_nb"):
            assert word not in cell.source


@each_chapter
def test_a_figure_has_alternative_text_that_is_a_sentence(path):
    executed = path.with_suffix(".ipynb")
    cells = jupytext.read(executed if executed.exists() else path).cells
    shown = [c for c in cells if any(map(is_figure, c.get("outputs", [])))]
    shown += [c for c in code_of(path) if "image" in c.metadata.get("mystnb", {})]
    assert shown or path not in LESSONS
    for cell in shown:
        text = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert len(text.split()) >= 6, f"{text!r} for the figure of\n{cell.source}"


def is_figure(output: dict) -> bool:
    """Tell whether an output of a cell is a picture."""
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def test_a_function_of_the_library_is_shown_in_one_chapter_only():
    shown = [
        (name, path.stem)
        for path in CHAPTERS
        for cell in code_of(path)
        for name in re.findall(r"show_source\((?:[\w.]+\.)?(\w+)\)", cell.source)
    ]
    names = [name for name, _ in shown]
    assert not [pair for pair in shown if names.count(pair[0]) > 1]


def test_a_test_that_a_chapter_names_exists():
    named = [
        (file, test, path.stem)
        for path in CHAPTERS
        for file, tests in re.findall(
            r"`tests/(test_\w+\.py)`:\s+((?:`test_\w+`(?:,? and )?\s*)+)",
            path.read_text(encoding="utf-8"),
        )
        for test in re.findall(r"`(test_\w+)`", tests)
    ]
    assert named
    for file, test, chapter in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {test}(" in text, f"{chapter}: {file} has no {test}"


def test_the_address_of_the_repository_is_the_packages_too():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'Source = "{CONFIG["repository"]["url"]}"' in project
