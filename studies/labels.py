"""Measure how many wrong labels come to the top of the list of `sightline review`.

Labels of public sets are flipped at random, and every picture is asked about out of
fold. Counted are the flips among the first 2 k suspects, where k is their number, for
each order. Each training is kept in WORK, so that a study that was cut off goes on.

    nice -n 10 python studies/labels.py READY CIFAR10 --work WORK \
        --json book/results/labels.json
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.datasets import load_folder
from sightline.data.label_errors import least_self_confident, suspects
from sightline.data.split import Split, Splits, digest_of
from sightline.files import read_json, write_json
from sightline.training.folds import ask_out_of_fold, everything
from sightline.training.machine import describe
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

FLIPPED = 0.05  # of the labels
WANTED = 0.85  # of the flips, among the first 2 k


def least_margin(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Order images by how far another class is ahead of their label, (N,)."""
    own = probabilities.gather(1, labels[:, None])[:, 0]
    others = probabilities.scatter(1, labels[:, None], -1).amax(1)
    return (own - others).argsort(stable=True)


def least_adjusted(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Order images by the probability of their label, less its mean over the class."""
    own = probabilities.gather(1, labels[:, None])[:, 0]
    mean = torch.zeros(probabilities.shape[1])
    for label in labels.unique():
        mean[label] = own[labels == label].mean()
    return (own - mean[labels]).argsort(stable=True)


def confident_first(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Order images by confident learning: its suspects, then all others, (N,)."""
    order = least_self_confident(probabilities, labels)
    listed = suspects(probabilities, labels).indices
    return torch.cat([listed, order[~torch.isin(order, listed)]])


ORDERS = {
    "self-confidence": least_self_confident,
    "margin": least_margin,
    "adjusted": least_adjusted,
    "confident": confident_first,
}


def flip(labels: Tensor, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Give a share of the labels another class; return the labels and which, (N,)."""
    draw = torch.Generator().manual_seed(1000 + seed)
    chosen = torch.randperm(len(labels), generator=draw)[: round(FLIPPED * len(labels))]
    shift = torch.randint(1, classes, (len(chosen),), generator=draw)
    flipped = torch.zeros(len(labels), dtype=torch.bool)
    flipped[chosen] = True
    labels = labels.clone()
    labels[chosen] = (labels[chosen] + shift) % classes
    return labels, flipped


def chosen_pictures(folder: Path, size: int, pictures: int, seed: int) -> Splits:
    """Load a set and keep so many pictures, drawn at random."""
    splits = load_folder(folder, image_size=size, progress=False)
    whole = everything(splits)
    draw = torch.Generator().manual_seed(seed)
    kept = torch.randperm(len(whole), generator=draw)[:pictures]
    return divided(splits, whole.take(kept))


def divided(splits: Splits, whole: Split) -> Splits:
    """Make three parts of pictures whose parts do not matter."""
    cuts = torch.arange(len(whole)).split([len(whole) - 2, 1, 1])
    parts = [whole.take(cut) for cut in cuts]
    return replace(
        splits,
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        digest=digest_of(*parts),
    )


def measure(name: str, folder: Path, seed: int, options: argparse.Namespace) -> dict:
    """Flip labels of one set with one seed, and count the flips at the top."""
    size = options.image_size
    splits = chosen_pictures(folder, size, options.pictures, seed)
    whole, classes = everything(splits), len(splits.classes)
    labels, flipped = flip(whole.labels, classes, seed)
    wrong = divided(splits, replace(whole, labels=labels))
    recipe = replace(
        RECIPES["folder"],
        image_size=size,
        seed=seed,
        epochs=options.epochs,
        keep="last",
    )
    work = options.work / f"{name}-{size}-{options.pictures}-{options.epochs}-{seed}"
    shares = ask_out_of_fold(recipe, wrong, work, say=lambda _: None)
    flips = int(flipped.sum())
    top = {
        order: round(flipped[rank(shares, labels)[: 2 * flips]].sum().item() / flips, 4)
        for order, rank in ORDERS.items()
    }
    return {
        "set": name,
        "seed": seed,
        "pictures": len(labels),
        "classes": classes,
        "image_size": size,
        "epochs": options.epochs,
        "flips": flips,
        "accuracy": round((shares.argmax(1) == whole.labels).double().mean().item(), 4),
        "first_2k": top,
    }


def main() -> None:
    """Measure what is not recorded yet, and print every row and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ready", type=Path, help="folder that sets.py has made")
    parser.add_argument("cifar10", type=Path, help="CIFAR-10 as a folder of classes")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    sets = ["signs", "grocery", "cifar10", "clothing"]
    parser.add_argument("--sets", nargs="+", default=sets)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = read_json(options.json)["rows"] if options.json.exists() else []
    for seed in range(options.seeds):
        for name in options.sets:
            row = {"set": name, "seed": seed, "image_size": options.image_size}
            row |= {"epochs": options.epochs}
            if any(row.items() <= known.items() for known in rows):
                continue
            folder = options.cifar10 if name == "cifar10" else options.ready / name
            rows.append(measure(name, folder, seed, options))
            machine = describe(choose_runtime("cpu", "auto"))
            write_json(
                options.json,
                {
                    "protocol": {
                        "flipped": FLIPPED,
                        "wanted": WANTED,
                        "recipe": "folder",
                        **{k: machine[k] for k in ("device", "precision", "revision")},
                        "threads": 1,
                    },
                    "rows": rows,
                },
            )
            print(rows[-1], flush=True)
    table(rows)


def table(rows: list[dict]) -> None:
    """Print the mean over seeds of every set, size and number of epochs."""
    keys = ("set", "image_size", "epochs")
    for key in dict.fromkeys(tuple(row[k] for k in keys) for row in rows):
        own = [row for row in rows if tuple(row[k] for k in keys) == key]
        means = {
            order: sum(row["first_2k"][order] for row in own) / len(own)
            for order in ORDERS
        }
        shares = ", ".join(f"{order} {mean:.1%}" for order, mean in means.items())
        accuracy = sum(row["accuracy"] for row in own) / len(own)
        print(f"{key}, {len(own)} seeds, accuracy {accuracy:.1%}: {shares}")


if __name__ == "__main__":
    main()
