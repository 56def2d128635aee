"""What Colab does to a chapter: it takes the machine away."""

import multiprocessing
import random
import re
import sys
import time
from contextlib import redirect_stderr
from dataclasses import replace

import pytest
import torch

from sightline.book import notebook
from sightline.data.datasets import load_shapes
from sightline.training.run import Run

EPOCHS, SEED, LOSSES = 12, 4, 5
METHOD = "spawn" if sys.platform == "win32" else "forkserver"  # imports torch once


def execute_chapter(drive, log):
    """Do what the cells of a chapter do, with a mounted Drive; write to a log."""
    notebook.DRIVE = drive
    notebook.load = lambda _: load_shapes(training=72, test=20)  # drawn in no time
    with open(log, "a", buffering=1) as file, redirect_stderr(file):
        profile, data = "fast", "shapes"
        edition = notebook.edition(profile, data)
        recipe = replace(edition.recipe, epochs=EPOCHS)
        print("started", file=sys.stderr)
        notebook.main_run(replace(edition, recipe=recipe))


def trained(log):
    """Return the numbers of the epochs that a log tells of, one list a start."""
    starts = log.read_text().split("started\n")[1:] if log.exists() else []
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
        time.sleep(moment.uniform(0, 3 * seconds))
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
