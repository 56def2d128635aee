"""Scores against masks, on maps whose score is known."""

import pytest
import torch

from sightline.data.shapes import CLASSES, draw_shapes
from sightline.errors import SightlineError
from sightline.heatmaps.localisation import (
    energy_in_mask,
    filled_hull,
    pointing_game,
    rank_accuracy,
)

SCORES = (pointing_game, energy_in_mask, rank_accuracy)
MASKS = torch.zeros(1, 8, 8, dtype=torch.bool)
MASKS[:, 2:4, 2:6] = True  # 8 of 64 pixels

each_score = pytest.mark.parametrize("score", SCORES)


@each_score
def test_the_mask_itself_scores_one_and_its_opposite_zero(score):
    assert score(MASKS.float(), MASKS).tolist() == [1]
    assert score((~MASKS).float(), MASKS).tolist() == [0]


@each_score
def test_an_even_map_scores_the_area_of_the_mask(score):
    # sums of quarters are exact
    assert score(torch.full((1, 8, 8), 0.25), MASKS).item() == 8 / 64


@each_score
def test_blank_maps_and_empty_masks_have_no_score(score):
    maps = torch.stack([torch.zeros(8, 8), torch.ones(8, 8)])
    masks = torch.stack([MASKS[0], MASKS[0] & False])
    assert score(maps, masks).isnan().all()


@each_score
def test_the_scale_of_a_map_does_not_matter(score):
    maps = torch.rand(5, 8, 8)
    masks = torch.rand(5, 8, 8) > 0.6
    torch.testing.assert_close(score(maps, masks), score(7 * maps, masks))


def test_the_energy_is_a_weighted_share():
    maps = MASKS.float() * 3 + 1  # 8 pixels of 4, 56 of 1
    assert energy_in_mask(maps, MASKS).item() == pytest.approx(32 / 88)


def test_of_equally_bright_pixels_the_pointing_game_counts_the_share_inside():
    maps = torch.rand(1, 8, 8)
    maps[0, 2, 5] = maps[0, 2, 6] = maps[0, 7, 7] = 2  # the first one is inside
    assert pointing_game(maps, MASKS).item() == pytest.approx(1 / 3)


def test_rank_accuracy_counts_what_lies_inside_among_the_brightest():
    maps = torch.zeros(1, 8, 8)
    maps[0, 2, 2:6] = 4  # 4 above the border, all inside
    maps[0, 3, 2:6] = maps[0, 7] = 3  # 12 tied for 4 places, 4 of them inside
    assert rank_accuracy(maps, MASKS).item() == pytest.approx((4 + 4 * 4 / 12) / 8)


def test_rank_accuracy_of_distinct_values_is_a_count():
    maps, masks = torch.rand(20, 8, 8), torch.rand(20, 8, 8) > 0.7
    for i, (one, mask) in enumerate(zip(maps, masks, strict=True)):
        brightest = one.flatten().topk(int(mask.sum())).indices
        expected = mask.flatten()[brightest].float().mean()
        assert rank_accuracy(maps, masks)[i] == pytest.approx(expected.item())


@each_score
def test_maps_that_do_not_fit_their_masks_are_refused(score):
    with pytest.raises(SightlineError, match=r"\(1, 4, 4\) do not fit \(1, 8, 8\)"):
        score(torch.ones(1, 4, 4), MASKS)


def test_the_hull_of_a_square_is_the_square_and_a_pixel_around_it():
    grown = torch.zeros(1, 8, 8, dtype=torch.bool)
    grown[:, 1:5, 1:7] = True
    hull = filled_hull(MASKS)
    assert (hull <= grown).all() and (hull >= MASKS).all()
    corners = [(1, 1), (1, 6), (4, 1), (4, 6)]  # further than a pixel from the square
    assert hull.sum() == grown.sum() - len(corners)
    assert torch.equal(filled_hull(MASKS, margin=0), MASKS)
    assert not filled_hull(MASKS & False).any()


def test_the_hull_holds_what_tells_one_outline_from_another():
    drawn = draw_shapes(400)
    masks, labels = torch.from_numpy(drawn.masks), torch.from_numpy(drawn.labels)
    grown = filled_hull(masks).sum((1, 2)) / masks.sum((1, 2))
    of_class = {name: grown[labels == k].mean() for k, name in enumerate(CLASSES)}
    assert of_class["ring"] > of_class["disc"] and of_class["frame"] > of_class["disc"]
    ring = masks[labels == CLASSES.index("ring")]
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    for mask, hull in zip(ring, filled_hull(ring), strict=True):
        middle = rows[mask].float().mean().round(), columns[mask].float().mean().round()
        i, j = (int(place) for place in middle)
        assert hull[i, j]  # the hole
