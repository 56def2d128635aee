"""Filled-in pixels: those of the package, and of a picture whose answer is known."""

import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from sightline.heatmaps import imputation
from sightline.heatmaps.imputation import NOISE, blurred, impute


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # its own
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_pixels_are_those_of_the_package_up_to_a_tenth_of_the_noise(share, monkeypatch):
    monkeypatch.setattr(imputation, "NOISE", 0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 20, 24, generator=generator)
    present = torch.rand(4, 20, 24, generator=generator) > share
    present[3] = False
    present[3, 5:9, 5:9] = True  # far from most of what is missing
    package = NoisyLinearImputer(noise=0)
    expected = [package(*pair) for pair in zip(images, present.float(), strict=True)]
    found = impute(images, present)
    assert (found - torch.stack(expected)).abs().max() < NOISE / 10


def test_what_is_present_stays_and_the_noise_repeats_with_its_seed():
    images, present = torch.randn(2, 3, 8, 8), torch.rand(2, 8, 8) > 0.5
    one, again, other = (impute(images, present, seed=seed) for seed in (1, 1, 2))
    kept = present[:, None].expand_as(images)
    assert torch.equal(one[kept], images[kept]) and torch.equal(one, again)
    apart = (one - other)[~kept]
    assert apart.std().item() == pytest.approx(NOISE * 2**0.5, rel=0.3)


def test_an_even_picture_is_filled_in_with_its_colour():
    images = torch.full((1, 3, 16, 16), 0.7)
    present = torch.zeros(1, 16, 16, dtype=torch.bool)
    present[:, ::5, ::5] = True
    assert (impute(images, present) - 0.7).abs().max() < 6 * NOISE


def test_a_blur_keeps_an_even_picture_and_loses_what_is_small():
    even = torch.full((1, 3, 32, 24), 0.3)
    torch.testing.assert_close(blurred(even), even)
    checker = (torch.arange(32)[:, None] + torch.arange(32)) // 4 % 2
    assert blurred(checker.float()[None, None])[..., 8:24, 8:24].std() < 0.05
