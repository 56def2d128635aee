"""Stage, execute, check and build the book.

===================== ====================================================
_build/PROFILE/source what Jupyter Book reads: pages, executed chapters
_build/PROFILE/html   the site
book/*.ipynb          the committed edition; only a full run replaces it
===================== ====================================================
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

import jupytext
import nbformat
import papermill
import yaml
from nbformat import NotebookNode
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sightline import notebook
from sightline.checkpoint import Run, write_atomically
from sightline.errors import SightlineError
from sightline.runtime import describe, git_revision

__all__ = ["Book", "build", "check", "lint", "problems", "run"]

KERNEL = "sightline-book"
COVER = "cover"  # the tag of the one cell whose figure stands on the first page
VERSIONS = ("torch", "torchvision", "numpy", "albumentations", "grad-cam", "matplotlib")


class Book:
    """Where the parts of the book lie in one checkout.

    Args:
        root: the folder of `_toc.yml`; `None`: the checkout this package came from.
    """

    def __init__(self, root: str | Path | None = None):
        self.root = Path(root or Path(__file__).parents[2]).resolve()
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
        return sorted(path.stem for path in self.pages.glob("[0-9][0-9]_*.md"))

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

    def config(self) -> dict:
        """Read `_config.yml`."""
        return yaml.safe_load((self.root / "_config.yml").read_text())


# --- execute -----------------------------------------------------------------


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
            manifest["chapters"][name] = record
            complete_manifest(manifest, edition, runs / edition.run_dir.name)
            save_json(manifest, executed / "edition.json")
            reporter.done(name, record["seconds"])
    if profile == "full":
        publish(book, executed, manifest, chosen)
    return executed


@contextmanager
def kernel_here(runs: Path) -> Iterator[str]:
    """Offer a kernel of this very interpreter, whatever others are installed."""
    command = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher"]
    command += ["--log-level=ERROR"]  # it warns of TCP without encryption each time
    spec = {
        "argv": [*command, "-f", "{connection_file}"],
        "display_name": "Sightline",
        "language": "python",
        "env": {
            "SIGHTLINE_RUNS": str(runs),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "ignore",
        },
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


# --- notebooks ---------------------------------------------------------------


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
        (c.cell_type, c.source, tuple(tags(c)), json.dumps(c.metadata.get("mystnb")))
        for c in chapter.cells
    ]


def save_notebook(done: NotebookNode, path: Path) -> None:
    """Write a notebook atomically."""
    text = nbformat.writes(done).rstrip() + "\n"
    write_atomically(path, lambda file: file.write_text(text))


def save_json(value: dict, path: Path) -> None:
    """Write JSON atomically, keys in order."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(text))


# --- the manifest of an edition ----------------------------------------------


def read_manifest(path: Path) -> dict:
    """Read an edition's manifest, or begin one."""
    return json.loads(path.read_text()) if path.exists() else {"chapters": {}}


def identify(source: NotebookNode, edition: notebook.Edition) -> dict[str, str | float]:
    """Return what one execution of one chapter was made from and on."""
    text = json.dumps(text_of(source)).encode()
    return {
        "source": hashlib.sha256(text).hexdigest()[:16],
        "library": library_digest(),
        "data": edition.splits.digest,
        "device": describe(edition.runtime)["device"],
        "revision": git_revision(),
        "date": date.today().isoformat(),
        "seconds": 0.0,
    }


def is_current(old: dict | None, new: dict) -> bool:
    """Tell whether an execution on record would be repeated by a new one."""
    keys = "source", "library", "data", "device"
    return old is not None and all(old.get(key) == new[key] for key in keys)


def library_digest() -> str:
    """Return a digest of every line of the package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def complete_manifest(manifest: dict, edition: notebook.Edition, run_dir: Path) -> None:
    """Enter data, machine, versions and the result of the main run."""
    splits = edition.splits
    manifest.update(
        profile=edition.profile,
        date=date.today().isoformat(),
        revision=git_revision(),
        data={
            "name": splits.name,
            "label": edition.label,
            "digest": splits.digest,
            "training": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
            "notes": list(splits.notes),
        },
        machine=describe(edition.runtime)["device"],
        precision=edition.runtime.precision,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in VERSIONS},
        },
    )
    run = Run(run_dir)
    if run.finished:
        manifest["run"] = {"recipe": run.recipe, **run.manifest}


def publish(book: Book, executed: Path, manifest: dict, chosen: Sequence[str]) -> None:
    """Replace the committed notebooks of `chosen`, one atomic move each."""
    committed = read_manifest(book.edition)
    records = {n: manifest["chapters"][n] for n in chosen}
    merged = {**committed["chapters"], **records}
    manifest = {**manifest, "chapters": {n: merged[n] for n in sorted(merged)}}
    for name in chosen:
        done = nbformat.read(executed / f"{name}.ipynb", as_version=4)
        save_notebook(done, book.pages / f"{name}.ipynb")
    save_json(manifest, book.edition)
    paths = [book.pages / f"{n}.ipynb" for n in book.chapters]
    figure = cover_figure([path for path in paths if path.exists()])
    if figure:
        (book.edition.parent / "cover.svg").write_text(figure[0])


# --- build -------------------------------------------------------------------


def build(
    profile: str = "fast",
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    strict: bool = True,
) -> Path:
    """Build the site of a profile's edition; nothing is executed.

    Args:
        profile: "fast": the chapters of the last fast run; "full": the committed ones.
        root: the checkout.
        out: where `source` and `html` go; `None`: `_build/PROFILE`.
        strict: warnings are errors, and every chapter must have been executed.

    Returns:
        The folder of the site.

    Raises:
        SightlineError: if chapters are missing or stale, or Sphinx warns.
    """
    book = Book(root)
    stage = Path(out or book.stage(profile)).resolve()
    notebooks = book.pages if profile == "full" else book.stage(profile) / "executed"
    found = [p for n in book.chapters if (p := notebooks / f"{n}.ipynb").exists()]
    if strict:
        complaints = [
            line for n in book.chapters for line in problems(book, n, notebooks)
        ]
        if complaints:
            raise SightlineError("the site is not built:\n" + "\n".join(complaints))
    source = stage / "source"
    stage_sources(book, source, found)
    manifest = read_manifest(
        book.edition if profile == "full" else notebooks / "edition.json"
    )
    write_fragments(source / "book", manifest, found)
    show_edition(source, manifest)
    return render(source, stage, strict=strict)


def stage_sources(book: Book, source: Path, notebooks: Sequence[Path]) -> None:
    """Copy pages and executed chapters, and list in `_toc.yml` what is there."""
    shutil.rmtree(source, ignore_errors=True)
    ignore = shutil.ignore_patterns("[0-9][0-9]_*", ".ipynb_checkpoints")
    shutil.copytree(book.pages, source / "book", ignore=ignore)
    shutil.copy(book.root / "_config.yml", source)
    for path in notebooks:
        shutil.copy(path, source / "book")
    toc = yaml.safe_load((book.root / "_toc.yml").read_text())
    for part in toc["parts"]:
        entries = part["chapters"]
        part["chapters"] = [e for e in entries if any(source.glob(e["file"] + "*"))]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (source / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))


def show_edition(source: Path, manifest: dict) -> None:
    """Put the line that says which edition it is onto every page."""
    config = yaml.safe_load((source / "_config.yml").read_text())
    line = edition_line(manifest)
    if manifest.get("profile") == "full":
        config["html"]["extra_footer"] = f'<p class="edition">{line}</p>\n'
    else:
        options = config["sphinx"]["config"]["html_theme_options"]
        options["announcement"] = f'<span class="edition">{line}</span>'
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def edition_line(manifest: dict) -> str:
    """Say in one line which edition a page shows."""
    if "data" not in manifest:
        return "No edition yet: no chapter has been executed."
    label, run = manifest["data"]["label"], manifest.get("run")
    what = (
        f", {run['recipe']['model']} for {run['recipe']['epochs']} epochs"
        if run
        else ""
    )
    if manifest["profile"] == "full":
        return f"Edition of {manifest['date']}: {label}{what}, {manifest['machine']}."
    return f"Fast edition: {label}{what}. It shows that all runs; do not quote it."


def write_fragments(pages: Path, manifest: dict, notebooks: Sequence[Path]) -> None:
    """Write the generated parts of `index.md` and `edition.md`."""
    results = pages / "results"
    results.mkdir(exist_ok=True)
    lines = [result_sentence(manifest)]
    figure = cover_figure(notebooks)
    if figure:
        (results / "cover.svg").write_text(figure[0])
        alt = figure[1].replace("\n", " ")
        lines += ["", "```{image} results/cover.svg", f":alt: {alt}", "```"]
    (results / "result.md").write_text("\n".join(lines) + "\n")
    (results / "edition.md").write_text(edition_tables(manifest))


def result_sentence(manifest: dict) -> str:
    """Say what the main run reached, under which protocol."""
    run, data = manifest.get("run"), manifest.get("data")
    if not run:
        return "The main run of this edition has not been made yet."
    recipe = run["recipe"]
    return (
        f"In this edition a {recipe['model']}, trained for {recipe['epochs']} epochs "
        f"on {data['training']:,} images ({data['label']}), classifies "
        f"**{run['test']['accuracy']:.2%}** of {data['test']:,} test images correctly. "
        f"The weights were chosen by the accuracy on {data['validation']:,} validation "
        f"images; the test images were read once. Training took "
        f"{duration(run['train_seconds'])} on {run['device']} in {run['precision']}, "
        "with one seed."
    )


def edition_tables(manifest: dict) -> str:
    """Return the manifest as two tables of MyST."""
    if "data" not in manifest:
        return "No chapter has been executed yet.\n"
    data = manifest["data"]
    rows = {
        "Profile": manifest["profile"],
        "Date": manifest["date"],
        "Data": f"{data['label']}, digest `{data['digest']}`",
        "Images": f"{data['training']:,} training, {data['validation']:,} validation, "
        f"{data['test']:,} test",
        "Machine": manifest["machine"],
        "Precision": manifest["precision"],
        "Git revision": f"`{manifest['revision']}`",
        "Versions": ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
    }
    rows |= {"Notes on the data": "; ".join(data["notes"])} if data["notes"] else {}
    rows |= {"Main run": result_sentence(manifest)} if "run" in manifest else {}
    table = [
        "| What | Value |",
        "|---|---|",
        *(f"| {k} | {v} |" for k, v in rows.items()),
        "",
    ]
    table += ["| Chapter | Seconds | Executed | Machine | Revision |"]
    table += ["|---|--:|---|---|---|"]
    for name, record in manifest["chapters"].items():
        table.append(
            f"| `{name}` | {record['seconds']:.1f} | {record['date']} | "
            f"{record['device']} | `{record['revision']}` |"
        )
    return "\n".join(table) + "\n"


def duration(seconds: float) -> str:
    """Say a time in the unit people use for it."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def cover_figure(notebooks: Sequence[Path]) -> tuple[str, str] | None:
    """Return the figure of the cell tagged `cover`, and its alternative text."""
    for path in notebooks:
        for cell in nbformat.read(path, as_version=4).cells:
            for out in cell.get("outputs", []) if COVER in tags(cell) else []:
                if svg := out.get("data", {}).get("image/svg+xml"):
                    return svg, image_options(cell)["alt"]
    return None


def image_options(cell: NotebookNode) -> dict[str, str]:
    """Return what a cell says about its image."""
    return cell.metadata.get("mystnb", {}).get("image", {})


def render(source: Path, stage: Path, *, strict: bool) -> Path:
    """Let Jupyter Book make the site; move it into place when it is whole."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build"]
    command += [str(source), "--path-output", str(stage), "--all"]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(command, capture_output=True, text=True)
    log = stage / "build.log"
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        marks = ("WARNING", "ERROR", "rror:")
        said = [
            ln for ln in log.read_text().splitlines() if any(m in ln for m in marks)
        ]
        raise SightlineError(
            "\n".join(["the site was not built:", *said[:40], f"All of it: {log}"])
        )
    html = stage / "html"
    shutil.rmtree(html, ignore_errors=True)
    (stage / "_build" / "html").rename(html)
    (html / ".nojekyll").touch()  # GitHub Pages would drop _static otherwise
    return html


# --- check -------------------------------------------------------------------


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
        number = next(
            (n for n, (a, b) in pairs if a != b), min(len(here), len(there)) + 1
        )
        prose = f"for prose alone: jupytext --update --to ipynb book/{name}.md"
        hint = f"; {prose}" if folder == book.pages else ""
        return [f"{shown}: cell {number} is not its source's; {again}{hint}"]
    return [
        f"{shown}, cell {number}: {what}"
        for number, cell in enumerate(done.cells, 1)
        for what in cell_problems(cell)
    ]


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
        fix: let ruff repair the sources first.

    Raises:
        SightlineError: if anything is wrong; the message lists it.
    """
    book = Book(root)
    complaints = lint(root=root, fix=fix)
    if book.edition.exists():
        for name in book.chapters:
            complaints += problems(book, name, book.pages)
    if complaints:
        said = "\n".join(complaints)
        raise SightlineError(
            f"the chapters need work:\n{said}\nruff repairs what it can by: "
            "sightline book check --fix"
        )
    print(f"{len(book.chapters)} chapters are in order")
