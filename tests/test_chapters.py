"""Chapters: found, read, checked, linted."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from tiny_book import write_book

from sightline.book import chapters
from sightline.errors import SightlineError


@pytest.fixture
def root(tmp_path):
    return write_book(tmp_path)


def test_chapters_are_chosen_by_number_name_or_file(root):
    book = chapters.Book(root)
    assert book.choose(["02"]) == ["02_second"]
    assert book.choose(["book/02_second.md", "01_first"]) == ["01_first", "02_second"]
    assert book.choose([]) == ["01_first", "02_second"]
    with pytest.raises(SightlineError, match="choose from: 01_first, 02_second"):
        book.choose(["09"])


def test_a_folder_that_is_not_the_book_is_refused(tmp_path):
    with pytest.raises(SightlineError, match="it has no _toc.yml"):
        chapters.Book(tmp_path)


def test_a_chapter_without_a_notebook_is_a_problem_with_a_remedy(root):
    book = chapters.Book(root)
    (said,) = chapters.problems(book, "01_first", book.pages)
    assert said.startswith("book/01_first.ipynb is missing; run: sightline book run")


def test_new_prose_reaches_an_executed_chapter_and_new_code_does_not(root):
    source, executed = root / "book/01_first.md", root / "book/01_first.ipynb"
    done = chapters.read_chapter(source)
    for number, cell in enumerate(chapters.code_cells(done), 1):
        cell.execution_count = number
        cell.outputs = [new_output("stream", name="stdout", text=str(number))]
    chapters.save_notebook(done, executed)
    text = source.read_text(encoding="utf-8")
    source.write_text(
        text.replace("# A chapter", "# Another chapter"), encoding="utf-8"
    )
    (said,) = chapters.problems(chapters.Book(root), "01_first", root / "book")
    assert "cell 1 is not its source's; its code is the same" in said
    chapters.refresh(source, executed)
    assert chapters.problems(chapters.Book(root), "01_first", root / "book") == []
    after = nbformat.read(executed, as_version=4)
    assert [c.outputs[0].text for c in chapters.code_cells(after)] == ["1", "2", "3"]
    source.write_text(
        text.replace("print(profile", "print(data, profile"), encoding="utf-8"
    )
    before = executed.read_bytes()
    chapters.refresh(source, executed)
    assert executed.read_bytes() == before


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (new_code_cell("1"), "was never executed"),
        (
            new_code_cell(
                "1", execution_count=1, outputs=[new_output("error", ename="E")]
            ),
            "ends in E",
        ),
        (
            new_code_cell(
                "1",
                execution_count=1,
                outputs=[new_output("display_data", {"image/svg+xml": "<svg/>"})],
            ),
            "without alternative text",
        ),
        (
            new_code_cell(
                "1", execution_count=1, metadata={"tags": ["injected-parameters"]}
            ),
            "parameters were left in",
        ),
    ],
)
def test_a_faulty_cell_is_found(cell, said):
    assert any(said in problem for problem in chapters.cell_problems(cell))


def test_ids_of_cells_depend_on_their_text_only(root):
    path = root / "book/01_first.md"
    first = [cell.id for cell in chapters.read_chapter(path).cells]
    assert first == [cell.id for cell in chapters.read_chapter(path).cells]
    assert len(set(first)) == len(first)


def test_the_cover_is_the_figure_of_the_tagged_cell(tmp_path):
    cell = new_code_cell(
        "1",
        outputs=[new_output("display_data", {"image/svg+xml": "<svg/>"})],
        metadata={"tags": ["cover"], "mystnb": {"image": {"alt": "a dog"}}},
    )
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "06.ipynb")
    assert chapters.cover_figure([tmp_path / "06.ipynb"]) == ("<svg/>", "a dog")
    assert chapters.cover_figure([]) is None


def test_lint_names_the_source_and_repairs_it(root):
    (root / "pyproject.toml").write_text(
        '[tool.ruff]\nlint.select = ["F", "I"]\n', encoding="utf-8"
    )
    path = root / "book/01_first.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace("import sys", "import os, sys"),
        encoding="utf-8",
    )
    said = chapters.lint(root=root)
    assert any(line.startswith("book/01_first.md:cell 3:") for line in said)
    chapters.lint(root=root, fix=True)
    assert chapters.lint(root=root) == []
    assert "import sys\n" in path.read_text(encoding="utf-8")
