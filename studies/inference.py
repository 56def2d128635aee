"""Measure how often the rule of `sightline.measures.inference` is right, beside others.

Worlds in which the truth is known are drawn many times: networks of several seeds
answer the same images, or score them, in two conditions. In percent: how often a rule
calls an effect real where there is none, how often its interval holds the truth, and
how often it tells a gap apart.

    nice -n 19 python studies/inference.py --json book/results/inference.json
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from sightline.files import write_json
from sightline.measures.inference import LEVEL, Effect, effect, power
from sightline.training.machine import describe
from sightline.training.runtime import choose_runtime

ACCURACY = 0.88
RESAMPLES = 200  # of a bootstrap
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class World:
    """What is drawn, in shares, not in points."""

    of: str  #: "answers", "scores", "scores, some blank" or "one score a seed"
    seeds: int
    images: int
    sd: float  #: from seed to seed, of the difference of two networks on all images
    gap: float  #: to be seen


WORLDS = [
    *itertools.starmap(
        World,
        (
            ("answers", seeds, images, sd, gap)
            for seeds in (2, 3, 5, 10)
            for images in (1000, 10_000)
            for sd, gap in ((0.003, 0.01), (0.01, 0.02), (0.03, 0.05))
        ),
    ),
    *itertools.starmap(
        World,
        (
            (kind, seeds, images, sd, gap)
            for kind in ("scores", "scores, some blank")
            for seeds in (3, 5, 10)
            for images in (100, 500)
            for sd, gap in ((0.003, 0.02), (0.02, 0.04))
        ),
    ),
    *(World("one score a seed", seeds, 1, 0.1, 0.2) for seeds in (3, 5, 10)),
]


def draw_pair(world: World, gap: float, draw: torch.Generator) -> Pair:
    """Draw answers or scores (seeds, images) whose means differ by exactly the gap."""
    shape, pair = (world.seeds, world.images), []
    hard = torch.randn(world.images, generator=draw)  # alike for both conditions
    for sign in (1, -1):
        own = 0.15 * torch.randn(world.images, generator=draw)  # with every seed
        noise = 0.5 * torch.randn(shape, generator=draw)
        luck = world.sd / math.sqrt(2) * torch.randn(world.seeds, 1, generator=draw)
        latent, spread = hard + own + noise, math.sqrt(1 + 0.15**2 + 0.5**2)
        if world.of == "answers":
            share = ndtri(ACCURACY)
            slope = math.exp(-(share**2) / 2) / math.sqrt(2 * math.pi) / spread
            sd = world.sd / math.sqrt(2) / slope
            share = ndtri(ACCURACY + sign * gap / 2) * math.hypot(spread, sd)
            pair.append(latent + luck / slope + share > 0)
        elif world.images == 1:
            pair.append(0.3 + luck + sign * gap / 2)
        else:  # most are below the mean, as shares of heatmaps are
            skewed = torch.special.ndtr(latent / spread) ** 2
            pair.append(0.2 + 0.5 * skewed + luck.clamp(-0.1, 0.1) + sign * gap / 2)
    if world.of.endswith("blank"):
        pair[0][torch.rand(shape, generator=draw) < 0.1] = math.nan
    return pair[0], pair[1]


def ours(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by `effect`."""
    return result.p <= LEVEL, result.low, result.high


def around(result: Effect, error: float, quantile: float) -> tuple[bool, float, float]:
    """Judge by an interval of so many standard errors on each side."""
    low, high = (result.difference + s * quantile * error for s in (-1, 1))
    return not low <= 0 <= high, low, high


def satterthwaite(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by the same variance, with Satterthwaite's degrees of freedom."""
    by_seeds, lasting = result.seed_sd**2 / result.seeds, result.image_error**2
    variance = by_seeds + lasting
    squares = by_seeds**2 / (result.seeds - 1)
    squares += lasting**2 / max(result.images - 1, 1)
    quantile = stdtrit(variance**2 / squares, 1 - LEVEL / 2)
    return around(result, math.sqrt(variance), quantile)


def student(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by Student's interval of the means of the seeds."""
    error = result.seed_sd / math.sqrt(result.seeds)
    return around(result, error, stdtrit(result.seeds - 1, 1 - LEVEL / 2))


def images_only(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by the paired answers of the first seed."""
    one = effect(pair[0][0], pair[1][0])
    return one.p <= LEVEL, one.low, one.high


def two_sd(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by twice the standard deviation of the seeds' differences."""
    return around(result, result.seed_sd, 2)


def bootstrap(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by percentiles of seeds drawn again."""
    means = (pair[0].double() - pair[1].double()).nanmean(1)
    drawn = torch.randint(len(means), (RESAMPLES, len(means)))
    ends = torch.tensor([LEVEL / 2, 1 - LEVEL / 2], dtype=torch.double)
    low, high = means[drawn].mean(1).quantile(ends).tolist()
    return not low <= 0 <= high, low, high


def no_overlap(pair: Pair, result: Effect) -> tuple[bool, float, float]:
    """Judge by whether the seeds' means overlap; there is no interval."""
    first, second = (each.double().nanmean(1) for each in pair)
    apart = first.min() > second.max() or second.min() > first.max()
    return bool(apart), math.nan, math.nan


RULES: dict[str, Callable[[Pair, Effect], tuple[bool, float, float]]] = {
    "ours": ours,
    "Satterthwaite": satterthwaite,
    "Student over seeds": student,
    "bootstrap of seeds": bootstrap,
    "2 sd over seeds": two_sd,
    "no overlap": no_overlap,
    "images of one seed": images_only,
}


def measure(world: World, repetitions: int) -> dict:
    """Draw a world with and without its gap, and count what each rule says."""
    draw = torch.Generator().manual_seed(0)
    counts = {name: [0, 0, 0] for name in RULES}
    squares = torch.zeros(2, dtype=torch.double)  # of seed_sd and image_error
    for _ in range(repetitions):
        for place, gap in enumerate((0.0, world.gap)):
            pair = draw_pair(world, gap, draw)
            result = effect(*pair)
            for name, rule in RULES.items():
                real, low, high = rule(pair, result)
                counts[name][2 * place] += real
                counts[name][1] += low <= gap <= high
            squares += torch.tensor([result.seed_sd, result.image_error]) ** 2
    sd, image_error = (squares / repetitions / 2).sqrt().tolist()
    planned = power(world.gap, world.seeds, sd=sd, image_error=image_error)
    rules = {
        name: {
            "false positives": round(100 * false / repetitions, 1),
            "coverage": round(100 * covered / repetitions / 2, 1),
            "power": round(100 * seen / repetitions, 1),
        }
        for name, (false, covered, seen) in counts.items()
    }
    del rules["no overlap"]["coverage"]  # it has no interval
    return asdict(world) | {"planned power": round(100 * planned, 1), "rules": rules}


def line(row: dict) -> str:
    """Write a world and what its rules came to: false positives, coverage, power."""
    cells = [
        f"{rule['false positives']:5.1f} {rule.get('coverage', math.nan):5.1f} "
        f"{rule['power']:5.1f}"
        for rule in row["rules"].values()
    ]
    world = f"{row['of']:18} {row['seeds']:2} {row['images']:6,} {row['sd']:.3f}"
    return " | ".join([f"{world} {row['gap']:.2f}", *cells, f"{row['planned power']}"])


def main() -> None:
    """Measure all worlds, print a line for each, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the table there, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("false positives, coverage, power, in %:", " | ".join(RULES), "| planned")
    rows, start = [], time.perf_counter()
    for world in WORLDS:
        rows.append(measure(world, options.repetitions))
        print(line(rows[-1]), flush=True)
    minutes = round((time.perf_counter() - start) / 60, 1)
    print(f"{minutes} minutes")
    if options.json:
        protocol = f"{options.repetitions:,} draws of each world, with and without gap"
        record = {"machine": describe(choose_runtime()), "protocol": protocol}
        write_json(options.json, record | {"minutes": minutes, "rows": rows})


if __name__ == "__main__":
    main()
