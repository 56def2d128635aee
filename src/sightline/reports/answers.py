"""Sections of a report about answers: right, wrong, sure, and on damaged pictures."""

from matplotlib.figure import Figure
from torch import Tensor

from sightline import plots
from sightline.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from sightline.data.datasets import Split
from sightline.errors import SightlineError
from sightline.heatmaps.explain import explain
from sightline.measures import calibration, metrics
from sightline.measures.inference import estimate, wilson_interval
from sightline.reports.subject import Part, Section, Subject, gallery_of
from sightline.reports.tables import markdown_table

__all__ = ["accuracy_by_class", "confidence", "damage", "mistakes", "overview"]

DAMAGED = 500  # test images that are damaged, in 25 ways each
ROWS, GALLERY = 6, 15  # mistakes with three maps each, pictures in a gallery


def overview(subject: Subject) -> Section:
    """Say what was trained on what, and how good it is."""
    run, test, manifest = subject.run, subject.test, subject.run.manifest
    count, images = len(test.labels), manifest["images"]["training"]
    accuracy = estimate(test.right)
    rows = [
        ["recipe", f"{run.recipe.name} ({run.recipe.model})"],
        ["trained on", f"{manifest['data']}, {images:,} images"],
        ["epochs, seed", f"{len(run.history)}, {run.recipe.seed}"],
        ["test accuracy, %", f"{accuracy.written(2)}, with the 95 % interval"],
        ["test images", f"{count:,}, digest {subject.splits.digest}"],
    ]
    parts: list[Part] = [markdown_table(["", "this run"], rows)]
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
        "test_accuracy": accuracy.mean,
        "low": accuracy.low,
        "high": accuracy.high,
    }
    return Section("The run", parts, numbers)


def accuracy_by_class(subject: Subject) -> Section:
    """Show which classes are taken for which, similar ones side by side."""
    test, classes = subject.test, subject.classes
    counts = metrics.confusion_matrix(test.labels, test.predictions, len(classes))
    order = metrics.order_by_confusion(counts)
    low, high = wilson_interval(counts.diagonal(), counts.sum(1))
    accuracy = metrics.per_class_accuracy(counts)
    balanced = metrics.balanced_accuracy(counts)
    rows = [
        [classes[i], f"{accuracy[i]:.1%}", f"{low[i]:.1%} to {high[i]:.1%}"]
        for i in accuracy.argsort().tolist()
    ]
    names = [classes[i] for i in order.tolist()]
    matrix = plots.confusion(counts[order][:, order], names)
    parts: list[Part] = [
        "Classes that are taken for each other stand side by side.",
        (matrix, "Confusion matrix of the test images."),
        f"Balanced accuracy, the mean of all classes: {balanced:.1%}.",
        "Accuracy of each class, the lowest first, with Wilson's 95 % interval:",
        markdown_table(["class", "accuracy", "95 % interval"], rows),
    ]
    shares = zip(accuracy.tolist(), low.tolist(), high.tolist(), strict=True)
    numbers: dict[str, object] = {
        name: {"accuracy": share, "low": least, "high": most}
        for name, (share, least, most) in zip(classes, shares, strict=True)
    }
    return Section("Classes", parts, numbers)


def mistakes(subject: Subject) -> Section:
    """Show the most confident mistakes and the closest calls, with their maps."""
    test, wrong = subject.test, subject.test.mistakes(order="confident")
    if not len(wrong):
        return Section("Mistakes", ["No test image is classified wrongly."])
    closest, by_chance = metrics.near_ties(test.probabilities), subject.sample()
    ties = closest[~test.right[closest]][:GALLERY]
    hits = by_chance[test.right[by_chance]][:GALLERY]
    parts: list[Part] = [
        f"{len(wrong):,} of {len(test.labels):,} test images are classified wrongly. "
        "These are the most confident mistakes, each with the map of the class that "
        "was predicted, of the class it is, and of the difference of both logits.",
        (
            heatmaps_of(subject, wrong[:ROWS]),
            "Confident mistakes beside three heatmaps each.",
        ),
        "More of them, the actual class above the predicted one and its confidence:",
        gallery_of(subject, wrong[:GALLERY]),
        "Near ties: mistakes whose two best classes are almost equally probable.",
        gallery_of(subject, ties),
        "For comparison, correctly classified images as chance picks them:",
        gallery_of(subject, hits),
    ]
    numbers = {
        "mistakes": len(wrong),
        "confident": wrong[:ROWS].tolist(),
        "ties": ties.tolist(),
    }
    return Section("Mistakes", parts, numbers)


def heatmaps_of(subject: Subject, index: Tensor) -> Figure:
    """Draw the maps of predicted class, actual class and their difference."""
    test, layer = subject.test, subject.layers[-1]
    images = subject.images(index)
    predicted, actual = test.predictions[index], test.labels[index]
    questions = {
        "predicted class": (predicted, None),
        "actual class": (actual, None),
        "predicted\nnot actual": (predicted, actual),
    }
    explanations = {
        name: explain(
            subject.model, images, layers=layer, targets=targets, against=against
        )[layer]
        for name, (targets, against) in questions.items()
    }
    titles = test.captions(index, subject.classes)
    return plots.heatmaps(subject.pictures(index), explanations, titles=titles)


def confidence(subject: Subject) -> Section:
    """Compare confidence with accuracy, before and after a temperature."""
    test, validation = subject.test, subject.classifier.ask(subject.splits.validation)
    versions = {"as trained": test.probabilities}
    temperature: float | None = None
    try:
        temperature = calibration.fit_temperature(validation.logits, validation.labels)
    except SightlineError as error:
        remark = f"{error}."
    else:
        tempered = calibration.apply_temperature(test.logits, temperature)
        versions[f"temperature {temperature:.2f}"] = tempered
        remark = (
            f"The temperature was fitted on {len(validation.labels):,} validation "
            "images. It changes no prediction, only how sure they are."
        )
    bins = {
        name: calibration.reliability(p, test.labels) for name, p in versions.items()
    }
    rows = [
        [
            name,
            f"{100 * bins[name].error:.2f} points",
            f"{calibration.log_loss(p, test.labels):.4f}",
            f"{calibration.brier_score(p, test.labels):.4f}",
        ]
        for name, p in versions.items()
    ]
    words = "Accuracy against confidence, in bins, with 95 % intervals."
    parts: list[Part] = [
        "A calibrated network is right in 80 % of the cases in which it says 80 %.",
        (plots.reliability_diagram(bins), words),
        markdown_table(["", "calibration error", "log loss", "Brier score"], rows),
        remark,
    ]
    errors = {name: each.error for name, each in bins.items()}
    return Section("Confidence", parts, {"temperature": temperature, "ece": errors})


def damage(subject: Subject) -> Section:
    """Measure how accuracy and calibration hold on pictures that got worse."""
    index = subject.sample(DAMAGED)
    labels, pictures = subject.splits.test.labels[index], subject.pictures(index)
    ask = subject.classifier.ask
    intact = ask(Split(pictures, labels))
    accuracy: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for kind in CORRUPTIONS:
        damaged = [corrupt(pictures, kind, severity) for severity in SEVERITIES]
        answers = [intact] + [ask(Split(each, labels)) for each in damaged]
        accuracy[kind] = [100 * each.accuracy for each in answers]
        errors[kind] = [
            100 * calibration.calibration_error(each.probabilities, labels)
            for each in answers
        ]
    panels = {"Accuracy, %": accuracy, "Calibration error, points": errors}
    header = ["accuracy, %", "as it is", *(f"severity {s}" for s in SEVERITIES)]
    rows = [[kind, *(f"{v:.1f}" for v in vs)] for kind, vs in accuracy.items()]
    words = "Accuracy and calibration error over the severity of five kinds of damage."
    parts: list[Part] = [
        f"{len(index):,} test images, damaged in the style of CIFAR-10-C.",
        (plots.corruption_curves(panels), words),
        markdown_table(header, rows),
    ]
    return Section("Damaged pictures", parts, {"accuracy": accuracy, "ece": errors})
