"""Labels that may be wrong: found by confident learning, or by people.

Probabilities must come from networks that did not train on the pictures: `out_of_fold`
makes them for training pictures. A list of suspects is worth what it holds beyond
mistakes drawn at random, see `compare_with_chance`.

`label_errors.json` holds 54 images of CIFAR-10's test part whose label fewer than
three of five people kept (Northcutt et al., 2021, "Pervasive Label Errors"), from
github.com/cleanlab/label-errors, Apache-2.0.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import torch
from torch import Tensor

from sightline.data.split import Split
from sightline.errors import DataError, SightlineError

__all__ = [
    "ChanceLevel",
    "LabelError",
    "Suspects",
    "compare_with_chance",
    "confident_joint",
    "find_validated",
    "least_self_confident",
    "out_of_fold",
    "suspects",
    "validated",
]

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
PER_CLASS = 1000  # test images
COLOUR_TOLERANCE = 8  # levels of 255; a JPEG copy moves a mean colour by less than 2


class Suspects(NamedTuple):
    """Images whose label is in doubt, the most doubtful first."""

    indices: Tensor  #: (S,) int64
    suggested: Tensor  #: (S,) int64, the class that is confidently predicted
    self_confidence: Tensor  #: (S,) probability of the given label


class ChanceLevel(NamedTuple):
    """How many wrong labels a list holds, and how many one drawn at random would."""

    hits: int  #: of the list
    expected: float  #: of as many images, drawn at random from the same ones
    p: float  #: probability that a random list holds at least as many


@dataclass(frozen=True)
class LabelError:
    """An image of CIFAR-10's test part whose label people did not confirm."""

    index: int  #: in the order of the original files
    label: str  #: as given
    place: int  #: among the images of its class, from 0
    suggested: str  #: by the network that raised the doubt
    votes: tuple[int, int, int, int]  #: for given, suggested, both, neither
    colour: tuple[int, int, int]  #: mean of the picture, to recognise it by

    @property
    def verdict(self) -> str:
        """Return the view of the majority, "suggested", "neither" or "no agreement"."""
        _, suggested, _, neither = self.votes
        other = "neither" if neither >= 3 else "no agreement"
        return "suggested" if suggested >= 3 else other


def confident_joint(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Count labels against the classes that are confidently predicted.

    A class is confidently predicted for an image if its probability reaches the mean
    that it has over the images so labelled; of several the most probable. Northcutt,
    Jiang and Chuang (2021), eq. 1.

    The probabilities, (N, K), are of a model that was not trained on these images. The
    table, (K, K) int64, has a row for each label: off the diagonal are the suspects.
    """
    classes = probabilities.shape[1]
    confident = _confident_class(probabilities, labels)
    cells = (labels * classes + confident)[confident >= 0]
    return cells.bincount(minlength=classes**2).reshape(classes, classes)


def suspects(probabilities: Tensor, labels: Tensor) -> Suspects:
    """Find images that are confidently of another class than their label.

    The probabilities, (N, K), are of a model that was not trained on these images.
    """
    confident = _confident_class(probabilities, labels)
    doubtful = ((confident >= 0) & (confident != labels)).nonzero()[:, 0]
    own = probabilities[doubtful, labels[doubtful]]
    order = own.argsort(stable=True)
    chosen = doubtful[order]
    return Suspects(chosen, confident[chosen], own[order])


def least_self_confident(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Order images by the probability of their label, the least probable first, (N,).

    The baseline of confident learning: it needs no threshold and no count.
    """
    own = probabilities.gather(1, labels[:, None])[:, 0]
    return own.argsort(stable=True)


def out_of_fold(
    train: Split,
    ask: Callable[[Split, Split], Tensor],
    *,
    folds: int = 5,
    seed: int = 0,
) -> Tensor:
    """Return each picture's probabilities by a network that was not trained on it.

    Costs as many trainings as there are folds, each on the rest of the pictures. Every
    fold has its share of each class.

    Args:
        train: the pictures whose labels are in doubt.
        ask: trains a network on the first split, and returns what it answers about the
            second one, (n, K) probabilities.
        folds: into which the pictures are divided, 2 or more.
        seed: of the division.

    Raises:
        SightlineError: if there are fewer pictures than folds, or one fold only.
    """
    if not 2 <= folds <= len(train):
        raise SightlineError(
            f"{folds} folds of {len(train)} pictures: give at least 2, and a picture "
            "for each"
        )
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randperm(len(train), generator=generator)
    by_class = mixed[train.labels[mixed].argsort(stable=True)]
    parts = [by_class[start::folds] for start in range(folds)]
    answers = [
        ask(train.take(torch.cat(parts[:i] + parts[i + 1 :])), train.take(part))
        for i, part in enumerate(parts)
    ]
    return torch.cat(answers)[torch.cat(parts).argsort()]


def compare_with_chance(listed: Tensor, wrong: Tensor, among: Tensor) -> ChanceLevel:
    """Compare the wrong labels on a list with those on a list drawn at random.

    Suspects are mistakes of the network, nearly all, and so are many wrong labels:
    drawn from all images, a random list has too few of them. So draw from the mistakes.
    The test is Fisher's exact one, from the hypergeometric distribution.

    Args:
        listed: places on the list, (S,); those outside `among` do not count.
        wrong: which labels are wrong, (N,) bool.
        among: which images a random list is drawn from, (N,) bool, such as mistakes.
    """
    listed = listed[among[listed]]
    hits, draws = int(wrong[listed].sum()), len(listed)
    images, marked = int(among.sum()), int((wrong & among).sum())
    ways = sum(
        math.comb(marked, k) * math.comb(images - marked, draws - k)
        for k in range(hits, min(marked, draws) + 1)
    )
    expected = draws * marked / max(images, 1)
    return ChanceLevel(hits, expected, ways / math.comb(images, draws))


def _confident_class(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the class that each image is confidently of, -1 for none, (N,)."""
    thresholds = torch.full((probabilities.shape[1],), torch.inf)
    for label in labels.unique():
        thresholds[label] = probabilities[labels == label, label].mean()
    enough = probabilities >= thresholds
    best = torch.where(enough, probabilities, -1).argmax(1)
    return torch.where(enough.any(1), best, -1)


def validated() -> tuple[LabelError, ...]:
    """Return the 54 images of CIFAR-10's test part that people did not confirm."""
    text = files("sightline.data").joinpath("label_errors.json").read_text("utf-8")
    return tuple(
        LabelError(**row | {name: tuple(row[name]) for name in ("votes", "colour")})
        for row in json.loads(text)["images"]
    )


def find_validated(test: Split, classes: Sequence[str]) -> Tensor:
    """Return where the validated images are in a test part, (54,).

    The order may be the original one or that of a folder of classes: within a class
    both are the same. Mean colours are compared, lest another order goes unnoticed.

    Raises:
        DataError: if this is not the whole test part of CIFAR-10 in its order.
    """
    counts = test.labels.bincount(minlength=len(classes)).tolist()
    if tuple(classes) != CIFAR10 or counts != [PER_CLASS] * len(CIFAR10):
        raise DataError(
            "the list of label errors is for the 10,000 test images of CIFAR-10; "
            f"these are {len(test.labels):,} of {len(classes)} classes "
            f"({', '.join(classes[:3])}, ...)"
        )
    of_class = {name: (test.labels == i).nonzero() for i, name in enumerate(classes)}
    where = torch.tensor([int(of_class[e.label][e.place]) for e in validated()])
    colours = test.images[where].double().mean((1, 2))
    recorded = torch.tensor([error.colour for error in validated()])
    others = ((colours - recorded).abs() > COLOUR_TOLERANCE).any(1)
    if others.any():
        raise DataError(
            f"{int(others.sum())} of {len(where)} listed images have other colours "
            "here: within a class the images are not in the original order"
        )
    return where
