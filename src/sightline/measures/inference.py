"""Is it real? The one rule for a difference between two ways to train or to explain.

Answers are a table with a row for each seed and a column for each image. Seeds differ
by luck, images by difficulty, and all networks are asked about the same images: neither
the images of one network nor the means of the seeds are the whole sample. How often the
rule is right is measured by `studies/inference.py`.

- The variance of a mean is that of two crossed random factors: what the seeds differ
  by, and what the images differ by, less what was counted twice. Cornfield and Tukey
  (1956); Cameron, Gelbach and Miller (2011), section 2. However alike three seeds
  happen to come out, a quarter of what their images make them differ by is left.
- Three seeds tell their variance badly, a thousand images tell theirs well. Each of the
  two has Student's distribution for its own number, and a p-value is the mean of both,
  weighted by their shares of the variance. With three seeds, Satterthwaite's degrees of
  freedom are too bold, and resampling seeds is much too bold. With two seeds this rule
  is too bold as well.
- Shares, and differences of shares, have bounds. An interval is that of Wilson (1927),
  eq. 4, for as many independent answers as would be equally sure.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from sightline.errors import SightlineError
from sightline.measures.numbers import with_interval

__all__ = [
    "LEVEL",
    "Effect",
    "Estimate",
    "Verdict",
    "apart_by",
    "effect",
    "effects",
    "estimate",
    "power",
    "seeds_needed",
    "wilson_interval",
]

#: how often a difference is called real where there is none, and an interval misses
LEVEL = 0.05
MANY = 10_000  # seeds that nobody will train, images that leave no doubt
MOST = 13.0  # standard errors: no Student distribution reaches further at the level
QUANTILES = 100  # that stand for a distribution in an average over it

Bounds = tuple[float, float]


class Verdict(StrEnum):
    """What became of a difference."""

    LARGER = "larger"
    SMALLER = "smaller"
    NO_LARGER = "no larger than"  #: a margin, whatever its sign
    OPEN = "not told apart"


@dataclass(frozen=True)
class Effect:
    """How far the first of two conditions is above the second.

    With one seed, interval and verdict are about these two networks on further images;
    with several, about further seeds and images; without images, about further seeds.
    """

    difference: float  #: first minus second; NaN without a value
    low: float  #: of the 95 % interval; with a single value it is the possible range
    high: float
    p: float  #: two-sided; in a table, adjusted for its rows
    seeds: int
    images: int
    left_out: int  #: pairs in which either score is NaN
    seed_sd: float  #: of one seed's difference on these images; NaN for one seed
    image_error: float  #: standard error that the images leave with however many seeds

    def verdict(self, margin: float = 0.0) -> Verdict:
        """Say which is larger, or else whether the difference is below a margin.

        It is below where the whole interval is within the margin: two one-sided tests
        at 2.5 % each, Schuirmann (1987), of this row alone.
        """
        if self.p <= LEVEL:
            return Verdict.LARGER if self.difference > 0 else Verdict.SMALLER
        if -margin < self.low and self.high < margin:
            return Verdict.NO_LARGER
        return Verdict.OPEN

    def words(self) -> str:
        """Write the verdict; one of many rows may be clear alone and not among all."""
        verdict = self.verdict()
        if verdict == Verdict.OPEN and (self.low > 0 or self.high < 0):
            return "clear alone, not told apart among all rows"
        return str(verdict)

    def written(self, decimals: int = 1, *, scale: float = 100) -> str:
        """Write difference and interval, in points: +1.2 (−0.3 to +2.7)."""
        numbers = [scale * x for x in (self.difference, self.low, self.high)]
        return with_interval(numbers, decimals)


@dataclass(frozen=True)
class Estimate:
    """The mean of one condition, and where that of further seeds and images lies."""

    mean: float  #: NaN without a value
    low: float  #: of the 95 % interval; with a single value it is the possible range
    high: float
    seeds: int
    images: int
    left_out: int  #: NaN

    def written(self, decimals: int = 1, *, scale: float = 100) -> str:
        """Write mean and interval, in percent: 86.3 (85.6 to 87.0)."""
        numbers = [scale * x for x in (self.mean, self.low, self.high)]
        return with_interval(numbers, decimals, plus=False)


@dataclass(frozen=True)
class _Spread:
    """A mean over seeds and images, and how sure it is."""

    mean: float
    bounds: Bounds
    answers: float  # that would be equally sure if they were independent
    by_seeds: float  # share of the variance
    seeds: int
    images: int
    left_out: int
    seed_sd: float
    image_error: float

    def p(self, value: float) -> float:
        """Return the p-value of this being the mean of the population."""
        (low, high), apart = self.bounds, abs(self.mean - value)
        if not self.answers or not apart:
            return 1.0
        errors = apart * math.sqrt(self.answers / (value - low) / (high - value))
        return _tail(errors, self.by_seeds, self.seeds, self.images)

    def interval(self) -> Bounds:
        """Return the ends of all means whose p-value is above the level."""
        if not self.answers:
            return self.bounds
        if math.isinf(self.answers):
            return self.mean, self.mean
        low, width = self.bounds[0], self.bounds[1] - self.bounds[0]
        errors = _reach(self.by_seeds, self.seeds, self.images)
        answers = torch.tensor([self.answers], dtype=torch.double)
        ends = wilson_interval((self.mean - low) / width * answers, answers, z=errors)
        return low + width * ends[0].item(), low + width * ends[1].item()


def effect(first: Tensor, second: Tensor, *, bounds: Bounds = (-1, 1)) -> Effect:
    """Compare two conditions on the same images, seed by seed.

    Both are (seeds, images): whether each network is right about each image, or its
    score there; (images,) for one seed; (seeds, 1) for scores without images. A row of
    both has the same seed, a column the same image. Pairs with a NaN are left out.

    Raises:
        SightlineError: without a pair, or if a difference is outside the bounds.
    """
    if first.shape != second.shape or not first.numel() or first.ndim > 2:
        raise SightlineError(
            f"answers of shapes {tuple(first.shape)} and {tuple(second.shape)} cannot "
            "be paired: give two tensors (seeds, images) about the same images"
        )
    apart = first.double() - second.double()
    # networks that agree so far may differ about the next image: let two more decide,
    # one for either side, as Agresti and Caffo (2000) do for independent answers
    unseen = 2 / first.shape[-1] ** 2 if first.dtype == torch.bool else 0.0
    spread = _spread(apart, bounds, unseen)
    return Effect(
        spread.mean,
        *spread.interval(),
        p=spread.p(0.0),
        seeds=spread.seeds,
        images=spread.images,
        left_out=spread.left_out,
        seed_sd=spread.seed_sd,
        image_error=spread.image_error,
    )


def effects(
    rows: Mapping[str, tuple[Tensor, Tensor]], *, bounds: Bounds = (-1, 1)
) -> dict[str, Effect]:
    """Compare two conditions in each row of a table, as `effect` does.

    The chance that any row without an effect is called real stays at the level: the
    p-values are those of Holm (1979). Intervals are for each row alone.
    """
    table = {name: effect(*pair, bounds=bounds) for name, pair in rows.items()}
    p = 0.0
    for rank, name in enumerate(sorted(table, key=lambda name: table[name].p)):
        p = max(p, min(1.0, (len(table) - rank) * table[name].p))
        table[name] = replace(table[name], p=p)
    return table


def estimate(values: Tensor, *, bounds: Bounds = (0, 1)) -> Estimate:
    """Estimate the mean of one condition from (seeds, images), or (images,).

    Of the answers of one network the interval is Wilson's.

    Raises:
        SightlineError: without a value, or if one is outside the bounds.
    """
    spread = _spread(values.double(), bounds)
    low, high = spread.interval()
    if values.dtype == torch.bool and spread.seeds == 1:
        ends = wilson_interval(values.sum()[None], torch.tensor([values.numel()]))
        low, high = (end.item() for end in ends)
    return Estimate(
        spread.mean, low, high, spread.seeds, spread.images, spread.left_out
    )


def power(
    difference: float, seeds: int, *, sd: float, image_error: float = 0.0
) -> float:
    """Return how often `effect` will tell a true difference apart from nothing.

    Averages over what the seeds may seem to differ by. All three numbers have one unit.

    Args:
        difference: that is to be seen.
        seeds: of each condition, at least 2.
        sd: of the paired difference, from seed to seed on the same images; above 0.
        image_error: of the mean difference, were there infinitely many seeds. Both
            are fields of the `Effect` of an earlier, smaller study.
    """
    from scipy.special import chdtri, ndtr  # late: half a second

    quantiles = (torch.arange(QUANTILES, dtype=torch.double) + 0.5) / QUANTILES
    true = math.hypot(sd / math.sqrt(seeds), image_error)
    shares = []
    for chi2 in chdtri(seeds - 1, quantiles.numpy()):
        by_seeds = sd**2 / seeds * chi2 / (seeds - 1)
        variance = by_seeds + image_error**2
        reach = _reach(by_seeds / variance, seeds, MANY) * math.sqrt(variance)
        shares += [ndtr((sign * difference - reach) / true) for sign in (1, -1)]
    return float(sum(shares)) / QUANTILES


def seeds_needed(
    difference: float, *, sd: float, image_error: float = 0.0, chance: float = 0.8
) -> int:
    """Return how many seeds tell a true difference apart in 80 % of all studies.

    Arguments are those of `power`.

    Raises:
        SightlineError: if no number of seeds does.
    """
    counts = range(2, MANY + 1)
    place = bisect_left(
        counts,
        chance,
        key=lambda n: power(difference, n, sd=sd, image_error=image_error),
    )
    if place == len(counts):
        raise SightlineError(
            f"{MANY:,} seeds do not show a difference of {difference:g}, since images "
            f"leave an error of {image_error:g}: ask about more images"
        )
    return counts[place]


def apart_by(first: Estimate, second: Estimate) -> tuple[float, float]:
    """Return the interval of first minus second, of two separate groups of images.

    Two intervals may overlap and this one still leave out zero. Source: Newcombe
    (1998), "Interval estimation for the difference between independent proportions",
    method 10.
    """
    gap = first.mean - second.mean
    below = first.mean - first.low, second.high - second.mean
    above = first.high - first.mean, second.mean - second.low
    return gap - math.hypot(*below), gap + math.hypot(*above)


def wilson_interval(
    correct: Tensor, images: Tensor, *, z: float = 1.96
) -> tuple[Tensor, Tensor]:
    """Return where shares such as per-class accuracies lie, low (K,) and high (K,).

    From the right answers (K,) and the images (K,) of each class; z is 1.96 for 95 %.
    Unlike accuracy ± z standard errors it stays within 0 and 1, and has a width when
    all answers were right. Without an image it is 0 to 1. Wilson (1927), eq. 4.
    """
    right, total = correct.double(), images.double()
    spread = right * (total - right) / total.clamp_min(1e-300) + z**2 / 4
    middle = (right + z**2 / 2) / (total + z**2)
    half = z * spread.sqrt() / (total + z**2)
    return (middle - half).clamp_min(0), (middle + half).clamp_max(1)


def _spread(values: Tensor, bounds: Bounds, unseen: float = 0.0) -> _Spread:
    """Return the mean of values (seeds, images), and how sure it is.

    Without a NaN this is the two-way analysis of variance. The `unseen` variance is
    added to that of the images.
    """
    (low, high), known = bounds, values[~values.isnan()]
    rounding = 1e-6 * (high - low)  # of scores in single precision
    outside = known[(known < low - rounding) | (known > high + rounding)]
    if not values.numel() or len(outside):
        wrong = f"{outside[0]:g} is not" if len(outside) else "there is no value"
        raise SightlineError(
            f"{wrong} within {low:g} to {high:g}: give values, and the bounds that "
            "they cannot leave"
        )
    count, mean, left_out = len(known), known.mean().item(), values.numel() - len(known)
    if count < 2:
        return _Spread(
            mean, bounds, 0.0, 0.0, count, count, left_out, math.nan, math.nan
        )
    table = torch.atleast_2d(values)
    table = table[(~table.isnan()).any(1)][:, (~table.isnan()).any(0)]
    seeds, images = table.shape
    of_seeds, of_images, in_both = _variances(table, mean)
    lasting = max(of_images - in_both, 0.0) + unseen
    variance = max(of_seeds, in_both / 4) + lasting
    room = max((mean - low) * (high - mean), 0.0)
    answers = room / variance if variance else math.inf
    if not room:  # all at one end
        answers = float(max(seeds, images))
    share = of_seeds / variance if variance else 0.0
    sd = math.sqrt(of_seeds * seeds) if seeds > 1 else math.nan
    error = math.sqrt(lasting)
    return _Spread(mean, bounds, answers, share, seeds, images, left_out, sd, error)


def _variances(table: Tensor, mean: float) -> tuple[float, float, float]:
    """Return the variance of the mean by seeds, by images, and what is in both."""
    off, shape = (table - mean).nan_to_num(), table.shape
    count = int((~table.isnan()).sum())
    of_seeds, of_images = (
        off.sum(1 - axis).square().sum().item() / count**2 * n / (n - 1) if n > 1 else 0
        for axis, n in enumerate(shape)
    )
    if min(shape) < 2 or count < sum(shape):
        return of_seeds, of_images, 0.0
    inner = table - table.nanmean(1, keepdim=True) - table.nanmean(0) + mean
    degrees = count - sum(shape) + 1
    return of_seeds, of_images, inner.square().nansum().item() / degrees / count


def _tail(errors: float, by_seeds: float, seeds: int, images: int) -> float:
    """Return how often a mean is further off than so many standard errors."""
    from scipy.special import stdtr

    of_seeds, of_images = (stdtr(max(n - 1, 1), -errors) for n in (seeds, images))
    return float(2 * (by_seeds * of_seeds + (1 - by_seeds) * of_images))


def _reach(by_seeds: float, seeds: int, images: int) -> float:
    """Return the standard errors beyond which a mean is as rarely as the level."""
    from scipy.optimize import brentq

    return float(brentq(lambda x: _tail(x, by_seeds, seeds, images) - LEVEL, 0, MOST))
