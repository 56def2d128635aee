"""A report's section on what the network looks at, and the one on simple baselines."""

from dataclasses import replace

import pytest
import torch
from tiny import ON_CPU, RECIPE, splits

from sightline.data.datasets import draw_split
from sightline.heatmaps.positions import find_leanings
from sightline.reports.attention import attention, words
from sightline.reports.simple_baselines import simple_baselines
from sightline.reports.subject import Subject
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """A run of a second, and pictures with a mark in the corner of one class."""
    marked = {
        name: draw_split(count, seed, shortcut_class=3)
        for seed, (name, count) in enumerate(
            {"train": 300, "validation": 50, "test": 100}.items()
        )
    }
    data = replace(splits(), **marked)
    run = train(RECIPE, data, out=tmp_path_factory.mktemp("runs") / "a", **ON_CPU)
    return Subject(run, data, run.classifier(choose_runtime("cpu", "fp32")))


def test_an_alarm_has_words_a_number_and_six_pictures_by_name(subject):
    section = attention(subject)
    alarms = section.numbers["alarms"]
    assert "lower right corner" in alarms[0]["words"] and "frame" in alarms[0]["words"]
    assert len(alarms[0]["files"]) == 6
    text = "".join(part for part in section.parts if isinstance(part, str))
    assert "**Alarm:** by the lower right corner alone" in text
    captions = [part[1] for part in section.parts if not isinstance(part, str)]
    assert any(all(f in caption for f in alarms[0]["files"]) for caption in captions)


def test_pictures_without_a_mark_have_no_alarm_and_that_is_said(subject):
    parts = {"train": draw_split(300, 9), "validation": draw_split(50, 10)}
    data = replace(subject.splits, test=draw_split(100, 11), digest="clean", **parts)
    section = attention(replace(subject, splits=data))
    assert section.numbers["alarms"] == []
    assert any(isinstance(p, str) and p.startswith("No alarm") for p in section.parts)


def test_five_pictures_a_class_are_too_few_to_tell(subject):
    parts = {"train": draw_split(20, 1), "validation": draw_split(10, 2)}
    data = replace(subject.splits, test=draw_split(20, 3), digest="few", **parts)
    section = attention(replace(subject, splits=data))
    assert section.parts[0].endswith("too few to tell.")
    assert section.numbers["told"] == {}


def test_words_of_a_leaning_name_class_place_and_shares():
    maps, labels = torch.zeros(40, 32, 32), torch.arange(40) % 2
    maps[:, 12:20, 12:20] = 1
    maps[labels == 1] = 0
    maps[labels == 1, :4, :4] = 1
    sentence = words(find_leanings(maps, labels)[0], ("cat", "dog"))
    assert "of the evidence for dog lies in the upper left corner" in sentence
    assert "100%" in sentence and "0%" in sentence


def test_the_network_is_compared_with_the_better_baseline_on_the_same_pictures(subject):
    section = simple_baselines(subject)
    numbers = section.numbers
    best = max(numbers["accuracy"].values())
    mine = subject.test.right.double().mean().item()
    assert mine - best - 1e-9 <= numbers["ahead"]
    assert numbers["ahead"] in [
        pytest.approx(mine - accuracy) for accuracy in numbers["accuracy"].values()
    ]
    assert numbers["low"] <= numbers["ahead"] <= numbers["high"]
    assert any("The network " in p for p in section.parts if isinstance(p, str))
