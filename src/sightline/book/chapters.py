"""Chapters: a text file people edit, and the notebook executed from it."""

import ast
import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from sightline.errors import SightlineError
from sightline.files import write_text

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


PAIRED = "---\njupytext:\n"  # begins the text of a page that has a notebook


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
        """Return the names of the pages that are executed, the numbered ones first."""
        texts = sorted(self.pages.glob("*.md"))  # digits come before letters
        return [p.stem for p in texts if p.read_text("utf-8").startswith(PAIRED)]

    def choose(self, chapters: Sequence[str]) -> list[str]:
        """Return the chapters that are named, by name, number or file; none: all.

        Raises:
            SightlineError: if a name fits no chapter.
        """
        chosen = []
        for name in map(lambda name: Path(name).stem, chapters):
            matching = [c for c in self.chapters if name in (c, c[:2])]
            if not matching:
                known = ", ".join(self.chapters)
                raise SightlineError(f"no chapter {name!r}; choose from: {known}")
            chosen += matching
        return sorted(set(chosen)) or self.chapters

    def source(self, name: str) -> Path:
        """Return the text file of a chapter."""
        return self.pages / f"{name}.md"

    def notebook(self, name: str) -> Path:
        """Return the committed notebook of a chapter."""
        return self.pages / f"{name}.ipynb"

    def stage(self, profile: str) -> Path:
        """Return the folder that holds what belongs to one profile."""
        return self.root / "_build" / profile

    def executed(self, profile: str) -> Path:
        """Return the folder of the chapters that the last run of a profile executed."""
        return self.stage(profile) / "executed"


def read_chapter(path: Path) -> NotebookNode:
    """Read a chapter's source as a notebook whose cell ids depend on its text only."""
    chapter = jupytext.read(path)
    counts: Counter[str] = Counter()
    for cell in chapter.cells:
        digest = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        counts[digest] += 1
        cell.id = f"{digest}-{counts[digest]}"
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
    for cell in done.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not tags(cell):
            cell.metadata.pop("tags", None)
    for count, cell in enumerate(code_cells(done), 1):
        cell.execution_count = count
        # progress bars are written to stderr
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
        for out in cell.outputs:
            if out.output_type == "execute_result":
                out.execution_count = count
    return done


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
    write_text(path, nbformat.writes(done).rstrip() + "\n")


def image_options(cell: NotebookNode) -> dict[str, str]:
    """Return what a cell says about its image."""
    return cell.metadata.get("mystnb", {}).get("image", {})


def cover_figure(notebooks: Sequence[Path]) -> tuple[str, str] | None:
    """Return the first page's figure, of the cell tagged `cover`, and its alt text."""
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            for out in cell.get("outputs", []) if "cover" in tags(cell) else []:
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
    source = read_chapter(book.source(name))
    executed = nbformat.read(path, as_version=4)
    pairs = enumerate(zip_longest(text_of(source), text_of(executed)), 1)
    if number := next((number for number, (a, b) in pairs if a != b), None):
        if same_code(source, executed):
            again = "its code is the same, so run: sightline book check --fix"
        return [f"{shown}: cell {number} is not its source's; {again}"]
    return [
        f"{shown}, cell {number}: {problem}"
        for number, cell in enumerate(executed.cells, 1)
        for problem in cell_problems(cell)
    ]


def same_code(source: NotebookNode, done: NotebookNode) -> bool:
    """Tell whether two notebooks run the same code: comments and layout aside."""
    one, other = ([meaning(c) for c in code_cells(each)] for each in (source, done))
    return one == other


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
        shows_image = any(kind.startswith("image/") for kind in kinds)
        if shows_image and not image_options(cell).get("alt"):
            yield "shows an image without alternative text (mystnb: image: alt)"


def lint(*, root: str | Path | None = None, fix: bool = False) -> list[str]:
    """Format-check and lint the code cells of all chapters; return ruff's complaints.

    With `fix`, write its repairs back into the sources.
    """
    book = Book(root)
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "book"
        pages.mkdir()
        for name in book.chapters:
            nbformat.write(read_chapter(book.source(name)), pages / f"{name}.ipynb")
        complaints = run_ruff(book, Path(folder), fix=fix)
        for name in book.chapters if fix else ():
            write_back(pages / f"{name}.ipynb", book.source(name))
    return complaints


def run_ruff(book: Book, folder: Path, *, fix: bool) -> list[str]:
    """Run ruff on notebooks in `folder`; return its complaints about their sources."""
    config = ["--config", str(book.root / "pyproject.toml")]
    config += ["--config", "line-length=76", "--output-format", "concise"]
    rules = ["check", "--ignore", "D", *(["--fix"] if fix else [])]
    layout = ["format", *([] if fix else ["--check"])]
    files = [f"book/{name}.ipynb" for name in book.chapters]  # named: not excluded
    complaints = []
    for command in (rules, layout):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *config, *files],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            output = (done.stdout + done.stderr).replace(".ipynb", ".md")
            complaints += output.strip().splitlines()
    return complaints


def write_back(fixed: Path, source: Path) -> None:
    """Put repaired cells into a chapter's source, leaving all else as it is."""
    chapter = jupytext.read(source)
    repaired = nbformat.read(fixed, as_version=4)
    for cell, new in zip(chapter.cells, repaired.cells, strict=True):
        cell.source = new.source
    text = jupytext.writes(chapter, fmt="md:myst")
    if text != source.read_text(encoding="utf-8"):
        write_text(source, text)


def check(*, root: str | Path | None = None, fix: bool = False) -> None:
    """Check sources and committed notebooks of all chapters.

    With `fix`, first let ruff repair the sources and bring the prose of the committed
    notebooks up to date.

    Raises:
        SightlineError: if anything is wrong; the message lists it.
    """
    book = Book(root)
    complaints = lint(root=root, fix=fix)
    if book.edition.exists():
        for name in book.chapters:
            if fix and book.notebook(name).exists():
                refresh(book.source(name), book.notebook(name))
            complaints += problems(book, name, book.pages)
    if complaints:
        raise SightlineError(
            "\n".join(["the chapters need work:", *complaints]) + "\nWhat can be "
            "repaired without running anything is repaired by: sightline book check "
            "--fix"
        )
    print(f"{len(book.chapters)} chapters are in order")
