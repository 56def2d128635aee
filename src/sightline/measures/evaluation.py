"""The answers of a network about a whole split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from sightline.errors import SightlineError

__all__ = ["Evaluation"]

Order = Literal["test", "confident"]


@dataclass(frozen=True)
class Evaluation:
    """The answers of a network about a whole split."""

    logits: Tensor  #: (N, K) float32, on the CPU
    labels: Tensor  #: (N,) int64

    @property
    def loss(self) -> float:
        """Return the cross-entropy per image."""
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Return the share of images whose largest logit is the label's, 0..1."""
        return self.right.double().mean().item()

    @property
    def predictions(self) -> Tensor:
        """Return the most probable class of every image, (N,)."""
        return self.logits.argmax(1)

    @property
    def right(self) -> Tensor:
        """Return which predictions are the labels, (N,) bool."""
        return self.predictions == self.labels

    @property
    def probabilities(self) -> Tensor:
        """Return the softmax of the logits, (N, K)."""
        return self.logits.softmax(1)

    @property
    def confidences(self) -> Tensor:
        """Return the probability of the predicted class, (N,)."""
        return self.probabilities.amax(1)

    def mistakes(self, count: int | None = None, *, order: Order = "test") -> Tensor:
        """Return the indices of misclassified images, at most `count`.

        The order `test` is that of the images; `confident` puts first what the network
        was most sure of, and equals in the order of the images.
        """
        return self._pick(~self.right, count, order)

    def correct(self, count: int | None = None, *, order: Order = "test") -> Tensor:
        """Return the indices of correctly classified images; see `mistakes`."""
        return self._pick(self.right, count, order)

    def captions(self, indices: Tensor, classes: Sequence[str]) -> list[str]:
        """Name the actual class, and below it the predicted one with its confidence."""
        rows = zip(
            self.labels[indices].tolist(),
            self.predictions[indices].tolist(),
            self.confidences[indices].tolist(),
            strict=True,
        )
        return [
            f"{classes[label]}\n→ {classes[prediction]} {confidence:.0%}"
            for label, prediction, confidence in rows
        ]

    def _pick(self, chosen: Tensor, count: int | None, order: str) -> Tensor:
        """Return the first indices where `chosen` is true, in an order."""
        indices = chosen.nonzero().flatten()
        if order == "confident":
            confidences = self.confidences[indices]
            indices = indices[confidences.argsort(descending=True, stable=True)]
        elif order != "test":
            raise SightlineError(
                f"unknown order {order!r}; choose from: test, confident"
            )
        return indices[:count]
