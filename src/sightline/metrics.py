"""Numbers about predictions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sightline.errors import SightlineError

__all__ = [
    "PairedDifference",
    "confusion_matrix",
    "paired_difference",
    "per_class_accuracy",
    "standard_error",
]


class PairedDifference(NamedTuple):
    """How far apart two accuracies on the same images are."""

    difference: float  # first minus second, -1..1
    standard_error: float
    only_first: int  # images that the first alone classifies correctly
    only_second: int


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Count how often each actual class was predicted as each class.

    Args:
        labels: (B,) actual classes, 0 to `num_classes` - 1.
        predictions: (B,) predicted classes, in the same range.
        num_classes: rows and columns of the matrix.

    Returns:
        (num_classes, num_classes) int64 counts on the CPU: the row is the actual
        class, the column the predicted one.

    Raises:
        SightlineError: if the lengths differ or a class is out of range.
    """
    if labels.shape != predictions.shape:
        raise SightlineError(
            f"{len(labels)} labels for {len(predictions)} predictions: "
            "give one of each per image"
        )
    pairs = torch.stack((labels, predictions)).long().cpu().flatten(1)
    outside = pairs[(pairs < 0) | (pairs >= num_classes)]
    if len(outside):
        raise SightlineError(
            f"class {int(outside[0])} is out of range: "
            f"{num_classes} classes are numbered 0 to {num_classes - 1}"
        )
    cells = pairs[0] * num_classes + pairs[1]
    counts = torch.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def per_class_accuracy(confusion: Tensor) -> Tensor:
    """Divide what was right in each class by the images the class has.

    Args:
        confusion: (K, K) counts, rows actual.

    Returns:
        (K,) float32 in [0, 1]; NaN for a class without an image.
    """
    return confusion.diagonal().float() / confusion.sum(dim=1)


def standard_error(accuracy: float, images: int) -> float:
    """Return the binomial standard error of an accuracy over so many images."""
    return math.sqrt(accuracy * (1 - accuracy) / images)


def paired_difference(correct_a: Tensor, correct_b: Tensor) -> PairedDifference:
    """Compare two accuracies image by image, which is sharper than one by one.

    Only images that one of the two gets right count, as in McNemar (1947); the
    standard error is that of dependent proportions, Agresti, Categorical Data
    Analysis (2013), 11.1. It covers the choice of test images, not that of seeds.

    Args:
        correct_a: (N,) bool, whether the first is right.
        correct_b: (N,) bool, whether the second is right about the same image.

    Raises:
        SightlineError: if there is no image, or not one of each.
    """
    if correct_a.shape != correct_b.shape or not len(correct_a):
        raise SightlineError(
            f"{len(correct_a)} and {len(correct_b)} answers cannot be paired: give "
            "those of two models about the same images, at least one"
        )
    count = len(correct_a)
    only_a = int((correct_a & ~correct_b).sum())
    only_b = int((correct_b & ~correct_a).sum())
    difference = (only_a - only_b) / count
    variance = (only_a + only_b) / count - difference**2
    error = math.sqrt(max(variance, 0) / count)  # rounding may fall below 0
    return PairedDifference(difference, error, only_a, only_b)
