"""The sections of a report: what a run gets wrong, and why its maps may be believed.

Every section is a function from a `Subject` to a `Section`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sightline import plots
from sightline.data.augment import normalise_uint8
from sightline.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from sightline.data.datasets import Split, Splits
from sightline.data.duplicates import near_duplicates
from sightline.data.label_errors import find_validated, suspects
from sightline.errors import DataError, SightlineError
from sightline.heatmaps.baselines import BASELINES
from sightline.heatmaps.explain import Explainer, cam, explain
from sightline.heatmaps.faithfulness import Grids, picture_grids, road
from sightline.heatmaps.layers import default_layers
from sightline.heatmaps.localisation import energy_in_mask
from sightline.heatmaps.sanity import cascading_randomisation, class_sensitivity
from sightline.measures.calibration import (
    apply_temperature,
    brier_score,
    calibration_error,
    fit_temperature,
    log_loss,
    reliability,
)
from sightline.measures.evaluation import Evaluation
from sightline.measures.metrics import (
    balanced_accuracy,
    confusion_matrix,
    mean_interval,
    near_ties,
    order_by_confusion,
    per_class_accuracy,
    standard_error,
    wilson_interval,
)
from sightline.reports.tables import markdown_table
from sightline.training.engine import evaluate
from sightline.training.parts import evaluation_loader
from sightline.training.run import Run
from sightline.training.runtime import Runtime
from sightline.training.train import evaluate_run

__all__ = ["SECTIONS", "Section", "Subject"]

DAMAGED = 500  # test images that are damaged, in 25 ways each
ROWS, GALLERY = 6, 15  # mistakes with three maps each, pictures in a gallery
TRUSTED, GRIDS = 40, 20  # images, and grids of four, that heatmaps are scored on
SCORED = ("grad_cam", "hires_cam", "layer_cam", "eigen_cam")
MEANINGS = {
    "in grid cell": "of four pictures in a grid, the share of the map in the one whose "
    "class was asked for; 0.25 by chance.",
    "ROAD": "how much further the probability falls when the brightest pixels are "
    "filled in than when the dimmest are; 0 by chance.",
    "same for runner-up": "correlation with the map of the second class; a map that "
    "explains a class is far from 1.",
    "same with random head": "correlation with the map after the last layer got random "
    "weights; a map that explains this network is far from 1.",
    "on the object": "the share of the map on the object; the area of the objects by "
    "chance.",
}


@dataclass(frozen=True)
class Subject:
    """What all sections look at: a run, its pictures, what it says about them."""

    run: Run
    splits: Splits
    runtime: Runtime

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of the logits."""
        return self.run.classes

    @cached_property
    def model(self) -> nn.Module:
        """Return the network with its best weights, in evaluation mode."""
        return self.runtime.place(self.run.load_model())

    @cached_property
    def test(self) -> Evaluation:
        """Return what the run says about the test images; read before, if it can be."""
        if self.run.finished and self.run.manifest["digest"] == self.splits.digest:
            return self.run.test
        return evaluate_run(self.run, self.splits, "test", self.runtime)

    @cached_property
    def validation(self) -> Evaluation:
        """Return what the run says about the validation images."""
        return evaluate_run(self.run, self.splits, "validation", self.runtime)

    def pictures(self, index: Tensor) -> Tensor:
        """Return test pictures, (B, H, W, 3) uint8."""
        return self.splits.test.images[index]

    def batch(self, index: Tensor) -> Tensor:
        """Return test pictures as in training, (B, 3, H, W), on the run's device."""
        images = self.pictures(index).to(self.runtime.device)
        return normalise_uint8(images, self.run.mean, self.run.std)

    @property
    def size(self) -> int:
        """Return the side of the pictures in pixels."""
        return self.splits.test.images.shape[1]

    def answers(self, pictures: Tensor, labels: Tensor) -> Evaluation:
        """Return what the run says about other pictures, (B, H, W, 3) uint8."""
        loader = evaluation_loader(
            Split(pictures, labels), self.run.mean, self.run.std, self.runtime
        )
        return evaluate(self.model, loader, runtime=self.runtime)

    def sample(self, count: int) -> Tensor:
        """Choose up to `count` test images by chance, always the same."""
        generator = torch.Generator().manual_seed(0)
        return torch.randperm(len(self.test.labels), generator=generator)[:count]


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    title: str
    parts: Sequence[str | tuple[Figure, str]]  # Markdown, or a figure and its words
    numbers: dict = field(default_factory=dict)  # the same for machines


def overview(subject: Subject) -> Section:
    """Say what was trained on what, and how good it is."""
    run, test, manifest = subject.run, subject.test, subject.run.manifest
    count = len(test.labels)
    error = standard_error(test.accuracy, count)
    rows = [
        ["recipe", f"{run.recipe['name']} ({run.recipe['model']})"],
        [
            "trained on",
            f"{manifest['data']}, {manifest['images']['training']:,} images",
        ],
        ["epochs, seed", f"{len(run.history)}, {run.recipe['seed']}"],
        ["test accuracy", f"{test.accuracy:.2%} ± {error:.2%} (standard error)"],
        ["test images", f"{count:,}, digest {subject.splits.digest}"],
    ]
    parts = [markdown_table(["", "this run"], rows)]
    if subject.splits.digest != manifest["digest"]:
        parts.append(
            f"These are not the pictures that the run knows (digest "
            f"{manifest['digest']}): images it was trained on may be among them."
        )
    if run.history:
        words = "Loss and accuracy per epoch, of training and validation images."
        parts.append((plots.history(run.history), words))
    numbers = {
        "run": str(run.path),
        "digest": subject.splits.digest,
        "test_images": count,
        "test_accuracy": test.accuracy,
        "standard_error": error,
    }
    return Section("The run", parts, numbers)


def per_class(subject: Subject) -> Section:
    """Show which classes are taken for which, similar ones side by side."""
    test, classes = subject.test, subject.classes
    counts = confusion_matrix(test.labels, test.predictions, len(classes))
    order = order_by_confusion(counts)
    low, high = wilson_interval(counts.diagonal(), counts.sum(1))
    accuracy = per_class_accuracy(counts)
    rows = [
        [classes[i], f"{accuracy[i]:.1%}", f"{low[i]:.1%} to {high[i]:.1%}"]
        for i in accuracy.argsort().tolist()
    ]
    sorted_counts = counts[order][:, order]
    names = [classes[i] for i in order.tolist()]
    parts = [
        "Classes that are taken for each other stand side by side.",
        (plots.confusion(sorted_counts, names), "Confusion matrix of the test images."),
        f"Balanced accuracy, the mean of all classes: {balanced_accuracy(counts):.1%}.",
        "Accuracy of each class, the lowest first, with Wilson's 95 % interval:",
        markdown_table(["class", "accuracy", "95 % interval"], rows),
    ]
    numbers = {
        name: {
            "accuracy": accuracy[i].item(),
            "low": low[i].item(),
            "high": high[i].item(),
        }
        for i, name in enumerate(classes)
    }
    return Section("Classes", parts, numbers)


def mistakes(subject: Subject) -> Section:
    """Show the most confident mistakes and the closest calls, with their maps."""
    test = subject.test
    count = int((test.predictions != test.labels).sum())
    if not count:
        return Section("Mistakes", ["No test image is classified wrongly."])
    confident = plots.mistakes(test, ROWS, order="confident")
    closest = near_ties(test.probabilities)
    ties = closest[test.predictions[closest] != test.labels[closest]][:GALLERY]
    hits = subject.sample(len(test.labels))
    hits = hits[test.predictions[hits] == test.labels[hits]][:GALLERY]
    parts = [
        f"{count:,} of {len(test.labels):,} test images are classified wrongly. These "
        "are the most confident mistakes, each with the map of the class that was "
        "predicted, of the class it is, and of the difference of both logits.",
        (maps_of(subject, confident), "Confident mistakes beside three heatmaps each."),
        "More of them, the actual class above the predicted one and its confidence:",
        gallery(subject, plots.mistakes(test, GALLERY, order="confident")),
        "Near ties: mistakes whose two best classes are almost equally probable.",
        gallery(subject, ties),
        "For comparison, correctly classified images as chance picks them:",
        gallery(subject, hits),
    ]
    numbers = {
        "mistakes": count,
        "confident": confident.tolist(),
        "ties": ties.tolist(),
    }
    return Section("Mistakes", parts, numbers)


def maps_of(subject: Subject, index: Tensor) -> Figure:
    """Draw the maps of predicted class, actual class and their difference."""
    test, layer = subject.test, default_layers(subject.model, subject.size)[-1]
    images = subject.batch(index)
    predicted, actual = test.predictions[index], test.labels[index]
    questions = {
        "predicted class": {"targets": predicted},
        "actual class": {"targets": actual},
        "predicted\nnot actual": {"targets": predicted, "against": actual},
    }
    found = {
        name: explain(subject.model, images, layers=layer, **question)[layer]
        for name, question in questions.items()
    }
    titles = plots.captions(test, index, subject.classes)
    return plots.heatmaps(subject.pictures(index), found, titles=titles)


def gallery(subject: Subject, index: Tensor) -> tuple[Figure, str]:
    """Draw pictures with their actual and predicted class and the confidence."""
    captions = plots.captions(subject.test, index, subject.classes)
    words = "; ".join(caption.replace("\n", " ") for caption in captions)
    return plots.gallery(subject.pictures(index), captions, columns=5), words


def trust(subject: Subject) -> Section:
    """Score heatmaps on this network beside maps that never saw it."""
    title, test = "Can the heatmaps be believed?", subject.test
    known = test.predictions == test.labels
    index = subject.sample(len(test.labels))
    index = index[known[index]][:TRUSTED]
    if len(index) < 2:
        return Section(title, ["Too few images are recognised to tell."])
    grids = grids_of(subject)
    rows = {
        name: scores(subject, index, grids, explainer)
        for name, explainer in explainers(subject).items()
    }
    columns = list(next(iter(rows.values())))
    among = f" and {len(grids.images) // 4} grids of four" if grids else ""
    header = ["maps", *columns]
    cells = [[name, *map(mean_written, row.values())] for name, row in rows.items()]
    parts = [
        f"Mean over {len(index)} correctly classified test images{among}, ± half of "
        "the 95 % interval. Trust a method where it is better than maps that have "
        f"never seen the network: {', '.join(BASELINES)}.",
        markdown_table(header, cells),
        "".join(f"- *{column}*: {MEANINGS[column]}\n" for column in columns),
    ]
    numbers = {
        name: {
            column: mean_interval(values)._asdict() for column, values in row.items()
        }
        for name, row in rows.items()
    }
    return Section(title, parts, numbers)


def explainers(subject: Subject) -> dict[str, Explainer]:
    """Return methods at the layers that give maps, and the baselines."""
    layers = default_layers(subject.model, subject.size)
    found = {
        f"{method} {layer}": cam(method, layer) for method in SCORED for layer in layers
    }
    for name, make in BASELINES.items():
        found[name] = lambda model, images, targets, make=make: make(images)
    return found


def scores(
    subject: Subject, index: Tensor, grids: Grids | None, explainer: Explainer
) -> dict[str, Tensor]:
    """Return one number per image for each way to doubt a heatmap."""
    model, test, images = subject.model, subject.test, subject.batch(index)
    targets = test.labels[index]
    others = test.logits[index].topk(2).indices[:, 1]
    heatmaps = explainer(model, images, targets)
    head = list(model.named_children())[-1][0]
    found = {}
    if grids:
        maps = explainer(model, grids.images, grids.targets)
        found["in grid cell"] = energy_in_mask(maps.cpu(), grids.masks)
    found |= {
        "ROAD": road(model, images, targets, heatmaps),
        "same for runner-up": class_sensitivity(
            model, images, targets, others, explainer
        ),
        "same with random head": cascading_randomisation(
            model, images, targets, explainer, stages=[head]
        )[head],
    }
    masks = subject.splits.test.masks
    if masks is not None:
        found["on the object"] = energy_in_mask(heatmaps, masks[index])
    return found


def calibration(subject: Subject) -> Section:
    """Compare confidence with accuracy, before and after a temperature."""
    title, test, validation = "Confidence", subject.test, subject.validation
    before = {"as trained": test.probabilities}
    try:
        temperature = fit_temperature(validation.logits, validation.labels)
    except SightlineError as error:
        temperature, remark = None, f"{error}."
    else:
        tempered = apply_temperature(test.logits, temperature)
        before[f"temperature {temperature:.2f}"] = tempered
        remark = (
            f"The temperature was fitted on {len(validation.labels):,} validation "
            "images. It changes no prediction, only how sure they are."
        )
    found = {name: reliability(p, test.labels) for name, p in before.items()}
    rows = [
        [
            name,
            f"{100 * found[name].error:.2f} points",
            f"{log_loss(p, test.labels):.4f}",
            f"{brier_score(p, test.labels):.4f}",
        ]
        for name, p in before.items()
    ]
    words = "Accuracy against confidence, in bins, with 95 % intervals."
    parts = [
        "A calibrated network is right in 80 % of the cases in which it says 80 %.",
        (plots.reliability_diagram(found), words),
        markdown_table(["", "calibration error", "log loss", "Brier score"], rows),
        remark,
    ]
    errors = {name: bins.error for name, bins in found.items()}
    return Section(title, parts, {"temperature": temperature, "ece": errors})


def damage(subject: Subject) -> Section:
    """Measure how accuracy and calibration hold on pictures that got worse."""
    index = subject.sample(DAMAGED)
    labels, pictures = subject.splits.test.labels[index], subject.pictures(index)
    whole = subject.answers(pictures, labels)
    accuracy: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for kind in CORRUPTIONS:
        answers = [whole] + [
            subject.answers(corrupt(pictures, kind, severity), labels)
            for severity in SEVERITIES
        ]
        accuracy[kind] = [100 * found.accuracy for found in answers]
        errors[kind] = [
            100 * calibration_error(found.probabilities, labels) for found in answers
        ]
    panels = {"Accuracy, %": accuracy, "Calibration error, points": errors}
    header = ["accuracy, %", "as it is", *(f"severity {s}" for s in SEVERITIES)]
    rows = [[kind, *(f"{v:.1f}" for v in vs)] for kind, vs in accuracy.items()]
    words = "Accuracy and calibration error over the severity of five kinds of damage."
    parts = [
        f"{len(index):,} test images, damaged in the style of CIFAR-10-C.",
        (plots.corruption_curves(panels), words),
        markdown_table(header, rows),
    ]
    return Section("Damaged pictures", parts, {"accuracy": accuracy, "ece": errors})


def labels(subject: Subject) -> Section:
    """List test images whose label the network doubts, and what people said."""
    test, classes = subject.test, subject.classes
    found = suspects(test.probabilities, test.labels)
    shown = found.indices[:GALLERY]
    parts = [
        f"{len(found.indices):,} test images are confidently of another class than "
        "their label (confident learning). Most of them are mistakes of the network; "
        "the first ones deserve a look.",
        gallery(subject, shown),
    ]
    numbers = {"suspects": found.indices.tolist()}
    try:
        known = find_validated(subject.splits.test, classes)
    except DataError:  # not the test part of CIFAR-10
        return Section("Labels in doubt", parts, numbers)
    kept = torch.ones(len(test.labels), dtype=torch.bool)
    kept[known] = False
    right = test.predictions == test.labels
    among = torch.isin(known, found.indices).sum().item()
    without = right[kept].double().mean().item()
    parts.append(
        f"Of the {len(known)} test images of CIFAR-10 whose label people did not "
        f"confirm, {among} are among the suspects, and the network misses "
        f"{int((~right[known]).sum())}. Without them its accuracy is {without:.2%}."
    )
    numbers |= {"validated": len(known), "found": among, "accuracy_without": without}
    return Section("Labels in doubt", parts, numbers)


def duplicates(subject: Subject) -> Section:
    """Find test pictures that the training part has, too."""
    splits, test = subject.splits, subject.test
    found = near_duplicates(splits.test.images, splits.train.images)
    count, total = len(found.pictures), len(splits.test)
    parts = [
        f"{count:,} of {total:,} test pictures ({count / total:.1%}) have a near "
        f"duplicate among the training pictures; {int(found.exact.sum())} are equal in "
        "every pixel."
    ]
    numbers = {"pairs": count, "exact": int(found.exact.sum())}
    if count:
        kept = torch.ones(total, dtype=torch.bool)
        kept[found.pictures] = False
        right = (test.predictions == test.labels).double()
        numbers["accuracy_without"] = right[kept].mean().item()
        numbers["accuracy_of_them"] = right[~kept].mean().item()
        pairs = found.pictures[:9], found.originals[:9]
        tiles = subject.pictures(pairs[0]), splits.train.images[pairs[1]]
        captions = [
            f"{part}\n{subject.classes[split.labels[i]]}"
            for both in zip(*pairs, strict=True)
            for part, split, i in zip(
                ("test", "training"), (splits.test, splits.train), both, strict=True
            )
        ]
        figure = plots.gallery(torch.stack(tiles, 1).flatten(0, 1), captions, columns=6)
        parts += [
            f"Accuracy on them {numbers['accuracy_of_them']:.1%}, on the others "
            f"{numbers['accuracy_without']:.2%}. The most similar pairs:",
            (figure, "Pairs of a test picture and its most similar training picture."),
        ]
    return Section("Near duplicates", parts, numbers)


def grids_of(subject: Subject) -> Grids | None:
    """Lay pictures into grids; None where these pictures or this model cannot."""
    index = subject.sample(GRIDS * 20)
    labels = subject.test.labels[index]
    try:
        return picture_grids(subject.model, subject.batch(index), labels, count=GRIDS)
    except SightlineError:  # fewer than four classes, or one size of pictures only
        return None


def mean_written(values: Tensor) -> str:
    """Write a mean with half of its 95 % interval, and how many maps were silent."""
    found = mean_interval(values)
    if not found.count:
        return "–"
    silent = len(values) - found.count
    mean = f"{found.mean:.2f}".replace("-0.00", "0.00").replace("-", "−")
    return f"{mean} ± {found.half:.2f}" + f", {silent} blank" * bool(silent)


SECTIONS: dict[str, Callable[[Subject], Section]] = {
    "run": overview,
    "classes": per_class,
    "mistakes": mistakes,
    "confidence": calibration,
    "damage": damage,
    "labels": labels,
    "duplicates": duplicates,
    "trust": trust,
}
