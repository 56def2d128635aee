"""Numbers about predictions."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

from sightline.errors import SightlineError
from sightline.measures.inference import wilson_interval

__all__ = [
    "SharedMistakes",
    "balanced_accuracy",
    "class_intervals",
    "confusion_matrix",
    "margins",
    "near_ties",
    "order_by_confusion",
    "per_class_accuracy",
    "shared_mistakes",
    "within_class",
]


class SharedMistakes(NamedTuple):
    """Who is wrong about each image, of several models."""

    wrong: Tensor  #: (N,) int64, how many of the models
    same: Tensor  #: (N,) bool, all are wrong, and take it for the same class
    by_chance: float  #: images that all would miss if each missed its own at random


def confusion_matrix(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Count how often each actual class was predicted as each class.

    Labels and predictions are (B,), 0 to `num_classes` - 1. The counts are (K, K)
    int64 on the CPU: the row is the actual class, the column the predicted one.

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

    From counts (K, K), rows actual, to (K,) in [0, 1]; NaN where a class has no image.
    """
    return confusion.diagonal().float() / confusion.sum(dim=1)


def balanced_accuracy(confusion: Tensor) -> float:
    """Return the mean accuracy of the classes that have an image, 0..1.

    Where classes have very different sizes, the overall accuracy is that of the large
    ones; a network that knows nothing gets one over the number of classes here.
    """
    return per_class_accuracy(confusion).nanmean().item()


def class_intervals(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the accuracies of all classes lie, low (K,) and high (K,).

    Wilson's intervals, so wide that in 95 % of the cases *all* of them hold the truth:
    of ten that were right in 95 % each, one would often be wrong. From counts (K, K),
    rows actual. Bonferroni's correction.
    """
    z = NormalDist().inv_cdf(1 - 0.025 / len(confusion))
    return wilson_interval(confusion.diagonal(), confusion.sum(1), z=z)


def within_class(right: Tensor, labels: Tensor, group: Tensor) -> Tensor:
    """Compare the answers about a group of images with those about their own classes.

    For each image of the group (N, bool): whether it is right, less the accuracy of
    the images of its class that are not in the group. So a group that is rich in easy
    classes has no advantage. Returns (G,) in [-1, 1] in the order of the images,
    without those whose class is in the group as a whole. The others should be many:
    their own scatter is not in these numbers.
    """
    classes = int(labels.max()) + 1 if len(labels) else 0
    others = labels[~group]
    hits = others.bincount(right[~group].double(), minlength=classes)
    accuracy = hits / others.bincount(minlength=classes)
    apart = right[group].double() - accuracy[labels[group]]
    return apart[~apart.isnan()]


def order_by_confusion(confusion: Tensor) -> Tensor:
    """Order classes so that those taken for each other stand side by side.

    Begins with the pair that is confused most, and appends at either end the class
    that is confused most with the class at that end. From counts (K, K), rows actual,
    to (K,) int64: the class that comes first, second, and so on.
    """
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp_min(1)
    alike = (shares + shares.T).fill_diagonal_(-1)
    classes = len(alike)
    if classes < 2:
        return torch.arange(classes)
    chain = list(divmod(int(alike.argmax()), classes))
    while len(chain) < classes:
        ends = alike[[chain[0], chain[-1]]]  # (2, K)
        ends[:, chain] = -1
        end, nearest = divmod(int(ends.argmax()), classes)
        chain.insert(0 if end == 0 else len(chain), nearest)
    return torch.tensor(chain)


def margins(probabilities: Tensor) -> Tensor:
    """Return by how much the best class is ahead of the second, (N,) in [0, 1]."""
    best = probabilities.topk(2, dim=1).values
    return best[:, 0] - best[:, 1]


def near_ties(probabilities: Tensor, count: int | None = None) -> Tensor:
    """Return the indices of the smallest margins, the smallest first."""
    return margins(probabilities).argsort(stable=True)[:count]


def shared_mistakes(logits: Sequence[Tensor], labels: Tensor) -> SharedMistakes:
    """Compare the mistakes of several models, logits (N, K) of each, on N images."""
    predictions = torch.stack([each.argmax(1) for each in logits])  # (models, N)
    missed = predictions != labels
    same = missed.all(0) & (predictions == predictions[0]).all(0)
    chance = missed.double().mean(1).prod().item() * len(labels)
    return SharedMistakes(missed.sum(0), same, chance)
