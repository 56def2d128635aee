"""Whether a model is right as often as it says, and a temperature that repairs it."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.errors import SightlineError

__all__ = [
    "BINS",
    "Reliability",
    "apply_temperature",
    "brier_score",
    "calibration_error",
    "fit_temperature",
    "log_loss",
    "reliability",
]

#: of equal width, unless the caller says otherwise
BINS = 15
NEWTON_STEPS = 100  # about 10 are needed
LARGEST = 1e3  # of a temperature or its inverse: beyond it, there is no optimum


@dataclass(frozen=True)
class Reliability:
    """How sure a model is and how often it is right, in bins of equal width."""

    counts: Tensor  #: (bins,) int64 images
    confidence: Tensor  #: (bins,) float64 mean confidence; 0 where no image is
    accuracy: Tensor  #: (bins,) float64 share that is right; 0 where no image is

    @property
    def error(self) -> float:
        """Return the expected calibration error, 0..1."""
        weights = self.counts.double() / self.counts.sum().clamp_min(1)
        return (weights * (self.accuracy - self.confidence).abs()).sum().item()


def reliability(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS
) -> Reliability:
    """Sort images by the confidence of their prediction, and count who is right.

    Probabilities are (N, K), labels (N,); the upper edge of a bin belongs to it.
    """
    confidences, predictions = probabilities.double().max(1)
    place = ((confidences * bins).ceil().long() - 1).clamp(0, bins - 1)
    counts = place.bincount(minlength=bins)
    right = (predictions == labels).double()
    confidence, accuracy = (
        place.bincount(values, minlength=bins) / counts.clamp_min(1)
        for values in (confidences, right)
    )
    return Reliability(counts, confidence, accuracy)


def calibration_error(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS
) -> float:
    """Return the expected calibration error (ECE), 0..1.

    The mean over images of `|accuracy − mean confidence|` of the bin that an image is
    in; confidence is the probability of the predicted class. With few images it is
    above 0 for the best of models: bins scatter. Guo et al. (2017), eq. 3.
    """
    return reliability(probabilities, labels, bins=bins).error


def log_loss(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean negative logarithm of the actual class's probability (NLL)."""
    chosen = probabilities.double().gather(1, labels[:, None])
    return -chosen.clamp_min(torch.finfo(torch.double).tiny).log().mean().item()


def brier_score(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean squared distance to the one-hot label, 0..2. Brier (1950)."""
    targets = F.one_hot(labels, probabilities.shape[1])
    return (probabilities.double() - targets).square().sum(1).mean().item()


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Fit the temperature T whose softmax(logits / T) has the smallest log loss.

    Newton's method on 1/T, in which the loss is convex. The images of the logits
    (N, K) and labels (N,) must be neither of the training nor of the test part.
    Guo et al. (2017), sec. 4.2.

    Raises:
        SightlineError: if no temperature is best.
    """
    logits, inverse = logits.double(), torch.ones((), dtype=torch.double)
    of_labels = logits.gather(1, labels[:, None])[:, 0]
    for _ in range(NEWTON_STEPS):
        p = (logits * inverse).softmax(1)
        mean = (p * logits).sum(1)
        slope = (mean - of_labels).mean()
        curvature = ((p * logits.square()).sum(1) - mean.square()).mean()
        # far from the optimum Newton may leap: at most double or halve
        step = (inverse - slope / curvature).clamp(inverse / 2, inverse * 2)
        if not 1 / LARGEST < step < LARGEST:
            raise SightlineError(
                f"no temperature is best for these {len(labels)} images: a classifier "
                "that is never wrong wants 0, one that only guesses wants infinity; "
                "give more validation images, of which some are misclassified"
            )
        if (step - inverse).abs() < 1e-12 * inverse:
            break
        inverse = step
    return 1 / inverse.item()


def apply_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Return probabilities (N, K) at a temperature; no prediction changes."""
    return (logits / temperature).softmax(1)
