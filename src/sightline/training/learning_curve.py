"""How many pictures are needed: what ever larger parts of them have brought.

A quarter of the training and validation pictures is held out. Short trainings on a
quarter, half and all of the others, each with several draws and seeds, are asked about
those. All trainings have equally many updates, so that a part differs from the whole by
its pictures alone: with equal epochs, a quarter would also be trained a quarter as
long. `sightline all` itself chooses fewer epochs for more pictures.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist, median

import torch
from torch import Tensor

from sightline.data.split import Split, Splits
from sightline.errors import DataError
from sightline.measures.inference import (
    LEVEL,
    effect,
    wilson_interval,
)
from sightline.measures.numbers import with_interval
from sightline.training.engine import evaluate, fit
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime

__all__ = [
    "DRAWS",
    "PARTS",
    "LearningCurve",
    "divide",
    "doubling",
    "measure_part",
    "shorter",
]

PARTS = (4, 2, 1)  #: a quarter, half and all of the pictures
DRAWS = 3  #: of the pictures of each part, and seeds
HELD_OUT = 0.25  # of each class
FEWEST = 6  # of a class: one or two held out, and a quarter of the rest is one
SHORTER = 5  # times than the training whose success is foretold
#: what the next doubling brings, of the mean of the last two, and how far off that is
#: with 95 %, from a power law that has nearly ended to a straight line
NEXT, NEXT_ERROR = 0.7, 0.35


@dataclass(frozen=True)
class LearningCurve:
    """What networks that were trained on ever more pictures know of others."""

    sizes: tuple[int, ...]  #: training pictures of a quarter, half and all
    right: Tensor  #: (3, draws, images) bool, answers about the pictures held out
    labels: Tensor  #: (images,) of these
    counts: tuple[int, ...]  #: training pictures of each class, in the order of labels

    def weakest(self) -> int | None:
        """Return the class of lowest recall, if it is surely below the others.

        It must be among the smaller half, for else pictures are not what it lacks. Of
        as many intervals as there are classes, all hold at once (Bonferroni); answers
        of several draws about one picture count as one.
        """
        right = self.right[-1].double().mean(0)
        totals = self.labels.bincount(minlength=len(self.counts))
        sums = torch.zeros(len(totals), dtype=torch.double)
        sums.index_add_(0, self.labels, right)
        z = NormalDist().inv_cdf(1 - LEVEL / 2 / len(totals))
        _, high = wilson_interval(sums, totals, z=z)
        worst = int((sums / totals.clamp_min(1)).argmin())
        others = self.labels != worst
        small = self.counts[worst] <= median(self.counts)
        return worst if small and high[worst] < right[others].mean() else None

    def sentence(self, classes: tuple[str, ...]) -> str:
        """Say what twice as many pictures would bring, in points of accuracy."""
        points = [100 * value for value in doubling(self.right)]
        words = f"twice as many pictures: {with_interval(points)} points"
        if points[1] <= 0 <= points[2]:
            words += ", not told apart from none"
        if (worst := self.weakest()) is not None:
            of_worst = self.right[-1][:, self.labels == worst]
            words += (
                f"; first of all of {classes[worst]}, of which "
                f"{of_worst.double().mean():.0%} are recognised"
            )
        return words


def doubling(right: Tensor) -> tuple[float, float, float]:
    """Return what the next doubling will bring, in 0..1, and its 95 % interval.

    Of the answers (3, draws, images), the mean of the last two doublings and its
    interval are those of `sightline.measures.inference.effect`, which knows of draws
    and images. To its square is added that of the error of extrapolation.
    """
    two = effect(right[-1], right[0])
    mean, low, high = (value / 2 for value in (two.difference, two.low, two.high))
    gain, extrapolation = NEXT * mean, NEXT_ERROR * abs(mean)
    missing = 1 - right[-1].double().mean().item()
    return (
        min(gain, missing),
        min(gain - math.hypot(NEXT * (mean - low), extrapolation), missing),
        min(gain + math.hypot(NEXT * (high - mean), extrapolation), missing),
    )


def stratified(split: Split, share: float, seed: int) -> Tensor:
    """Choose a share of each class, at least one picture, (N,) bool.

    Whole series are chosen, where pictures have some; then classes have about that
    share. With the same seed, a larger share holds all of a smaller one.
    """
    generator = torch.Generator().manual_seed(seed)
    if split.series is not None:
        series = split.series.unique()
        order = series[torch.randperm(len(series), generator=generator)]
        return torch.isin(split.series, order[: max(round(share * len(order)), 1)])
    chosen = torch.zeros(len(split), dtype=torch.bool)
    for label in split.labels.unique():
        places = torch.nonzero(split.labels == label)[:, 0]
        order = torch.randperm(len(places), generator=generator)
        chosen[places[order[: max(round(share * len(places)), 1)]]] = True
    return chosen


def divide(splits: Splits) -> Splits:
    """Return training and validation pictures, a quarter of which now validates.

    Raises:
        DataError: if a class has too few for a quarter of a part of them.
    """
    everything = splits.train.join(splits.validation)
    counts = everything.labels.bincount(minlength=len(splits.classes))
    if counts.min() < FEWEST:
        raise DataError(
            f"{splits.classes[int(counts.argmin())]} has {int(counts.min())} pictures "
            f"besides those of the test, and a learning curve needs {FEWEST} of each "
            "class"
        )
    held_out = stratified(everything, HELD_OUT, seed=0)
    train, validation = everything.take(~held_out), everything.take(held_out)
    quarters = [train.take(part_of(train, max(PARTS), draw)) for draw in range(DRAWS)]
    for part in (validation, *quarters):
        missing = set(range(len(splits.classes))) - set(part.labels.tolist())
        if missing:
            raise DataError(
                f"{splits.classes[min(missing)]} is of too few series for a learning "
                "curve: a quarter of all series has none of it"
            )
    return replace(splits, train=train, validation=validation)


def part_of(split: Split, part: int, draw: int) -> Tensor:
    """Return which pictures a draw of one `part`-th of them has, places ascending."""
    return stratified(split, 1 / part, seed=draw).nonzero()[:, 0]


def shorter(recipe: Recipe) -> Recipe:
    """Return the recipe of the short trainings; it never looks at the test pictures."""
    epochs = max(recipe.epochs // SHORTER, 2)
    return replace(recipe, epochs=epochs, watch="validation")


def measure_part(
    recipe: Recipe, splits: Splits, runtime: Runtime, part: int, draw: int
) -> Tensor:
    """Train on one `part`-th of the pictures; return what is right of the others.

    Both are those of `divide`. In an epoch every picture comes about `part` times, so
    that epochs are equally long. Returns (images,) bool.
    """
    recipe = replace(recipe, seed=recipe.seed + draw)
    places = part_of(splits.train, part, draw)
    whole = chosen_splits(recipe, splits)
    places = places.repeat(part + 1)[: len(splits.train)]
    short = replace(whole, train=splits.train.take(places))
    parts = build(recipe, short, runtime)
    for _ in fit(parts, recipe, runtime, progress=False):
        pass
    return evaluate(parts.model, parts.validation_loader, runtime=runtime).right
