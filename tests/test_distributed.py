"""Several processes train what one would: same weights, same numbers, one writer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sightline.augment import Augmentation
from sightline.checkpoint import Run
from sightline.datasets import Split
from sightline.errors import SightlineError
from sightline.loaders import BatchLoader
from sightline.models import build_model
from sightline.runtime import choose_runtime, seed_everything
from sightline.train import build

STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
# 202 images in batches of 24: the last one has 10, or 5 and 5
TRAIN = [
    *["train", "resnet10", "--data", "shapes", "--limit", "202", "--norm", "group"],
    *["--batch-size", "24", "--epochs", "2", "--cutout", "8", "--max-lr", "3e-4"],
    *["--device", "cpu", "--precision", "fp32"],
]


def split(count: int = 23) -> Split:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 8, 8, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count) % 3)


@pytest.mark.parametrize("world_size", [2, 3])
def test_the_parts_of_a_batch_make_up_the_batch_of_one_process(world_size):
    options = {"batch_size": 10, "augmentation": Augmentation(2, cutout=3)}
    options |= {"shuffle": True, **STATISTICS}

    def epoch(**part) -> list[tuple[torch.Tensor, torch.Tensor]]:
        torch.manual_seed(5)
        return list(BatchLoader(split(), **options, **part))

    whole = epoch()
    parts = [epoch(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(part) for part in parts} == {len(whole)}
    for step, (images, labels) in enumerate(whole):
        for rank, part in enumerate(parts):
            assert torch.equal(part[step][0], images[rank::world_size])
            assert torch.equal(part[step][1], labels[rank::world_size])


def test_a_batch_that_leaves_a_process_without_an_image_is_refused():
    with pytest.raises(SightlineError, match="last of the batches of 11 has 1 images"):
        BatchLoader(split(), batch_size=11, rank=0, world_size=2, **STATISTICS)


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess:
    settings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
    )


TWO = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory) -> tuple[Run, Run, subprocess.CompletedProcess]:
    folder = tmp_path_factory.mktemp("distributed")
    alone = run(["sightline", *TRAIN, "--out", str(folder / "one")])
    assert alone.returncode == 0, alone.stderr
    both = run([*TWO, "sightline", *TRAIN, "--out", str(folder / "two")])
    assert both.returncode == 0, both.stderr
    return Run(folder / "one"), Run(folder / "two"), both


def flat(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return all weights in one row."""
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def test_two_processes_end_with_the_weights_of_one(one_and_two):
    one, two, _ = one_and_two
    ours, theirs = (load_file(r.path / "weights.safetensors") for r in (one, two))
    assert ours.keys() == theirs.keys()
    seed_everything(0)
    start = build_model("resnet10", num_classes=10, norm="group").state_dict()
    moved = (flat(ours) - flat(start)).norm()
    apart = (flat(ours) - flat(theirs)).norm()
    # sums in another order differ in the last bits, and training magnifies them
    assert moved > 0.005
    assert apart < 1e-3 * moved


def test_two_processes_report_the_numbers_of_one(one_and_two):
    one, two, _ = one_and_two
    for ours, theirs in zip(one.history, two.history, strict=True):
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], abs=1e-4)
        assert theirs["train_accuracy"] == pytest.approx(ours["train_accuracy"])
        assert theirs["lr"] == ours["lr"]
    assert two.manifest["processes"] == 2
    assert len(two.test.labels) == len(one.test.labels)
    assert torch.equal(two.test.labels, one.test.labels)


def test_only_the_first_process_prints_and_writes(one_and_two):
    _, two, done = one_and_two
    assert done.stdout.count("test accuracy") == 1
    assert done.stderr.count("epoch 1/2") == 1
    assert not list(two.path.glob(".*.partial"))


def test_a_killed_process_ends_the_job_and_the_run_goes_on_with_resume(
    tmp_path, one_and_two
):
    out = tmp_path / "killed"
    longer = [*TRAIN, "--limit", "1000", "--epochs", "4", "--out", str(out)]
    command = [*TWO, "sightline", *longer]
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(out / "history.jsonl")
        os.kill(worker_of(process.pid), signal.SIGKILL)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "--resume" in said
    assert len(Run(out).history) < 4
    done = run([*TWO, "sightline", *longer, "--resume"])
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in Run(out).history] == [1, 2, 3, 4]
    assert Run(out).finished


def wait_for(file: Path, seconds: float = 120) -> None:
    """Wait until `file` exists."""
    until = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < until, f"{file} never came"
        time.sleep(0.02)


def worker_of(parent: int) -> int:
    """Return the process of rank 1 that `torchrun` started."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            about = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile
            continue
        if int(about[1]) == parent and b"RANK=1" in environment:
            return int(folder.name)
    raise AssertionError(f"{parent} has no worker of rank 1")


def test_a_compiled_network_trains_like_an_eager_one():
    import tiny

    runtime = choose_runtime("cpu", "fp32")

    def loss_after_two_steps(compiled: bool) -> float:
        parts = build(tiny.RECIPE, tiny.splits(), runtime)
        if compiled:  # what `train(compiled=True)` does, without the slow backend
            parts.model.compile(backend="aot_eager", dynamic=False)
        torch.manual_seed(0)
        for (images, labels), _ in zip(parts.train_loader, range(2), strict=False):
            loss = parts.loss_fn(parts.model(images), labels)
            parts.optimizer.zero_grad()
            loss.backward()
            parts.optimizer.step()
        assert all("_orig_mod" not in name for name in parts.model.state_dict())
        return loss.item()

    assert loss_after_two_steps(True) == pytest.approx(
        loss_after_two_steps(False), rel=1e-5
    )


def test_json_of_both_runs_can_be_compared(one_and_two):
    one, two, _ = one_and_two
    done = run(["sightline", "compare", str(one.path), str(two.path), "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
