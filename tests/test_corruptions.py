"""Damaged pictures: the same every time, and worse with severity."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from sightline.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from sightline.data.shapes import draw_shapes
from sightline.errors import SightlineError

IMAGES = torch.from_numpy(draw_shapes(60, seed=0).images)
each_kind = pytest.mark.parametrize("kind", CORRUPTIONS)


@each_kind
def test_pictures_keep_their_type_and_shape_and_are_not_changed_in_place(kind):
    before = IMAGES.clone()
    damaged = corrupt(IMAGES, kind, 3)
    assert damaged.shape == IMAGES.shape and damaged.dtype == torch.uint8
    assert torch.equal(IMAGES, before)
    assert (damaged != IMAGES).flatten(1).any(1).all()  # not one is spared


@each_kind
def test_every_severity_is_farther_from_the_original_than_the_one_before(kind):
    damaged = [corrupt(IMAGES, kind, s).double() for s in SEVERITIES]
    distances = [(d - IMAGES).abs().mean().item() for d in damaged]
    assert distances[0] > 0.5
    assert all(a < b for a, b in zip(distances, distances[1:], strict=False))


@each_kind
def test_the_same_call_gives_the_same_pictures(kind):
    torch.manual_seed(5)
    first = corrupt(IMAGES, kind, 2, seed=1)
    torch.manual_seed(6)  # the global generator has no say
    state = torch.get_rng_state()
    assert torch.equal(corrupt(IMAGES, kind, 2, seed=1), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_seed_is_other_noise_of_the_same_strength():
    grey = torch.full((20, 32, 32, 3), 128, dtype=torch.uint8)
    one, other = (corrupt(grey, "noise", 1, seed=s).double() - 128 for s in (0, 1))
    assert (one * other).mean().abs() < 0.05 * one.square().mean()
    assert one.std().item() == pytest.approx(0.04 * 255, rel=0.02)


# strengths and operations of CIFAR-10-C, as its authors published them: what each
# does to one picture of 32 pixels, as an array in 0..1, before levels are made whole
CIFAR_10_C = {
    "blur": [
        lambda x, c=c: gaussian_filter(x, (c, c, 0), mode="nearest", truncate=4)
        for c in (0.4, 0.6, 0.7, 0.8, 1.0)
    ],
    "contrast": [
        lambda x, c=c: c * x + (1 - c) * x.mean((0, 1))
        for c in (0.75, 0.5, 0.4, 0.3, 0.15)
    ],
    "pixelate": [
        lambda x, side=side: enlarged(x, side) for side in (30, 28, 27, 24, 20)
    ],
    "jpeg": [lambda x, q=q: compressed(x, q) for q in (80, 65, 58, 50, 40)],
}


def as_picture(x):
    return Image.fromarray((255 * x).round().astype(np.uint8))


def enlarged(x, side):
    small = as_picture(x).resize((side, side), Image.BOX)
    return np.asarray(small.resize((32, 32), Image.BOX)) / 255


def compressed(x, quality):
    file = io.BytesIO()
    as_picture(x).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("kind", CIFAR_10_C)
def test_the_damage_is_that_of_cifar_10_c_to_a_rounding(kind, severity):
    damaged = corrupt(IMAGES, kind, severity).numpy()
    for before, after in zip(IMAGES.numpy(), damaged, strict=True):
        expected = CIFAR_10_C[kind][severity - 1](before / 255)
        # whole levels are within a half; the rest is float32 against float64
        assert np.abs(after - 255 * expected.clip(0, 1)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("severity", SEVERITIES)
def test_the_noise_has_the_strength_of_cifar_10_c(severity):
    grey = torch.full((50, 32, 32, 3), 128, dtype=torch.uint8)
    noise = corrupt(grey, "noise", severity).double() - 128
    expected = 255 * (0.04, 0.06, 0.08, 0.09, 0.1)[severity - 1]
    # 153,600 values: the standard error of their spread is 0.2 %, rounding adds 1/12
    assert noise.std().item() == pytest.approx(expected, rel=0.01)


def test_blur_keeps_an_even_picture_and_spreads_a_point_evenly():
    even = torch.full((1, 16, 16, 3), 77, dtype=torch.uint8)
    assert torch.equal(corrupt(even, "blur", 5), even)
    point = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    point[0, 16, 16] = 255
    spread = corrupt(point, "blur", 3)
    assert torch.equal(spread, spread.flip(1)) and torch.equal(spread, spread.flip(2))
    assert torch.equal(spread, spread.transpose(1, 2))
    assert 0 < spread[0, 16, 16, 0] < 80


@each_kind
def test_other_sizes_and_no_pictures_at_all_are_possible(kind):
    assert corrupt(IMAGES[:2, :20, :13], kind, 5).shape == (2, 20, 13, 3)
    assert corrupt(IMAGES[:1, :1, :1], kind, 5).shape == (1, 1, 1, 3)
    assert corrupt(IMAGES[:0], kind, 1).shape == (0, 32, 32, 3)


def test_what_cannot_be_damaged_is_named():
    with pytest.raises(SightlineError, match="unknown corruption 'fog'; choose from"):
        corrupt(IMAGES, "fog", 1)
    for severity in (0, 6):
        with pytest.raises(SightlineError, match=f"severity {severity} is not one of"):
            corrupt(IMAGES, "blur", severity)
    with pytest.raises(SightlineError, match="corrupt before normalising"):
        corrupt(IMAGES.float(), "blur", 1)
