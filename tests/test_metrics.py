"""Counts and shares of predictions, against counts made by hand."""

import math

import pytest
import torch

from sightline.errors import SightlineError
from sightline.metrics import (
    confusion_matrix,
    paired_difference,
    per_class_accuracy,
    standard_error,
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
