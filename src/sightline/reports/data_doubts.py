"""Sections of a report about the data: doubtful labels, repeated pictures."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sightline import plots
from sightline.data.duplicates import near_duplicates
from sightline.data.label_errors import find_validated, suspects
from sightline.errors import DataError
from sightline.measures.evaluation import Evaluation
from sightline.reports.subject import Part, Section, Subject, gallery_of

__all__ = ["doubtful_labels", "repeated_pictures"]

GALLERY, PAIRS = 15, 9  # pictures in a gallery, pairs of copies


def doubtful_labels(subject: Subject) -> Section:
    """List test images whose label the network doubts, and what people said."""
    test = subject.test
    doubtful = suspects(test.probabilities, test.labels).indices
    parts: list[Part] = [
        f"{len(doubtful):,} test images are confidently of another class than "
        "their label (confident learning). Most of them are mistakes of the network; "
        "the first ones deserve a look.",
        gallery_of(subject, doubtful[:GALLERY]),
    ]
    numbers: dict[str, object] = {"suspects": doubtful.tolist()}
    try:
        known = find_validated(subject.splits.test, subject.classes)
    except DataError:  # not the test part of CIFAR-10
        return Section("Labels in doubt", parts, numbers)
    among = torch.isin(known, doubtful).sum().item()
    without = _accuracy_without(test, known)
    parts.append(
        f"Of the {len(known)} test images of CIFAR-10 whose label people did not "
        f"confirm, {among} are among the suspects, and the network misses "
        f"{int((~test.right[known]).sum())}. Without them its accuracy is "
        f"{without:.2%}."
    )
    numbers |= {"validated": len(known), "found": among, "accuracy_without": without}
    return Section("Labels in doubt", parts, numbers)


def repeated_pictures(subject: Subject) -> Section:
    """Find test pictures that the training part has, too."""
    test, total = subject.test, len(subject.splits.test)
    copies = near_duplicates(subject.splits.test.images, subject.splits.train.images)
    count, exact = len(copies.pictures), int(copies.exact.sum())
    parts: list[Part] = [
        f"{count:,} of {total:,} test pictures ({count / total:.1%}) have a near "
        f"duplicate among the training pictures; {exact} are equal in every pixel."
    ]
    numbers: dict[str, object] = {"pairs": count, "exact": exact}
    if count:
        without = _accuracy_without(test, copies.pictures)
        of_them = test.right[copies.pictures.unique()].double().mean().item()
        numbers |= {"accuracy_without": without, "accuracy_of_them": of_them}
        figure = pairs_of(subject, copies.pictures[:PAIRS], copies.originals[:PAIRS])
        parts += [
            f"Accuracy on them {of_them:.1%}, on the others {without:.2%}. The most "
            "similar pairs:",
            (figure, "Pairs of a test picture and its most similar training picture."),
        ]
    return Section("Near duplicates", parts, numbers)


def pairs_of(subject: Subject, pictures: Tensor, originals: Tensor) -> Figure:
    """Draw test pictures, each beside a training picture."""
    train, test = subject.splits.train, subject.splits.test
    tiles = torch.stack((test.images[pictures], train.images[originals]), 1)
    labels = torch.stack((test.labels[pictures], train.labels[originals]), 1)
    captions = [
        f"{part}\n{subject.classes[label]}"
        for pair in labels.tolist()
        for part, label in zip(("test", "training"), pair, strict=True)
    ]
    return plots.gallery(tiles.flatten(0, 1), captions, columns=6)


def _accuracy_without(test: Evaluation, indices: Tensor) -> float:
    """Return the accuracy on all other images, 0..1; NaN if none is left."""
    others = torch.ones(len(test.labels), dtype=torch.bool)
    others[indices] = False
    return test.right[others].double().mean().item()
