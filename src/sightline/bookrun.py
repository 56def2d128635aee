"""Execute chapters with papermill; a full run replaces the committed ones.

====================== =================================================
_build/fast/executed   chapters of the last fast run, and their manifest
_build/full/executed   of the last full run
book/*.ipynb, results/ the committed edition: only a full run writes it
====================== =================================================
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sightline import notebook
from sightline.chapters import Book, clean, cover_figure, read_chapter, save_notebook
from sightline.errors import SightlineError
from sightline.manifest import (
    complete_manifest,
    identify,
    is_current,
    read_manifest,
    save_manifest,
)

__all__ = ["run"]

KERNEL = "sightline-book"


def run(
    profile: str = "fast",
    *,
    data: str | None = None,
    chapters: Sequence[str] = (),
    keep: bool = False,
    root: str | Path | None = None,
) -> Path:
    """Execute chapters in order; a full run then replaces the committed notebooks.

    Args:
        profile: "fast" or "full".
        data: as in `sightline.notebook.edition`.
        chapters: which ones, e.g. "03" or "03_lr_finder"; none: all.
        keep: leave out chapters already executed with this source, profile, data
            and library.
        root: the checkout.

    Returns:
        The folder of the executed chapters.

    Raises:
        SightlineError: if a chapter fails; `book/` is untouched then.
    """
    book = Book(root)
    chosen = book.choose(chapters)
    data = str(Path(data).resolve()) if data and Path(data).is_dir() else data
    edition = notebook.edition(profile, data)  # wrong data ends it here
    runs = book.root / "runs"
    if profile == "fast" and not chapters and not keep:
        shutil.rmtree(runs / edition.run_dir.name, ignore_errors=True)
    executed = book.stage(profile) / "executed"
    executed.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(executed / "edition.json")
    print(edition)
    with kernel_here(runs) as kernel, progress_of(chosen) as reporter:
        for name in chosen:
            source = read_chapter(book.pages / f"{name}.md")
            record = identify(source, edition)
            if keep and is_current(manifest["chapters"].get(name), record):
                reporter.skip(name)
                continue
            parameters = {} if profile == "full" else {"profile": profile}
            parameters |= {"data": data} if data else {}
            started = time.perf_counter()
            done = execute(
                source, name, executed, parameters, kernel, reporter.cell(name)
            )
            record["seconds"] = round(time.perf_counter() - started, 1)
            save_notebook(done, executed / f"{name}.ipynb")
            manifest = read_manifest(executed / "edition.json")  # others may run too
            manifest["chapters"][name] = record
            complete_manifest(manifest, edition, runs / edition.run_dir.name)
            save_manifest(manifest, executed / "edition.json")
            reporter.done(name, record["seconds"])
    if profile == "full":
        publish(book, executed, manifest, chosen)
    return executed


class ReportingEngine(NBClientEngine):
    """papermill's own engine, which also tells which cell begins."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, report, **kwargs):
        """Execute `nb_man.nb`, calling `report(index, total)` before each cell."""
        code = [i for i, c in enumerate(nb_man.nb.cells) if c.cell_type == "code"]
        start = nb_man.cell_start

        def cell_start(cell, cell_index=None, **others):
            if cell_index in code:
                report(code.index(cell_index) + 1, len(code))
            start(cell, cell_index, **others)

        nb_man.cell_start = cell_start
        return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)


@contextmanager
def kernel_here(runs: Path) -> Iterator[str]:
    """Offer a kernel of this very interpreter, whatever others are installed."""
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    command += ["--log-level=CRITICAL"]  # else it logs TCP and each interrupt
    spec = {
        "argv": [*command, "-f", "{connection_file}"],
        "display_name": "Sightline",
        "language": "python",
        "env": {"SIGHTLINE_RUNS": str(runs), "PYTHONHASHSEED": "0"},
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "kernels" / KERNEL
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps(spec))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield KERNEL
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def execute(
    source: NotebookNode,
    name: str,
    folder: Path,
    parameters: dict[str, str],
    kernel: str,
    report: Callable[[int, int], None],
) -> NotebookNode:
    """Execute one chapter with papermill and return it cleaned.

    Raises:
        SightlineError: if a cell fails; the message says which and why.
    """
    partial = folder / f"{name}.partial.ipynb"
    nbformat.write(source, partial)
    papermill_engines.register("sightline", ReportingEngine)
    try:
        done = papermill.execute_notebook(
            str(partial),
            str(partial),
            parameters=parameters,
            engine_name="sightline",
            kernel_name=kernel,
            progress_bar=False,
            cwd=str(folder),
            report=report,
        )
    except PapermillExecutionError as error:
        cell = error.source.strip().splitlines() or [""]
        number = error.exec_count - bool(parameters)  # papermill injects a cell
        raise SightlineError(
            f"chapter {name} failed in code cell {number}, which begins\n"
            f"    {cell[0]}\n{error.ename}: {error.evalue}\n"
            f"The notebook as far as it came, with the traceback: {partial}"
        ) from error
    partial.unlink()
    return clean(done)


class Reporter:
    """Progress on a terminal: a bar that moves; elsewhere: one line a chapter."""

    def __init__(self, chapters: Sequence[str], bars: Progress):
        self.width = max(map(len, chapters), default=0)
        self.bars = bars
        self.task = None
        self.cells = 0

    def cell(self, name: str) -> Callable[[int, int], None]:
        """Begin a chapter; return what to call before each of its cells."""
        self.task = self.bars.add_task(name.ljust(self.width), total=None, cells="")

        def report(index: int, total: int) -> None:
            self.cells = total
            self.bars.update(
                self.task, completed=index, total=total, cells=f"cell {index}/{total}"
            )

        return report

    def done(self, name: str, seconds: float) -> None:
        """End a chapter."""
        self.bars.remove_task(self.task)
        line = f"{name:{self.width}}  {self.cells:3} cells  {seconds:7.1f} s"
        self.bars.console.print(line, highlight=False)

    def skip(self, name: str) -> None:
        """Say that a chapter is kept."""
        self.bars.console.print(f"{name:{self.width}}  kept", highlight=False)


@contextmanager
def progress_of(chapters: Sequence[str]) -> Iterator[Reporter]:
    """Show chapter, cell and elapsed time while chapters run."""
    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[cells]}"),
    )
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bars:
        yield Reporter(chapters, bars)


def publish(book: Book, executed: Path, manifest: dict, chosen: Sequence[str]) -> None:
    """Replace the committed notebooks of `chosen`, one atomic move each."""
    records = {name: manifest["chapters"][name] for name in chosen}
    merged = {**read_manifest(book.edition)["chapters"], **records}
    manifest = {**manifest, "chapters": {n: merged[n] for n in sorted(merged)}}
    for name in chosen:
        done = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        save_notebook(done, book.pages / f"{name}.ipynb")
    save_manifest(manifest, book.edition)
    paths = [book.pages / f"{n}.ipynb" for n in book.chapters]
    figure = cover_figure([path for path in paths if path.exists()])
    if figure:
        (book.edition.parent / "cover.svg").write_text(figure[0])
