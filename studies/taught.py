"""What a page that is taught one's own classes reaches, and what it calls strange.

python studies/taught.py SETS CIFAR10

SETS holds folders as `studies/sets.py` arranges them, CIFAR10 a folder of test pictures
for each class. Of three classes 5, 10 or 20 pictures are taught, five times, each with
other classes and pictures. Others of these classes are the truth that leaving out is
held against; strangers are of other classes of the same set, and of another set. Node
runs the page's own head. The network saw the ten classes of CIFAR-10 in its training,
so those rows flatter; the penalty was chosen on these four sets.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.datasets import load
from sightline.data.split import Split, chunks
from sightline.export.features import own_columns
from sightline.files import write_json
from sightline.training.machine import describe
from sightline.training.runtime import choose_runtime

RESULT = Path(__file__).parents[1] / "book/results/taught.json"
HEAD = Path(__file__).with_name("taught.mjs")
# set, and the one whose pictures are foreign to it
SETS = {
    "clothing": "cifar10",
    "grocery": "cifar10",
    "signs": "cifar10",
    "cifar10": "grocery",
}
CLASSES, COUNTS, SEEDS = 3, (5, 10, 20), 5
OTHERS, STRANGERS = 50, 150  # of each class at most; of each kind
ENOUGH = max(COUNTS) + 20  # pictures of a class that is taught


def features(split: Split) -> Tensor:
    """Return the means of all channels, (N, C)."""
    columns, _ = own_columns()
    rows = []
    with torch.no_grad():
        for part in chunks(split.images):
            rows.append(columns(part.permute(0, 3, 1, 2) / 255).mean((2, 3)))
    return torch.cat(rows)


def case(
    rows: Tensor, labels: Tensor, foreign: Tensor, count: int, seed: int
) -> dict[str, list]:
    """Draw what is taught, what it is asked about, and strangers."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator)
    sizes = labels.bincount()
    known = torch.randperm(len(sizes), generator=generator)
    own = known[sizes[known] >= ENOUGH][:CLASSES]
    places = [order[labels[order] == name] for name in own]
    taught = torch.cat([each[:count] for each in places])
    test = [each[count : count + OTHERS] for each in places]
    alike = order[~torch.isin(labels[order], own)][:STRANGERS]
    other = torch.randperm(len(foreign), generator=generator)[:STRANGERS]
    return {
        "rows": rows[taught].tolist(),
        "labels": [name for name in range(CLASSES) for _ in range(count)],
        "test": rows[torch.cat(test)].tolist(),
        "testLabels": [name for name, each in enumerate(test) for _ in each],
        "alike": rows[alike].tolist(),
        "foreign": foreign[other].tolist(),
    }


def measured(options: argparse.Namespace) -> Iterator[dict]:
    """Yield what the page's head reaches, case by case."""
    known = {}
    for name in SETS:
        folder = options.cifar10 if name == "cifar10" else options.sets / name
        splits = load(folder, progress=False)
        split = splits.train.join(splits.validation).join(splits.test)
        known[name] = features(split), split.labels
    for name, other in SETS.items():
        for count in COUNTS:
            for seed in range(SEEDS):
                asked = case(*known[name], known[other][0], count, seed)
                command = ["node", str(HEAD)]
                line = json.dumps(asked) + "\n"
                done = subprocess.run(
                    command, input=line.encode(), stdout=subprocess.PIPE, check=True
                )
                row = {"set": name, "count": count, "seed": seed}
                yield {**row, **json.loads(done.stdout)}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path)
    parser.add_argument("cifar10", type=Path, help="its test pictures, by class")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for row in measured(options):
        rows.append(row)
        print(json.dumps(row), flush=True)
    protocol = {
        "sets": SETS,
        "classes": CLASSES,
        "pictures a class": COUNTS,
        "seeds": SEEDS,
        "others": f"up to {OTHERS} of each class",
        "strangers": f"{STRANGERS} of other classes, {STRANGERS} of another set",
        **describe(choose_runtime("cpu", "fp32")),
    }
    write_json(RESULT, {"protocol": protocol, "rows": rows})


if __name__ == "__main__":
    main()
