"""Numbers about predictions."""

import torch
from torch import Tensor

from sightline.errors import SightlineError

__all__ = ["confusion_matrix", "per_class_accuracy"]


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
