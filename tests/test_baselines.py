"""Maps that know nothing, and the best that a coarse map can be."""

import pytest
import torch
import torch.nn.functional as F

from sightline.data.shapes import draw_shapes
from sightline.heatmaps.baselines import (
    BASELINES,
    ceiling,
    centre,
    coarsened,
    edges,
    random,
    uniform,
)
from sightline.heatmaps.localisation import energy_in_mask, pointing_game

IMAGES = torch.randn(3, 3, 16, 24, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_is_a_map_of_every_picture_between_zero_and_one(name):
    maps = BASELINES[name](IMAGES)
    assert maps.shape == (3, 16, 24) and maps.dtype == torch.float32
    assert maps.min() >= 0 and 0.9 < maps.max() <= 1


def test_an_even_map_is_one_everywhere():
    assert (uniform(IMAGES) == 1).all()


def test_the_centre_is_brightest_in_the_middle_and_falls_as_a_gaussian():
    (bell,) = centre(torch.zeros(1, 3, 33, 33), width=0.25)
    assert bell[16, 16] == 1
    away = torch.exp(torch.tensor(-((8 / (0.25 * 33)) ** 2) / 2))
    assert bell[16, 24] == pytest.approx(away.item())
    torch.testing.assert_close(bell, bell.flip(0))
    torch.testing.assert_close(bell, bell.T)


def test_edges_lie_where_a_picture_changes():
    images = torch.zeros(2, 3, 8, 8)
    images[0, :, :, 4:] = 5
    steps, flat = edges(images)
    assert (steps[:, 3:5] == 1).all()
    assert steps.sum() == 16  # nowhere else, not even at the border of the picture
    assert not flat.any()


def test_random_maps_repeat_with_their_seed_and_can_be_coarse():
    assert torch.equal(random(IMAGES, seed=3), random(IMAGES, seed=3))
    assert not torch.equal(random(IMAGES, seed=3), random(IMAGES, seed=4))
    coarse = random(torch.zeros(1, 3, 32, 32), cells=4)
    smooth = F.avg_pool2d(coarse[:, None], 4)
    again = F.interpolate(smooth, (32, 32), mode="nearest")[:, 0]
    assert (again - coarse).abs().mean() < 0.1  # neighbours are alike


def test_a_baseline_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    for make in BASELINES.values():
        make(IMAGES)
    assert torch.equal(before, torch.get_rng_state())


def test_with_a_cell_for_each_pixel_the_coarsened_is_the_mask():
    masks = torch.from_numpy(draw_shapes(5).masks)
    assert torch.equal(coarsened(masks, 32), masks.float())
    assert energy_in_mask(ceiling(masks, 32), masks).tolist() == [1] * 5


def test_a_mask_that_ends_at_cells_keeps_them():
    masks = torch.zeros(1, 32, 32, dtype=torch.bool)
    masks[:, 8:24, 8:24] = True  # the four cells in the middle of 4 × 4
    coarse = coarsened(masks, 4)
    assert coarse[0, 12:20, 12:20].min() == 1
    assert pointing_game(coarse, masks).item() == 1


@pytest.mark.parametrize("cells", [4, 8])
def test_no_map_of_so_few_cells_has_more_of_itself_inside_than_the_ceiling(cells):
    masks = torch.from_numpy(draw_shapes(12, seed=1).masks)
    best = energy_in_mask(ceiling(masks, cells), masks)
    generator = torch.Generator().manual_seed(0)
    for power in (1, 4, 16):
        maps = torch.rand(40, 1, cells, cells, generator=generator) ** power
        maps = F.interpolate(maps, (32, 32), mode="bilinear")[:, 0]
        for one in maps:
            assert (energy_in_mask(one.expand(12, -1, -1), masks) <= best).all()
    assert (energy_in_mask(coarsened(masks, cells), masks) <= best).all()


def test_finer_cells_raise_the_ceiling():
    masks = torch.from_numpy(draw_shapes(50, seed=2).masks)
    means = [
        energy_in_mask(ceiling(masks, cells), masks).mean() for cells in (2, 4, 8, 16)
    ]
    assert means == sorted(means)
