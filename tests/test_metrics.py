"""Counts and shares of predictions, against counts made by hand."""

import math
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
    mean_interval,
    near_ties,
    order_by_confusion,
    paired_difference,
    per_class_accuracy,
    shared_mistakes,
    standard_error,
    wilson_interval,
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


def test_standard_error_is_that_of_a_share_of_images():
    assert standard_error(0.9, 10_000) == pytest.approx(0.003)


def test_paired_difference_counts_the_images_that_only_one_gets_right():
    first = torch.tensor([True] * 6 + [False] * 2 + [True, False])
    second = torch.tensor([True] * 4 + [False] * 2 + [True] * 2 + [False] * 2)
    found = paired_difference(first, second)
    assert (found.only_first, found.only_second) == (3, 2)
    assert found.difference == pytest.approx(0.1)


def test_the_paired_standard_error_is_that_of_the_mean_difference():
    first, second = torch.rand(2, 5000) < torch.tensor([[0.8], [0.75]])
    each = first.double() - second.double()
    expected = each.std(correction=0) / math.sqrt(5000)
    found = paired_difference(first, second)
    assert found.difference == pytest.approx(each.mean().item())
    assert found.standard_error == pytest.approx(expected.item())


def test_pairing_is_sharper_than_comparing_two_accuracies():
    second = torch.arange(1000) < 800
    first = second.clone()
    first[800:820] = True  # right wherever the other is, and 20 times more
    found = paired_difference(first, second)
    apart = math.hypot(standard_error(0.82, 1000), standard_error(0.8, 1000))
    assert found.standard_error < apart / 3
    assert paired_difference(first, first).standard_error == 0


def test_answers_about_different_images_cannot_be_paired():
    right = torch.ones(3, dtype=torch.bool)
    for other in (right[:2], right[:0]):
        with pytest.raises(SightlineError, match="cannot be paired"):
            paired_difference(right[:0] if not len(other) else right, other)


def test_students_interval_of_two_and_three_values_is_the_closed_form():
    two, three = torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0, 6.0, torch.nan])
    # quantiles for one and two degrees of freedom have closed forms
    assert mean_interval(two).half == pytest.approx(1 / math.tan(math.pi * 0.025))
    factor = math.sqrt(2 / (0.05 * 1.95) - 2)
    found = mean_interval(three)
    assert (found.mean, found.count) == (3, 3)
    assert found.half == pytest.approx(factor * math.sqrt(7 / 3))
    assert (found.low + found.high) / 2 == pytest.approx(3)


def test_one_value_has_no_interval():
    found = mean_interval(torch.tensor([0.5]))
    assert found.mean == 0.5 and found.count == 1
    assert math.isnan(found.low) and math.isnan(found.half)


def test_wilsons_interval_ends_where_the_share_is_z_standard_errors_away():
    low, high = wilson_interval(torch.tensor([80, 3]), torch.tensor([100, 4]))
    for i, (share, n) in enumerate([(0.8, 100), (0.75, 4)]):
        for end in (low[i].item(), high[i].item()):
            assert abs(share - end) == pytest.approx(1.96 * standard_error(end, n))
        assert low[i] < share < high[i]


def test_wilsons_interval_has_a_width_when_all_or_none_is_right():
    low, high = wilson_interval(torch.tensor([0, 50, 0]), torch.tensor([50, 50, 0]))
    z2 = 1.96**2
    assert low.tolist() == pytest.approx([0, 50 / (50 + z2), 0], abs=1e-12)
    assert high.tolist() == pytest.approx([z2 / (50 + z2), 1, 1])


def test_wilsons_interval_holds_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    right = (torch.rand(20_000, 60, generator=generator) < 0.93).sum(1)
    low, high = wilson_interval(right, torch.full((20_000,), 60))
    inside = ((low <= 0.93) & (high >= 0.93)).double().mean().item()
    assert inside == pytest.approx(0.95, abs=0.02)


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
