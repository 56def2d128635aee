"""The LR range test: train a few batches while the learning rate climbs.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3; and
four rules that read the curve.
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

__all__ = ["RULES", "RangeTest", "doubts", "range_test", "suggest", "suggest_range"]

SKIP_START, SKIP_END = 10, 5  # points that the rules leave out
SMOOTHING = 0.05  # weight of the newest loss in the running mean
DIVERGED = 5  # times the lowest smoothed loss, as in torch-lr-finder


@dataclass(frozen=True)
class RangeTest:
    """The recorded curve; all lists have the same length and are finite."""

    lrs: list[float]  #: of the first parameter group
    losses: list[float]  #: of one batch each, before the update with lrs[i]
    smoothed: list[float]  #: s ← 0.05 · loss + 0.95 · s
    stopped: str  #: "end", "diverged" or "not finite"


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
    smoothed: list[float] = []
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
            return RangeTest(used, losses, smoothed, "not finite")
        mean = smoothed[-1] if smoothed else value
        used.append(lr)
        losses.append(value)
        smoothed.append(SMOOTHING * value + (1 - SMOOTHING) * mean)
        if smoothed[-1] > DIVERGED * min(smoothed):
            return RangeTest(used, losses, smoothed, "diverged")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return RangeTest(used, losses, smoothed, "end")


def trimmed(test: RangeTest) -> tuple[np.ndarray, np.ndarray]:
    """Return learning rates and smoothed losses without the noisy ends."""
    needed = SKIP_START + SKIP_END + 2
    if len(test.lrs) < needed:
        raise SightlineError(
            f"only {len(test.lrs)} points were recorded before the range test ended "
            f"({test.stopped}), but a suggestion needs {needed}: start lower"
        )
    inner = slice(SKIP_START, -SKIP_END)
    return np.array(test.lrs[inner]), np.array(test.smoothed[inner])


def steepest(test: RangeTest) -> float:
    """Return the rate at which the loss falls fastest on its way to the minimum.

    torch-lr-finder's rule, without what comes after the minimum: there the loss
    jumps up and down, and the steepest fall of all means nothing.
    """
    lrs, losses = trimmed(test)
    slopes = np.gradient(losses)[: losses.argmin() + 1]
    return float(lrs[slopes.argmin()])


def minimum(test: RangeTest) -> float:
    """Return a tenth of the rate with the smallest loss (fastai's `minimum`)."""
    lrs, losses = trimmed(test)
    return float(lrs[losses.argmin()] / 10)


def valley(test: RangeTest) -> float:
    """Return the middle of the longest descent (fastai's `valley`).

    A descent may be interrupted by bumps: it is a longest falling subsequence, and
    its points count as if they lay side by side.
    """
    lrs, losses = trimmed(test)
    length = np.ones(len(losses), dtype=int)  # of the longest fall that ends here
    for i in range(1, len(losses)):
        length[i] += max(length[:i][losses[:i] > losses[i]], default=0)
    end = int(length.argmax())
    return float(lrs[end - length[end] // 2])


def slide(test: RangeTest, width: int = 15, threshold: float = 0.005) -> float:
    """Return the rate where, sliding in from the right, the explosion is over.

    An interval of `width` points moves to the left until the slopes at its two
    ends differ by at most `threshold` (after fastai's `slide`). Where nothing
    explodes, it does not move: the suggestion is then near the right end.
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


def suggest_range(tests: Sequence[RangeTest]) -> dict[str, tuple[float, float, float]]:
    """Return the lowest, median and highest suggestion of every rule over seeds."""
    ranges = {}
    for name, rule in RULES.items():
        rates = [rule(test) for test in tests]
        ranges[name] = (min(rates), float(np.median(rates)), max(rates))
    return ranges


def doubts(
    tests: Sequence[RangeTest], ranges: Mapping[str, Sequence[float]], num_classes: int
) -> list[str]:
    """Say where range tests tell little: no real fall, or rules that disagree."""
    warnings = []
    lowest, chance = min(min(t.smoothed) for t in tests), math.log(num_classes)
    if lowest > 0.97 * chance:
        warnings.append(
            f"the smoothed loss never fell clearly below chance ({lowest:.2f}, "
            f"ln {num_classes} = {chance:.2f}); try more --num-iter or a lower "
            "--start-lr"
        )
    medians = [values[1] for values in ranges.values()]
    if max(medians) > 10 * min(medians):
        warnings.append(
            f"the rules disagree, from {min(medians):.2g} to {max(medians):.2g}; "
            "short trainings decide (--epochs 2)"
        )
    return warnings
