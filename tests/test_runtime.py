"""Choosing device and precision, seeding, describing the machine."""

import random
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sightline.data.loaders import BatchLoader
from sightline.data.split import Split
from sightline.errors import SightlineError
from sightline.models.lend import borrowed
from sightline.training import runtime as runtime_module
from sightline.training.engine import evaluate, train_one_epoch
from sightline.training.lr_finder import range_test
from sightline.training.machine import describe, git_revision
from sightline.training.runtime import (
    Runtime,
    choose_runtime,
    find_device,
    seed_everything,
    set_tf32,
)


def test_asking_for_a_gpu_that_is_not_there_names_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SightlineError, match="'cuda'.*--device cpu"):
        choose_runtime("cuda")
    assert choose_runtime("auto").device.type == "cpu"


@pytest.mark.parametrize(
    ("cuda", "mps", "count", "chosen"),
    [(True, True, 1, "cuda"), (False, True, 1, "mps"), (False, True, 2, "cpu")],
)
def test_auto_takes_the_gpu_of_a_mac_for_one_process_where_there_is_no_other(
    monkeypatch, cuda, mps, count, chosen
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(runtime_module, "processes", lambda: count)
    assert find_device("auto").type == chosen


def test_the_gpu_of_a_mac_is_refused_on_other_machines(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SightlineError, match="'mps'.*--device cpu"):
        choose_runtime("mps")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"device": "tpu9"}, "'tpu9'"), ({"precision": "fp8"}, "'fp8'.*bf16")],
)
def test_unknown_device_or_precision_lists_the_known_ones(wrong, message):
    with pytest.raises(SightlineError, match=message):
        choose_runtime(**wrong)


@pytest.fixture
def flags():
    """Read torch's flags for the whole process, restored after the test."""

    def read() -> tuple[str, bool]:
        return torch.get_float32_matmul_precision(), cudnn.allow_tf32

    cudnn = torch.backends.cudnn
    (precision, allowed), benchmark = read(), cudnn.benchmark
    yield read
    torch.set_float32_matmul_precision(precision)
    cudnn.allow_tf32, cudnn.benchmark = allowed, benchmark


def gpu(precision: str) -> Runtime:
    return Runtime(torch.device("cuda"), precision, channels_last=True)


ROUNDED, EXACT = ("high", True), ("highest", False)


@pytest.mark.parametrize("precision", ["auto", "fp32", "tf32", "bf16"])
def test_choosing_a_runtime_changes_no_flag_of_torch(monkeypatch, flags, precision):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    set_tf32(False)
    torch.backends.cudnn.benchmark = False
    chosen = choose_runtime("cuda", precision)
    assert chosen.precision == ("bf16" if precision == "auto" else precision)
    assert flags() == EXACT
    assert not torch.backends.cudnn.benchmark


def test_fp32_multiplies_in_float32_on_a_gpu_whatever_came_before(flags):
    for rounding in ("tf32", "bf16"):
        gpu(rounding).activate()
        assert flags() == ROUNDED
        gpu("fp32").activate()
        assert flags() == EXACT


def test_on_a_cpu_float32_is_never_rounded(flags):
    gpu("tf32").activate()
    choose_runtime("cpu", "bf16").activate()
    assert flags() == EXACT


def test_training_evaluation_and_range_test_activate_their_own_runtime(flags):
    runtime = choose_runtime("cpu", "fp32")
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = BatchLoader(
        Split(torch.zeros(4, 2, 2, 3, dtype=torch.uint8), torch.zeros(4).long()),
        batch_size=2,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    arguments = {"loss_fn": nn.functional.cross_entropy, "runtime": runtime}
    for compute in (
        lambda: train_one_epoch(model, batches, optimizer, None, **arguments),
        lambda: evaluate(model, batches, runtime=runtime),
        lambda: range_test(model, lambda _: optimizer, batches, **arguments),
    ):
        gpu("tf32").activate()
        compute()
        assert flags() == EXACT


def test_a_borrowed_model_computes_in_float32_and_the_flags_come_back(flags):
    gpu("tf32").activate()
    with borrowed(nn.Linear(2, 2)):
        assert flags() == EXACT
    assert flags() == ROUNDED


@pytest.mark.parametrize("capability", [None, (7, 5)])
def test_tf32_is_refused_where_the_hardware_has_none(monkeypatch, capability):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: capability is not None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with pytest.raises(SightlineError, match="'tf32' needs a GPU.*--precision fp32"):
        choose_runtime("auto", "tf32")


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("meta", "unknown device 'meta'; choose auto, cpu"),
        ("vulkan", "unknown device 'vulkan'"),
        ("gpu", "unknown device 'gpu'"),
        ("mps", "sees no GPU of Apple's on this machine; use --device cpu"),
        ("cuda", "sees no GPU on this machine"),
        ("cuda:9", "sees no GPU on this machine"),
    ],
)
def test_a_device_that_is_not_there_is_named(monkeypatch, device, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SightlineError, match=said):
        choose_runtime(device)


def test_a_gpu_beyond_those_of_the_machine_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SightlineError, match="'cuda:2' .* sees 2 GPUs"):
        choose_runtime("cuda:2", "fp32")
    assert choose_runtime("cuda:1", "fp32").device == torch.device("cuda:1")


def test_bf16_computes_in_bf16_and_keeps_fp32_weights():
    runtime = choose_runtime("cpu", "bf16")
    model = runtime.place(nn.Conv2d(3, 8, 3))
    with runtime.autocast():
        assert model(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16
    assert model.weight.dtype == torch.float32


def test_fp32_does_not_autocast():
    runtime = choose_runtime("cpu", "fp32")
    with runtime.autocast():
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32


def test_moved_batches_are_channels_last():
    runtime = choose_runtime("cpu", "fp32")
    images, _ = runtime.move(torch.zeros(2, 3, 8, 8), torch.zeros(2))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_one_seed_repeats_python_numpy_and_torch():
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), torch.rand(()).item()

    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first


def test_a_manifest_names_device_and_versions():
    described = describe(choose_runtime("cpu", "fp32"))
    assert described["device"].startswith("cpu: ")
    assert described["torch"] == torch.__version__
    assert described["revision"]


@pytest.fixture
def repository(tmp_path) -> Path:
    """Return a git repository with one commit."""
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init"], [*who, "commit", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_sightline_inside_a_foreign_repository_does_not_report_its_revision(
    repository,
):
    assert git_revision(repository) == "unknown"
    unpacked = repository / "sightline-0.1"
    unpacked.mkdir()
    (unpacked / "_toc.yml").touch()
    assert git_revision(unpacked) == "unknown"


def test_the_revision_is_that_of_sightlines_own_checkout(repository):
    (repository / "_toc.yml").touch()
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    first = subprocess.check_output(command, cwd=repository, encoding="utf-8").strip()
    assert git_revision(repository) == first


def test_a_changed_file_makes_a_revision_dirty_unless_it_is_made_from_others(
    repository,
):
    (repository / "book").mkdir()
    for name in ("_toc.yml", "book/01.md", "book/01.ipynb"):
        (repository / name).write_text("one", encoding="utf-8")
    who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["add", "."], [*who, "commit", "-qm", "second"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    clean = git_revision(repository)
    (repository / "book/01.ipynb").write_text("two", encoding="utf-8")
    assert git_revision(repository) == f"{clean}-dirty"
    assert git_revision(repository, ["book/*.ipynb"]) == clean
    (repository / "book/01.md").write_text("two", encoding="utf-8")
    assert git_revision(repository, ["book/*.ipynb"]) == f"{clean}-dirty"
