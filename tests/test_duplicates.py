"""Near duplicates: planted ones are found, and nothing else."""

import pytest
import torch

from sightline.data.corruptions import corrupt
from sightline.data.duplicates import near_duplicates, near_duplicates_within
from sightline.data.shapes import draw_shapes
from sightline.errors import SightlineError

ORIGINALS = torch.from_numpy(draw_shapes(1_500, seed=0).images)
FRESH = torch.from_numpy(draw_shapes(300, seed=1).images)
PLACES = torch.arange(0, 1_500, 50)  # 30 originals


def test_fresh_pictures_have_no_duplicate():
    assert len(near_duplicates(FRESH, ORIGINALS).pictures) == 0


def test_exact_copies_are_found_and_called_exact():
    asked = torch.cat([FRESH[:40], ORIGINALS[PLACES]])
    found = near_duplicates(asked, ORIGINALS)
    order = found.pictures.argsort()
    assert torch.equal(found.pictures[order], torch.arange(40, 70))
    assert torch.equal(found.originals[order], PLACES)
    assert found.exact.all() and not found.mirrored.any()
    assert found.similarity.min() > 0.999


def test_mirrored_copies_are_found_and_called_mirrored():
    found = near_duplicates(ORIGINALS[PLACES].flip(2), ORIGINALS)
    assert len(found.pictures) == 30
    assert torch.equal(found.originals, PLACES[found.pictures])
    assert found.mirrored.all() and found.exact.all()


@pytest.mark.parametrize(
    "change",
    [
        lambda images: corrupt(images, "jpeg", 1),
        lambda images: corrupt(images, "blur", 2),
        lambda images: corrupt(images, "contrast", 3),
        lambda images: images // 2 + 90,  # paler and lighter
    ],
    ids=["jpeg", "blur", "contrast", "lighter"],
)
def test_changed_copies_are_found_and_not_called_exact(change):
    found = near_duplicates(change(ORIGINALS[PLACES]), ORIGINALS)
    assert len(found.pictures) >= 27
    assert torch.equal(found.originals, PLACES[found.pictures])
    assert not found.exact.any()


def test_pairs_come_most_similar_first_and_the_threshold_cuts():
    copies = torch.cat([ORIGINALS[:20], corrupt(ORIGINALS[20:40], "noise", 4)])
    found = near_duplicates(copies, ORIGINALS, threshold=-1)
    assert len(found.pictures) == 40
    assert found.similarity.diff().max() <= 0
    middle = found.similarity[25].item()
    fewer = near_duplicates(copies, ORIGINALS, threshold=middle)
    assert torch.equal(fewer.pictures, found.pictures[:26])


def test_even_pictures_and_a_single_original_are_no_error():
    grey = torch.full((3, 32, 32, 3), 100, dtype=torch.uint8)
    found = near_duplicates(grey, ORIGINALS[:1], threshold=-1)
    assert found.similarity.isfinite().all() and not found.exact.any()


def test_pictures_of_another_size_are_refused():
    with pytest.raises(SightlineError, match="bring them to one size first"):
        near_duplicates(FRESH[:, :16, :16], ORIGINALS)


def test_within_one_set_each_picture_has_its_earlier_twin_once():
    images = torch.cat([FRESH[:100], FRESH[10:20], FRESH[5:6].flip(2)])
    (found,) = near_duplicates_within(images, threshold=0.95)
    pairs = dict(zip(found.pictures.tolist(), found.originals.tolist(), strict=True))
    assert pairs == {100 + i: 10 + i for i in range(10)} | {110: 5}
    assert found.exact.all()
    assert found.mirrored[found.pictures == 110].all()
    assert not found.mirrored[found.pictures < 110].any()


def test_within_one_set_pairs_across_groups_are_told_apart():
    images = torch.cat([FRESH[:60], FRESH[:4]])
    groups = torch.zeros(64, dtype=torch.int64)
    groups[62:] = 1  # two of the four copies
    everywhere, across = near_duplicates_within(images, groups, threshold=0.95)
    assert len(everywhere.pictures) == 4
    assert sorted(across.pictures.tolist()) == [62, 63]


def test_within_one_set_as_many_are_found_as_by_comparing_with_all_others():
    again = corrupt(ORIGINALS[PLACES], "jpeg", 1)
    (found,) = near_duplicates_within(torch.cat([ORIGINALS, again]))
    between = near_duplicates(again, ORIGINALS)
    assert len(found.pictures) == len(between.pictures) == len(PLACES)
