"""Batched augmentation against albumentations and against closed forms."""

import albumentations as A
import numpy as np
import pytest
import torch

from sightline.augment import Augmentation, Draw, apply_augmentation, normalise_uint8
from sightline.errors import SightlineError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def pictures(count: int, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def test_equal_offsets_give_the_pixels_of_albumentations():
    images = pictures(40)
    generator = torch.Generator().manual_seed(3)
    draw = Augmentation(crop_padding=4, flip=0.5, cutout=8).draw(40, 32, generator)
    ours = apply_augmentation(images, draw, mean=MEAN, std=STD)
    pad = A.PadIfNeeded(40, 40, border_mode=4, p=1)  # 4: reflect without the edge
    normalise = A.Normalize(mean=MEAN, std=STD)
    for i in range(40):
        top, left = (draw.shifts[i] + 4).tolist()
        steps = [pad, A.Crop(left, top, left + 32, top + 32)]
        if draw.flips[i]:
            steps.append(A.HorizontalFlip(p=1))
        theirs = A.Compose([*steps, normalise])(image=images[i].numpy())["image"]
        row, column = draw.holes[i].tolist()
        theirs[row : row + 8, column : column + 8] = 0
        np.testing.assert_allclose(ours[i].permute(1, 2, 0), theirs, atol=2e-6)


def test_no_shift_no_flip_is_plain_normalisation():
    images = pictures(3)
    draw = Draw(torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3).bool(), None)
    expected = normalise_uint8(images, MEAN, STD)
    assert torch.equal(apply_augmentation(images, draw, mean=MEAN, std=STD), expected)


def test_normalised_batch_is_channels_last_and_has_the_closed_form():
    images = pictures(2)
    batch = normalise_uint8(images, MEAN, STD)
    assert batch.shape == (2, 3, 32, 32)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    value = (images[1, 5, 7, 2].item() / 255 - MEAN[2]) / STD[2]
    assert batch[1, 2, 5, 7].item() == pytest.approx(value, abs=1e-6)


def test_draws_cover_exactly_the_allowed_range():
    generator = torch.Generator().manual_seed(0)
    draw = Augmentation(crop_padding=4, flip=0.5, cutout=16).draw(4000, 32, generator)
    assert draw.shifts.unique().tolist() == list(range(-4, 5))
    assert draw.holes.unique().tolist() == list(range(17))
    assert 0.45 < draw.flips.float().mean() < 0.55


def test_a_hole_has_the_size_asked_for_and_is_the_mean():
    generator = torch.Generator().manual_seed(0)
    draw = Augmentation(crop_padding=0, flip=0, cutout=16).draw(20, 32, generator)
    images = torch.full((20, 32, 32, 3), 200, dtype=torch.uint8)
    batch = apply_augmentation(images, draw, mean=MEAN, std=STD)
    assert ((batch == 0).sum((1, 2, 3)) == 16 * 16 * 3).all()


@pytest.mark.parametrize("wrong", [{"crop_padding": 32}, {"cutout": 33}])
def test_what_does_not_fit_into_the_picture_is_refused(wrong):
    with pytest.raises(SightlineError, match="32"):
        Augmentation(**wrong).draw(1, 32, torch.Generator())
