"""The shortcut audit: a planted cue is alarmed, honest pictures are not."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sightline.data import cues, shortcuts
from sightline.data.check import check_folder
from sightline.data.cues import FileFacts, categories, collect_facts, shrink
from sightline.data.datasets import draw_split
from sightline.data.shapes import CLASSES
from sightline.data.shortcuts import LEAST, audit
from sightline.data.split import Split

JPEG = FileFacts("JPEG RGB", 1024, 1.0, 0.4, 500, "")


def facts_for(labels, marked, other):
    """Facts of files of which those of one class differ."""
    return [other if label == marked else JPEG for label in labels.tolist()]


def test_a_planted_watermark_is_alarmed_with_its_class_its_corner_and_six_pictures():
    pictures = draw_split(600, 1, shortcut_class=3)
    audited = audit(pictures, CLASSES)
    assert {alarm.class_name for alarm in audited.alarms} == {CLASSES[3]}
    first = audited.alarms[0]
    assert first.cue == "lower right corner"
    assert first.share > 0.9 and first.beside < 0.2 and first.excess.low > 0.5
    assert len(first.shown) == 6
    assert set(pictures.labels[first.shown].tolist()) == {3}
    assert pictures.shortcuts[first.shown].flatten(1).any(1).all()


def test_a_watermark_in_half_of_the_pictures_of_a_class_is_alarmed():
    pictures = draw_split(1000, 2, shortcut_class=5, shortcut_probability=0.5)
    audited = audit(pictures, CLASSES)
    assert ("lower right corner", CLASSES[5]) in {
        (alarm.cue, alarm.class_name) for alarm in audited.alarms
    }


@pytest.mark.parametrize("seed", [3, 4])
def test_clean_shapes_are_not_alarmed(seed):
    audited = audit(draw_split(600, seed), CLASSES)
    assert audited.alarms == () and audited.pictures == 600


def test_a_mark_that_all_classes_carry_is_no_shortcut():
    assert not audit(draw_split(600, 5, shortcut_on=True), CLASSES).alarms


def test_the_same_pictures_give_the_same_alarms():
    pictures = draw_split(400, 6, shortcut_class=0)
    first, second = (audit(pictures, CLASSES) for _ in range(2))
    assert [a.words() for a in first.alarms] == [a.words() for a in second.alarms]
    assert first.told == second.told


def test_the_table_says_how_much_every_place_tells_above_chance():
    told = audit(draw_split(600, 7, shortcut_class=3), CLASSES).told
    assert set(told) == set(cues.PLACES)
    assert told["lower right corner"].low > 0
    assert told["upper left corner"].low < 0.02


@pytest.mark.parametrize(
    ("change", "cue"),
    [
        ({"kind": "PNG RGB", "quality": 0}, "file format"),
        ({"size": 900}, "number of pixels"),
        ({"shape": 1.33}, "shape of the picture"),
        ({"quality": 900}, "JPEG quality"),
        ({"camera": "Canon EOS 550D"}, "camera"),
    ],
)
def test_a_class_of_other_files_is_alarmed(change, cue):
    pictures = draw_split(300, 8)
    facts = facts_for(pictures.labels, 2, replace(JPEG, **change))
    alarms = audit(pictures, CLASSES, facts).alarms
    assert cue in {alarm.cue for alarm in alarms}
    assert {alarm.class_name for alarm in alarms} == {CLASSES[2]}


def test_files_of_one_kind_are_not_alarmed():
    pictures = draw_split(300, 9)
    assert not audit(pictures, CLASSES, [JPEG] * 300).alarms


def test_larger_files_are_honest():
    pictures = draw_split(300, 9)
    facts = facts_for(pictures.labels, 2, replace(JPEG, density=0.9))
    audited = audit(pictures, CLASSES, facts)
    assert audited.told["bytes per pixel"].low > 0 and not audited.alarms


def test_three_pictures_a_class_are_too_few_and_no_alarm():
    audited = audit(draw_split(30, 1, shortcut_class=3), CLASSES)
    assert audited.few == CLASSES
    assert not audited.alarms and not audited.told


def test_a_small_class_is_named_and_the_others_are_asked():
    labels = torch.tensor([0] * 100 + [1] * 100 + [2] * (LEAST - 1))
    images = draw_split(len(labels), 1).images
    audited = audit(Split(images, labels), ("a", "b", "c"))
    assert audited.few == ("c",) and audited.told


def test_pictures_without_any_variation_are_not_alarmed():
    labels = torch.arange(60) % 3
    images = torch.full((60, 32, 32, 3), 7, dtype=torch.uint8)
    assert not audit(Split(images, labels), ("a", "b", "c")).alarms


def test_more_pictures_than_are_looked_at_keep_their_places(monkeypatch):
    monkeypatch.setattr(shortcuts, "MOST", 400)
    pictures = draw_split(900, 1, shortcut_class=3)
    audited = audit(pictures, CLASSES)
    assert audited.pictures == 400
    assert pictures.shortcuts[audited.alarms[0].shown].flatten(1).any(1).all()


def test_pictures_of_every_size_become_equal():
    images = torch.zeros(2, 48, 80, 3, dtype=torch.uint8)
    images[1, :24] = 255
    small = shrink(images)
    assert small.shape == (2, 3, 32, 32)
    assert small[1, :, :16].eq(1).all() and small[1, :, 16:].eq(0).all()


def test_frequent_values_are_kinds_of_their_own_and_others_are_sorted():
    kinds = categories([7] * 5 + list(range(100, 200)))
    assert len(set(kinds[:5].tolist())) == 1 and kinds[0] not in kinds[5:]
    assert kinds[5:].tolist() == sorted(kinds[5:].tolist())
    assert 15 < len(kinds.unique()) < 25


def save_folder(folder, suffixes, mode="RGB", size=(40, 30)):
    """Save 20 noise pictures a class, each class in its own format."""
    noise = np.random.default_rng(0)
    for name, suffix in suffixes.items():
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = noise.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
            picture = Image.fromarray(pixels, "RGBA").convert(mode)
            picture.save(folder / name / f"{i}{suffix}")
    return folder


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_check_names_the_class_of_another_format_and_six_files(tmp_path, mode):
    folder = save_folder(
        tmp_path / "a", {"cat": ".png", "dog": ".png", "owl": ".webp"}, mode
    )
    checked = check_folder(folder, keep_in=tmp_path / "kept", progress=False)
    alarms = [f for f in checked.findings if f.kind == "shortcut"]
    assert len(alarms) == 1 and "file format" in alarms[0].words
    assert "owl" in alarms[0].words and len(alarms[0].files) == 6
    assert all((folder / name).exists() for name in alarms[0].files)
    assert not alarms[0].grave and checked.trainable


def test_a_check_of_one_format_says_nothing(tmp_path):
    folder = save_folder(tmp_path / "a", {"cat": ".png", "dog": ".png"})
    checked = check_folder(folder, keep_in=tmp_path / "kept", progress=False)
    assert "shortcut" not in {finding.kind for finding in checked.findings}


def test_facts_of_a_file_that_has_gone_are_none_at_all(tmp_path):
    folder = save_folder(tmp_path / "a", {"cat": ".jpg"}, size=(60, 20))
    names = ["cat/0.jpg", "cat/1.jpg"]
    facts = collect_facts(folder, names)
    assert facts[0].kind == "JPEG RGB" and facts[0].shape == 3 and facts[0].quality
    (folder / "cat/1.jpg").unlink()
    assert collect_facts(folder, names) == []
