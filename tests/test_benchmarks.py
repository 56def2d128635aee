"""The benchmarks start, and what they compute from measurements is right."""

import importlib
import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny import splits

from sightline.data.datasets import load_shapes
from sightline.heatmaps.methods import METHODS, SLOW
from sightline.training.parts import chosen_splits
from sightline.training.recipes import RECIPES

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(
    p.stem for p in FOLDER.glob("*.py") if "def main" in p.read_text(encoding="utf-8")
)


@pytest.fixture
def script(monkeypatch):
    """Return what imports a script as if it had been started with these words."""

    def start(name: str, *words: str) -> ModuleType:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        return importlib.import_module(name)

    return start


def test_all_benchmarks_are_found():
    known = {"augmentation", "gpu", "heatmaps", "memory", "speedrun", "training"}
    assert known <= set(SCRIPTS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_explains_itself(name, script, capsys):
    with pytest.raises(SystemExit) as ended:
        script(name, "--help").main()
    assert ended.value.code == 0
    what = {"pages": "site", "careful": "folder", "families": "torchvision"}
    what["live"] = "shuffle"
    assert what.get(name, "--data") in capsys.readouterr().out


def test_without_a_gpu_the_benchmark_for_one_says_so_and_ends(script, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="sees no GPU.*--dry-run"):
        script("gpu").main()


def test_pictures_for_airbench_arrive_in_its_form(script, tmp_path):
    gpu, data = script("gpu"), splits()
    gpu.write_for_airbench(data, tmp_path / "cifar10")
    read = torch.load(tmp_path / "cifar10" / "test.pt")
    assert torch.equal(read["images"], data.test.images)
    assert torch.equal(read["labels"], data.test.labels)
    assert read["classes"] == list(data.classes)
    assert len(torch.load(tmp_path / "cifar10" / "train.pt")["labels"]) == 64


def test_what_airbench_prints_is_read_without_its_warm_up(script):
    printed = """
|  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |
|  warmup  |      1  |     0.1000  |   0.1000  |               |        9.0000  |
|          |   eval  |     0.1000  |   0.1000  |       0.1000  |       99.0000  |
|       0  |      1  |     0.5000  |   0.6000  |               |        0.3000  |
|          |   eval  |     0.9500  |   0.9350  |       0.9400  |        2.5000  |
|       1  |      1  |     0.5000  |   0.6100  |               |        0.3000  |
|          |   eval  |     0.9600  |   0.9360  |       0.9420  |        2.7000  |
Mean: 0.9410    Std: 0.0014
"""
    assert script("gpu").read_airbench(printed) == ([2.5, 2.7], [0.94, 0.942])


def test_a_clock_counts_images_after_the_warm_up(script):
    loader = [(torch.zeros(8), torch.zeros(8))] * 9
    clock = script("common").Clock(loader, steps=3, warm=2)
    assert len(list(clock)) == 5
    assert clock.images == 24
    clock.ends = [1.0, 2.0, 3.0, 3.5, 4.0]
    assert clock.rate == 12


def test_time_to_an_accuracy_is_that_of_the_first_epoch_with_it(script):
    speedrun = script("speedrun")
    rows = [
        {"so far": 10.0, "flip average": 0.6},
        {"so far": 20.0, "flip average": 0.9},
        {"so far": 30.0, "flip average": 0.8},
    ]
    assert speedrun.seconds_to(rows, 0.8) == 20
    assert speedrun.seconds_to(rows, 0.95) == float("inf")


def test_the_ladder_compares_each_row_with_the_one_above_and_the_first(script):
    rates = {"a": [1.0, 10.0], "b": [2.0, 20.0], "c": [8.0, 80.0]}
    rows = script("training").ladder(rates)
    assert [row["× row above"] for row in rows] == [1, 2, 4]
    assert [row["× published"] for row in rows] == [1, 2, 8]


def test_the_published_loop_cuts_a_hole_of_the_mean_and_learns(script):
    reference, data = script("reference"), splits()
    images = torch.stack(
        [
            image
            for image, _ in reference.train_loader(
                data, RECIPES["s0-published"]
            ).dataset
        ]
    )
    assert images.is_contiguous()
    assert ((images == 0).all(1).sum((1, 2)) >= 256).all()
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before, _ = reference.evaluate(model, [(images, data.train.labels)])
    reference.train(model, [(images, data.train.labels)] * 5, optimizer)
    after, accuracy = reference.evaluate(model, [(images, data.train.labels)])
    assert after < before
    assert 0 < accuracy <= 1


@pytest.mark.parametrize("system", ["s0-published", "s4-published"])
def test_the_published_loop_pads_with_the_picture_and_not_with_a_colour(script, system):
    data = splits()
    white = replace(data.train, images=torch.full_like(data.train.images, 255))
    data = replace(data, train=white)
    loader = script("reference").train_loader(data, RECIPES[system])
    pictures = torch.stack([image for image, _ in loader.dataset])
    hole = (pictures == 0).all(1)  # the mean, after normalising
    white = (1 - torch.tensor(data.mean)) / torch.tensor(data.std)
    apart = (pictures - white[:, None, None]).abs().amax(1)
    assert set(hole.sum((1, 2)).tolist()) <= {0, 256}
    assert apart[~hole].max() < 1e-5


def test_augmentation_is_measured_in_every_way(script, monkeypatch):
    augmentation = script("augmentation")
    monkeypatch.setattr(augmentation, "WORKERS", (0,))
    monkeypatch.setattr(augmentation, "BATCH", 100)
    data = load_shapes(training=1400, test=20)
    options = Namespace(images=500, windows=1, steps=0)
    data = chosen_splits(augmentation.RECIPES["speedrun"], data)
    rows = augmentation.rows("speedrun", options, data)
    assert [row["augmentation"] for row in rows] == [
        "whole batches",
        "albumentations",
        "albumentations, DataLoader, 0 workers",
    ]
    assert all(row["images/s"] > 0 for row in rows)


def test_heatmaps_are_timed_for_every_method_and_memory_is_watched(
    script, monkeypatch, tmp_path, capsys
):
    words = ["--data", "shapes", "--model", "resnet10", "--pictures", "8"]
    words += ["--one-by-one", "2", "--windows", "1", "--many", "16"]
    file = tmp_path / "heatmaps.json"
    heatmaps = script("heatmaps", *words, "--device", "cpu", "--json", str(file))
    monkeypatch.setattr(heatmaps, "load", lambda name: splits())
    heatmaps.main()
    found = json.loads(file.read_bytes())
    assert [row["method"] for row in found["methods"]] == [*METHODS, *SLOW]
    assert [row["maps made"] for row in found["memory"]] == [8, 16]
    assert all(row[column] > 0 for row in found["methods"] for column in list(row)[1:])
    assert "goal 6 s" in capsys.readouterr().out


def test_a_loop_of_few_pictures_is_compared_by_the_seconds_of_each(script, monkeypatch):
    heatmaps = script("heatmaps")
    for name in ("explain", "one_by_one"):
        monkeypatch.setattr(heatmaps, name, lambda *given: None)
    # in turns: 2 pictures by the loop, 8 of ours
    clock = iter([2.0, 4.0, 6.0, 8.0, 1.0, 3.0])
    monkeypatch.setattr(heatmaps, "seconds", lambda work, device: next(clock))
    options = Namespace(one_by_one=2, windows=3)
    loop, ours = heatmaps.against_the_loop(None, None, torch.zeros(8, 3, 4, 4), options)
    assert (loop["fastest"], loop["seconds"], loop["slowest"]) == (500, 1000, 3000)
    assert (ours["fastest"], ours["seconds"], ours["slowest"]) == (375, 500, 1000)
    assert (ours["maps/s"], ours["× the loop"]) == (2, 2)
