"""Label errors: planted ones are found, and the validated ones in their places."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from tolerance import rounding

from sightline.data.label_errors import (
    CIFAR10,
    compare_with_chance,
    confident_joint,
    find_validated,
    least_self_confident,
    out_of_fold,
    suspects,
    validated,
)
from sightline.data.shapes import draw_shapes
from sightline.data.split import Split
from sightline.errors import DataError, SightlineError


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


# --- training pictures --------------------------------------------------------


def shapes(count: int) -> Split:
    drawn = draw_shapes(count, seed=0)
    return Split(torch.from_numpy(drawn.images), torch.from_numpy(drawn.labels))


def test_nobody_is_asked_about_a_picture_that_it_was_trained_on():
    train = shapes(103)
    marks = torch.arange(103, dtype=torch.uint8)
    train.images[:, 0, 0, 0] = marks  # tells the pictures apart
    trainings = []

    def ask(rest, fold):
        seen, own = (set(s.images[:, 0, 0, 0].tolist()) for s in (rest, fold))
        assert not seen & own and len(seen | own) == 103
        trainings.append(own)
        return torch.nn.functional.one_hot(fold.images[:, 0, 0, 0].long(), 103)

    answers = out_of_fold(train, ask, folds=4)
    assert torch.equal(answers.argmax(1), marks.long())  # each in its own place
    assert [len(own) for own in trainings] == [26, 26, 26, 25]


def test_every_fold_has_its_share_of_each_class():
    train = shapes(200)
    counts = []
    out_of_fold(
        train,
        lambda rest, fold: (
            counts.append(fold.labels.bincount(minlength=10))
            or torch.zeros(len(fold), 10)
        ),
    )
    whole = train.labels.bincount(minlength=10)
    for fold in counts:
        assert (fold - whole / 5).abs().max() < 1


def test_answers_out_of_fold_are_those_of_scikit_learn():
    train = shapes(240)
    train.images[:, 0, 0, 0] = torch.arange(240, dtype=torch.uint8)
    fold_of = np.zeros(240, int)

    def pixels(split):
        return split.images[:, 4::8, 4::8].flatten(1).double().numpy()

    def ask(rest, fold):
        fold_of[fold.images[:, 0, 0, 0]] = fold_of.max() + 1
        fitted = GaussianNB().fit(pixels(rest), rest.labels)
        return torch.from_numpy(fitted.predict_proba(pixels(fold)))

    answers = out_of_fold(train, ask, folds=3)
    expected = cross_val_predict(
        GaussianNB(),
        pixels(train),
        train.labels.numpy(),
        cv=PredefinedSplit(fold_of),
        method="predict_proba",
    )
    # sums over 160 pictures in another order, of 48 terms up to 1,000 each
    close = rounding(160, dtype=torch.double) * 48 * 1_000
    assert np.abs(answers.numpy() - expected).max() < close


def test_impossible_folds_are_refused():
    for folds, count in ((1, 20), (21, 20)):
        with pytest.raises(SightlineError, match=f"{folds} folds of {count} pictures"):
            out_of_fold(shapes(count), lambda rest, fold: fold.labels, folds=folds)


# --- what a list is worth -----------------------------------------------------


@pytest.mark.parametrize("hits", [0, 3, 11, 20])
def test_the_level_of_chance_is_hypergeometric(hits):
    # 1,366 mistakes, 38 of them with a wrong label, 359 suspects: the book's network
    among = torch.arange(10_000) < 1_366
    wrong = torch.arange(10_000) < 38
    wrong[-16:] = True  # wrong labels of images that the network gets right
    listed = torch.cat([torch.arange(hits), torch.arange(100, 100 + 359 - hits)])
    level = compare_with_chance(listed, wrong, among)
    expected = hypergeom(1_366, 38, 359)
    assert level.hits == hits
    assert level.expected == pytest.approx(expected.mean())
    assert level.p == pytest.approx(expected.sf(hits - 1), rel=1e-9)


def test_what_is_listed_but_cannot_be_drawn_does_not_count():
    among = torch.tensor([True, True, True, False])
    wrong = torch.tensor([True, False, False, True])
    level = compare_with_chance(torch.tensor([0, 3]), wrong, among)
    assert level == (1, pytest.approx(1 / 3), pytest.approx(1 / 3))
    nothing = compare_with_chance(torch.tensor([3]), wrong, among)
    assert nothing == (0, 0, 1)


def test_the_least_self_confident_have_the_least_probable_label():
    shares = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
    assert least_self_confident(shares, torch.tensor([0, 0, 1])).tolist() == [1, 2, 0]


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
