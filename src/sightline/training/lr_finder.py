"""The LR range test: train a few batches while the learning rate climbs.

The idea is from Smith (2017), "Cyclical Learning Rates for Training Neural Networks",
section 3.3, who climbed along a line, over some epochs, and read two bounds off the
accuracy. One batch at each rate, equal factors, the loss, and rules that read a single
rate from it are fastai's.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from sightline.errors import SightlineError
from sightline.training.runtime import Runtime

__all__ = [
    "RULES",
    "RangeTest",
    "doubts",
    "range_test",
    "recommended",
    "spread",
    "suggest",
    "suggest_range",
]

SKIP_END = 5  # points that the rules leave out: their mean lacks up to half its losses
BANDWIDTH = 0.25  # decades
REACH = 4  # standard deviations: farther losses have no weight, as in scipy
SMOOTHING = 0.05  # weight of the newest loss in the running mean
DIVERGED = 5  # times the lowest smoothed loss, as in torch-lr-finder
ABOVE_LOWEST = 10  # times the rate of the smallest loss: see `recommended`
DECADE = 10  # times: rules that read the same thing off a good curve differ by less


@dataclass(frozen=True)
class RangeTest:
    """What was recorded; both lists have the same length and are finite."""

    lrs: list[float]  #: of the first parameter group
    losses: list[float]  #: of one batch each, before the update with lrs[i]
    stopped: str  #: "end", "diverged" or "not finite"
    bandwidth: float = BANDWIDTH  #: σ of the weights in `curve`, in decades of the rate

    @property
    def smoothed(self) -> list[float]:
        """Return the running mean of the losses, as torch-lr-finder draws it.

        It is late: on a straight slope by 1/w steps, at a turn by fewer.
        """
        means = self.losses[:1]
        for loss in self.losses[1:]:
            means.append(smoothed_loss(loss, means[-1]))
        return means

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rates, and the mean of the losses around the one after each update.

        losses[k + 1] is the first that was computed after the update with lrs[k]. The
        mean is symmetric, so it turns where the losses turn. Its weights are Gaussian
        and end at 4 σ, so that no explosion is seen from farther away.
        """
        sigma = self.bandwidth / math.log10(self.lrs[1] / self.lrs[0])  # in steps
        steps = np.arange(len(self.lrs))
        apart = np.abs(steps[:, None] - steps) / sigma
        weights = np.where(apart <= REACH, np.exp(-(apart**2) / 2), 0)
        means = weights @ np.array(self.losses) / weights.sum(1)
        return np.array(self.lrs[:-1]), means[1:]


def smoothed_loss(loss: float, mean: float) -> float:
    """Return the running mean s ← w · loss + (1 − w) · s after one more loss."""
    return SMOOTHING * loss + (1 - SMOOTHING) * mean


def range_test(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    loader: Iterable[tuple[Tensor, Tensor]],
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    runtime: Runtime,
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    num_iter: int = 100,
    seed: int = 0,
    progress: bool = False,
) -> RangeTest:
    """Record the loss while the learning rate climbs from `start_lr` to `end_lr`.

    Trains a copy of `model` with an optimizer of its own for `num_iter` batches; a
    loader that is shorter is repeated. `seed` is of order and augmentation; torch's
    generators are afterwards as they were.

    Raises:
        SightlineError: if the range is empty or fewer than 2 losses were finite.
    """
    lrs = sweep(start_lr, end_lr, num_iter)
    runtime.activate()
    model = runtime.place(copy.deepcopy(model)).train()
    optimizer = make_optimizer(model)
    hidden = None if progress else True  # None: a bar on terminals only
    bar = tqdm(lrs, "range test", unit="batch", leave=False, disable=hidden)
    devices = [runtime.device] if runtime.device.type == "cuda" else []
    with torch.random.fork_rng(devices), bar:
        torch.manual_seed(seed)
        batches = chain.from_iterable(repeat(loader))
        test = climb(model, optimizer, bar, batches, loss_fn=loss_fn, runtime=runtime)
    if len(test.lrs) < 2:
        raise SightlineError(
            f"the loss was not finite from learning rate {start_lr:g} on: check the "
            "pictures and the loss, or start lower"
        )
    return test


def sweep(start_lr: float, end_lr: float, num_iter: int) -> list[float]:
    """Return rates from `start_lr` to `end_lr`, each the same factor above the last."""
    if not 0 < start_lr < end_lr or num_iter < 2:
        raise SightlineError(
            f"a range test needs 0 < start_lr < end_lr and num_iter ≥ 2; got {start_lr}"
            f", {end_lr} and {num_iter}"
        )
    growth = end_lr / start_lr
    return [start_lr * growth ** (k / (num_iter - 1)) for k in range(num_iter)]


def climb(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    lrs: Iterable[float],
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    runtime: Runtime,
) -> RangeTest:
    """Train one batch at each rate, until the loss explodes or is not a number.

    The rate is that of the first parameter group; the other groups keep the ratio of
    their rates to it.
    """
    used: list[float] = []
    losses: list[float] = []
    lowest = mean = math.inf  # of the running mean
    own = [group["lr"] for group in optimizer.param_groups]
    for lr, (images, labels) in zip(lrs, batches, strict=False):
        for group, rate in zip(optimizer.param_groups, own, strict=True):
            group["lr"] = lr * rate / own[0]
        images, labels = runtime.move(images, labels)
        with runtime.autocast():
            logits = model(images)
        loss = loss_fn(logits.float(), labels)
        value = loss.item()
        if not math.isfinite(value):
            return RangeTest(used, losses, "not finite")
        mean = smoothed_loss(value, mean) if losses else value
        lowest = min(lowest, mean)
        used.append(lr)
        losses.append(value)
        if mean > DIVERGED * lowest:
            return RangeTest(used, losses, "diverged")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return RangeTest(used, losses, "end")


def trimmed(test: RangeTest) -> tuple[np.ndarray, np.ndarray]:
    """Return rates and the mean loss after them, without the noisy end.

    Raises:
        SightlineError: if fewer than two points are left.
    """
    needed = SKIP_END + 3  # the last rate has no loss after it
    if len(test.lrs) < needed:
        raise SightlineError(
            f"only {len(test.lrs)} points were recorded before the range test ended "
            f"({test.stopped}), but a suggestion needs {needed}: start lower, or take "
            "more steps"
        )
    lrs, losses = test.curve()
    return lrs[:-SKIP_END], losses[:-SKIP_END]


def steepest(test: RangeTest) -> float:
    """Return the rate at which the loss falls fastest on its way to the minimum.

    torch-lr-finder's rule, without what comes after the minimum: there the loss
    jumps up and down, and the steepest fall of all means nothing.
    """
    lrs, losses = trimmed(test)
    slopes = np.gradient(losses)[: losses.argmin() + 1]
    return float(lrs[slopes.argmin()])


def lowest(test: RangeTest) -> float:
    """Return the rate with the smallest loss."""
    lrs, losses = trimmed(test)
    return float(lrs[losses.argmin()])


def minimum(test: RangeTest) -> float:
    """Return a tenth of the rate with the smallest loss (fastai's `minimum`)."""
    return lowest(test) / 10


def valley(test: RangeTest) -> float:
    """Return the middle of the longest descent (after fastai's `valley`).

    A descent may be interrupted by bumps: it is a longest falling subsequence of the
    points, and its middle is one of them. fastai counts half its length back from its
    end, as if its points lay side by side, and can so leave it.
    """
    lrs, losses = trimmed(test)
    length = np.ones(len(losses), dtype=int)  # of the longest descent that ends here
    previous = np.arange(len(losses))  # point of it
    for i in range(1, len(losses)):
        higher = np.flatnonzero(losses[:i] > losses[i])
        if len(higher):
            previous[i] = higher[length[higher].argmax()]
            length[i] = length[previous[i]] + 1
    point = length.argmax()
    for _ in range(length.max() // 2):
        point = previous[point]
    return float(lrs[point])


def slide(test: RangeTest, width: int = 15, threshold: float = 0.005) -> float:
    """Return the rate where, sliding in from the right, the explosion is over.

    An interval of `width` points moves to the left until the slopes at its two
    ends differ by at most `threshold` (after fastai's `slide`). Where nothing
    explodes, it does not move: the suggestion is then near the right end. Slopes are
    per step and the threshold is absolute, so noise can keep the interval moving: of
    the recorded tests of a ResNet-18, two end at 0.08 to 0.1 and one at 0.0005.
    """
    lrs, losses = trimmed(test)
    slopes = np.gradient(losses)
    for right in range(len(slopes) - 1, width, -1):
        if abs(slopes[right] - slopes[right - width]) <= threshold:
            return float(lrs[right - width])
    return float(lrs[0])


#: functions that read a rate from a test, by name
RULES: dict[str, Callable[[RangeTest], float]] = {
    "steepest": steepest,
    "valley": valley,
    "minimum": minimum,
    "slide": slide,
}


def suggest(test: RangeTest) -> dict[str, float]:
    """Return the suggestion of every rule.

    Raises:
        SightlineError: if the test ended before a rule had enough points.
    """
    return {name: rule(test) for name, rule in RULES.items()}


def spread(
    rule: Callable[[RangeTest], float], tests: Sequence[RangeTest]
) -> tuple[float, float, float]:
    """Return the lowest, median and highest suggestion of a rule over seeds."""
    rates = [rule(test) for test in tests]
    return min(rates), float(np.median(rates)), max(rates)


def suggest_range(
    tests: Sequence[RangeTest],
) -> dict[str, tuple[float, float, float]]:
    """Return the lowest, median and highest suggestion of every rule over seeds."""
    return {name: spread(rule, tests) for name, rule in RULES.items()}


def recommended(test: RangeTest) -> float:
    """Return the rate to train with: 10 times the rate with the smallest loss.

    *Steepest*, *valley* and *minimum* point into the descent, which under batch norm
    lies below the rates that train well. In `studies/rules.py` (a ResNet-10, SGD, three
    seeds) this rate is 0.5 points of accuracy below the best (−3.1 to +2.1), *slide* 3,
    *steepest* 11, *minimum* 20 and *valley* at least 32; only the last two are told
    apart from the best. The factor was chosen on these trainings: a place to start, not
    to stay.
    """
    return ABOVE_LOWEST * lowest(test)


def doubts(
    tests: Sequence[RangeTest], ranges: Mapping[str, Sequence[float]], num_classes: int
) -> list[str]:
    """Say where range tests tell little: no real fall, or no clear descent.

    *Steepest* and *valley* both look for the middle of the descent, so they may be
    compared; the other rules look elsewhere.
    """
    warnings = []
    least = min(t.curve()[1].min() for t in tests)
    chance = math.log(num_classes)
    if least > 0.97 * chance:
        warnings.append(
            f"the smoothed loss never fell clearly below chance ({least:.2f}, "
            f"ln {num_classes} = {chance:.2f}); try more --num-iter or a lower "
            "--start-lr"
        )
    low, high = sorted(ranges[name][1] for name in ("steepest", "valley"))
    if high > DECADE * low:
        warnings.append(
            f"there is no clear descent: its steepest point and its middle are at "
            f"{low:.2g} and {high:.2g}; short trainings decide (--epochs 2)"
        )
    return warnings
