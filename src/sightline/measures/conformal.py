"""Prediction sets: the classes that a picture may be, with a promised coverage.

Split-conformal prediction. A score says how odd a class is for a picture, here 1 minus
its probability (Sadinle, Lei and Wasserman, 2019). Of the scores of n labels that the
network was not trained on, the ceil((n + 1) c)-th smallest is the threshold, and a set
holds all classes whose score does not exceed it. A set without a class says that the
picture is none of these.

The promise (Vovk, Gammerman and Shafer, 2005; Angelopoulos and Bates, 2021, sec. 1): if
a new picture and the n are exchangeable, its set holds its class with a probability of
at least c, whatever the network; without ties of at most c + 1 / (n + 1). With
that it ends:

- It is a mean over all pictures: a single class may be covered far less.
- It is a mean over draws of the n, too: those of one run are covered by a share that
  scatters by about sqrt(c (1 - c) / n).
- It holds for pictures of the same source and of these classes. A shift voids it, and
  nothing is promised about pictures of other classes: a network may be sure of those.
- Pictures that chose the epoch are too kind to it: by 0.3 points at most where 100
  pictures chose and calibrated, by 0.1 where 230 or more did (`studies/conformal.py`).
- A network that is right more often than c must decline pictures that it knows, to
  come down to c.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from sightline.measures.evaluation import Evaluation

__all__ = [
    "COVERAGES",
    "Thresholds",
    "exact_probabilities",
    "fewest",
    "nonconformity",
    "prediction_sets",
    "score_quantile",
]

#: in percent, of the sets that a run promises
COVERAGES = (90, 95)


def nonconformity(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return 1 minus the probability of each label, (N,) float64.

    Probabilities are (N, K), labels (N,).
    """
    return 1 - probabilities.double().gather(1, labels[:, None])[:, 0]


def score_quantile(scores: Tensor, coverage: int) -> float:
    """Return the score that a new one does not exceed in `coverage` of 100 cases.

    Of fewer scores (N,) than `fewest` no one is large enough: then it is 1, the
    largest that a score can be, and every set holds all classes.
    """
    rank = math.ceil((len(scores) + 1) * coverage / 100)
    return scores.kthvalue(rank).values.item() if rank <= len(scores) else 1.0


def fewest(coverage: int) -> int:
    """Return the smallest number of scores that can give a quantile: 9 for 90 %."""
    return math.ceil(coverage / (100 - coverage))


def prediction_sets(probabilities: Tensor, threshold: float) -> Tensor:
    """Return which classes are in the set of each picture, (N, K) bool.

    Classes of equal probability are in it together, or not at all.
    """
    return 1 - probabilities.double() <= threshold


@dataclass(frozen=True)
class Thresholds:
    """What makes sets of probabilities, and how many pictures it comes from."""

    pictures: int  #: n, which must be at least `fewest` for a set to leave anything out
    scores: dict[str, float]  #: largest score of a class in a set, by "90" and "95"

    @classmethod
    def of(cls, answers: Evaluation) -> "Thresholds":
        """Take the thresholds for `COVERAGES` from pictures that trained nothing."""
        scores = nonconformity(exact_probabilities(answers), answers.labels)
        quantiles = {str(c): score_quantile(scores, c) for c in COVERAGES}
        return cls(len(scores), quantiles)


def exact_probabilities(answers: Evaluation) -> Tensor:
    """Return the softmax of the logits, (N, K) float64.

    In float32 all that is sure beyond seven digits is equal, and a set compares it.
    """
    return answers.logits.double().softmax(1)
