"""Sections of a report about the data: doubtful labels, repeated pictures."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sightline import plots
from sightline.data.duplicates import Duplicates, near_duplicates
from sightline.data.label_errors import (
    compare_with_chance,
    find_validated,
    least_self_confident,
    suspects,
)
from sightline.data.split import Split
from sightline.errors import DataError
from sightline.measures.evaluation import Evaluation
from sightline.measures.inference import estimate
from sightline.measures.metrics import within_class
from sightline.reports.names import gallery_of, listed, records
from sightline.reports.subject import Part, Section, Subject
from sightline.reports.tables import markdown_table

__all__ = ["doubtful_labels", "repeated_pictures"]

GALLERY, PAIRS = 15, 9  # pictures in a gallery, pairs of copies


def doubtful_labels(subject: Subject) -> Section:
    """List test images whose label the network doubts, and what people said."""
    test = subject.test
    doubtful = suspects(test.probabilities, test.labels).indices
    mistaken = int((~test.right[doubtful]).sum())
    parts: list[Part] = [
        f"{len(doubtful):,} test images are confidently of another class than "
        f"their label (confident learning); {mistaken:,} of them are mistakes of the "
        f"network, which makes {int((~test.right).sum()):,}. Who is wrong, network or "
        "label, only a look can tell.",
        *gallery_of(subject, doubtful[:GALLERY]),
    ]
    numbers: dict[str, object] = {"suspects": records(subject, doubtful)}
    try:
        known = find_validated(subject.splits.test, subject.classes)
    except DataError:  # not the test part of CIFAR-10
        return Section("Labels in doubt", parts, numbers)
    without = _accuracy_without(test, known)
    parts += [
        f"For {len(known)} test images of CIFAR-10 people did not confirm the label; "
        f"the network misses {int((~test.right[known]).sum())} of them. Without them "
        f"its accuracy is {without:.2%}.",
        *against_chance(test, doubtful, known),
    ]
    numbers |= {
        "validated": len(known),
        "found": int(torch.isin(known, doubtful).sum()),
        "accuracy_without": without,
    }
    return Section("Labels in doubt", parts, numbers)


def against_chance(test: Evaluation, doubtful: Tensor, known: Tensor) -> list[Part]:
    """Compare lists of mistakes, equally long, with one drawn at random."""
    wrong = torch.zeros(len(test.labels), dtype=torch.bool)
    wrong[known] = True
    confident = doubtful[~test.right[doubtful]]
    order = least_self_confident(test.probabilities, test.labels)
    lists = {
        "confident learning": confident,
        "least self-confident": order[~test.right[order]][: len(confident)],
    }
    rows = []
    for name, places in lists.items():
        level = compare_with_chance(places, wrong, ~test.right)
        rows.append([name, f"{level.hits}", f"{level.expected:.1f}", f"{level.p:.2g}"])
    return [
        f"So many of these are on a list of {len(confident):,} mistakes; on one drawn "
        "at random from all mistakes; and how often chance alone does as well:",
        markdown_table(["list", "confirmed", "by chance", "p"], rows),
    ]


def repeated_pictures(subject: Subject) -> Section:
    """Find test pictures that the training or validation part has, too."""
    test, splits = subject.test, subject.splits
    total, others = len(splits.test), splits.train.join(splits.validation)
    copies = near_duplicates(splits.test.images, others.images)
    count, exact = len(copies.pictures), int(copies.exact.sum())
    parts: list[Part] = [
        f"{count:,} of {total:,} test pictures ({count / total:.1%}) have a near "
        "duplicate among the training and validation pictures; "
        f"{exact} are equal in every pixel."
    ]
    pairs = [
        " = ".join(pair)
        for pair in zip(
            splits.test.names(copies.pictures),
            others.names(copies.originals),
            strict=True,
        )
    ]
    numbers: dict[str, object] = {"pairs": pairs, "exact": exact}
    if count:
        group = torch.zeros(total, dtype=torch.bool)
        group[copies.pictures] = True
        ahead = within_class(test.right, test.labels, group)
        without = _accuracy_without(test, copies.pictures)
        of_them = test.right[group].double().mean().item()
        numbers |= {"accuracy_without": without, "accuracy_of_them": of_them}
        figure = pairs_of(splits.test, others, copies, subject.classes)
        parts += [
            f"Accuracy on them {of_them:.1%}, on the others {without:.2%}."
            + _ahead_in_words(ahead),
            "The most similar pairs:",
            (figure, "Pairs of a test picture and the one most similar to it."),
            listed(pairs[:PAIRS]),
        ]
    return Section("Near duplicates", parts, numbers)


def _ahead_in_words(ahead: Tensor) -> str:
    """Say how pictures compare with others of their own classes."""
    if not len(ahead):
        return ""
    points = estimate(ahead, bounds=(-1, 1))
    return (
        f" Ahead of other pictures of their classes by {points.written()} points, with "
        "the 95 % interval: memory, or easier pictures."
    )


def pairs_of(
    test: Split, others: Split, copies: Duplicates, classes: Sequence[str]
) -> Figure:
    """Draw test pictures, each beside its most similar other one."""
    pictures, originals = copies.pictures[:PAIRS], copies.originals[:PAIRS]
    tiles = torch.stack((test.images[pictures], others.images[originals]), 1)
    labels = torch.stack((test.labels[pictures], others.labels[originals]), 1)
    captions = [
        f"{part}\n{classes[label]}"
        for pair in labels.tolist()
        for part, label in zip(("test", "known"), pair, strict=True)
    ]
    return plots.gallery(tiles.flatten(0, 1), captions, columns=6)


def _accuracy_without(test: Evaluation, indices: Tensor) -> float:
    """Return the accuracy on all other images, 0..1; NaN if none is left."""
    others = torch.ones(len(test.labels), dtype=torch.bool)
    others[indices] = False
    return test.right[others].double().mean().item()
