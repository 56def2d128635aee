"""Colab takes machines away, and the weekly job says what does not run there."""

import errno
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import colab_issue
import colab_path
import nbformat
import pytest
import torch
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from sightline.book import notebook, site
from sightline.book.chapters import Book
from sightline.book.manifest import read_edition
from sightline.data.datasets import load_shapes
from sightline.files import locked
from sightline.training.run import Run

ROOT = Path(__file__).parents[1]
EPOCHS, SEED, LOSSES = 12, 4, 5
METHOD = "spawn" if sys.platform == "win32" else "forkserver"  # imports torch once


def execute_chapter(drive, log):
    """Do what the cells of a chapter do, with a mounted Drive; write to a log."""
    notebook.DRIVE = drive
    notebook.load = lambda _: load_shapes(training=72, test=20)  # drawn in no time
    with open(log, "a", buffering=1, encoding="utf-8") as file, redirect_stderr(file):
        profile, data = "fast", "shapes"
        edition = notebook.edition(profile, data)
        recipe = replace(edition.recipe, epochs=EPOCHS)
        print("started", file=sys.stderr)
        notebook.main_run(replace(edition, recipe=recipe))


def trained(log):
    """Return the numbers of the epochs that a log tells of, one list a start."""
    starts = log.read_text("utf-8").split("started\n")[1:] if log.exists() else []
    return [[int(n) for n in re.findall(r"epoch +(\d+)", text)] for text in starts]


def wait_for(condition, child):
    """Wait until something has happened, or the child has ended."""
    while not condition() and child.is_alive():
        time.sleep(0.005)


@pytest.mark.processes
@pytest.mark.slow
def test_run_all_goes_on_after_five_losses_of_the_runtime(tmp_path, monkeypatch):
    monkeypatch.delenv("SIGHTLINE_RUNS", raising=False)
    whole, drive, log = tmp_path / "whole", tmp_path / "drive", tmp_path / "log"
    for folder in (whole, drive):
        folder.mkdir()
    context = multiprocessing.get_context(METHOD)
    context.set_forkserver_preload(["sightline.book.notebook"])
    moment = random.Random(SEED)

    def start(folder, log):
        child = context.Process(target=execute_chapter, args=(folder, log))
        child.start()
        return child

    child = start(whole, tmp_path / "unbroken")
    wait_for(lambda: trained(tmp_path / "unbroken"), child)
    began = time.monotonic()
    child.join()
    seconds = (time.monotonic() - began) / EPOCHS
    assert child.exitcode == 0
    for number in range(1, LOSSES + 1):
        child = start(drive, log)
        wait_for(lambda number=number: len(trained(log)) == number, child)
        time.sleep(moment.uniform(0, 4 * seconds))
        child.kill()
        child.join()
        assert child.exitcode != 0  # it was at work
    child = start(drive, log)
    child.join()
    assert child.exitcode == 0
    done = 0
    for epochs in filter(None, trained(log)):
        assert epochs[0] >= done  # at most the last one is trained once more
        done = epochs[-1]
    assert done == EPOCHS
    expected, result = (
        Run(folder / "sightline/runs/fast-shapes").load_model("last").state_dict()
        for folder in (whole, drive)
    )
    assert all(torch.equal(expected[name], result[name]) for name in expected)


def test_on_a_drive_without_locks_a_dead_process_keeps_nobody_out(
    tmp_path, monkeypatch
):
    fcntl = pytest.importorskip("fcntl")
    missing = OSError(errno.ENOSYS, "Function not implemented")
    monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=missing))
    path = tmp_path / "lock"
    path.write_text("12345\nanother-machine\n", "utf-8")  # of a runtime that was lost
    with locked(path, "held"), locked(path, "held"):
        pass


# the weekly job

INSTALL, PARAMETERS = "import sys", 'profile = "full"  # or "fast"'


def notebook_of(*sources):
    """Make a notebook as chapters are: prose, install, parameters, more cells."""
    cells = [new_code_cell(source) for source in (INSTALL, PARAMETERS, *sources)]
    cells[1].metadata["tags"] = ["parameters"]
    return new_notebook(cells=[new_markdown_cell("# A chapter"), *cells])


@pytest.mark.processes
def test_a_chapter_that_fails_is_reported_with_stage_and_cell(tmp_path, monkeypatch):
    repository, name = tmp_path / "repository", "01_first"
    (repository / "book").mkdir(parents=True)
    content = notebook_of('assert profile == "fast"', "# odd\n1 / 0", "2")
    nbformat.write(content, repository / f"book/{name}.ipynb")
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "First"]
    for words in (["init", "-q"], ["add", "."], commit):
        subprocess.run(["git", "-C", repository, *words], check=True)
    monkeypatch.setattr(colab_path, "packages", lambda python: {"sightline": "1"})
    trial = colab_path.try_chapter(name, repository, tmp_path / "work", here=True)
    assert (trial.stage, trial.cell, trial.code) == ("cells", 5, "# odd")
    assert trial.error == "ZeroDivisionError: division by zero"
    assert "cells: cell 5 # odd ZeroDivisionError" in str(trial)


def test_every_executed_page_is_tried_with_or_without_a_number(monkeypatch, tmp_path):
    listed = "book/01_first.ipynb\nbook/01_first.md\nbook/norms.ipynb\nbook/_toc.yml\n"
    monkeypatch.setattr(colab_path, "run", lambda *words: listed)
    assert colab_path.chapters_of(tmp_path, []) == ["01_first", "norms"]
    assert colab_path.chapters_of(tmp_path, ["01", "nor"]) == ["01_first", "norms"]
    committed = {p.stem for p in (ROOT / "book").glob("*.ipynb")}
    assert committed <= set(Book(ROOT).chapters)
    workflow = (ROOT / ".github/workflows/colab.yml").read_text("utf-8")
    assert "in book/*.ipynb;" in workflow


@pytest.mark.parametrize(
    ("executed", "stage", "cell"),
    [(0, "environment", None), (1, "install", 2), (2, "cells", 3), (3, "cells", 4)],
)
def test_the_cell_that_was_executed_last_is_to_blame(executed, stage, cell):
    content = notebook_of("a", "b")
    for number, done in enumerate(content.cells[1 : 1 + executed], 1):
        done.execution_count = number
    if executed:
        done.outputs = [nbformat.v4.new_output("error")]
    blame = colab_path.blame(content)
    assert (blame["stage"], blame.get("cell")) == (stage, cell)


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """The reports of a job in which everything went well."""
    monkeypatch.setattr(colab_issue, "ROOT", tmp_path)
    monkeypatch.setattr(colab_issue, "RECORD", tmp_path / "colab.json")
    (tmp_path / "book").mkdir()
    for name in ("01_first", "norms"):
        (tmp_path / f"book/{name}.ipynb").touch()
        for way in colab_issue.WAYS:
            report(tmp_path / "reports" / way, colab_path.Trial(name))
    return tmp_path / "reports"


def report(folder, trial):
    """Write a chapter's report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{trial.chapter}.json").write_text(json.dumps(asdict(trial)), "utf-8")


def test_a_pass_is_recorded_with_its_date_and_image(reports, capsys):
    assert colab_issue.main(reports, "runtime@sha256:12") == 0
    record = json.loads(colab_issue.RECORD.read_text("utf-8"))
    assert date.fromisoformat(record["date"])
    assert record["image"] == "runtime@sha256:12"
    assert capsys.readouterr().out == ""


def test_the_issue_names_stage_chapter_and_cell(reports, capsys):
    error = "NameError: name 'a|b' is not `defined`"
    bad = colab_path.Trial("norms", "cells", 7, "a | b", error)
    report(reports / "image", bad)
    shutil.rmtree(reports / "bare")
    report(reports / "bare", colab_path.Trial("01_first"))
    assert colab_issue.main(reports, "") == 1
    rows = capsys.readouterr().out.splitlines()[5:]
    assert rows == [
        "| in Colab's own image | `norms` | cells | 7 | `a \\| b` | "
        "`NameError: name 'a\\|b' is not 'defined'` |",
        "| with the packages of our lock that Colab brings | `norms` | start |  |  "
        "| `the job ended before it could report` |",
    ]
    assert not colab_issue.RECORD.exists()


GH = """#!/bin/sh
echo "gh $*" >>calls
test "$1 $2" != "issue list" || cat open
"""
PYTHON3 = "#!/bin/sh\necho text\nexit $(cat status)\n"
GIT = '#!/bin/sh\necho "git $1" >>calls\ntest "$1" != diff\n'


@pytest.mark.skipif(sys.platform == "win32", reason="the job runs on Linux")
@pytest.mark.parametrize(
    ("status", "issue", "expected"),
    [
        (1, "", "issue create --title Chapters do not run on Colab --label colab"),
        (1, "7", "issue edit 7 --body-file"),
        (0, "7", "issue close 7"),
        (0, "", "workflow run book.yml"),
    ],
)
def test_the_job_keeps_one_issue(tmp_path, status, issue, expected):
    workflow = yaml.safe_load((ROOT / ".github/workflows/colab.yml").read_text("utf-8"))
    step = workflow["jobs"]["tell"]["steps"][-1]
    for name, text in {"gh": GH, "git": GIT, "python3": PYTHON3}.items():
        (tmp_path / name).write_text(text, "utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "open").write_text(f"{issue}\n", "utf-8")
    (tmp_path / "status").write_text(str(status), "utf-8")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **step["env"], "PATH": path}
    command = ["bash", "-e", "-c", step["run"]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == status
    calls = (tmp_path / "calls").read_text("utf-8").splitlines()
    changes = [line for line in calls if re.match("gh (issue [^l]|workflow)", line)]
    assert sum("issue" in line for line in changes) == bool(status or issue)
    assert any(line.startswith(f"gh {expected}") for line in changes)
    assert ("git push" in calls) == (not status)


def test_every_page_of_the_full_edition_says_when_colab_ran_it(tmp_path):
    book = SimpleNamespace(edition=tmp_path / "edition.json")
    assert site.colab_line(book) == ""
    (tmp_path / "colab.json").write_text('{"date": "2026-11-22", "image": ""}', "utf-8")
    (tmp_path / "_config.yml").write_text("html: {}\n", "utf-8")
    edition = read_edition(ROOT / "book/results/edition.json")
    site.show_edition(tmp_path, edition, site.colab_line(book))
    footer = yaml.safe_load((tmp_path / "_config.yml").read_text("utf-8"))["html"]
    line = "All chapters last ran in Colab's own image on 2026-11-22."
    assert footer["extra_footer"].endswith(f" {line}</p>\n")


def test_a_package_that_a_lock_pins_twice_keeps_its_markers():
    lock = (
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:01\n"
        "tqdm==4.67.1 \\\n    --hash=sha256:02\nnumpydoc==1.0\n"
    )
    wanted = colab_path.pinned(lock)
    assert [line for line in wanted if line.startswith(("numpy", "tqdm"))] == [
        "numpy==2.4.6 ; python_full_version < '3.12'",
        "numpy==2.5.5 ; python_full_version >= '3.12'",
        "tqdm==4.67.1",
    ]
    assert "torch" in wanted  # at any version
