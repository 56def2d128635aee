"""Counts and shares of predictions, against counts made by hand."""

import warnings

import pytest
import torch
from sklearn import metrics

from sightline.errors import SightlineError
from sightline.measures.metrics import (
    balanced_accuracy,
    class_intervals,
    confusion_matrix,
    margins,
    near_ties,
    order_by_confusion,
    per_class_accuracy,
    shared_mistakes,
    within_class,
)


def test_confusion_counts_actual_classes_in_rows():
    labels = torch.tensor([0, 0, 0, 1, 2])
    predictions = torch.tensor([0, 2, 2, 1, 0])
    expected = [[1, 0, 2], [0, 1, 0], [1, 0, 0]]
    confusion = confusion_matrix(labels, predictions, 3)
    assert confusion.tolist() == expected
    assert confusion.dtype == torch.int64


def test_confusion_sums_to_the_number_of_images():
    labels, predictions = torch.randint(0, 7, (2, 500))
    assert confusion_matrix(labels, predictions, 9).sum() == 500


def test_confusion_of_no_images_is_all_zeros():
    nothing = torch.empty(0, dtype=torch.int64)
    assert confusion_matrix(nothing, nothing, 4).tolist() == [[0] * 4] * 4


def test_confusion_refuses_a_class_out_of_range():
    with pytest.raises(SightlineError, match="class 3 is out of range: 3 classes"):
        confusion_matrix(torch.tensor([0, 3]), torch.tensor([0, 1]), 3)


def test_confusion_refuses_labels_and_predictions_of_different_length():
    with pytest.raises(SightlineError, match="2 labels for 3 predictions"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 1, 1]), 3)


def test_per_class_accuracy_is_the_share_of_each_row_and_nan_for_an_empty_one():
    accuracy = per_class_accuracy(torch.tensor([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert accuracy[:2].tolist() == [0.75, 1.0]
    assert accuracy[2].isnan()


def test_the_intervals_of_all_classes_hold_together_as_often_as_they_say():
    generator = torch.Generator().manual_seed(0)
    shares = torch.linspace(0.6, 0.95, 10).expand(3_000, 10)
    right = (torch.rand(3_000, 10, 200, generator=generator) < shares[..., None]).sum(2)
    together = 0
    for counts in right:
        low, high = class_intervals(counts.diag() + (200 - counts).diag().roll(1, 1))
        together += int(((low <= shares[0]) & (shares[0] <= high)).all())
    # Wilson's coverage oscillates around the level by a point or two
    assert together / 3_000 == pytest.approx(0.95, abs=0.02)


def test_a_group_is_compared_within_its_classes():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2])
    right = torch.tensor([1, 1, 1, 0, 0, 1, 0, 0, 1]).bool()
    group = torch.tensor([1, 0, 0, 0, 1, 0, 0, 0, 1]).bool()
    # against 2 of 3 in class 0, 1 of 3 in class 1; class 2 has no other image
    assert within_class(right, labels, group).tolist() == pytest.approx([1 / 3, -1 / 3])


def test_a_group_that_is_rich_in_an_easy_class_has_no_advantage():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (20_000,), generator=generator)
    draws = torch.rand(2, 20_000, generator=generator)
    right = draws[0] < torch.tensor([0.95, 0.6])[labels]
    group = draws[1] < torch.tensor([0.3, 0.02])[labels]
    gap = right[group].double().mean() - right[~group].double().mean()
    assert gap > 0.15  # what a plain comparison says
    # 3,000 answers with a spread of about 0.25: four standard errors
    assert within_class(right, labels, group).mean().abs() < 0.02


def test_classes_that_form_a_chain_are_found_in_its_order():
    # confusion falls with the distance in a hidden order
    hidden = torch.tensor([3, 0, 5, 1, 6, 2, 4])
    place = hidden.argsort()
    distance = (place[:, None] - place).abs()
    confusion = (1000 * 0.3 ** distance.double()).round().long()
    order = order_by_confusion(confusion).tolist()
    assert order in (hidden.tolist(), hidden.flip(0).tolist())


def test_classes_that_are_confused_among_themselves_stand_together():
    groups = torch.tensor([0, 1, 0, 1, 2, 0, 2, 1])
    generator = torch.Generator().manual_seed(0)
    confusion = torch.randint(0, 5, (8, 8), generator=generator)
    confusion += 60 * (groups[:, None] == groups)
    # a class with few images counts as much as one with many
    confusion[2] = (confusion[2] / 10).ceil()
    found = groups[order_by_confusion(confusion)].tolist()
    assert sum(a != b for a, b in zip(found, found[1:], strict=False)) == 2


def test_an_order_has_every_class_once_even_where_nothing_is_confused():
    for classes in (1, 2, 5):
        order = order_by_confusion(torch.zeros(classes, classes).long())
        assert sorted(order.tolist()) == list(range(classes))


def test_near_ties_are_the_smallest_leads_over_the_second_class():
    shares = torch.tensor([[0.5, 0.3, 0.2], [0.45, 0.1, 0.45], [0.0, 0.6, 0.4]])
    assert margins(shares).tolist() == pytest.approx([0.2, 0, 0.2])
    assert near_ties(shares).tolist() == [1, 0, 2]
    assert near_ties(shares, 1).tolist() == [1]


def test_shared_mistakes_are_counted_and_compared_with_chance():
    labels = torch.tensor([0, 0, 0, 0, 1, 2])
    said = torch.tensor([[0, 1, 1, 1, 1, 2], [0, 1, 2, 0, 1, 2]])
    logits = [torch.nn.functional.one_hot(each, 3).float() for each in said]
    found = shared_mistakes(logits, labels)
    assert found.wrong.tolist() == [0, 2, 2, 1, 0, 0]
    assert found.same.tolist() == [False, True, False, False, False, False]
    assert found.by_chance == pytest.approx(6 * 3 / 6 * 2 / 6)


def test_confusion_and_balanced_accuracy_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 6, (400,), generator=generator)  # class 6 has no image
    predictions = torch.where(
        torch.rand(400, generator=generator) < 0.7,
        labels,
        torch.randint(0, 7, (400,), generator=generator),
    )
    confusion = confusion_matrix(labels, predictions, 7)
    expected = metrics.confusion_matrix(labels, predictions, labels=range(7))
    assert confusion.tolist() == expected.tolist()
    with warnings.catch_warnings():  # theirs warns of the class without an image
        warnings.simplefilter("ignore")
        expected = metrics.balanced_accuracy_score(labels, predictions)
    assert balanced_accuracy(confusion) == pytest.approx(expected, rel=1e-6)
