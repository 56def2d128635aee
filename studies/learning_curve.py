"""Does the forecast of the learning curve hold when half of the pictures is hidden?

python studies/learning_curve.py SETS --work WORK

SETS holds folders as `studies/sets.py` arranges them. In each case half of the training
pictures is hidden, the curve of the other half says what twice as many would bring, and
then networks are trained on the half and on all: is their difference on the test
pictures inside the interval? Every training shows equally many pictures. Every answer
is kept in WORK, and a run that was cut off goes on.
"""

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.datasets import load
from sightline.data.split import Split, Splits
from sightline.files import read_json, sha256, write_json
from sightline.measures.inference import effect
from sightline.measures.numbers import with_interval
from sightline.models.pretrained import SIGHTLINE_FILE
from sightline.training.engine import evaluate, fit
from sightline.training.learning_curve import (
    DRAWS,
    NEXT,
    NEXT_ERROR,
    PARTS,
    divide,
    doubling,
    measure_part,
    stratified,
)
from sightline.training.machine import describe
from sightline.training.parts import build, chosen_splits, evaluation_loader
from sightline.training.recipe import Recipe
from sightline.training.recipes import find_recipe
from sightline.training.runtime import Runtime, choose_runtime

RESULT = Path(__file__).parents[1] / "book/results/learning_curve.json"
SHOWN = 6_000  # pictures, in every training: 94 updates
SEEDS = 6  # by which the real gain is measured
MAX_LR = 0.03
TEST = 1000
BAR = 8  # of 10


@dataclass(frozen=True)
class Case:
    """A set, so many pictures of which half is hidden, and the draw of these."""

    name: str
    pictures: int
    seed: int


CASES = [
    *(Case("signs", pictures, 0) for pictures in (240, 480, 960)),
    *(Case("clothing", pictures, 0) for pictures in (480, 960, 1920)),
    *(Case(name, 480, 1) for name in ("signs", "clothing")),
    Case("grocery", 3000, 1),
    Case("xray", 480, 0),
]


def halves(splits: Splits, case: Case) -> tuple[Splits, Split, Split]:
    """Return the known half with all that is known of it, all pictures, and the test.

    Half is known, the other half hidden; the test is drawn from the rest.
    """
    everything = splits.train.join(splits.validation).join(splits.test)
    share = case.pictures / len(everything)
    shown = stratified(everything, share, seed=1000 + case.seed)
    pool, rest = everything.take(shown), everything.take(~shown)
    known = stratified(pool, 0.5, seed=2000 + case.seed)
    half = pool.take(known)
    order = torch.randperm(
        len(rest), generator=torch.Generator().manual_seed(case.seed)
    )
    validation = stratified(half, 0.1, seed=3000)
    known_splits = replace(
        splits, train=half.take(~validation), validation=half.take(validation)
    )
    return known_splits, pool, rest.take(order[:TEST])


def of_epochs(pictures: int) -> Recipe:
    """Return the recipe that shows `SHOWN` pictures if there are so many."""
    epochs = max(round(SHOWN / pictures), 1)
    recipe = find_recipe("folder")
    return replace(recipe, start="sightline", max_lr=MAX_LR, epochs=epochs)


def answers(
    splits: Splits, train: Split, test: Split, again: int, seed: int, runtime: Runtime
) -> Tensor:
    """Train on pictures, each `again` times an epoch; return what is right."""
    places = torch.arange(len(train)).repeat(again)
    recipe = replace(of_epochs(len(places)), seed=100 + seed)
    unused = test.take(torch.arange(1))  # nothing is chosen while it trains
    splits = replace(splits, train=train.take(places), validation=unused)
    splits = chosen_splits(recipe, splits)
    parts = build(recipe, splits, runtime)
    for _ in fit(parts, recipe, runtime, progress=False):
        pass
    loader = evaluation_loader(test, splits.mean, splits.std, runtime)
    return evaluate(parts.model, loader, runtime=runtime).right


def measure(splits: Splits, case: Case, runtime: Runtime) -> dict:
    """Return the answers behind the forecast, (3, draws, n), and of the truth."""
    known, pool, test = halves(splits, case)
    half = known.train.join(known.validation)
    divided = divide(known)
    recipe = of_epochs(len(divided.train))
    curve = [
        [measure_part(recipe, divided, runtime, part, draw) for draw in range(DRAWS)]
        for part in PARTS
    ]
    truth = [
        [answers(known, *part, seed, runtime) for seed in range(SEEDS)]
        for part in ((half, test, 2), (pool, test, 1))
    ]
    return {
        "start": sha256(SIGHTLINE_FILE)[:16],
        "sizes": [len(divided.train) // part for part in PARTS],
        "curve": [[row.int().tolist() for row in rows] for rows in curve],
        "truth": [[row.int().tolist() for row in rows] for rows in truth],
    }


def judge(case: Case, recorded: dict) -> dict:
    """Return forecast and truth of a case, in points, and whether the one holds."""
    curve, truth = (
        torch.tensor(recorded[key], dtype=torch.bool) for key in ("curve", "truth")
    )
    value, low, high = (100 * number for number in doubling(curve))
    real = effect(truth[1], truth[0])
    gain = 100 * real.difference
    return {
        **asdict(case),
        "start": recorded["start"],
        "sizes": recorded["sizes"],
        "held out": curve.shape[2],
        "test": truth.shape[2],
        "accuracies": [round(100 * x, 2) for x in curve.double().mean((1, 2)).tolist()],
        "accuracy of half": 100 * truth[0].double().mean().item(),
        "forecast": [value, low, high],
        "real": [gain, 100 * real.low, 100 * real.high],
        "inside": low <= gain <= high,
    }


def show(rows: list[dict]) -> None:
    """Print a table of the cases, and how the bar was met."""
    for row in rows:
        forecast, real = with_interval(row["forecast"]), with_interval(row["real"])
        accuracies = " → ".join(f"{x:.0f}" for x in row["accuracies"])
        print(
            f"{row['name']:9} {row['pictures']:5} {row['seed']}  {accuracies}  "
            f"forecast {forecast}, real {real} "
            f"{'inside' if row['inside'] else 'OUTSIDE'}"
        )
    widths = [row["forecast"][2] - row["forecast"][1] for row in rows]
    inside = sum(row["inside"] for row in rows)
    print(f"{inside} of {len(rows)} inside; mean width {sum(widths) / len(rows):.1f}")


def main() -> None:
    """Measure the cases that are missing, judge all, write the bar's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--backwards", action="store_true", help="for a second process")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    runtime, rows = choose_runtime("cpu"), []
    for case in CASES[::-1] if options.backwards else CASES:
        file = options.work / f"curve-{case.name}-{case.pictures}-{case.seed}.json"
        if not file.exists():
            splits = load(options.sets / case.name, progress=False)
            write_json(file, measure(splits, case, runtime))
        rows.append(judge(case, read_json(file)))
        show(rows[-1:])
    show(rows)
    protocol = {
        "pictures shown": SHOWN,
        "max_lr": MAX_LR,
        "draws": DRAWS,
        "seeds of the real gain": SEEDS,
        "factor": [NEXT, NEXT_ERROR],
        **describe(runtime),
    }
    widths = [row["forecast"][2] - row["forecast"][1] for row in rows]
    inside = sum(row["inside"] for row in rows)
    bar = {"inside": inside, "bar": BAR, "mean width": sum(widths) / len(widths)}
    write_json(RESULT, {"protocol": protocol, **bar, "cases": rows})


if __name__ == "__main__":
    main()
