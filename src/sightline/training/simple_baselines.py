"""What colours alone, or edges alone, tell about the classes: no network at all.

A network that does not beat logistic regression on a histogram of colours has learned
nothing that needs one. Colours: joint histograms of hue, saturation and value, of the
whole picture and its four quarters. Edges: histograms of oriented gradients, Dalal and
Triggs (2005), 8×8 cells of 9 directions, in blocks of 2×2.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.split import Split, Splits, chunks

__all__ = ["FEATURES", "MOST", "SimpleBaseline", "colours", "edges", "fit_simple"]

#: training pictures that a simple baseline learns from; more would take minutes
MOST = 5000
STRENGTHS = (0.1, 1.0, 10.0)  # C of the regressions: the larger, the less shrunk
BINS = (12, 4, 4)  # of hue, saturation, value
CELLS, DIRECTIONS = 8, 9
CLIP = 0.2  # of a block's values, so that one strong edge does not hide the others
STEPS = 200  # of the solver, at most


@dataclass(frozen=True)
class SimpleBaseline:
    """A logistic regression on one kind of feature, and its answers."""

    features: str  #: a key of FEATURES
    strength: float  #: C, chosen on the validation pictures
    validation: float  #: accuracy there, 0..1
    right: Tensor  #: (N,) bool, of the test pictures
    trained_on: int  #: pictures


def colours(pictures: Tensor) -> Tensor:
    """Count hues, saturations and values of pictures (n, H, W, 3) uint8, (n, 960)."""
    pixels = pictures.float() / 255
    value, place = pixels.max(-1)
    chroma = value - pixels.amin(-1)
    red, green, blue = pixels.unbind(-1)
    steps = torch.stack([green - blue, blue - red, red - green], -1)
    step = steps.gather(-1, place[..., None])[..., 0] / chroma.clamp_min(1e-6)
    hue = (step + 2 * place) % 6 / 6
    saturation = chroma / value.clamp_min(1e-6)
    numbers = torch.zeros_like(place)
    for channel, bins in zip((hue, saturation, value), BINS, strict=True):
        numbers = bins * numbers + (channel * bins).long().clamp_max(bins - 1)
    down, across = (max(1, side // 2) for side in numbers.shape[1:])
    halves = [rows.split(across, 2)[:2] for rows in numbers.split(down, 1)[:2]]
    counts = torch.stack([_count(part) for row in halves for part in row])
    return torch.cat([counts.mean(0), *counts], 1).sqrt()


def _count(numbers: Tensor) -> Tensor:
    """Return the share of every bin, (n, bins), from the bins of pixels (n, h, w)."""
    flat = numbers.flatten(1)
    shares = torch.zeros(len(flat), BINS[0] * BINS[1] * BINS[2])
    return shares.scatter_add_(1, flat, torch.ones(flat.shape) / flat.shape[1])


def edges(pictures: Tensor) -> Tensor:
    """Describe the directions of edges in pictures (n, H, W, 3) uint8, (n, 1764)."""
    grey = pictures.float().mean(-1)[:, None] / 255
    across = F.pad(grey[..., 2:] - grey[..., :-2], (1, 1, 0, 0))
    down = F.pad(grey[..., 2:, :] - grey[..., :-2, :], (0, 0, 1, 1))
    angle = torch.atan2(down, across) % torch.pi / torch.pi * DIRECTIONS
    middles = torch.arange(DIRECTIONS)[:, None, None] + 0.5
    off = (angle - middles).abs()  # shared between the two nearest directions
    near = (1 - torch.minimum(off, DIRECTIONS - off)).clamp_min(0)
    cells = F.adaptive_avg_pool2d(torch.hypot(across, down) * near, CELLS)
    blocks = F.unfold(cells, 2)  # (n, 4 · DIRECTIONS, 7 · 7)
    clipped = F.normalize(blocks, dim=1).clamp_max(CLIP)
    return F.normalize(clipped, dim=1).flatten(1)


#: what a baseline looks at, by name, from pictures (n, H, W, 3) uint8 to (n, D)
FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "colours (HSV histograms)": colours,
    "edges (HOG)": edges,
}


def fit_simple(splits: Splits) -> list[SimpleBaseline]:
    """Fit a regression on each kind of feature; the best on validation comes first.

    Nothing is chosen on the test pictures. Of more than MOST training pictures, as many
    of every class as can be are taken.
    """
    held_out = {"validation": len(splits.validation), "test": len(splits.test)}
    if len(splits.train) > MOST:
        splits = splits.limited(MOST, **held_out)
    fitted = [_fit(splits, name) for name in FEATURES]
    return sorted(fitted, key=lambda baseline: -baseline.validation)


def _fit(splits: Splits, name: str) -> SimpleBaseline:
    """Fit one regression, its strength chosen on the validation pictures."""
    from sklearn.linear_model import LogisticRegression  # late: a second

    parts = splits.train, splits.validation, splits.test
    train, validation, test = (_describe(part, name).numpy() for part in parts)
    labels = splits.train.labels.numpy()
    candidates = []
    for strength in STRENGTHS:
        regression = LogisticRegression(C=strength, max_iter=STEPS, tol=1e-3)
        with warnings.catch_warnings(action="ignore"):  # that it could go on
            regression.fit(train, labels)
        accuracy = float(regression.score(validation, splits.validation.labels.numpy()))
        candidates.append((accuracy, -strength, regression))
    accuracy, strength, regression = max(candidates, key=itemgetter(0, 1))
    right = torch.from_numpy(regression.predict(test)) == splits.test.labels
    return SimpleBaseline(name, -strength, accuracy, right, len(labels))


def _describe(part: Split, name: str) -> Tensor:
    """Compute the features of a part, (N, D), some pictures at a time."""
    return torch.cat([FEATURES[name](chunk) for chunk in chunks(part.images)])
