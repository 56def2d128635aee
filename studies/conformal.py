"""Do prediction sets hold what they promise, and what do they make of unknown classes?

python studies/conformal.py SETS CIFAR10 --work FOLDER

SETS is the OUT of sets.py, CIFAR10 a folder with train/ and test/. For each set one
short training on all classes and one with two classes held out; what the networks of
all epochs answer about the held-out pictures is kept in FOLDER, so that a second start
trains only what is missing. The held-out pictures are divided anew many times, half to
choose the epoch and set the thresholds as a run does, half to count.
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from arms import RESULTS
from torch import Tensor

from sightline.data.datasets import load
from sightline.data.split import Split, Splits
from sightline.files import write_json
from sightline.measures.conformal import (
    COVERAGES,
    nonconformity,
    prediction_sets,
    score_quantile,
)
from sightline.training.engine import evaluate, fit
from sightline.training.machine import describe
from sightline.training.parts import build, evaluation_loader
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

SETS = ("cifar10", "clothing", "signs")
IMAGES, HELD_OUT = 10_000, 5000  # of CIFAR-10: for training; for each other part
SEEN, LEAST_EPOCHS = 60_000, 10  # pictures in a training, each counted every time
SHOWN = 10  # splits whose coverage is recorded one by one, as the bar asks
DRAWS = 1000  # splits by which the effect of choosing the epoch is measured
FEW = 100  # pictures that choose and calibrate, in a small folder


@dataclass(frozen=True)
class Answers:
    """What the networks of all epochs say about pictures that trained none of them."""

    probabilities: Tensor  #: (E, N, K) float64, of pictures of the known classes
    labels: Tensor  #: (N,)
    unknown: Tensor  #: (E, U, K) float64, of pictures of the classes held out
    held_out: list[str]  #: names of these
    seconds: float  #: of the training on one thread


def pictures(name: str, options: argparse.Namespace) -> Splits:
    """Load a set at 32 pixels."""
    if name != "cifar10":
        return load(options.sets / name, image_size=32)
    splits = load(options.cifar10, image_size=32)
    return splits.limited(IMAGES, validation=HELD_OUT, test=HELD_OUT)


def part(split: Split, known: Tensor) -> Split:
    """Return the pictures of some classes, which are numbered anew."""
    chosen = split.take(torch.isin(split.labels, known))
    return replace(chosen, labels=torch.searchsorted(known, chosen.labels))


def kept(name: str, unknown: int, options: argparse.Namespace) -> Answers:
    """Return what `ask` does, from its file if it has been asked before."""
    file = options.work / f"{name}-{unknown}.pt"
    if not file.exists():
        options.work.mkdir(parents=True, exist_ok=True)
        torch.save(vars(ask(name, unknown, options)), file)
    return Answers(**torch.load(file, weights_only=True))


def ask(name: str, unknown: int, options: argparse.Namespace) -> Answers:
    """Train on all classes but the `unknown` ones, drawn; ask after every epoch."""
    runtime, began = choose_runtime("cpu"), time.process_time()
    splits = pictures(name, options)
    draw = torch.Generator().manual_seed(0)
    places = torch.randperm(len(splits.classes), generator=draw)
    held_out, known = places[:unknown].sort().values, places[unknown:].sort().values
    classes = tuple(splits.classes[int(i)] for i in known)
    train, pool = part(splits.train, known), splits.validation.join(splits.test)
    others = part(pool.join(splits.train), held_out)
    pool = part(pool, known)
    epochs = max(SEEN // len(train), LEAST_EPOCHS)
    recipe = replace(RECIPES["folder"], epochs=epochs)
    # the loop validates, and nothing here looks at that
    few = replace(splits, train=train, validation=pool.take(torch.arange(10)))
    parts = build(recipe, replace(few, classes=classes), runtime)

    def probabilities(split: Split) -> Tensor:
        if not len(split):
            return torch.empty(0, len(classes), dtype=torch.float64)
        loader = evaluation_loader(split, splits.mean, splits.std, runtime)
        logits = evaluate(parts.model, loader, runtime=runtime).logits
        return logits.double().softmax(1)

    rows = []
    for epoch in fit(parts, recipe, runtime, progress=False):
        print(f"  {name}, {unknown} held out: {epoch}", flush=True)
        rows.append([probabilities(each) for each in (pool, others)])
    return Answers(
        probabilities=torch.stack([row[0] for row in rows]),
        labels=pool.labels,
        unknown=torch.stack([row[1] for row in rows]),
        held_out=[splits.classes[int(i)] for i in held_out],
        seconds=round(time.process_time() - began, 1),
    )


@dataclass(frozen=True)
class Count:
    """What the sets of one split came to, shares 0..1."""

    coverage: float
    size: float  #: classes in a set, on average
    empty: float  #: known pictures that are called none of the classes
    refused: float  #: unknown pictures that are; NaN where there are none
    worst: float  #: coverage of the class that is covered least


def count(answers: Answers, coverage: int, order: Tensor, n: int, last: bool) -> Count:
    """Let the first n choose the epoch and set the threshold, and count on the rest."""
    validation, test = order[:n], order[n:]
    right = answers.probabilities.argmax(2) == answers.labels
    shares = right[:, validation].double().mean(1)
    best = int((shares == shares.max()).nonzero().max())  # the later one of equals
    of_epoch = answers.probabilities[-1 if last else best]
    scores = nonconformity(of_epoch, answers.labels)
    threshold = score_quantile(scores[validation], coverage)
    sets = prediction_sets(of_epoch[test], threshold)
    covered = (scores[test] <= threshold).double()
    unknown = prediction_sets(answers.unknown[-1 if last else best], threshold)
    labels = answers.labels[test]
    by_class = labels.bincount(covered) / labels.bincount()
    return Count(
        covered.mean().item(),
        sets.sum(1).double().mean().item(),
        (~sets.any(1)).double().mean().item(),
        (~unknown.any(1)).double().mean().item(),
        by_class.nan_to_num(1).min().item(),
    )


def measure(name: str, answers: Answers) -> list[dict]:
    """Return a row for each coverage."""
    draw = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(answers.labels), generator=draw) for _ in range(DRAWS)]
    return [row_of(name, answers, coverage, orders) for coverage in COVERAGES]


def row_of(name: str, answers: Answers, coverage: int, orders: list[Tensor]) -> dict:
    """Say what the sets of one coverage came to."""
    total = len(answers.labels)
    n = total // 2
    accuracy = (answers.probabilities[-1].argmax(1) == answers.labels).double().mean()
    ten = [count(answers, coverage, each, n, last=False) for each in orders[:SHOWN]]
    columns = {
        key: torch.tensor([getattr(each, key) for each in ten]).mean().item()
        for key in ("size", "empty", "refused", "worst")
    }
    covered = torch.tensor([each.coverage for each in ten])
    promised = coverage / 100
    scatter = (promised * (1 - promised) * (1 / n + 1 / (total - n))) ** 0.5
    return {
        "set": name,
        "held out": answers.held_out,
        "promised": coverage,
        "accuracy of the last epoch": percent(accuracy.item()),
        "pictures": {
            "calibration": n,
            "test": total - n,
            "unknown": answers.unknown.shape[1],
        },
        "coverage of ten splits": [percent(c.coverage) for c in ten],
        "coverage": percent(covered.mean().item()),
        "scatter of one split": percent(covered.std().item()),
        "scatter by arithmetic": percent(scatter),
        "within 2 points": int(((covered - promised).abs() <= 0.02).sum()),
        "classes in a set": round(columns["size"], 2),
        "empty": percent(columns["empty"]),
        "unknown refused": percent(columns["refused"]),
        "least covered class": percent(columns["worst"]),
        "cost of choosing the epoch": {
            str(few): selection(answers, coverage, orders, few) for few in (FEW, n)
        },
        "training CPU seconds": answers.seconds,
    }


def selection(answers: Answers, coverage: int, orders: list[Tensor], n: int) -> dict:
    """Compare the coverage where n pictures chose the epoch, and where none did."""
    chosen, last = (
        torch.tensor(
            [count(answers, coverage, order, n, fixed).coverage for order in orders]
        )
        for fixed in (False, True)
    )
    lost = last - chosen
    return {
        "epoch chosen": percent(chosen.mean().item()),
        "last epoch": percent(last.mean().item()),
        "points lost": percent(lost.mean().item()),
        "standard error": percent((lost.std() / len(lost) ** 0.5).item()),
    }


def percent(share: float) -> float | None:
    """Write a share in percent, NaN as None."""
    return None if share != share else round(100 * share, 2)


def line(row: dict) -> str:
    """Write a row for people."""
    lost = row["cost of choosing the epoch"][str(FEW)]["points lost"]
    refused = row["unknown refused"]
    return (
        f"{row['set']:9} {', '.join(row['held out']) or '-':16} {row['promised']} % "
        f"covered {row['coverage']:5.1f} ± {row['scatter of one split']:.1f} "
        f"(arithmetic {row['scatter by arithmetic']:.1f}), {row['within 2 points']:2} "
        f"of {SHOWN} within 2; {row['classes in a set']:.2f} classes; empty "
        f"{row['empty']:.1f} %; unknown refused "
        f"{'-' if refused is None else f'{refused:.1f} %'}; chosen epoch costs {lost}"
    )


def main() -> None:
    """Train what is missing, print the table, write book/results/conformal.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/conformal"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for unknown in (0, 2):
        for name in SETS:
            rows += measure(name, kept(name, unknown, options))
            print(*map(line, rows[-len(COVERAGES) :]), sep="\n", flush=True)
    protocol = {
        "network": "the recipe folder (resnet10, 32 pixels), seed 0, as many epochs as "
        f"show {SEEN:,} pictures, {LEAST_EPOCHS} at least",
        "sets": {
            "cifar10": f"JPEG q75 copy; {IMAGES:,} pictures train, {HELD_OUT:,} of "
            f"validation and {HELD_OUT:,} of test are held out",
            "clothing": "alexeygrigorev/clothing-dataset-small",
            "signs": "ardamavi/Sign-Language-Digits-Dataset",
        },
        "splits": f"the held-out pictures are halved {SHOWN} times; the first half "
        "chooses the epoch by its accuracy and sets the threshold, as a run does",
        "cost of choosing the epoch": f"coverage of the last epoch minus that of the "
        f"chosen one, {DRAWS:,} divisions of the same pictures, {FEW} or half of them "
        "choosing",
        "unknown": "two classes, drawn, of which no picture is trained on",
    }
    write_json(
        RESULTS / "conformal.json",
        {
            "machine": describe(choose_runtime("cpu")),
            "protocol": protocol,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
