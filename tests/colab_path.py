"""Run chapters the way Colab does: bare packages, no checkout, a clone from an address.

Not a test that pytest collects: a chapter takes minutes. `make colab` runs it.
Each chapter's committed notebook gets a virtual environment of its own that holds
only what Colab brings (`SHIPPED`), a module `google.colab`, and an empty folder to
work in. Its first cell installs Sightline from the address it always names; an
environment variable lets git answer from a local clone of the last commit.

With --here the environment is the one that runs this: Colab's own image, as
`.github/workflows/colab.yml` does, one container a chapter.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import nbformat
import yaml
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
SHIPPED = (
    *("torch", "torchvision", "numpy", "scipy", "matplotlib", "pillow", "pandas"),
    *("requests", "tqdm", "ipykernel", "ipython", "pip"),
)
KEPT = ("torch", "torchvision", "numpy")  # Colab's own; replacing them costs minutes
LIMIT = 3600  # seconds for one cell


@dataclass
class Trial:
    """What became of one chapter."""

    chapter: str
    stage: str = ""  #: environment, install, cells or packages; "": all went well
    cell: int = 0  #: the number of the cell that failed, from 1, text cells counted
    code: str = ""  #: its first line
    error: str = ""
    counts: str = ""  #: seconds, cells and packages, for the table

    def __str__(self) -> str:
        """Return the chapter's line of the table."""
        place = f"cell {self.cell} " * bool(self.cell) + self.code
        result = f"{self.stage}: {place} {self.error}" if self.stage else "fine"
        return f"{self.chapter:24}{self.counts:29}  {result}"


def main() -> int:
    """Run the chapters asked for and print a line for each."""
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("chapters", nargs="*", help="01, 04, ...; none: all of them")
    words.add_argument("--work", type=Path, help="folder for everything; kept")
    words.add_argument("--here", action="store_true", help="in this environment")
    words.add_argument("--report", type=Path, help="folder for a JSON file a chapter")
    arguments = words.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="colab-"))
    work.mkdir(parents=True, exist_ok=True)
    clone = make_clone(work)
    bad = 0
    print(f"{'chapter':24}{'venv s':>8}{'run s':>8}{'cells':>7}{'new':>6}  result")
    for name in chapters_of(clone, arguments.chapters):
        trial = try_chapter(name, clone, work / name, here=arguments.here)
        print(trial, flush=True)
        bad += bool(trial.stage)
        if arguments.report:
            arguments.report.mkdir(parents=True, exist_ok=True)
            file = arguments.report / f"{name}.json"
            file.write_text(json.dumps(asdict(trial)), encoding="utf-8")
    if not arguments.work:
        shutil.rmtree(work)
    return bool(bad)


def make_clone(work: Path) -> Path:
    """Make a bare clone of the repository's last commit, to be served to pip."""
    clone = work / "sightline.git"
    shutil.rmtree(clone, ignore_errors=True)
    run("git", "clone", "--quiet", "--bare", str(ROOT), str(clone))
    run("git", "-C", str(clone), "config", "uploadpack.allowFilter", "true")
    return clone


def chapters_of(clone: Path, asked: Sequence[str]) -> list[str]:
    """Names of the committed notebooks whose beginnings were asked for."""
    listed = run("git", "-C", str(clone), "ls-tree", "--name-only", "HEAD", "book/")
    found = re.findall(r"^book/(\w+)\.ipynb$", listed, flags=re.M)
    return [n for n in found if not asked or n.startswith(tuple(asked))]


def try_chapter(name: str, clone: Path, work: Path, *, here: bool) -> Trial:
    """Run one chapter; return what became of it."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "content").mkdir(parents=True)
    trial = Trial(name)
    started = time.perf_counter()
    try:
        python = Path(sys.executable) if here else make_environment(work / "venv")
        before = packages(python)
    except SystemExit as error:
        return replace(trial, stage="environment", error=str(error))
    made = time.perf_counter() - started
    text = run("git", "-C", str(clone), "show", f"HEAD:book/{name}.ipynb")
    notebook = as_a_reader_starts_it(nbformat.reads(text, as_version=4))
    environment = surroundings(clone, work, python)
    started = time.perf_counter()
    try:
        execute(notebook, work / "content", environment)
    except Exception as error:  # whatever went wrong belongs into the table
        trial = replace(trial, **blame(notebook), error=last_line(error))
    ran = time.perf_counter() - started
    nbformat.write(notebook, work / f"{name}.ipynb")
    after = packages(python)
    if not trial.stage and (said := complaints(notebook, before, after)):
        trial = replace(trial, stage="packages", error="; ".join(said))
    cells = sum(c.cell_type == "code" for c in notebook.cells)
    new = len(after.keys() - before.keys())
    return replace(trial, counts=f"{made:8.0f}{ran:8.0f}{cells:7}{new:6}")


def execute(
    notebook: nbformat.NotebookNode, folder: Path, environment: Mapping[str, str]
) -> None:
    """Run all cells in a folder, with nothing else in the environment."""
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="colab",
        resources={"metadata": {"path": str(folder)}},
    )
    previous = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        client.execute()
    finally:
        os.environ.clear()
        os.environ.update(previous)


def blame(notebook: nbformat.NotebookNode) -> dict[str, str | int]:
    """Return stage, number and first line of the cell that did not come to its end."""
    code = [
        (number, cell)
        for number, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    if all(cell.execution_count is None for _, cell in code):
        return {"stage": "environment"}
    for place, (number, cell) in enumerate(code):
        failed = any(out.output_type == "error" for out in cell.outputs)
        if failed or cell.execution_count is None:
            stage = "cells" if place else "install"
            line = cell.source.strip().splitlines()[0]
            return {"stage": stage, "cell": number, "code": line}
    return {"stage": "cells"}


def last_line(error: Exception) -> str:
    """Return the last line of an error's text, which says what it was, uncoloured."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error))
    return (text.strip().splitlines() or [type(error).__name__])[-1]


def pinned(lock: str) -> list[str]:
    """Return what Colab ships, at the versions of a lock or at any.

    Markers are kept: a lock may pin a package twice, for older and newer Pythons.
    """
    wanted = []
    for name in SHIPPED:
        pins = re.findall(rf"^{name}==[^\\\n]+", lock, flags=re.M)
        wanted += [pin.strip() for pin in pins] or [name]
    return wanted


def make_environment(folder: Path) -> Path:
    """Make an environment with what Colab ships, at the versions of our lock."""
    wanted = pinned((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    asked = folder.with_suffix(".txt")
    asked.write_text("\n".join(wanted), encoding="utf-8")
    python = folder / "bin" / "python"
    if shutil.which("uv"):  # its cache makes this a matter of seconds
        run("uv", "venv", "--quiet", "--python", sys.executable, str(folder))
        install = ("uv", "pip", "install", "--python", str(python))
    else:
        run(sys.executable, "-m", "venv", str(folder))
        install = (str(python), "-m", "pip", "install")
    run(*install, "--quiet", "-r", str(asked))
    [library] = folder.glob("lib/python*/site-packages")
    (library / "google" / "colab").mkdir(parents=True, exist_ok=True)
    (library / "google" / "colab" / "__init__.py").touch()
    return python


def packages(python: Path) -> dict[str, str]:
    """Return name and version of everything an environment holds."""
    listed = run(str(python), "-m", "pip", "list", "--format", "json")
    return {entry["name"]: entry["version"] for entry in json.loads(listed)}


def as_a_reader_starts_it(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return the notebook without outputs, with `fast` typed into its second cell."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            if "parameters" in cell.metadata.get("tags", []):
                old = 'profile = "full"'
                assert old in cell.source
                cell.source = cell.source.replace(old, 'profile = "fast"')
    return notebook


def surroundings(clone: Path, work: Path, python: Path) -> dict[str, str]:
    """Return the environment of a kernel that knows nothing of this checkout."""
    kernel = work / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    start = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": start, "display_name": "colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(about), encoding="utf-8")
    address = yaml.safe_load((ROOT / "_config.yml").read_bytes())["repository"]["url"]
    strange = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    return {k: v for k, v in os.environ.items() if k not in strange} | {
        "JUPYTER_PATH": str(work / "jupyter"),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{clone.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": address,
        "MPLCONFIGDIR": str(work / "matplotlib"),
    }


def complaints(
    notebook: nbformat.NotebookNode, before: Mapping[str, str], after: Mapping[str, str]
) -> list[str]:
    """Return what a reader on Colab would have complained about."""
    said = []
    code = [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
    idle = sum(c.execution_count is None for c in code)
    if idle:
        said.append(f"{idle} cells did not run")
    if "sightline" not in after:
        said.append("sightline was not installed")
    changed = [n for n in before if before[n] != after.get(n)]
    said += [
        f"{n} {before[n]} became {after.get(n)}" for n in changed if n.lower() in KEPT
    ]
    return said


def run(*command: str) -> str:
    """Run a program; return what it printed, or end with what it complained of."""
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
