"""Which pictures train, validate and test: by chance, or by whole series.

Pictures of one series, such as a burst, resemble each other. Where some of them train
a network and others judge it, it is asked about what it has seen.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sightline.errors import DataError

__all__ = ["TEST_FRACTION", "Division", "carve", "divide"]

#: share of each class, where a folder has no test/ of its own
TEST_FRACTION = 0.2
ORDERS = 10  # random orders of the series, of which the one that fits best is taken
OFF = 0.05  # of a class: a share that is further off than this is told


@dataclass(frozen=True)
class Division:
    """The parts of a data set, (N,) bool each; no picture is in two of them."""

    train: Tensor
    validation: Tensor
    test: Tensor
    notes: tuple[str, ...] = ()  #: what whole series did not allow

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return training, validation and test pictures."""
        return self.train, self.validation, self.test


def divide(
    labels: Tensor,
    in_test: Tensor,
    series: Tensor | None,
    classes: Sequence[str],
    *,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Division:
    """Divide pictures at random, or by whole series.

    Training pictures whose series are in a test part that was given are left out.

    Args:
        labels: (N,) int64.
        in_test: (N,) bool, the given test part; all False for none, which takes a fifth
            of every class.
        series: (N,) int64, equal for pictures that stay together; None: at random.
        classes: names.
        validation_fraction: share of each class of the rest.
        seed: decides which pictures, or which series.

    Raises:
        DataError: if a class has too few series for a part.
    """
    generator = torch.Generator().manual_seed(seed)
    if series is None:
        return _by_chance(labels, in_test, validation_fraction, generator)
    return _by_series(labels, in_test, series, classes, validation_fraction, generator)


def _by_chance(
    labels: Tensor,
    in_test: Tensor,
    validation_fraction: float,
    generator: torch.Generator,
) -> Division:
    """Divide as `divide` does, picture by picture."""
    test = in_test if in_test.any() else carve(labels, TEST_FRACTION, generator)
    validation = torch.zeros_like(test)
    validation[~test] = carve(labels[~test], validation_fraction, generator)
    return Division(~(test | validation), validation, test)


def _by_series(
    labels: Tensor,
    in_test: Tensor,
    series: Tensor,
    classes: Sequence[str],
    validation_fraction: float,
    generator: torch.Generator,
) -> Division:
    """Divide as `divide` does, series by series; say what they did not allow."""
    has_test = bool(in_test.any())
    left_out = torch.zeros_like(in_test)
    if has_test:
        left_out = ~in_test & torch.isin(series, series[in_test])
    rest = ~in_test & ~left_out
    _require_series(labels[rest], series[rest], classes, least=2 if has_test else 3)
    test = in_test.clone()
    if not has_test:
        test[rest] = _carve_series(labels, series, TEST_FRACTION, generator, keep=2)
    rest = ~test & ~left_out
    validation = torch.zeros_like(test)
    validation[rest] = _carve_series(
        labels[rest], series[rest], validation_fraction, generator, keep=1
    )
    notes = [] if has_test else _shares("test", test, labels, classes, TEST_FRACTION)
    notes += _shares(
        "validation", validation[rest], labels[rest], classes, validation_fraction
    )
    if count := int(left_out.sum()):
        notes.insert(
            0, f"{count:,} pictures of train/ left out: their series are in test/"
        )
    return Division(rest & ~validation, validation, test, tuple(notes))


def carve(labels: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Choose the share of each class, at least 1, that is taken out, (N,) bool."""
    _require_fraction(fraction)
    taken = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        count = min(max(round(fraction * len(places)), 1), len(places) - 1)
        order = torch.randperm(len(places), generator=generator)
        taken[places[order[:count]]] = True
    return taken


def _require_fraction(fraction: float) -> None:
    """Refuse a share that leaves a part empty."""
    if not 0 < fraction < 1:
        raise DataError(
            f"validation_fraction {fraction} is not between 0 and 1; "
            "0.1 keeps a tenth of the training pictures for validation"
        )


def _require_series(
    labels: Tensor, series: Tensor, classes: Sequence[str], least: int
) -> None:
    """Refuse a class that has fewer series than there are parts to fill."""
    counts = {
        name: len(series[labels == label].unique())
        for label, name in enumerate(classes)
    }
    lacking = [name for name, count in counts.items() if count < least]
    if lacking:
        parts = (
            "training, validation and test" if least == 3 else "train/ and validation"
        )
        raise DataError(
            f"{lacking[0]} has pictures of {counts[lacking[0]]} series only; at least "
            f"{least} are needed, one each for {parts}, since a series is not cut. Add "
            "pictures of other series, or remove the class"
            + (f" ({len(lacking):,} classes have too few)" if lacking[1:] else "")
        )


def _carve_series(
    labels: Tensor,
    series: Tensor,
    fraction: float,
    generator: torch.Generator,
    keep: int,
) -> Tensor:
    """Choose whole series that hold about a share of each class, (N,) bool.

    Of each class one series at least is taken and `keep` are left.

    Raises:
        DataError: if there is no such choice.
    """
    _require_fraction(fraction)
    names, ids = series.unique(return_inverse=True)
    holdings: list[Counter[int]] = [Counter() for _ in names]
    for place, label in zip(ids.tolist(), labels.tolist(), strict=True):
        holdings[place][label] += 1
    sizes = Counter(labels.tolist())
    best, chosen = math.inf, set[int]()
    for _ in range(ORDERS):
        order = torch.randperm(len(names), generator=generator).tolist()
        attempt, off = _fill(holdings, order, sizes, fraction, keep)
        if off < best:
            best, chosen = off, attempt
        if off <= sum(1 / (2 * size) ** 2 for size in sizes.values()):
            break  # by half a picture a class, which rounding costs anyway
    if not chosen:
        raise DataError(
            "no choice of whole series leaves every class in training, validation and "
            "test: too many classes share their series. Add pictures of other series"
        )
    return torch.isin(ids, torch.tensor(sorted(chosen)))


def _fill(
    holdings: Sequence[Counter[int]],
    order: Sequence[int],
    sizes: Counter[int],
    fraction: float,
    keep: int,
) -> tuple[set[int], float]:
    """Take each series that brings the classes nearer to their shares.

    Returns:
        The series, and the sum of the squares by which shares are off; infinite if a
        class has none.
    """
    goals = {label: max(fraction * size, 1) for label, size in sizes.items()}
    left = Counter(label for holding in holdings for label in holding)
    taken: Counter[int] = Counter()
    chosen: set[int] = set()

    def off(label: int, more: int = 0) -> float:
        return float((taken[label] + more - goals[label]) / sizes[label]) ** 2

    def helps(holding: Counter[int]) -> bool:
        return sum(off(label, n) - off(label) for label, n in holding.items()) < 0

    def fills_a_gap(holding: Counter[int]) -> bool:
        return any(not taken[label] for label in holding)

    smallest = sorted(order, key=lambda place: holdings[place].total())
    for places, condition in ((order, helps), (smallest, fills_a_gap)):
        for place in places:
            holding = holdings[place]
            free = all(left[label] > keep for label in holding)
            if free and place not in chosen and condition(holding):
                chosen.add(place)
                taken.update(holding)
                left.subtract(holding.keys())
    if any(not taken[label] for label in sizes):
        return chosen, math.inf
    return chosen, sum(map(off, sizes))


def _shares(
    part: str, taken: Tensor, labels: Tensor, classes: Sequence[str], fraction: float
) -> list[str]:
    """Say which classes have another share in a part than was meant."""
    shares = {
        name: taken[labels == label].double().mean().item()
        for label, name in enumerate(classes)
    }
    off = {n: s for n, s in shares.items() if abs(s - fraction) > OFF}
    if not off:
        return []
    name = max(off, key=lambda name: abs(off[name] - fraction))
    return [
        f"{len(off):,} of {len(classes):,} classes have another share in {part} than "
        f"{fraction:.0%}, {name} {off[name]:.0%}: whole series allow no closer"
    ]
