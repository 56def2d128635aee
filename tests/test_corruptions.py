"""Damaged pictures: the same every time, and worse with severity."""

import pytest
import torch

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
    assert distances == sorted(distances)
    assert distances[0] > 0.5 and distances[-1] > 1.4 * distances[0]


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
    assert one.std().item() == pytest.approx(0.03 * 255, rel=0.02)


def test_contrast_keeps_the_mean_and_scales_the_rest():
    half = corrupt(IMAGES, "contrast", 2).double()
    mean = IMAGES.double().mean((1, 2, 3), keepdim=True)
    assert (half - (mean + (IMAGES - mean) / 2)).abs().max() <= 0.5 + 1e-3


def test_blur_keeps_an_even_picture_and_spreads_a_point_evenly():
    even = torch.full((1, 16, 16, 3), 77, dtype=torch.uint8)
    assert torch.equal(corrupt(even, "blur", 5), even)
    point = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    point[0, 16, 16] = 255
    spread = corrupt(point, "blur", 3)
    assert torch.equal(spread, spread.flip(1)) and torch.equal(spread, spread.flip(2))
    assert torch.equal(spread, spread.transpose(1, 2))
    assert 0 < spread[0, 16, 16, 0] < 80


def test_pixelated_pictures_have_large_even_pixels():
    large = corrupt(IMAGES, "pixelate", 5)  # 8 of 32: each is 4 × 4
    blocks = large.unflatten(2, (8, 4)).unflatten(1, (8, 4))
    assert torch.equal(blocks, blocks[:, :, :1, :, :1].expand_as(blocks))
    expected = IMAGES.unflatten(2, (8, 4)).unflatten(1, (8, 4)).double().mean((2, 4))
    assert (blocks[:, :, 0, :, 0] - expected).abs().max() <= 0.5


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
