"""Simple baselines: they see what they are for, and the verdict can go either way."""

import colorsys
from dataclasses import replace

import pytest
import torch
from tiny import splits

from sightline.data.split import Split
from sightline.measures.inference import effect
from sightline.reports.simple_baselines import verdict
from sightline.training import simple_baselines
from sightline.training.simple_baselines import colours, edges, fit_simple

CLASSES = ("a", "b", "c")
RIGHT = torch.arange(100) < 80


def parts(make, height=24, width=40):
    """Splits of pictures that `make` draws from a label and a generator."""
    generator = torch.Generator().manual_seed(0)

    def split(count):
        labels = torch.arange(count) % len(CLASSES)
        pictures = [make(int(label), height, width, generator) for label in labels]
        return Split(torch.stack(pictures), labels)

    whole = {"train": split(120), "validation": split(30), "test": split(60)}
    return replace(splits(), classes=CLASSES, **whole)


def tinted(label, height, width, generator):
    """Noise, with more of one channel."""
    pixels = torch.randint(0, 150, (height, width, 3), generator=generator)
    pixels[..., label] += 100
    return pixels.to(torch.uint8)


def striped(label, height, width, generator):
    """Stripes in one of three directions, of any colour and place."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    along = (rows + 0 * columns, columns + 0 * rows, rows + columns)[label]
    phase = torch.randint(0, 8, (1,), generator=generator)
    light = torch.randint(100, 256, (3,), generator=generator)
    return ((along + phase) // 4 % 2)[..., None].mul(light).to(torch.uint8)


def accuracies(data):
    """Accuracy on the test pictures, by the features' first word."""
    fitted = fit_simple(data)
    return {b.features.split()[0]: b.right.double().mean().item() for b in fitted}


def test_colours_tell_tints_and_edges_do_not():
    found = accuracies(parts(tinted))
    assert found["colours"] > 0.95 and found["edges"] < 0.6


def test_edges_tell_directions_and_colours_do_not():
    found = accuracies(parts(striped))
    assert found["edges"] > 0.95 and found["colours"] < 0.6


def test_the_better_one_on_the_validation_pictures_comes_first():
    fitted = fit_simple(parts(striped))
    assert fitted[0].features.startswith("edges")
    assert fitted[0].validation >= fitted[1].validation
    assert all(b.strength in simple_baselines.STRENGTHS for b in fitted)


def test_nothing_is_chosen_on_the_test_pictures():
    data = parts(tinted)
    generator = torch.Generator().manual_seed(1)
    other = data.test.labels[torch.randperm(60, generator=generator)]
    shuffled = replace(data, test=Split(data.test.images, other))
    before, after = fit_simple(data), fit_simple(shuffled)
    assert [(b.features, b.strength, b.validation) for b in before] == [
        (b.features, b.strength, b.validation) for b in after
    ]


def test_of_many_training_pictures_only_some_are_learned_from(monkeypatch):
    monkeypatch.setattr(simple_baselines, "MOST", 60)
    fitted = fit_simple(parts(tinted))
    assert {b.trained_on for b in fitted} == {60}
    assert all(len(b.right) == 60 for b in fitted)


def test_hue_saturation_and_value_are_those_of_the_standard_library():
    generator = torch.Generator().manual_seed(0)
    for pixel in torch.randint(0, 256, (50, 3), generator=generator):
        histogram = colours(pixel.to(torch.uint8).expand(1, 4, 4, 3))[0]
        whole = histogram.view(5, *simple_baselines.BINS)[0]
        bins = zip(
            colorsys.rgb_to_hsv(*(pixel / 255).tolist()), whole.shape, strict=True
        )
        place = tuple(
            min(int(value * count + 1e-6), count - 1) for value, count in bins
        )
        assert whole[place] == pytest.approx(1)


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (9, 30)])
def test_features_have_one_length_for_every_size(size):
    pictures = torch.randint(0, 256, (3, *size, 3), dtype=torch.uint8)
    assert colours(pictures).shape == (3, 960)
    assert edges(pictures).shape == (3, 1764)
    assert edges(torch.zeros_like(pictures)).eq(0).all()


def test_the_verdict_says_whether_the_network_beats_it():
    worse = torch.arange(100) < 40
    assert verdict(effect(RIGHT, worse)).startswith("The network beats it, by +40")
    assert "does not beat it. It is worse" in verdict(effect(worse, RIGHT))
    assert "cannot be told from nothing" in verdict(effect(RIGHT, RIGHT.flip(0)))
