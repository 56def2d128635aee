"""Batched augmentation against albumentations and against closed forms."""

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from tolerance import rounding

from sightline.data.augment import (
    Draw,
    apply_augmentation,
    draw_augmentation,
    fill_values,
    normalise_uint8,
    transform_affine,
)
from sightline.data.augmentation import Augmentation
from sightline.errors import SightlineError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def pictures(count: int, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, size, size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("border", "mode"),
    [("reflect", cv2.BORDER_REFLECT_101), ("symmetric", cv2.BORDER_REFLECT)],
)
def test_equal_offsets_give_the_pixels_of_albumentations(border, mode):
    images = pictures(40)
    generator = torch.Generator().manual_seed(3)
    draw = draw_augmentation(
        Augmentation(crop_padding=4, border=border, flip=0.5, cutout=8),
        40,
        32,
        generator,
    )
    ours = apply_augmentation(images, draw, mean=MEAN, std=STD)
    pad = A.PadIfNeeded(40, 40, border_mode=mode, p=1)
    normalise = A.Normalize(mean=MEAN, std=STD)
    for i in range(40):
        top, left = (draw.shifts[i] + 4).tolist()
        steps = [pad, A.Crop(left, top, left + 32, top + 32)]
        if draw.flips[i]:
            steps.append(A.HorizontalFlip(p=1))
        theirs = A.Compose([*steps, normalise])(image=images[i].numpy())["image"]
        row, column = draw.holes[i].tolist()
        theirs[max(row, 0) : row + 8, max(column, 0) : column + 8] = 0
        # divide by 255, subtract the mean, divide by the deviation: three roundings
        allowed = rounding(3, size=1 / min(STD))
        np.testing.assert_allclose(ours[i].permute(1, 2, 0), theirs, atol=allowed)


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
    draw = draw_augmentation(
        Augmentation(crop_padding=4, flip=0.5, cutout=16), 4000, 32, generator
    )
    assert draw.shifts.unique().tolist() == list(range(-4, 5))
    assert (draw.holes + 8).unique().tolist() == list(range(32))  # any pixel: a centre
    assert 0.45 < draw.flips.float().mean() < 0.55


def test_a_hole_has_the_size_asked_for_and_is_the_mean():
    generator = torch.Generator().manual_seed(0)
    draw = draw_augmentation(
        Augmentation(crop_padding=0, flip=0, cutout=16, cutout_place="inside"),
        20,
        32,
        generator,
    )
    assert draw.holes.min() >= 0
    assert draw.holes.max() <= 16
    images = torch.full((20, 32, 32, 3), 200, dtype=torch.uint8)
    batch = apply_augmentation(images, draw, mean=MEAN, std=STD)
    assert ((batch == 0).sum((1, 2, 3)) == 16 * 16 * 3).all()


@pytest.mark.parametrize("wrong", [{"crop_padding": 32}, {"cutout": 33}])
def test_what_does_not_fit_into_the_picture_is_refused(wrong):
    with pytest.raises(SightlineError, match="32"):
        draw_augmentation(Augmentation(**wrong), 1, 32, torch.Generator())


def drawn(count: int = 2000, **chosen) -> Draw:
    generator = torch.Generator().manual_seed(0)
    return draw_augmentation(Augmentation(**chosen), count, 32, generator)


def test_rotation_scale_and_shift_equal_opencv():
    images = pictures(30)
    draw = drawn(30, rotate=15, scale=0.2, shift=0.2, affine_probability=1.0)
    ours = transform_affine(images, draw.affine)
    to_pixels = np.array([[15.5, 0, 15.5], [0, 15.5, 15.5], [0, 0, 1]])
    for image, matrix, out in zip(images, draw.affine, ours, strict=True):
        square = np.vstack([matrix.numpy(), [0, 0, 1]])
        backwards = (to_pixels @ square @ np.linalg.inv(to_pixels))[:2]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        theirs = cv2.warpAffine(
            image.numpy().astype(np.float32),
            backwards,
            (32, 32),
            flags=flags,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        # opencv rounds positions to 1/32 pixel, and this picture is noise
        assert np.abs(out.numpy() - theirs).mean() < 3


def test_affine_draws_keep_to_their_limits_and_their_probability():
    draw = drawn(rotate=15, scale=0.2, shift=0.1, affine_probability=0.5)
    matrices = draw.affine
    still = (matrices == torch.eye(2, 3)).all(2).all(1)
    assert 0.45 < still.float().mean() < 0.55
    moved = matrices[~still]
    scales = 1 / moved[:, :, :2].det().sqrt()
    angles = torch.rad2deg(torch.atan2(moved[:, 0, 1], moved[:, 0, 0]))
    assert 0.8 <= scales.min() < 0.82
    assert 1.18 < scales.max() <= 1.2
    assert 14 < angles.abs().max() <= 15


def test_a_rotation_turns_and_a_shift_moves_the_right_way():
    images = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    images[0, 16, 26] = 255  # ten pixels to the right of the centre
    cosine, sine = 0.0, 1.0
    quarter = torch.tensor([[[cosine, sine, 0.0], [-sine, cosine, 0.0]]])
    turned = transform_affine(images, quarter)[0, :, :, 0]
    assert turned.argmax() == 26 * 33 + 16  # clockwise on the page: below the centre
    right = torch.tensor([[[1.0, 0, -4 / 16], [0, 1.0, 0]]])
    assert transform_affine(images, right)[0, :, :, 0].argmax() == 16 * 33 + 30


def test_a_border_in_one_colour_covers_what_the_shift_uncovered():
    images = torch.full((50, 32, 32, 3), 200, dtype=torch.uint8)
    draw = drawn(50, crop_padding=6, flip=0.5, border="mean")
    batch = apply_augmentation(images, draw, mean=MEAN, std=STD)
    rows, columns = draw.shifts.abs().unbind(1)
    uncovered = 32 * 32 - (32 - rows) * (32 - columns)
    assert torch.equal((batch == 0).all(1).sum((1, 2)), uncovered)
    shows_right = (batch[:, 0, 16, -1] == 0) & (columns > 0)
    expected = ((draw.shifts[:, 1] > 0) != draw.flips) & (columns > 0)
    assert torch.equal(shows_right, expected)


def holes_of(draw: Draw) -> torch.Tensor:
    """Where the holes are in grey pictures, (B, 32, 32) bool."""
    images = torch.full((len(draw.shifts), 32, 32, 3), 200, dtype=torch.uint8)
    return (apply_augmentation(images, draw, mean=MEAN, std=STD) == 0).all(1)


def square(top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    """The picture (32, 32) that is true from top to bottom and left to right."""
    hole = torch.zeros(32, 32, dtype=torch.bool)
    hole[top:bottom, left:right] = True
    return hole


def test_a_clipped_hole_is_that_of_the_authors_of_cutout():
    draw = drawn(cutout=16, crop_padding=0, flip=0)
    for hole, (y, x) in zip(holes_of(draw), (draw.holes + 8).tolist(), strict=True):
        # util/cutout.py of uoguelph-mlrg/Cutout: both ends of both axes are clipped
        rows, columns = np.clip([y - 8, y + 8], 0, 32), np.clip([x - 8, x + 8], 0, 32)
        assert torch.equal(hole, square(rows[0], columns[0], rows[1], columns[1]))


def test_an_asymmetric_hole_is_that_of_albumentations_1():
    draw = drawn(cutout=16, cutout_place="asymmetric", crop_padding=0, flip=0)
    # the centre is 0 to 32, both included; up to 8 the hole begins at the border
    assert draw.holes.unique().tolist() == list(range(25))
    share = (draw.holes == 0).double().mean().item()
    assert share == pytest.approx(9 / 33, abs=4 * (9 * 24 / 33**2 / 4000) ** 0.5)
    for hole, (y, x) in zip(holes_of(draw), draw.holes.tolist(), strict=True):
        assert torch.equal(hole, square(y, x, y + 16, x + 16))


def test_a_symmetric_border_repeats_the_edge_and_a_reflected_one_does_not():
    row = torch.arange(32, dtype=torch.uint8)
    images = row[None, None, :, None].expand(1, 32, 32, 3)
    shifts, flips = torch.tensor([[0, -3]]), torch.zeros(1, dtype=torch.bool)
    for border, edge in {
        "symmetric": [2, 1, 0, 0, 1],
        "reflect": [3, 2, 1, 0, 1],
    }.items():
        draw = Draw(shifts, flips, border=border)
        batch = apply_augmentation(images, draw, mean=(0,) * 3, std=(1,) * 3)
        assert (255 * batch[0, 0, 0, :5]).round().tolist() == edge


def test_a_hole_on_the_canvas_is_drawn_before_the_crop():
    draw = drawn(cutout=16, cutout_place="canvas", crop_padding=8, flip=0)
    corners = draw.holes + draw.shifts + 8  # on the canvas of 48
    assert corners.min() == 0
    assert corners.max() == 32
    images = torch.full((2000, 32, 32, 3), 200, dtype=torch.uint8)
    batch = apply_augmentation(images, draw, mean=MEAN, std=STD)
    sizes = (batch == 0).all(1).sum((1, 2))
    assert 0 < sizes.float().mean() < 256


def test_holes_come_with_their_probability():
    chosen = {"cutout_probability": 0.5, "cutout_place": "inside"}
    draw = drawn(cutout=8, crop_padding=0, flip=0, **chosen)
    holes = holes_of(draw).sum((1, 2))
    assert set(holes.tolist()) == {0, 64}
    assert 0.45 < (holes > 0).float().mean() < 0.55


@pytest.mark.parametrize("fill", ["raw_mean", "black"])
def test_a_wrong_fill_is_the_value_that_the_slip_puts_there(fill):
    chosen = {"cutout_fill": fill, "cutout_place": "inside"}
    draw = drawn(20, cutout=8, crop_padding=0, flip=0, **chosen)
    images = torch.full((20, 32, 32, 3), 200, dtype=torch.uint8)
    batch = apply_augmentation(images, draw, mean=MEAN, std=STD)
    wanted = torch.tensor(fill_values(fill, MEAN, STD))[None, :, None, None]
    assert ((batch - wanted).abs() < 1e-6).all(1).sum() == 20 * 64
    pixel = fill_values("black", MEAN, STD)[0] * STD[0] + MEAN[0]
    assert pixel == pytest.approx(0, abs=1e-12)  # what a byte keeps of 0.49


def test_an_unknown_fill_is_refused_by_name():
    with pytest.raises(SightlineError, match="'grey'.*raw_mean"):
        fill_values("grey", MEAN, STD)
