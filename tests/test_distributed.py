"""Several processes train what one would: same weights, same numbers, one writer."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
import together
import torch
from safetensors.torch import load_file

from sightline.data.augmentation import Augmentation
from sightline.data.datasets import load
from sightline.data.loaders import BatchLoader
from sightline.data.split import Split
from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.training.distributed import first_to_speak, is_lost
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

pytestmark = pytest.mark.processes
STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
CPU = choose_runtime("cpu", "fp32")
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = [
    *["-m", "sightline", "train", "resnet10", "--norm", "group", "--epochs", "3"],
    *["--data", "shapes", "--limit", str(together.IMAGES), "--device", "cpu"],
    *["--precision", "fp32"],
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


def test_fewer_images_than_processes_cannot_be_evaluated():
    few = Runtime(CPU.device, "fp32", True, rank=1, world_size=4)
    with pytest.raises(SightlineError, match="3 images .* 4 processes"):
        few.part(3)
    assert few.part(6).tolist() == [2, 3]


def test_batch_norm_sees_a_part_of_the_batch_on_cpus_only():
    two = Runtime(CPU.device, "fp32", True, world_size=2)
    gpus = Runtime(torch.device("cuda"), "bf16", True, world_size=2)
    batch, group = (
        build_model("resnet10", num_classes=3, norm=norm) for norm in ("batch", "group")
    )
    assert two.divides(batch)
    assert not two.divides(group)
    assert not gpus.divides(batch)
    assert not CPU.divides(batch)


def test_a_process_without_a_gpu_of_its_own_is_told_how_many_there_are(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SightlineError, match="no GPU of its own: .*nproc-per-node 1"):
        choose_runtime("cuda", "fp32")


def test_only_one_process_says_why_the_job_ends(monkeypatch):
    assert first_to_speak()  # alone
    store = torch.distributed.TCPStore("localhost", 0, is_master=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    assert [first_to_speak() for _ in range(3)] == [True, False, False]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert first_to_speak()


# what gloo of torch 2.15 said when the other process had been killed
GLOO = RuntimeError(
    "[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection "
    "closed by peer [127.0.0.1]:5045. This is typically caused by a remote worker "
    "crashing."
)


@pytest.mark.parametrize(
    "error",
    [GLOO, torch.distributed.DistBackendError("NCCL"), torch.distributed.DistError()],
)
def test_an_error_of_the_connection_means_that_another_process_is_lost(
    monkeypatch, error
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert is_lost(error)
    monkeypatch.delenv("WORLD_SIZE")
    assert not is_lost(error)  # a training of one process has no other


def test_an_error_that_only_names_gloo_does_not_mean_a_lost_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for text in ("could not read pets/igloo/1.png", "/home/gloor/run: disk full"):
        assert not is_lost(RuntimeError(text))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def run(command: list[str]) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """Return the folder in which two processes left what they saw."""
    folder = tmp_path_factory.mktemp("together")
    run([*TWO, together.__file__, str(folder)])
    return folder


@pytest.fixture(scope="module")
def both(job) -> list[dict]:
    return [torch.load(job / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def alone() -> dict:
    return together.in_doubles(CPU)


def test_two_processes_end_with_the_weights_of_one(both, alone):
    for seen in both:
        for name, weights in alone["weights"].items():
            # they moved by 1e-2
            torch.testing.assert_close(
                seen["weights"][name], weights, atol=1e-10, rtol=0.0
            )


def test_two_processes_report_the_numbers_of_one(both, alone):
    for seen in both:
        for theirs, ours in zip(seen["history"], alone["history"], strict=True):
            for name in ("train_loss", "validation_loss"):
                assert theirs[name] == pytest.approx(ours[name], abs=1e-6)
            for name in ("train_accuracy", "validation_accuracy", "lr", "last_lr"):
                assert theirs[name] == ours[name]


def test_each_of_two_processes_evaluates_every_image_in_order(both, alone):
    for seen in both:
        assert torch.equal(seen["labels"], alone["labels"])
        torch.testing.assert_close(seen["logits"], alone["logits"], atol=1e-8, rtol=0.0)


def test_the_first_process_goes_first(both):
    assert [seen["first"] for seen in both] == [True, False]


def test_processes_that_differ_all_name_the_difference(both):
    expected = "max_lr: 0 in the first process, but 1 in process 1"
    assert all(seen["difference"].startswith(expected) for seen in both)


def test_a_loss_that_diverges_stops_all_processes_alike(both):
    said = {seen["divergence"] for seen in both}
    assert len(said) == 1
    assert said.pop().startswith("epoch 1: the loss was nan")


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "weights.safetensors")


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, str]:
    """Kill one of two processes after the first epoch; return folder and output."""
    if sys.platform != "linux":
        pytest.skip("finds the processes of torchrun in /proc")
    out = tmp_path_factory.mktemp("killed") / "run"
    process = subprocess.Popen(
        [sys.executable, *TWO, *TRAIN, "--out", str(out)],
        env=environment(),
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        wait_for(out / "recipe.json")
        worker = worker_of(process.pid)
        wait_for(out / "history.jsonl")
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    finally:
        process.terminate()  # torchrun ends its workers
        process.wait()
    assert process.returncode == 1
    return out, said


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
            about = (folder / "stat").read_bytes().rsplit(b")", 1)[1].split()
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile
            continue
        if int(about[1]) == parent and b"RANK=1" in variables:
            return int(folder.name)
    raise AssertionError(f"{parent} has no worker of rank 1")


def test_a_killed_process_ends_the_job_with_one_message(killed):
    out, said = killed
    # its own loss of the other one, or torchrun's signal: whichever comes first
    starts = ("sightline: ", "interrupted; go on with: torchrun ")
    (line,) = [line for line in said.splitlines() if line.startswith(starts)]
    done = len(Run(out).history)
    assert 1 <= done < 3
    if line.startswith("sightline: "):
        kept = f"has ended, in epoch {done + 1}. The state after epoch {done} is"
        assert kept in line
        assert f"traceback : {line}" in said  # torchrun's report repeats it
    assert "--resume" in line
    assert not Run(out).finished


def test_one_process_goes_on_where_two_were_cut_off(killed, tmp_path):
    """Bit for bit, on one machine."""
    shutil.copytree(killed[0], tmp_path / "run")
    splits = load("shapes", seed=0).limited(together.IMAGES, seed=0)
    finished = train(
        together.LONGER, splits, out=tmp_path / "run", resume=True, **tiny.ON_CPU
    )
    assert [row["epoch"] for row in finished.history] == [1, 2, 3]
    assert finished.manifest["processes"] == 2
    assert finished.manifest["resumed_on"][0]["processes"] == 1


def test_two_processes_go_on_as_if_nothing_had_happened(killed, job, tmp_path):
    shutil.copytree(killed[0], tmp_path / "run")
    done = run([*TWO, *TRAIN, "--out", str(tmp_path / "run"), "--resume"])
    again, unbroken = Run(tmp_path / "run"), Run(job / "unbroken")
    for name, weights in weights_of(unbroken).items():
        assert torch.equal(weights_of(again)[name], weights)
    assert torch.equal(again.test.logits, unbroken.test.logits)
    assert done.stdout.count("test accuracy") == 1  # only the first process prints
    assert done.stderr.count("epoch 3/3") == 1
    hidden = [file.name for file in again.path.iterdir() if file.name.startswith(".")]
    assert hidden == [".sightline"]
