"""Counts and shares of predictions, against counts made by hand."""

import pytest
import torch

from sightline.errors import SightlineError
from sightline.metrics import confusion_matrix, per_class_accuracy


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
