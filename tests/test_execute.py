"""Executing chapters, on a book of two tiny ones."""

import multiprocessing
import re
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from tiny_book import HEADER, write_book

from sightline.book import execute, notebook
from sightline.book.chapters import Book, problems, read_chapter
from sightline.book.manifest import (
    edition_line,
    edition_tables,
    identify,
    read_edition,
)
from sightline.errors import SightlineError

pytestmark = pytest.mark.book
FAILING = "```{code-cell} ipython3\nimages = 0\nimages / 0\n```\n"


@pytest.fixture
def root(tmp_path):
    return write_book(tmp_path)


def cells_of(path):
    """Cells of an executed notebook."""
    return nbformat.read(path, as_version=4).cells


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """The checkout after a fast run."""
    folder = write_book(tmp_path_factory.mktemp("fast"))
    execute.run("fast", jobs=2, root=folder)
    return folder


def test_a_fast_run_leaves_the_book_alone(fast):
    assert not list((fast / "book").glob("*.ipynb"))
    assert not (fast / "book" / "results").exists()


def test_a_chapter_gets_its_profile_and_this_interpreter(fast):
    cells = cells_of(fast / "_build/fast/executed/01_first.ipynb")
    assert cells[2].outputs[0].text == f"fast None {sys.executable}\n"


def test_an_executed_chapter_is_clean(fast):
    done = nbformat.read(fast / "_build/fast/executed/01_first.ipynb", as_version=4)
    assert "papermill" not in done.metadata
    assert [c.execution_count for c in done.cells if c.cell_type == "code"] == [1, 2, 3]
    for cell in done.cells:
        assert not {"papermill", "execution"} & set(cell.metadata)
        assert "injected-parameters" not in cell.metadata.get("tags", [])
        for out in cell.get("outputs", []):
            assert out.get("name") != "stderr"


def test_the_manifest_says_what_was_executed_on_what(fast):
    record = read_edition(fast / "_build/fast/executed/edition.json")
    assert list(record.chapters) == ["01_first", "02_second"]
    assert record.profile == "fast"
    assert record.data.label == "drawn shapes"
    assert record.chapters["01_first"].seconds > 0
    assert "Fast edition: drawn shapes" in edition_line(record)
    assert "| `02_second` |" in edition_tables(record)


def test_an_edition_takes_the_seconds_of_a_fast_run_of_the_same_code(fast, tmp_path):
    book = Book(shutil.copytree(fast, tmp_path / "copy"))
    record = read_edition(book.executed("fast") / "edition.json")
    seconds = record.chapters["01_first"].seconds
    assert execute.fast_seconds(book, "01_first") == seconds > 0
    source = book.source("01_first")
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("# A chapter", "# New words"), encoding="utf-8")
    assert execute.fast_seconds(book, "01_first") == seconds
    source.write_text(text.replace("print(profile", "print(1, profile"), "utf-8")
    assert execute.fast_seconds(book, "01_first") == 0
    shutil.rmtree(book.executed("fast"))
    assert execute.fast_seconds(book, "01_first") == 0


def test_nothing_is_executed_again_when_it_is_kept(fast, capsys):
    path = fast / "_build/fast/executed/01_first.ipynb"
    before = path.stat().st_mtime_ns
    execute.run("fast", jobs=1, root=fast, keep=True)
    assert path.stat().st_mtime_ns == before
    assert "01_first  kept" in capsys.readouterr().out


def test_chapters_entered_at_the_same_time_are_all_recorded(root, monkeypatch):
    book, path = Book(root), root / "_build/edition.json"
    path.parent.mkdir()
    edition = notebook.edition("fast")
    chapter = identify(read_chapter(book.source("01_first")), edition)
    write = execute.write_edition

    def write_slowly(record, path):
        time.sleep(0.05)  # between reading and writing
        write(record, path)

    monkeypatch.setattr(execute, "write_edition", write_slowly)
    names = [f"{number:02}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(
            pool.map(lambda n: execute.enter(book, edition, {n: chapter}, path), names)
        )
    assert list(read_edition(path).chapters) == names


def test_a_full_run_replaces_the_committed_notebooks_and_is_the_same_twice(
    root, capsys
):
    execute.run("full", data="shapes", chapters=["01"], root=root)
    begun, ended = re.findall(r"^01_first  (.*)$", capsys.readouterr().out, re.M)
    assert begun == "begins" and re.fullmatch(r"\d+\.\d s", ended)
    path = root / "book" / "01_first.ipynb"
    first = path.read_bytes()
    assert cells_of(path)[2].outputs[0].text.startswith("full shapes ")
    record = read_edition(root / "book/results/edition.json")
    assert list(record.chapters) == ["01_first"]
    execute.run("full", data="shapes", chapters=["01_first"], root=root)
    assert path.read_bytes() == first


def test_a_failing_chapter_is_named_and_leaves_the_book_alone(root):
    chapter = root / "book" / "02_second.md"
    chapter.write_text(HEADER + "\n" + FAILING, encoding="utf-8")
    (root / "book" / "02_second.ipynb").write_text("the last edition", encoding="utf-8")
    with pytest.raises(SightlineError) as caught:
        execute.run("full", data="shapes", chapters=["02"], root=root)
    said = str(caught.value)
    assert "chapter 02_second failed in code cell 3" in said
    assert "images = 0" in said
    assert "ZeroDivisionError: division by zero" in said
    partial = root / "_build/full/executed/02_second.partial.ipynb"
    assert str(partial) in said and partial.exists()
    last = (root / "book" / "02_second.ipynb").read_text(encoding="utf-8")
    assert last == "the last edition"


def test_a_failing_chapter_ends_the_one_that_runs_beside_it(root):
    slow = "```{code-cell} ipython3\nimport time\n\ntime.sleep(300)\n```\n"
    for name, cell in (("01_first", slow), ("02_second", FAILING)):
        (root / "book" / f"{name}.md").write_text(
            HEADER + "\n" + cell, encoding="utf-8"
        )
    with pytest.raises(SightlineError, match="02_second failed in code cell 3"):
        execute.run("fast", jobs=2, root=root)
    assert not multiprocessing.active_children()
    assert not (root / "_build/fast/executed/01_first.ipynb").exists()


def test_a_notebook_that_is_not_its_source_is_a_problem(fast):
    book = Book(fast)
    executed = fast / "_build/fast/executed"
    assert problems(book, "02_second", executed) == []
    source = fast / "book/02_second.md"
    text = source.read_text(encoding="utf-8")
    source.write_text(
        text.replace("print(profile", "print(data, profile"), encoding="utf-8"
    )
    (said,) = problems(book, "02_second", executed)
    source.write_text(text, encoding="utf-8")
    assert "cell 3 is not its source's; run: sightline book run" in said
