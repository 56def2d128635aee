"""How well series are found, and whether a score of whole series is the truth.

python studies/series.py --sets SETS --cifar10 PICTURES [--only planted,scores,hands]

SETS is what `studies/sets.py` arranged, PICTURES a folder of CIFAR-10's pictures with
one sub-folder per class. What is in book/results/series.json is not measured again.

planted: folders with bursts and decoys; pairs of pictures that were put into one
    series, against those that are of one burst.
scores: a nearest neighbour, on random and on whole series; the truth is its accuracy
    on a picture each of many series that nobody has seen.
hands: 218 students showed ten digits each. A network, divided at random and by hand.
"""

import argparse
import json
import random
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from bursts import Planted, plant, read, save, shot
from torch import Tensor

from sightline.data.datasets import load_folder
from sightline.data.duplicates import near_duplicates
from sightline.data.folders import decode_once
from sightline.data.groups import series_of
from sightline.data.listing import list_folder
from sightline.data.split import Split, Splits
from sightline.files import read_json, write_json
from sightline.measures.clusters import by_series
from sightline.measures.inference import estimate
from sightline.training.machine import describe
from sightline.training.recipe import Recipe, variant
from sightline.training.recipes import find_recipe
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

RESULT = Path(__file__).parents[1] / "book/results/series.json"
BURSTS, SINGLES = 60, 240  # of a planted folder
SEEDS = 20  # of the scores
FRESH = 1000  # series that nobody has seen
SCORED = (100, 20)  # bursts and singles of a folder that is divided
HAND_SEEDS = (0,)  # an anecdote: more are a matter of minutes
HANDS = {"epochs": 12, "batch_size": 64, "flip": 0.0}
FORMS = {"nothing": (False, False), "numbers and times": (True, True)}


def main() -> None:
    """Measure what is not in the record yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--cifar10", type=Path, required=True)
    parser.add_argument("--only", default="planted,scores,hands")
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = read_json(RESULT, dict) if RESULT.exists() else {}
    for name, measure in jobs(options).items():
        part, _, row = name.partition("/")
        rows = record.setdefault(part, {})
        if part in options.only.split(",") and row not in rows:
            rows[row] = measure()
            print(name, json.dumps(rows[row]), flush=True)
            write_json(RESULT, record)
    record["protocol"] = protocol()
    record["summary"] = summary(record)
    write_json(RESULT, record)
    print(json.dumps(record["summary"], indent=2))


def jobs(options: argparse.Namespace) -> dict[str, Callable[[], dict]]:
    """Return all measurements by part and row."""
    names = ("clothing", "signs", "xray", "grocery")
    sources = {name: options.sets / name for name in names}
    sources["cifar10"] = options.cifar10
    every: dict[str, Callable[[], dict]] = {}
    for number, (name, source) in enumerate(sources.items()):
        classes = 3 if name == "xray" else 6
        extra = {
            "clothing": ("numbers", (True, False)),
            "grocery": ("times", (False, True)),
        }
        forms = FORMS | dict([extra[name]] if name in extra else [])
        for form, (numbers, times) in forms.items():
            plan = Planted(
                source, classes, BURSTS, SINGLES, numbers, times, seed=100 + number
            )
            every[f"planted/{name}, {form}"] = lambda plan=plan: planted(plan)
    signs = sources["signs"]
    every["hands/proposed"] = lambda: proposed_hands(signs)
    for seed in HAND_SEEDS:
        for kind in ("random", "by hand"):
            every[f"hands/{kind} {seed}"] = lambda k=kind, s=seed: hands(signs, k, s)
    for seed in range(SEEDS):
        every[f"scores/{seed}"] = lambda seed=seed: scores(options.cifar10, seed)
    return every


def proposal(folder: Path) -> tuple[list[str], Tensor]:
    """Return the files of a folder, and their proposed series."""
    listing = list_folder(folder)
    with tempfile.TemporaryDirectory() as kept:
        decoded = decode_once(listing, 32, "crop", Path(kept), False)
        series, _ = series_of(listing, decoded, "auto")
    return listing.names, series


def agreement(series: Tensor, truth: Tensor) -> dict:
    """Return precision and recall over pairs of different pictures."""
    apart = ~torch.eye(len(series), dtype=torch.bool)
    paired = (series[:, None] == series) & apart
    true = (truth[:, None] == truth) & apart
    both = int((paired & true).sum())
    return {
        "pictures": len(series),
        "pairs": int(true.sum()) // 2,
        "precision": both / max(1, int(paired.sum())),
        "recall": both / max(1, int(true.sum())),
    }


def planted(plan: Planted) -> dict:
    """Plant bursts in a folder and see what is found."""
    with tempfile.TemporaryDirectory() as place:
        truth = plant(plan, Path(place) / "set")
        names, series = proposal(Path(place) / "set")
    return agreement(series, torch.tensor([truth[name] for name in names]))


def nearest(splits: Splits, pictures: Split) -> Tensor:
    """Tell which pictures a nearest neighbour in the training part gets right."""
    found = near_duplicates(pictures.images, splits.train.images, threshold=-1.0)
    right = torch.zeros(len(pictures), dtype=torch.bool)
    right[found.pictures] = (
        splits.train.labels[found.originals] == pictures.labels[found.pictures]
    )
    return right


def written(right: Tensor, series: Tensor) -> dict:
    """Return an accuracy and its interval, series being the sample."""
    one = estimate(by_series(right, series))
    return {"accuracy": one.mean, "low": one.low, "high": one.high}


def scores(cifar10: Path, seed: int) -> dict:
    """Score a nearest neighbour by both divisions, and on series that are new."""
    plan = Planted(cifar10, 5, *SCORED, numbers=True, times=False, seed=1000 + seed)
    row = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "set"
        truth = plant(plan, folder)
        names = sorted({name.split("/")[0] for name in truth})
        fresh(cifar10.parent / "test", names, Path(place) / "fresh", seed)
        options = {"root": Path(place), "progress": False, "seed": seed}
        new = load_folder(Path(place) / "fresh", **options)
        new_pictures = new.train.join(new.validation).join(new.test)
        for kind, group in (("random", ""), ("whole series", "auto")):
            splits = load_folder(folder, group=group, **options)
            series = torch.tensor([truth[name] for name in splits.test.files])
            row[kind] = written(nearest(splits, splits.test), series)
            row[kind]["truth"] = nearest(splits, new_pictures).double().mean().item()
    return row


def fresh(source: Path, names: list[str], out: Path, seed: int) -> None:
    """Write a shot each of many series that nobody has seen."""
    rng = random.Random(5000 + seed)
    for name in names:
        files = rng.sample(sorted((source / name).iterdir()), FRESH // len(names))
        for number, path in enumerate(files):
            save(shot(read(path), rng), out / name / f"{number}.jpg", rng, None)


def hand_of(signs: Path) -> dict[str, int]:
    """Number the hands: a new one begins where the digits begin again."""
    files = sorted(
        (int(re.search(r"\d+", path.stem)[0]), path.parent.name, path.name)
        for path in signs.glob("*/*")
    )
    numbers, hand = {}, 0
    for place, (_, digit, name) in enumerate(files):
        hand += place > 0 and digit <= files[place - 1][1]
        numbers[f"{digit}/{name}"] = hand
    return numbers


def proposed_hands(signs: Path) -> dict:
    """See how many pictures of one hand the proposal puts together."""
    names, series = proposal(signs)
    truth = hand_of(signs)
    row = agreement(series, torch.tensor([truth[name] for name in names]))
    return row | {"hands": len(set(truth.values()))}


def hands(signs: Path, kind: str, seed: int) -> dict:
    """Train a network on a random or a grouped split of the hands, and score it."""
    truth = hand_of(signs)
    with tempfile.TemporaryDirectory() as place:
        table = Path(place) / "hands.csv"
        lines = [f"{name},hand {hand}" for name, hand in truth.items()]
        table.write_text("\n".join(lines), encoding="utf-8")
        group = str(table) if kind == "by hand" else ""
        recipe = hand_recipe(seed, group)
        splits = load_folder(
            signs, root=Path(place), progress=False, seed=seed, group=group
        )
        options = {"device": "cpu", "progress": False}
        run = train(recipe, splits, out=Path(place) / "run", **options)
        answers = run.classifier(choose_runtime("cpu", "fp32")).ask(splits.test)
    series = torch.tensor([truth[name] for name in splits.test.files])
    shown = torch.tensor([truth[name] for name in splits.train.files])
    right = answers.predictions == answers.labels
    companions = int(torch.isin(series, shown).sum())
    neighbour = nearest(splits, splits.test).double().mean().item()
    return written(right, series) | {
        "test": len(series),
        "with companions": companions,
        "nearest neighbour": neighbour,
    }


def hand_recipe(seed: int, group: str) -> Recipe:
    """Return how the network of the hands is trained."""
    return variant(find_recipe("resnet10"), seed=seed, group=group, **HANDS)


def protocol() -> dict:
    """Say what was measured, with what."""
    return {
        "planted": {
            "bursts": BURSTS,
            "singles": SINGLES,
            "shots": "3 to 10: cut to 88-100 %, brightness 80-120 %, blur to 1.5 % of "
            "the side, noise to 8 of 255, JPEG quality 50 to 95",
            "decoys": "singles under the next numbers and times",
        },
        "scores": {"bursts and singles": SCORED, "fresh series": FRESH, "seeds": SEEDS},
        "hands": {"recipe": "resnet10", **HANDS, "seeds": HAND_SEEDS},
        "machine": describe(choose_runtime("cpu", "fp32")),
    }


def summary(record: dict) -> dict:
    """Return the least precision and recall, and how often intervals hold."""
    found = record.get("planted", {}).values()
    rows = record.get("scores", {}).values()
    numbers: dict = {}
    if found:
        numbers["folders"] = len(found)
        for what in ("precision", "recall"):
            numbers[f"least {what}"] = min(row[what] for row in found)
    for kind in ("random", "whole series"):
        own = [row[kind] for row in rows]
        if own:
            numbers[kind] = {
                "holds": sum(o["low"] <= o["truth"] <= o["high"] for o in own),
                "of": len(own),
                "score": statistics.mean(o["accuracy"] for o in own),
                "truth": statistics.mean(o["truth"] for o in own),
            }
        scores_of = [
            row["accuracy"]
            for name, row in record.get("hands", {}).items()
            if name.startswith(kind)
            or (kind == "whole series" and name.startswith("by"))
        ]
        if scores_of:
            numbers[f"hands, {kind}"] = statistics.mean(scores_of)
    return numbers


if __name__ == "__main__":
    main()
