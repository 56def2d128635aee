"""Do heatmap methods rank on photographs as they do in the laboratory?

The laboratory: networks of ten seeds on drawn shapes, whose objects are known, and ten
more that were trained with a mark in the corner of one class. All are judged by the
protocol of `sightline trust`, on pictures that all networks of a kind recognise. The
same for runs on photographs, which are given. A pair of methods whose order the
laboratory tells has the same order on photographs, the opposite one, or none that can
be told. What is scored is kept in runs/studies; a second start goes on.

    python studies/heatmaps.py --plan
    python studies/heatmaps.py runs/cifar-0 runs/cifar-1 --data FOLDER
"""

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from arms import RESULTS, RUNS, whole
from torch import Tensor

from sightline.book.notebook import SHORT
from sightline.data.datasets import draw_split
from sightline.data.shapes import CLASSES
from sightline.data.split import Split, Splits
from sightline.files import write_json
from sightline.heatmaps.explain import explain
from sightline.heatmaps.localisation import energy_in_mask
from sightline.heatmaps.methods import METHODS
from sightline.heatmaps.protocol import Scored, score_maps
from sightline.heatmaps.trust import TESTS, Card, judge, stacked
from sightline.measures.inference import Verdict, effects, estimate
from sightline.training.classifier import Classifier
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

MARKED = CLASSES.index("frame")  # the class that carries the mark
PARTS = (4000, 400, 1000)  # pictures for training, validation and test
RATES = {"max_lr": 0.05, "bias_lr": 0.05, "head_lr": 0.05, "weight_decay": 0.0}
RECIPE = replace(SHORT, epochs=4, optimizer="muon", **RATES)
PER_NETWORK = 5.0  # minutes to score one on 100 pictures of 32 pixels, one EPYC core


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, help="trained on photographs")
    parser.add_argument("--data", default="cifar10", help="of those runs")
    parser.add_argument("--seeds", type=int, default=10, help="of the laboratory")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--against", default="rest", choices=["rest", "nothing"])
    parser.add_argument("--plan", action="store_true", help="print the plan, stop")
    return parser.parse_args()


def laboratory(kind: str) -> Splits:
    """Draw the pictures of chapter 09, with the mark or without."""
    mark = {"shortcut_class": MARKED} if kind == "marked" else {}
    parts = [draw_split(count, (9, i), **mark) for i, count in enumerate(PARTS)]
    colours = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    return Splits("shapes", *parts, CLASSES, *colours, digest=f"laboratory, {kind}")


def networks(kind: str, splits: Splits, seeds: int) -> list[Classifier]:
    """Train the networks of the laboratory that are missing; return all."""
    runtime, found = choose_runtime(), []
    for seed in range(seeds):
        folder = RUNS / f"laboratory-{kind}-{seed}"
        recipe = replace(RECIPE, seed=seed)
        run = train(recipe, splits, out=folder, resume=True, progress=False)
        found.append(run.classifier(runtime))
        print(f"{kind} {seed}: {run.test.accuracy:.1%} right", flush=True)
    return found


def recognised(classifiers: Sequence[Classifier], split: Split, count: int) -> Split:
    """Return pictures that all networks get right, the same ones in every start."""
    right = torch.stack([each.ask(split).right for each in classifiers]).all(0)
    index = right.nonzero().flatten()
    generator = torch.Generator().manual_seed(0)
    return split.take(index[torch.randperm(len(index), generator=generator)[:count]])


def scored(
    name: str, classifiers: Sequence[Classifier], split: Split, against: str | None
) -> Scored:
    """Score each network, unless that was done, and join them."""
    several = []
    for number, classifier in enumerate(classifiers):
        file = RUNS / f"{name}-{number}-{against}-{len(split)}-of-{len(classifiers)}.pt"
        if not file.exists():
            began = time.time()
            values = score_maps(classifier, split, against=against)
            torch.save(vars(values), file)
            print(f"{file.stem}: {time.time() - began:.0f} s", flush=True)
        several.append(Scored(**torch.load(file, weights_only=True)))
    return stacked(several)


def on_the_mark(nets: dict[str, list[Classifier]], against: str | None) -> dict:
    """Compare the share of maps in the corner, of marked networks and clean ones."""
    split = laboratory("marked").test
    split = split.take(split.labels == MARKED)
    corners = F.max_pool2d(split.shortcuts.float()[:, None], 9, 1, 4)[:, 0].bool()
    shares: dict[str, dict[str, Tensor]] = {}
    for kind, classifiers in nets.items():
        for method in METHODS:
            for net in classifiers:
                maps = explain(
                    net.model,
                    net.normalise(split.images),
                    layers=["layer3", "layer4"],
                    targets=MARKED,
                    against=against,
                    method=method,
                )
                for layer, found in maps.items():
                    row = shares.setdefault(f"{method} {layer}", {})
                    value = energy_in_mask(found.enlarged, corners)[None]
                    row[kind] = torch.cat([row.get(kind, value[:0]), value])
    apart = effects({n: (row["marked"], row["clean"]) for n, row in shares.items()})
    return {
        name: {
            "marked": estimate(shares[name]["marked"]).mean,
            "clean": estimate(shares[name]["clean"]).mean,
            "difference": [each.difference, each.low, each.high],
            "verdict": each.verdict(),
        }
        for name, each in apart.items()
    }


def order(test: str, both: Scored) -> dict[str, Verdict]:
    """Say of every pair of maps which has the higher score in a test."""
    row = both.scores[test]
    names = [name for name, kind in both.kinds.items() if kind == "method"]
    pairs = {
        f"{one} | {other}": (row[one], row[other])
        for one, other in itertools.combinations(names, 2)
        if not torch.allclose(row[one], row[other], atol=1e-3)  # one map, two names
    }
    least = TESTS[test].least
    table = effects(pairs, bounds=(least - 1, 1 - least))
    return {name: each.verdict() for name, each in table.items()}


def transfer(first: Scored, second: Scored) -> dict[str, dict[str, int]]:
    """Count the pairs whose order the laboratory tells, by their fate elsewhere."""
    counts = {}
    for test in TESTS:
        if test not in first.scores or test not in second.scores:
            continue
        here, there = order(test, first), order(test, second)
        told = {n: v for n, v in here.items() if v != Verdict.OPEN and n in there}
        counts[test] = {
            "told in the laboratory": len(told),
            "the same": sum(there[n] == v for n, v in told.items()),
            "not told": sum(there[n] == Verdict.OPEN for n in told),
        }
        same, unclear = counts[test]["the same"], counts[test]["not told"]
        counts[test]["the opposite"] = len(told) - same - unclear
    return counts


def show(name: str, card: Card) -> None:
    """Print what every method passes and fails."""
    print(f"\n{name}: {card.pictures} pictures")
    for method in card.methods:
        print(f"  {method:28} fails {', '.join(card.failed(method)) or 'none'}")


def main() -> None:
    """Train, score, judge, compare; record."""
    options = arguments()
    against = None if options.against == "nothing" else options.against
    count = options.seeds + len(options.runs)
    print(
        f"{2 * options.seeds} trainings of {PARTS[0]:,} pictures, about a minute each; "
        f"{count} networks to score on {options.pictures} pictures, about "
        f"{count * PER_NETWORK * options.pictures / 100:.0f} min on one core"
    )
    if options.plan:
        return
    torch.set_num_threads(1)
    kinds = {kind: laboratory(kind) for kind in ("clean", "marked")}
    nets = {kind: networks(kind, s, options.seeds) for kind, s in kinds.items()}
    split = recognised(nets["clean"], kinds["clean"].test, options.pictures)
    drawn = scored("laboratory", nets["clean"], split, against)
    record: dict[str, Any] = {"against": options.against, "seeds": options.seeds}
    record |= {"laboratory": judge(drawn).as_json()}
    record |= {"shortcut": on_the_mark(nets, against)}
    show("laboratory", judge(drawn))
    if options.runs:
        photographs = [
            Run.open(path).classifier(choose_runtime()) for path in options.runs
        ]
        split = recognised(photographs, whole(options.data).test, options.pictures)
        taken = scored("photographs", photographs, split, against)
        record |= {"photographs": judge(taken).as_json(), "runs": len(options.runs)}
        record |= {"transfer": transfer(drawn, taken)}
        show("photographs", judge(taken))
        for test, row in record["transfer"].items():
            print(f"{test:20} " + ", ".join(f"{n} {word}" for word, n in row.items()))
    write_json(RESULTS / f"heatmaps-{options.against}.json", record)


if __name__ == "__main__":
    main()
