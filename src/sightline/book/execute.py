"""Execute chapters with papermill; a full run replaces the committed ones.

====================== =================================================
_build/fast/executed   chapters of the last fast run, and their manifest
_build/full/executed   of the last full run
book/*.ipynb, results/ the committed edition: only a full run writes it
====================== =================================================
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from sightline.book import notebook
from sightline.book.chapters import (
    Book,
    clean,
    cover_figure,
    read_chapter,
    save_notebook,
)
from sightline.book.manifest import (
    complete_manifest,
    identify,
    is_current,
    read_manifest,
    save_manifest,
)
from sightline.errors import SightlineError
from sightline.export import demo

__all__ = ["run"]

KERNEL = "sightline-book"


def run(
    profile: str = "fast",
    *,
    data: str | None = None,
    chapters: Sequence[str] = (),
    keep: bool = False,
    jobs: int | None = None,
    root: str | Path | None = None,
) -> Path:
    """Execute chapters in order; a full run then replaces the committed notebooks.

    Args:
        profile: "fast" or "full".
        data: as in `sightline.book.notebook.edition`.
        chapters: which ones, e.g. "03" or "03_lr_finder"; none: all.
        keep: leave out chapters already executed with this source, profile, data
            and library.
        jobs: chapters at a time; `None`: two in the fast profile on two cores or more,
            otherwise one, because chapters measure speed.
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
    parameters = {} if profile == "full" else {"profile": profile}
    parameters |= {"data": data} if data else {}
    print(edition)
    tasks, records = [], {}
    for name in chosen:
        source = read_chapter(book.pages / f"{name}.md")
        records[name] = identify(source, edition)
        if keep and is_current(manifest["chapters"].get(name), records[name]):
            print(f"{name}  kept")
        else:
            tasks.append(Task(name, source, executed, parameters))
    jobs = min(jobs or usual_jobs(profile), len(tasks) or 1)
    with kernel_here(runs, threads=usual_threads(jobs)):
        for name, seconds in execute_all(tasks, jobs):
            records[name]["seconds"] = seconds
            manifest = read_manifest(executed / "edition.json")  # others may run too
            chapters = manifest["chapters"] | {name: records[name]}
            manifest["chapters"] = dict(sorted(chapters.items()))
            complete_manifest(manifest, edition, runs / edition.run_dir.name)
            save_manifest(manifest, executed / "edition.json")
    if "demo" in chosen:
        network = runs / edition.run_dir.name / "export"
        demo.copy_network(network, executed / "demo")
    if profile == "full":
        publish(book, executed, manifest, chosen)
    return executed


@dataclass(frozen=True)
class Task:
    """One chapter to execute."""

    name: str
    source: NotebookNode
    folder: Path  # where the executed chapter goes
    parameters: Mapping[str, str]


def usual_jobs(profile: str) -> int:
    """Return how many chapters run at a time when nobody says."""
    return min(2, os.cpu_count() or 1) if profile == "fast" else 1


def usual_threads(jobs: int) -> int:
    """Return how many threads a chapter may use beside `jobs - 1` others."""
    return max(1, (os.cpu_count() or 1) // jobs)


def execute_all(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[str, float]]:
    """Execute chapters, `jobs` at a time; yield the name and seconds of each one done.

    Raises:
        SightlineError: if one fails; those that are running are ended then.
    """
    context = multiprocessing.get_context("spawn")
    events = context.SimpleQueue()
    with progress_of([task.name for task in tasks], events) as reporter:
        if jobs == 1:
            set_up_worker(events)
            for done in map(work, tasks):
                yield reporter.done(*done)
            return
        with ProcessPoolExecutor(jobs, context, set_up_worker, (events,)) as pool:
            running = [pool.submit(work, task) for task in tasks]
            try:
                for future in as_completed(running):
                    yield reporter.done(*future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for child in multiprocessing.active_children():
                    child.kill()  # its kernel notices and ends, too
                    child.join()
                raise


EVENTS = None  # where a worker says which cell begins


def set_up_worker(events: object) -> None:
    """Remember where to report; leave Ctrl-C to the process that started this one."""
    global EVENTS
    EVENTS = events
    if multiprocessing.parent_process():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(task: Task) -> tuple[str, float, int]:
    """Execute one chapter; return its name, its seconds and its number of cells."""
    started = time.perf_counter()
    done = execute(task, lambda *place: EVENTS.put((task.name, *place)))
    save_notebook(done, task.folder / f"{task.name}.ipynb")
    cells = sum(cell.cell_type == "code" for cell in done.cells)
    return task.name, round(time.perf_counter() - started, 1), cells


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
def kernel_here(runs: Path, threads: int) -> Iterator[None]:
    """Offer a kernel of this very interpreter, whatever others are installed."""
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    command += ["--log-level=CRITICAL"]  # else it logs TCP and each interrupt
    spec = {
        "argv": [*command, "-f", "{connection_file}"],
        "display_name": "Sightline",
        "language": "python",
        "env": {
            "SIGHTLINE_RUNS": str(runs),
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        },
    }
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "kernels" / KERNEL
        place.mkdir(parents=True)
        (place / "kernel.json").write_text(json.dumps(spec))
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def execute(task: Task, report: Callable[[int, int], None]) -> NotebookNode:
    """Execute one chapter with papermill and return it cleaned.

    Raises:
        SightlineError: if a cell fails; the message says which and why.
    """
    partial = task.folder / f"{task.name}.partial.ipynb"
    nbformat.write(task.source, partial)
    papermill_engines.register("sightline", ReportingEngine)
    try:
        done = papermill.execute_notebook(
            str(partial),
            str(partial),
            parameters=task.parameters,
            engine_name="sightline",
            kernel_name=KERNEL,
            progress_bar=False,
            cwd=str(task.folder),
            report=report,
        )
    except PapermillExecutionError as error:
        cell = error.source.strip().splitlines() or [""]
        number = error.exec_count - bool(task.parameters)  # papermill injects a cell
        raise SightlineError(
            f"chapter {task.name} failed in code cell {number}, which begins\n"
            f"    {cell[0]}\n{error.ename}: {error.evalue}\n"
            f"The notebook as far as it came, with the traceback: {partial}"
        ) from error
    partial.unlink()
    return clean(done)


class Reporter:
    """Progress on a terminal: bars that move; elsewhere: one line a chapter."""

    def __init__(self, chapters: Sequence[str], bars: Progress):
        self.width = max(map(len, chapters), default=0)
        self.bars = bars
        self.running: dict[str, TaskID] = {}

    def cell(self, name: str, index: int, total: int) -> None:
        """Show that a cell of a chapter begins."""
        if name not in self.running:
            shown = name.ljust(self.width)
            self.running[name] = self.bars.add_task(shown, total=None, cells="")
        place = {"completed": index, "total": total, "cells": f"cell {index}/{total}"}
        self.bars.update(self.running[name], **place)

    def done(self, name: str, seconds: float, cells: int) -> tuple[str, float]:
        """End a chapter, with a line that stays."""
        if name in self.running:
            self.bars.update(self.running[name], visible=False)
        line = f"{name:{self.width}}  {cells:3} cells  {seconds:7.1f} s"
        self.bars.console.print(line, highlight=False)
        return name, seconds


@contextmanager
def progress_of(chapters: Sequence[str], events: object) -> Iterator[Reporter]:
    """Show chapter, cell and elapsed time while chapters run and report `events`."""
    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[cells]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        reporter = Reporter(chapters, bars)

        def listen() -> None:
            while event := events.get():
                reporter.cell(*event)

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield reporter
        finally:
            events.put(None)
            listener.join()


def publish(book: Book, executed: Path, manifest: dict, chosen: Sequence[str]) -> None:
    """Replace the committed notebooks of `chosen`, one atomic move each."""
    records = {name: manifest["chapters"][name] for name in chosen}
    merged = {**read_manifest(book.edition)["chapters"], **records}
    manifest = {**manifest, "chapters": {n: merged[n] for n in sorted(merged)}}
    for name in chosen:
        done = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        save_notebook(done, book.pages / f"{name}.ipynb")
    if "demo" in chosen:
        demo.copy_network(executed / "demo", book.edition.parent / "demo")
    save_manifest(manifest, book.edition)
    paths = [book.pages / f"{n}.ipynb" for n in book.chapters]
    figure = cover_figure([path for path in paths if path.exists()])
    if figure:
        (book.edition.parent / "cover.svg").write_text(figure[0])
