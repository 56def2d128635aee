"""Where maps lie: a class in a corner is alarmed, maps of objects are not."""

import pytest
import torch

from sightline.heatmaps.positions import FEWEST, find_leanings, mean_maps, zones


def blobs(count, height=32, width=32, seed=0):
    """Maps of one round spot each, in the middle half of the picture."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.rand(2, count, 1, 1, generator=generator) / 2 + 0.25
    down = torch.arange(height)[:, None] / height - at[0]
    right = torch.arange(width) / width - at[1]
    return torch.exp(-(down**2 + right**2) / 0.02)


LABELS = torch.arange(80) % 4


def test_a_class_whose_maps_lie_in_a_corner_is_alarmed_with_six_pictures():
    maps = blobs(80)
    maps[LABELS == 2] = torch.roll(maps[LABELS == 2], (14, 14), (1, 2))
    maps[LABELS == 2, :16] = maps[LABELS == 2, :, :16] = 0
    leanings = find_leanings(maps, LABELS)
    assert {leaning.label for leaning in leanings} == {2}
    corner = next(x for x in leanings if x.zone == "lower right corner")
    assert corner.share > 0.3 > 0.1 > corner.others
    assert corner.excess.low > 0.1 and corner.middle < 0.05
    assert len(corner.shown) == 6 and LABELS[corner.shown].eq(2).all()


def test_maps_of_objects_in_the_middle_are_not_alarmed():
    assert find_leanings(blobs(80), LABELS) == []


def test_all_classes_in_the_corner_are_no_class_apart():
    maps = torch.zeros(80, 32, 32)
    maps[:, 28:, 28:] = 1
    assert find_leanings(maps, LABELS) == []


def test_few_maps_and_blank_maps_say_nothing():
    maps = torch.zeros(80, 32, 32)
    assert find_leanings(maps, LABELS) == []
    few = torch.cat([torch.zeros(FEWEST - 1), torch.ones(60)]).long()
    maps = blobs(len(few))
    maps[: FEWEST - 1] = 0
    maps[: FEWEST - 1, 28:, 28:] = 1
    assert find_leanings(maps, few) == []


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (5, 7)])
def test_zones_are_alike_on_all_sides(size):
    masks = zones(*size)
    corners = [mask for name, mask in masks.items() if name.endswith("corner")]
    assert len({int(mask.sum()) for mask in corners}) == 1
    assert torch.stack(corners).sum(0).max() == 1
    border = masks["border"]
    assert border.equal(border.flip(0)) and border.equal(border.flip(1))
    assert border[0].all() and not border[size[0] // 2, size[1] // 2]


def test_a_mean_map_has_sum_one_and_every_picture_the_same_weight():
    maps = torch.zeros(4, 8, 8)
    maps[0, 0, 0], maps[1, 7, 7] = 100, 1
    means = mean_maps(maps, torch.tensor([0, 0, 0, 2]), 3)
    assert means[0, 0, 0] == means[0, 7, 7] == 0.5
    assert means[1].eq(0).all() and means[2].eq(0).all()
