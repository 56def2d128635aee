"""Whether a model is right as often as it says; a temperature; when to decline.

Every error here is above 0 for a calibrated model, too, because bins scatter:
`calibration_test` says how far, and whether this one is farther.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.errors import SightlineError

__all__ = [
    "BINS",
    "DRAWS",
    "CalibrationTest",
    "Reliability",
    "RiskCoverage",
    "apply_temperature",
    "brier_score",
    "calibration_error",
    "calibration_test",
    "classwise_error",
    "debiased_error",
    "equal_mass_error",
    "fit_temperature",
    "log_loss",
    "reliability",
    "risk_coverage",
]

#: of confidence, unless the caller says otherwise
BINS = 15
#: of labels from a model's own probabilities, to see what calibrated ones show
DRAWS = 200
NEWTON_STEPS = 100  # about 10 are needed
LARGEST = 1e3  # of a temperature or its inverse: beyond it, there is no optimum

Measure = Callable[..., float]  # of probabilities (N, K) and labels (N,)


@dataclass(frozen=True)
class Reliability:
    """How sure a model is and how often it is right, in bins of confidence."""

    edges: Tensor  #: (bins + 1,) float64, where the bins part, 0..1
    counts: Tensor  #: (bins,) int64 images
    confidence: Tensor  #: (bins,) float64 mean confidence; 0 where no image is
    accuracy: Tensor  #: (bins,) float64 share that is right; 0 where no image is

    @property
    def error(self) -> float:
        """Return the expected calibration error, 0..1."""
        weights = self.counts.double() / self.counts.sum().clamp_min(1)
        return (weights * (self.accuracy - self.confidence).abs()).sum().item()


@dataclass(frozen=True)
class CalibrationTest:
    """A calibration error beside those of calibrated models with the same answers."""

    error: float  #: of the model
    floor: float  #: mean error of calibrated models
    p: float  #: probability that a calibrated model shows at least this error

    def __str__(self) -> str:
        """Say in points what was measured, and what a calibrated model shows."""
        error, floor = 100 * self.error, 100 * self.floor
        return f"{error:.1f} (calibrated: {floor:.1f}; p = {self.p:.2g})"


@dataclass(frozen=True)
class RiskCoverage:
    """How often a model is wrong if it answers only where it is surest."""

    coverage: Tensor  #: (N,) float64 share answered, from 1/N to 1
    risk: Tensor  #: (N,) float64 share of the answers that is wrong

    @property
    def area(self) -> float:
        """Return the area under risk over coverage (AURC), 0..1.

        Geifman, Uziel and El-Yaniv (2019), sec. 2.
        """
        return self.risk.mean().item()

    @property
    def best_risk(self) -> Tensor:
        """Return the risk if all mistakes were declined first, (N,)."""
        right = (1 - self.risk[-1]) * len(self.risk)
        answered = torch.arange(1, len(self.risk) + 1)
        return (answered - right.round()).clamp_min(0) / answered


def reliability(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS, equal_mass: bool = False
) -> Reliability:
    """Sort images by the confidence of their prediction, and count who is right.

    Bins are of equal width, or of equally many images (`equal_mass`); the upper edge of
    a bin belongs to it. Probabilities are (N, K), labels (N,).
    """
    confidences, predictions = probabilities.double().max(1)
    return _in_bins(confidences, predictions == labels, bins, equal_mass)


def _in_bins(shares: Tensor, hits: Tensor, bins: int, equal_mass: bool) -> Reliability:
    """Compare how probable something was called, (N,), with whether it was so."""
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.double)
    if equal_mass:
        edges[1:-1] = shares.quantile(edges[1:-1], interpolation="lower")
    place = torch.bucketize(shares, edges[1:-1])
    counts = place.bincount(minlength=bins)
    mean, rate = (
        place.bincount(values, minlength=bins) / counts.clamp_min(1)
        for values in (shares, hits.double())
    )
    return Reliability(edges, counts, mean, rate)


def calibration_error(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS
) -> float:
    """Return the expected calibration error (ECE), 0..1.

    The mean over images of `|accuracy − mean confidence|` of the bin that an image is
    in; confidence is the probability of the predicted class, bins are of equal width.
    Guo et al. (2017), eq. 3.
    """
    return reliability(probabilities, labels, bins=bins).error


def equal_mass_error(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS
) -> float:
    """Return the ECE over bins of equally many images, 0..1.

    No bin is decided by a few images, and no bin hides most of them. Of equal
    confidences all are in one bin. Nixon et al. (2019), "adaptive"; less biased than
    equal width, Roelofs et al. (2022).
    """
    return reliability(probabilities, labels, bins=bins, equal_mass=True).error


def debiased_error(probabilities: Tensor, labels: Tensor, *, bins: int = BINS) -> float:
    """Return the root of the debiased squared calibration error, 0..1.

    From each bin's squared distance the variance of its accuracy is subtracted, so that
    the square is 0 on average for a calibrated model (and where it is below, the root
    is 0). Bins are of equally many images. It is a root mean square: no smaller
    than the ECE without noise. Kumar, Liang and Ma (2019), sec. 5.
    """
    found = reliability(probabilities, labels, bins=bins, equal_mass=True)
    several = found.counts > 1
    counts, rate = found.counts[several].double(), found.accuracy[several]
    squares = (rate - found.confidence[several]).square()
    squares -= rate * (1 - rate) / (counts - 1)
    mean = (counts * squares).sum() / counts.sum().clamp_min(1)
    return mean.clamp_min(0).sqrt().item()


def classwise_error(
    probabilities: Tensor, labels: Tensor, *, bins: int = BINS
) -> float:
    """Return the mean over classes of the ECE of each class's probability, 0..1.

    The confidence of predictions may be calibrated while single classes are not.
    Kull et al. (2019), sec. 2.
    """
    shares, classes = probabilities.double(), probabilities.shape[1]
    inner = torch.linspace(0, 1, bins + 1, dtype=torch.double)[1:-1]
    places = torch.bucketize(shares, inner) + bins * torch.arange(classes)  # (N, K)
    apart = places.flatten().bincount(-shares.flatten(), minlength=bins * classes)
    hits = places.gather(1, labels[:, None]).flatten()
    apart += hits.bincount(minlength=bins * classes)
    return apart.abs().sum().item() / (len(labels) * classes)


def calibration_test(
    probabilities: Tensor,
    labels: Tensor,
    *,
    measure: Measure = calibration_error,
    draws: int = DRAWS,
    seed: int = 0,
) -> CalibrationTest:
    """Compare an error with those of calibrated models on as many images.

    For labels drawn from the probabilities (N, K) themselves, a model is calibrated by
    construction: consistency resampling, Bröcker and Smith (2007).

    Args:
        probabilities: as they are judged: after the temperature, if there is one.
        labels: (N,).
        measure: the error, of probabilities and labels.
        draws: of labels; p is no smaller than 1 / (draws + 1).
        seed: of the draws.
    """
    error = measure(probabilities, labels)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(
        probabilities.double(), draws, replacement=True, generator=generator
    )
    calibrated = torch.tensor([measure(probabilities, each) for each in drawn.T])
    as_far = int((calibrated >= error).sum())
    return CalibrationTest(error, calibrated.mean().item(), (as_far + 1) / (draws + 1))


def risk_coverage(confidences: Tensor, right: Tensor) -> RiskCoverage:
    """Return the share of wrong answers among the surest ones, at every coverage.

    Of equal confidences each order is as likely. Both are (N,): any number that is
    larger where the model is surer, and whether it is right.
    """
    ranks, counts = confidences.unique(return_inverse=True, return_counts=True)[1:]
    wrong = ranks.bincount((~right).double(), minlength=len(counts)) / counts
    order = ranks.argsort(descending=True)
    answered = torch.arange(1, len(right) + 1)
    risk = wrong[ranks[order]].cumsum(0) / answered
    return RiskCoverage(answered.double() / len(right), risk)


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
