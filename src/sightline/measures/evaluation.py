"""What a model says about a whole split."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["Evaluation"]


@dataclass(frozen=True)
class Evaluation:
    """What a model says about a whole split."""

    logits: Tensor  # (N, K) float32, on the CPU
    labels: Tensor  # (N,) int64

    @property
    def loss(self) -> float:
        """Return the cross-entropy per image."""
        return F.cross_entropy(self.logits, self.labels).item()

    @property
    def accuracy(self) -> float:
        """Return the share of images whose largest logit is the label's, 0..1."""
        return (self.predictions == self.labels).double().mean().item()

    @property
    def predictions(self) -> Tensor:
        """Return the most probable class of every image, (N,)."""
        return self.logits.argmax(1)

    @property
    def probabilities(self) -> Tensor:
        """Return the softmax of the logits, (N, K)."""
        return self.logits.softmax(1)

    @property
    def confidences(self) -> Tensor:
        """Return the probability of the predicted class, (N,)."""
        return self.probabilities.amax(1)
