"""Chapters: a text file people edit, and the notebook executed from it."""

import ast
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from sightline.errors import SightlineError
from sightline.files import write_atomically

__all__ = [
    "Book",
    "check",
    "clean",
    "cover_figure",
    "lint",
    "problems",
    "read_chapter",
    "refresh",
    "save_notebook",
    "text_of",
]

COVER = "cover"  # the tag of the one cell whose figure stands on the first page


class Book:
    """Where the parts of the book lie in one checkout.

    Args:
        root: the folder of `_toc.yml`; `None`: the checkout this package came from.
    """

    def __init__(self, root: str | Path | None = None):
        self.root = Path(root or Path(__file__).parents[3]).resolve()
        if not (self.root / "_toc.yml").exists():
            raise SightlineError(
                f"{self.root} is not the book: it has no _toc.yml. Run this in a "
                "checkout, with the package installed from it (make does both)"
            )
        self.pages = self.root / "book"
        self.edition = self.pages / "results" / "edition.json"

    @property
    def chapters(self) -> list[str]:
        """Return the names of the chapters that have a source, in order."""
        numbered = sorted(path.stem for path in self.pages.glob("[0-9][0-9]_*.md"))
        return numbered + [path.stem for path in self.pages.glob("demo.md")]

    def choose(self, chapters: Sequence[str]) -> list[str]:
        """Return the chapters named, by name, number or file; all if none is.

        Raises:
            SightlineError: if a name fits no chapter.
        """
        chosen = []
        for name in map(lambda name: Path(name).stem, chapters):
            found = [c for c in self.chapters if name in (c, c[:2])]
            if not found:
                known = ", ".join(self.chapters)
                raise SightlineError(f"no chapter {name!r}; choose from: {known}")
            chosen += found
        return sorted(set(chosen)) or self.chapters

    def stage(self, profile: str) -> Path:
        """Return the folder that holds what belongs to one profile."""
        return self.root / "_build" / profile


def read_chapter(path: Path) -> NotebookNode:
    """Read a chapter's source as a notebook whose cell ids depend on its text only."""
    chapter = jupytext.read(path)
    seen: dict[str, int] = {}
    for cell in chapter.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}"
    return chapter


def clean(done: NotebookNode) -> NotebookNode:
    """Drop what papermill and the clock left behind, so that equal runs are equal."""
    done.metadata.pop("papermill", None)
    done.metadata.pop("widgets", None)
    done.metadata.get("language_info", {}).pop("version", None)
    done.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    done.metadata["accelerator"] = "GPU"  # what Colab should offer
    done.cells = [
        cell for cell in done.cells if "injected-parameters" not in tags(cell)
    ]
    count = 0
    for cell in done.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not tags(cell):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            count += 1
            clean_outputs(cell, count)
    return done


def clean_outputs(cell: NotebookNode, count: int) -> None:
    """Number a code cell and drop its progress bars."""
    cell.execution_count = count
    cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    for out in cell.outputs:
        if out.output_type == "execute_result":
            out.execution_count = count


def tags(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def text_of(chapter: NotebookNode) -> list[tuple]:
    """Return what source and executed notebook must have in common."""
    return [
        (
            c.cell_type,
            c.source,
            tuple(tags(c)),
            json.dumps(c.metadata.get("mystnb"), sort_keys=True),
        )
        for c in chapter.cells
    ]


def save_notebook(done: NotebookNode, path: Path) -> None:
    """Write a notebook atomically."""
    text = nbformat.writes(done).rstrip() + "\n"
    write_atomically(path, lambda file: file.write_text(text))


def image_options(cell: NotebookNode) -> dict[str, str]:
    """Return what a cell says about its image."""
    return cell.metadata.get("mystnb", {}).get("image", {})


def cover_figure(notebooks: Sequence[Path]) -> tuple[str, str] | None:
    """Return the figure of the cell tagged `cover`, and its alternative text."""
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            for out in cell.get("outputs", []) if COVER in tags(cell) else []:
                if svg := out.get("data", {}).get("image/svg+xml"):
                    return svg, image_options(cell)["alt"]
    return None


def problems(book: Book, name: str, folder: Path) -> list[str]:
    """Return what is wrong with an executed chapter, each with its remedy."""
    path = folder / f"{name}.ipynb"
    shown = path.relative_to(book.root)
    profile = "full" if folder == book.pages else folder.parent.name
    again = f"run: sightline book run --profile {profile} {name}"
    if not path.exists():
        return [f"{shown} is missing; {again}"]
    done = nbformat.read(path, as_version=4)
    here, there = text_of(jupytext.read(book.pages / f"{name}.md")), text_of(done)
    if here != there:
        pairs = enumerate(zip(here, there, strict=False), 1)
        shorter = min(len(here), len(there))
        number = next((n for n, (a, b) in pairs if a != b), shorter + 1)
        if same_code(read_chapter(book.pages / f"{name}.md"), done):
            again = "its code is the same, so run: sightline book check --fix"
        return [f"{shown}: cell {number} is not its source's; {again}"]
    return [
        f"{shown}, cell {number}: {what}"
        for number, cell in enumerate(done.cells, 1)
        for what in cell_problems(cell)
    ]


def same_code(source: NotebookNode, done: NotebookNode) -> bool:
    """Tell whether two notebooks run the same code: comments and layout aside."""
    return [meaning(cell) for cell in code_cells(source)] == [
        meaning(cell) for cell in code_cells(done)
    ]


def code_cells(chapter: NotebookNode) -> list[NotebookNode]:
    """Return the code cells of a notebook."""
    return [cell for cell in chapter.cells if cell.cell_type == "code"]


def meaning(cell: NotebookNode) -> str:
    """Return a cell's code without comments and layout; magics as they are."""
    try:
        return ast.unparse(ast.parse(cell.source))
    except SyntaxError:
        return cell.source


def refresh(source: Path, executed: Path) -> None:
    """Bring prose, tags and alternative texts of an executed chapter up to date.

    Nothing happens unless its code is that of the source: outputs stay true.
    """
    chapter, done = read_chapter(source), nbformat.read(executed, as_version=4)
    if text_of(chapter) == text_of(done) or not same_code(chapter, done):
        return
    for cell, old in zip(code_cells(chapter), code_cells(done), strict=True):
        cell.outputs, cell.execution_count = old.outputs, old.execution_count
    chapter.metadata = done.metadata
    save_notebook(chapter, executed)


def cell_problems(cell: NotebookNode) -> Iterator[str]:
    """Yield what is wrong with one executed cell."""
    if "injected-parameters" in tags(cell):
        yield "papermill's parameters were left in"
    if cell.cell_type != "code":
        return
    if cell.execution_count is None and cell.source.strip():
        yield "was never executed"
    for out in cell.outputs:
        if out.output_type == "error":
            yield f"ends in {out.ename}"
        kinds = out.get("data", {})
        if any(kind.startswith("image/") for kind in kinds) and not image_options(
            cell
        ).get("alt"):
            yield "shows an image without alternative text (mystnb: image: alt)"


def lint(*, root: str | Path | None = None, fix: bool = False) -> list[str]:
    """Format-check and lint the code cells of all chapters.

    Args:
        root: the checkout.
        fix: write ruff's repairs back into the sources.

    Returns:
        ruff's complaints, with the names of the sources.
    """
    book = Book(root)
    ruff = str(Path(sys.executable).with_name("ruff"))
    config = ["--config", str(book.root / "pyproject.toml")]
    config += ["--config", "line-length=76", "--output-format", "concise"]
    rules = ["check", "--ignore", "D", *(["--fix"] if fix else [])]
    layout = ["format", *([] if fix else ["--check"])]
    commands = [[ruff, *command, *config] for command in (rules, layout)]
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "book"
        pages.mkdir()
        for name in book.chapters:
            nbformat.write(
                read_chapter(book.pages / f"{name}.md"), pages / f"{name}.ipynb"
            )
        complaints = []
        for command in commands:
            files = [f"book/{name}.ipynb" for name in book.chapters]  # not excluded
            done = subprocess.run(
                [*command, *files], cwd=folder, capture_output=True, text=True
            )
            if done.returncode:
                said = (done.stdout + done.stderr).replace(".ipynb", ".md")
                complaints += said.strip().splitlines()
        for name in book.chapters if fix else ():
            write_back(pages / f"{name}.ipynb", book.pages / f"{name}.md")
    return complaints


def write_back(fixed: Path, source: Path) -> None:
    """Put repaired cells into a chapter's source, leaving all else as it is."""
    chapter = jupytext.read(source)
    repaired = nbformat.read(fixed, as_version=4)
    for cell, new in zip(chapter.cells, repaired.cells, strict=True):
        cell.source = new.source
    text = jupytext.writes(chapter, fmt="md:myst")
    if text != source.read_text():
        write_atomically(source, lambda file: file.write_text(text))


def check(*, root: str | Path | None = None, fix: bool = False) -> None:
    """Check sources and committed notebooks of all chapters.

    Args:
        root: the checkout.
        fix: first let ruff repair the sources and bring the prose of the committed
            notebooks up to date.

    Raises:
        SightlineError: if anything is wrong; the message lists it.
    """
    book = Book(root)
    complaints = lint(root=root, fix=fix)
    if book.edition.exists():
        for name in book.chapters:
            executed = book.pages / f"{name}.ipynb"
            if fix and executed.exists():
                refresh(book.pages / f"{name}.md", executed)
            complaints += problems(book, name, book.pages)
    if complaints:
        said = "\n".join(complaints)
        raise SightlineError(
            f"the chapters need work:\n{said}\nWhat can be repaired without running "
            "anything is repaired by: sightline book check --fix"
        )
    print(f"{len(book.chapters)} chapters are in order")
