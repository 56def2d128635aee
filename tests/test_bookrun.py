"""Executing and checking chapters, on a book of two tiny ones."""

import json
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from sightline import bookrun
from sightline.errors import SightlineError

HEADER = """\
---
jupytext:
  formats: ipynb,md:myst
  notebook_metadata_filter: -jupytext.text_representation.jupytext_version
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [parameters]

profile = "full"
data = None
```

```{code-cell} ipython3
import sys

print(profile, data, sys.executable)
print("a bar", file=sys.stderr)
```
"""
LAST = "```{code-cell} ipython3\nprofile\n```\n"
FAILING = "```{code-cell} ipython3\nimages = 0\nimages / 0\n```\n"


def write_book(folder):
    """Write a checkout with two chapters and nothing executed."""
    (folder / "book").mkdir()
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/index\nparts: []\n")
    (folder / "pyproject.toml").write_text("[tool.ruff]\n")
    for name in ("01_first", "02_second"):
        (folder / "book" / f"{name}.md").write_text(HEADER + "\n" + LAST)
    return folder


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
    bookrun.run("fast", root=folder)
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
    manifest = bookrun.read_manifest(fast / "_build/fast/executed/edition.json")
    assert list(manifest["chapters"]) == ["01_first", "02_second"]
    assert manifest["profile"] == "fast"
    assert manifest["data"]["label"] == "drawn shapes"
    assert manifest["chapters"]["01_first"]["seconds"] > 0
    assert "Fast edition: drawn shapes" in bookrun.edition_line(manifest)
    assert "| `02_second` |" in bookrun.edition_tables(manifest)


def test_nothing_is_executed_again_when_it_is_kept(fast, capsys):
    path = fast / "_build/fast/executed/01_first.ipynb"
    before = path.stat().st_mtime_ns
    bookrun.run("fast", root=fast, keep=True)
    assert path.stat().st_mtime_ns == before
    assert "01_first   kept" in capsys.readouterr().out


def test_a_full_run_replaces_the_committed_notebooks_and_is_the_same_twice(root):
    bookrun.run("full", data="shapes", chapters=["01"], root=root)
    path = root / "book" / "01_first.ipynb"
    first = path.read_bytes()
    assert cells_of(path)[2].outputs[0].text.startswith("full shapes ")
    manifest = json.loads((root / "book/results/edition.json").read_text())
    assert list(manifest["chapters"]) == ["01_first"]
    bookrun.run("full", data="shapes", chapters=["01_first"], root=root)
    assert path.read_bytes() == first


def test_a_failing_chapter_is_named_and_leaves_the_book_alone(root):
    chapter = root / "book" / "02_second.md"
    chapter.write_text(HEADER + "\n" + FAILING)
    (root / "book" / "02_second.ipynb").write_text("the last edition")
    with pytest.raises(SightlineError) as caught:
        bookrun.run("full", data="shapes", chapters=["02"], root=root)
    said = str(caught.value)
    assert "chapter 02_second failed in code cell 3" in said
    assert "images = 0" in said
    assert "ZeroDivisionError: division by zero" in said
    partial = root / "_build/full/executed/02_second.partial.ipynb"
    assert str(partial) in said and partial.exists()
    assert (root / "book" / "02_second.ipynb").read_text() == "the last edition"


def test_chapters_are_chosen_by_number_name_or_file(root):
    book = bookrun.Book(root)
    assert book.choose(["02"]) == ["02_second"]
    assert book.choose(["book/02_second.md", "01_first"]) == ["01_first", "02_second"]
    assert book.choose([]) == ["01_first", "02_second"]
    with pytest.raises(SightlineError, match="choose from: 01_first, 02_second"):
        book.choose(["09"])


def test_a_folder_that_is_not_the_book_is_refused(tmp_path):
    with pytest.raises(SightlineError, match="it has no _toc.yml"):
        bookrun.Book(tmp_path)


def test_a_chapter_without_a_notebook_is_a_problem_with_a_remedy(root):
    book = bookrun.Book(root)
    (said,) = bookrun.problems(book, "01_first", book.pages)
    assert said.startswith("book/01_first.ipynb is missing; run: sightline book run")


def test_a_notebook_that_is_not_its_source_is_a_problem(fast):
    book = bookrun.Book(fast)
    executed = fast / "_build/fast/executed"
    assert bookrun.problems(book, "02_second", executed) == []
    source = fast / "book/02_second.md"
    text = source.read_text()
    source.write_text(text.replace("# A chapter", "# Another chapter"))
    (said,) = bookrun.problems(book, "02_second", executed)
    source.write_text(text)
    assert "cell 1 is not its source's" in said


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
    assert any(said in problem for problem in bookrun.cell_problems(cell))


def test_ids_of_cells_depend_on_their_text_only(root):
    path = root / "book/01_first.md"
    first = [cell.id for cell in bookrun.read_chapter(path).cells]
    assert first == [cell.id for cell in bookrun.read_chapter(path).cells]
    assert len(set(first)) == len(first)


def test_the_cover_is_the_figure_of_the_tagged_cell(tmp_path):
    cell = new_code_cell(
        "1",
        outputs=[new_output("display_data", {"image/svg+xml": "<svg/>"})],
        metadata={"tags": ["cover"], "mystnb": {"image": {"alt": "a dog"}}},
    )
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "06.ipynb")
    assert bookrun.cover_figure([tmp_path / "06.ipynb"]) == ("<svg/>", "a dog")
    assert bookrun.cover_figure([]) is None


def test_lint_names_the_source_and_repairs_it(root):
    (root / "pyproject.toml").write_text('[tool.ruff]\nlint.select = ["F", "I"]\n')
    path = root / "book/01_first.md"
    path.write_text(path.read_text().replace("import sys", "import os, sys"))
    said = bookrun.lint(root=root)
    assert any(line.startswith("book/01_first.md:cell 3:") for line in said)
    bookrun.lint(root=root, fix=True)
    assert bookrun.lint(root=root) == []
    assert "import sys\n" in path.read_text()


def test_the_result_is_stated_with_its_protocol():
    manifest = {
        "data": {
            "label": "CIFAR-10",
            "training": 45000,
            "validation": 5000,
            "test": 10,
        },
        "run": {
            "recipe": {"model": "resnet18", "epochs": 8},
            "test": {"accuracy": 0.9},
            "train_seconds": 600.0,
            "device": "cpu: X",
            "precision": "bf16",
        },
    }
    said = bookrun.result_sentence(manifest)
    assert "resnet18, trained for 8 epochs on 45,000 images (CIFAR-10)" in said
    assert "**90.00%** of 10 test images" in said
    assert "5,000 validation images" in said
    assert "10 minutes on cpu: X in bf16, with one seed" in said
