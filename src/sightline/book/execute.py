"""Execute chapters with papermill; a full run replaces the committed ones.

====================== =================================================
_build/fast/executed   chapters of the last fast run, and their record
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
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from sightline.book import notebook
from sightline.book.chapters import (
    Book,
    clean,
    cover_figure,
    read_chapter,
    same_code,
    save_notebook,
)
from sightline.book.manifest import (
    ChapterRecord,
    identify,
    is_current,
    read_edition,
    record_edition,
    write_edition,
)
from sightline.book.notebook import Edition
from sightline.errors import SightlineError
from sightline.export.assets import copy_network
from sightline.files import locked, write_text

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
    """Execute chapters in order; return the folder of the executed ones.

    A run of the profile "full" then replaces the committed notebooks. Profile and data
    are those of `sightline.book.notebook.edition`; `chapters` are names such as "03" or
    "03_lr_finder", and none means all. `keep` leaves out those already executed with
    this source, profile, data and library. `jobs` run at a time: by default two in the
    fast profile on two cores or more, otherwise one, because chapters measure speed.

    Raises:
        SightlineError: if a chapter fails; `book/` is untouched then.
    """
    book = Book(root)
    names = book.choose(chapters)
    edition, parameters = prepare(book, profile, data)  # wrong data ends it here
    if profile == "fast" and not chapters and not keep:
        shutil.rmtree(edition.run_dir, ignore_errors=True)
    executed = book.executed(profile)
    tasks = []
    for name in names:
        source = read_chapter(book.source(name))
        record = identify(source, edition)
        tasks.append(Task(name, source, executed, parameters, record))
    execute_tasks(book, edition, outdated(tasks, executed) if keep else tasks, jobs)
    if "demo" in names:
        copy_network(edition.run_dir / "export", executed / "demo")
    if profile == "full":
        publish(book, edition, names)
    return executed


@dataclass(frozen=True)
class Task:
    """One chapter to execute."""

    name: str
    source: NotebookNode
    folder: Path  #: where the executed chapter goes
    parameters: Mapping[str, str]  #: of papermill
    record: ChapterRecord  #: without the seconds, which are not known yet


def prepare(
    book: Book, profile: str, data: str | None
) -> tuple[Edition, dict[str, str]]:
    """Load the edition; return it, and the parameters that every chapter gets."""
    if data is not None and Path(data).is_dir():
        data = str(Path(data).resolve())
    edition = notebook.edition(profile, data)
    print(edition)
    parameters = {} if profile == "full" else {"profile": profile}
    parameters |= {"data": data} if data else {}
    run_dir = book.root / "runs" / edition.run_dir.name
    return replace(edition, run_dir=run_dir), parameters


def outdated(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """Return the tasks that were not executed in `folder` as they would be now."""
    chapters, pending = chapters_of(folder / "edition.json"), []
    for task in tasks:
        executed = (folder / f"{task.name}.ipynb").exists()
        if executed and is_current(chapters.get(task.name), task.record):
            print(f"{task.name}  kept")
        else:
            pending.append(task)
    return pending


def execute_tasks(
    book: Book, edition: Edition, tasks: Sequence[Task], jobs: int | None
) -> None:
    """Execute chapters, and enter each one into the record when it is done."""
    folder = book.executed(edition.profile)
    folder.mkdir(parents=True, exist_ok=True)
    cores = os.cpu_count() or 1
    usual = min(2, cores) if edition.profile == "fast" else 1
    workers = min(jobs or usual, len(tasks) or 1)
    with own_kernel(edition.run_dir.parent, threads=max(1, cores // workers)):
        for task, seconds in execute_all(tasks, workers):
            record = {task.name: replace(task.record, seconds=seconds)}
            enter(book, edition, record, folder / "edition.json")


def enter(
    book: Book, edition: Edition, chapters: Mapping[str, ChapterRecord], path: Path
) -> None:
    """Enter executed chapters into the record of an edition.

    Other processes may do so at the same time: one after the other reads and writes.
    """
    with locked(book.root / "_build" / "edition.lock"):
        merged = {**chapters_of(path), **chapters}
        write_edition(record_edition(edition, merged), path)


def chapters_of(path: Path) -> Mapping[str, ChapterRecord]:
    """Return the chapters in the record of an edition; {} if there is none yet."""
    record = read_edition(path)
    return record.chapters if record else {}


def execute_all(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, float]]:
    """Execute chapters, `jobs` at a time; yield each one that is done, and its seconds.

    Raises:
        SightlineError: if one fails; those that are running are ended then.
    """
    if jobs == 1:
        for task in tasks:
            yield task, execute(task)
        return
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for this process alone
    with ProcessPoolExecutor(jobs, context, signal.signal, ignore) as pool:
        running = {pool.submit(execute, task): task for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()  # its kernel notices and ends, too
                child.join()
            raise


def execute(task: Task) -> float:
    """Execute one chapter and save it cleaned; return the seconds that it took.

    Raises:
        SightlineError: if a cell fails; the message says which and why.
    """
    print(f"{task.name}  begins", flush=True)
    started = time.perf_counter()
    partial = task.folder / f"{task.name}.partial.ipynb"
    nbformat.write(task.source, partial)
    try:
        done = papermill.execute_notebook(
            str(partial),
            str(partial),
            parameters=task.parameters,
            kernel_name=KERNEL,
            progress_bar=False,
            cwd=str(task.folder),
        )
    except PapermillExecutionError as error:
        raise failure(task, error, partial) from error
    partial.unlink()
    save_notebook(clean(done), task.folder / f"{task.name}.ipynb")
    seconds = round(time.perf_counter() - started, 1)
    print(f"{task.name}  {seconds} s", flush=True)
    return seconds


def failure(
    task: Task, error: PapermillExecutionError, partial: Path
) -> SightlineError:
    """Say which cell of a chapter failed, and why."""
    cell = error.source.strip().splitlines() or [""]
    number = error.exec_count - bool(task.parameters)  # papermill injects a cell
    return SightlineError(
        f"chapter {task.name} failed in code cell {number}, which begins\n"
        f"    {cell[0]}\n{error.ename}: {error.evalue}\n"
        f"The notebook as far as it came, with the traceback: {partial}"
    )


@contextmanager
def own_kernel(runs: Path, threads: int) -> Iterator[None]:
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
        (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (folder, before)))
        try:
            yield
        finally:
            os.environ.pop("JUPYTER_PATH")
            if before is not None:
                os.environ["JUPYTER_PATH"] = before


def publish(book: Book, edition: Edition, names: Sequence[str]) -> None:
    """Replace the committed notebooks of `names`, one atomic move each."""
    executed = book.executed("full")
    records = dict(chapters_of(executed / "edition.json"))
    for name in names:
        done = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        save_notebook(done, book.notebook(name))
        records[name] = replace(records[name], fast_seconds=fast_seconds(book, name))
    if "demo" in names:
        copy_network(executed / "demo", book.edition.parent / "demo")
    enter(book, edition, {name: records[name] for name in names}, book.edition)
    paths = [book.notebook(name) for name in book.chapters]
    figure = cover_figure([path for path in paths if path.exists()])
    if figure:
        write_text(book.edition.parent / "cover.svg", figure[0])


def fast_seconds(book: Book, name: str) -> float:
    """Return how long the last fast run of a chapter's code took; 0.0 if none did."""
    folder = book.executed("fast")
    record = chapters_of(folder / "edition.json").get(name)
    path = folder / f"{name}.ipynb"
    if record is None or not path.exists():
        return 0.0
    done = nbformat.read(path, as_version=4)
    same = same_code(read_chapter(book.source(name)), done)
    return record.seconds if same else 0.0
