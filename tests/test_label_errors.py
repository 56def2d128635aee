"""Label errors: planted ones are found, and the validated ones in their places."""

from collections import Counter

import pytest
import torch

from sightline.data.datasets import Split
from sightline.data.label_errors import (
    CIFAR10,
    confident_joint,
    find_validated,
    suspects,
    validated,
)
from sightline.data.shapes import draw_shapes
from sightline.errors import DataError


def cifar10_like() -> Split:
    """10,000 pictures of one pixel in folder order; the listed ones have its colour."""
    labels = torch.arange(10).repeat_interleave(1000)
    generator = torch.Generator().manual_seed(0)
    shape = (10_000, 1, 1, 3)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    for error in validated():
        place = 1000 * CIFAR10.index(error.label) + error.place
        images[place] = torch.tensor(error.colour, dtype=torch.uint8)
    return Split(images, labels)


# --- confident learning -------------------------------------------------------


def test_the_confident_joint_counts_what_reaches_the_mean_of_its_class():
    shares = torch.tensor(
        [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [0.55, 0.45]]
    )
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    # thresholds: 0.6 for class 0, 2.05/3 = 0.683 for class 1; the last reaches none
    assert confident_joint(shares, labels).tolist() == [[2, 1], [0, 2]]
    found = suspects(shares, labels)
    assert (found.indices.tolist(), found.suggested.tolist()) == ([2], [1])
    assert found.self_confidence.tolist() == pytest.approx([0.2])


def test_planted_flips_of_shapes_labels_are_found():
    labels = torch.from_numpy(draw_shapes(3_000, seed=0).labels)
    generator = torch.Generator().manual_seed(0)
    # a classifier that is right in 96 % and unsure to different degrees
    said = labels.clone()
    missed = torch.rand(3_000, generator=generator) < 0.04
    said[missed] = (said[missed] + 3) % 10
    strength = 2 + 4 * torch.rand(3_000, 1, generator=generator)
    strength[missed] = 2  # and it is less sure where it is wrong
    shares = (strength * torch.nn.functional.one_hot(said, 10)).softmax(1)
    flipped = torch.rand(3_000, generator=generator) < 0.03
    given = torch.where(flipped, (labels + 1) % 10, labels)
    found = suspects(shares, given)
    hits = flipped[found.indices]
    assert hits.sum() / len(hits) > 0.85  # precision
    assert hits.sum() / flipped.sum() > 0.6  # recall
    joint = confident_joint(shares, given)
    assert joint.sum() - joint.diagonal().sum() == len(found.indices)
    right = found.suggested[hits] == labels[found.indices[hits]]
    assert right.double().mean() > 0.95
    assert found.self_confidence.diff().min() >= 0


def test_a_class_without_images_is_never_suspected_of_any():
    shares = torch.tensor([[0.1, 0.2, 0.7], [0.2, 0.7, 0.1]])
    found = suspects(shares, torch.tensor([0, 1]))
    assert 2 not in found.suggested.tolist()
    assert confident_joint(shares, torch.tensor([0, 1])).shape == (3, 3)


# --- the validated ones -------------------------------------------------------


def test_the_table_holds_fifty_four_images_of_five_votes_each():
    errors = validated()
    verdicts = Counter(error.verdict for error in errors)
    assert verdicts == {"suggested": 18, "neither": 4, "no agreement": 32}
    assert len({error.index for error in errors}) == 54
    for error in errors:
        assert sum(error.votes) == 5 and error.votes[0] < 3
        assert error.label != error.suggested
        assert {error.label, error.suggested} <= set(CIFAR10)
        assert 0 <= error.place <= error.index < 10_000


def test_places_within_a_class_grow_with_the_index():
    for name in CIFAR10:
        own = sorted(e.index for e in validated() if e.label == name)
        assert own == [
            e.index
            for e in sorted(validated(), key=lambda e: e.place)
            if e.label == name
        ]


def test_validated_images_are_found_in_a_folder_and_in_any_mix_of_the_classes():
    folder = cifar10_like()
    where = find_validated(folder, CIFAR10)
    assert where[0] == 4012  # deer 12
    mixed = torch.rand(10_000, generator=torch.Generator().manual_seed(1)).argsort()
    mixed = mixed[folder.labels[mixed].argsort(stable=True)]
    # interleave the classes: the order within each stays
    turn = torch.arange(10_000).reshape(10, 1000).T.flatten()
    other = find_validated(folder.take(turn), CIFAR10)
    assert torch.equal(turn[other], where)


def test_other_data_is_refused_politely():
    folder = cifar10_like()
    with pytest.raises(DataError, match="of CIFAR-10; these are 10,000 of 10 classes"):
        find_validated(folder, CIFAR10[::-1])
    with pytest.raises(DataError, match="these are 9,999 of 10 classes"):
        find_validated(folder.take(torch.arange(9_999)), CIFAR10)


def test_another_order_within_the_classes_is_noticed():
    folder = cifar10_like()
    shuffled = torch.cat([p.flip(0) for p in torch.arange(10_000).split(1000)])
    with pytest.raises(DataError, match="not in the original order"):
        find_validated(folder.take(shuffled), CIFAR10)
