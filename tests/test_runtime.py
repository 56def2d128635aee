"""Choosing device and precision, seeding, describing the machine."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from sightline.errors import SightlineError
from sightline.training.machine import describe
from sightline.training.runtime import choose_runtime, seed_everything


def test_asking_for_a_gpu_that_is_not_there_names_the_remedy(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SightlineError, match="'cuda'.*--device cpu"):
        choose_runtime("cuda")
    assert choose_runtime("auto").device.type == "cpu"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"device": "tpu9"}, "'tpu9'"), ({"precision": "fp8"}, "'fp8'.*bf16")],
)
def test_unknown_device_or_precision_lists_the_known_ones(wrong, message):
    with pytest.raises(SightlineError, match=message):
        choose_runtime(**wrong)


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
