"""Sections of a report about answers: right, wrong, sure, and on damaged pictures."""

import time
from dataclasses import asdict

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sightline import plots
from sightline.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from sightline.data.split import Split
from sightline.errors import SightlineError
from sightline.heatmaps.explain import explain
from sightline.measures import calibration, metrics
from sightline.measures.clusters import by_series
from sightline.measures.evaluation import Evaluation
from sightline.measures.inference import effects, estimate
from sightline.reports.names import cell_links, cell_pictures, gallery_of, records
from sightline.reports.subject import Part, Section, Subject
from sightline.reports.tables import markdown_table

__all__ = [
    "accuracy_by_class",
    "confidence",
    "damage",
    "forecast_confidence",
    "forecast_damage",
    "mistakes",
    "overview",
]

DAMAGED = 500  # test images that are damaged, in 25 ways each
ROWS, GALLERY = 6, 15  # mistakes with three maps each, pictures in a gallery
MATRIX, LISTED = 40, 100  # classes in a matrix that can be read, and in a table
TRIED = 8  # pictures, or draws of a test, by which a duration is forecast
DECLINED = 0.1  # of the validation images, the least certain ones
# how far confidences may be off, by name
ERRORS = {
    "ECE": calibration.calibration_error,
    "equal mass": calibration.equal_mass_error,
    "debiased": calibration.debiased_error,
    "class-wise": calibration.classwise_error,
}
SCORES = {"log loss": calibration.log_loss, "Brier": calibration.brier_score}


def overview(subject: Subject) -> Section:
    """Say what was trained on what, and how good it is."""
    run, test, manifest = subject.run, subject.test, subject.run.manifest
    count, images = len(test.labels), manifest["images"]["training"]
    series = subject.splits.test.series
    right = test.right if series is None else by_series(test.right, series)
    accuracy = estimate(right)
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
    low, high = metrics.class_intervals(counts)
    accuracy = metrics.per_class_accuracy(counts)
    balanced = metrics.balanced_accuracy(counts)
    worst = accuracy.argsort(stable=True).tolist()
    rows = [
        [classes[i], f"{accuracy[i]:.1%}", f"{low[i]:.1%} to {high[i]:.1%}"]
        for i in worst[:LISTED]
    ]
    shown = most_confused(counts)
    names = [classes[i] for i in shown.tolist()]
    links = cell_links(subject, shown)
    matrix = plots.confusion(counts[shown][:, shown], names, links=links)
    more = len(classes) - len(shown)
    parts: list[Part] = [
        "Classes that are taken for each other stand side by side."
        + f" Of {len(classes):,} classes, the {len(shown)} with most mistakes."
        * (more > 0),
        (matrix, "Confusion matrix of the test images; a cell opens its mistakes."),
        cell_pictures(subject),
        f"Balanced accuracy, the mean of all classes: {balanced:.1%}.",
        "Accuracy of each class, the lowest first. In 95 of 100 such tables every "
        "interval holds the truth; classes whose intervals overlap have no order.",
        markdown_table(["class", "accuracy", "interval"], rows),
    ]
    if len(worst) > LISTED:
        parts.append(f"The other {len(worst) - LISTED:,} classes are in report.json.")
    shares = zip(accuracy.tolist(), low.tolist(), high.tolist(), strict=True)
    numbers: dict[str, object] = {
        name: {"accuracy": share, "low": least, "high": most}
        for name, (share, least, most) in zip(classes, shares, strict=True)
    }
    return Section("Classes", parts, numbers)


def most_confused(counts: Tensor) -> Tensor:
    """Choose at most MATRIX classes, those with most mistakes; order them by these."""
    wrong = counts.clone().fill_diagonal_(0)
    mistakes = wrong.sum(0) + wrong.sum(1)
    shown = mistakes.argsort(descending=True, stable=True)[:MATRIX].sort().values
    return shown[metrics.order_by_confusion(counts[shown][:, shown])]


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
        *gallery_of(subject, wrong[:GALLERY]),
        "Near ties: mistakes whose two best classes are almost equally probable.",
        *gallery_of(subject, ties),
        "For comparison, correctly classified images as chance picks them:",
        *gallery_of(subject, hits),
    ]
    numbers = {
        "mistakes": len(wrong),
        "confident": records(subject, wrong[:GALLERY]),
        "ties": records(subject, ties),
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
            "images. It changes no prediction, only how sure they are, and repairs "
            "only what is off everywhere alike."
        )
    bins = {
        name: calibration.reliability(p, test.labels) for name, p in versions.items()
    }
    words = "Accuracy against confidence, in bins, with 95 % intervals."
    table, errors = calibration_table(versions, test.labels)
    declining, numbers = when_to_decline(test, validation)
    parts: list[Part] = [
        "A calibrated network is right in 80 % of the cases in which it says 80 %.",
        (plots.reliability_diagram(bins), words),
        remark,
        *table,
        *declining,
    ]
    numbers |= {"temperature": temperature, "errors": errors}
    return Section("Confidence", parts, numbers)


def forecast_confidence(subject: Subject) -> float:
    """Return the seconds that `confidence` will take, from a few draws of its tests."""
    test = subject.test
    started = time.perf_counter()
    for measure in ERRORS.values():
        calibration.calibration_test(
            test.probabilities, test.labels, measure=measure, draws=TRIED
        )
    return 2 * calibration.DRAWS / TRIED * (time.perf_counter() - started)


def calibration_table(
    versions: dict[str, Tensor], labels: Tensor
) -> tuple[list[Part], dict[str, object]]:
    """Write what is left of the error, beside what calibrated networks show."""
    tests = {
        name: {
            error: calibration.calibration_test(p, labels, measure=measure)
            for error, measure in ERRORS.items()
        }
        for name, p in versions.items()
    }
    rows = [[error, *(str(row[error]) for row in tests.values())] for error in ERRORS]
    for name, score in SCORES.items():
        rows.append([name, *(f"{score(p, labels):.4f}" for p in versions.values())])
    parts: list[Part] = [
        "Calibration errors in points. In brackets, what a calibrated network with the "
        "same confidences shows on as many images, and how often it is as far off. "
        "ECE has bins of equal width, *equal mass* of equally many images, *debiased* "
        "the same as a root mean square without the scatter of the bins, *class-wise* "
        "those of every class.",
        markdown_table(["", *versions], rows),
    ]
    numbers: dict[str, object] = {
        name: {error: asdict(each) for error, each in row.items()}
        for name, row in tests.items()
    }
    return parts, numbers


def when_to_decline(
    test: Evaluation, validation: Evaluation
) -> tuple[list[Part], dict[str, object]]:
    """Measure what is gained by not answering where the network is least certain."""
    sure = metrics.margins(test.probabilities)
    curve = calibration.risk_coverage(sure, test.right)
    threshold = metrics.margins(validation.probabilities).quantile(DECLINED).item()
    answered = sure > threshold
    parts: list[Part] = [
        "Declining where the two best classes are close, by the margin between them; "
        "dotted, were all mistakes declined first.",
        (
            plots.risk_coverage({"by margin": curve}),
            "Wrong answers over the share of images that are answered.",
        ),
    ]
    numbers: dict[str, object] = {
        "aurc": curve.area,
        "best_aurc": curve.best_risk.mean().item(),
        "threshold": threshold,
        "answered": answered.double().mean().item(),
    }
    if answered.any():
        rest = estimate(test.right[answered])
        parts.append(
            f"A margin above {threshold:.2f}, which {1 - DECLINED:.0%} of the "
            f"validation images have, has {answered.double().mean():.1%} of the test "
            f"images. Accuracy on these, %, with the 95 % interval: {rest.written(2)}; "
            f"on all {100 * test.accuracy:.2f}."
        )
        numbers["accuracy_of_answered"] = rest.mean
    return parts, numbers


def damage(subject: Subject) -> Section:
    """Measure how accuracy and calibration hold on pictures that got worse."""
    index = subject.sample(DAMAGED)
    labels, pictures = subject.splits.test.labels[index], subject.pictures(index)
    ask = subject.classifier.ask
    intact = ask(Split(pictures, labels))
    answers = {
        kind: [intact]
        + [ask(Split(corrupt(pictures, kind, s), labels)) for s in SEVERITIES]
        for kind in CORRUPTIONS
    }
    accuracy = {
        kind: [100 * each.accuracy for each in row] for kind, row in answers.items()
    }
    tests = {
        kind: [calibration.calibration_test(each.probabilities, labels) for each in row]
        for kind, row in answers.items()
    }
    errors = {kind: [100 * t.error for t in row] for kind, row in tests.items()}
    floors = torch.tensor([[100 * t.floor for t in row] for row in tests.values()])
    curves = errors | {"calibrated": floors.mean(0).tolist()}
    panels = {"Accuracy, %": accuracy, "Calibration error, points": curves}
    words = "Accuracy and calibration error over the severity of five kinds of damage."
    parts: list[Part] = [
        f"{len(index):,} test images, the same for every kind and severity, damaged as "
        "in CIFAR-10-C: its strengths of Gaussian noise, Gaussian blur, contrast, "
        "pixelate and JPEG. Severities of two kinds are not equally hard.",
        (plots.corruption_curves(panels), words),
        falls(answers),
        "A calibrated network would show the calibration error of the curve with that "
        "name: so much do bins scatter on as few images.",
    ]
    numbers = {"accuracy": accuracy, "ece": errors, "calibrated": curves["calibrated"]}
    return Section("Damaged pictures", parts, numbers)


def forecast_damage(subject: Subject) -> float:
    """Return the seconds that `damage` will take, from a few pictures of each kind."""
    index = subject.sample(DAMAGED)
    few, started = index[:TRIED], time.perf_counter()
    labels = subject.splits.test.labels[few]
    for kind in CORRUPTIONS:
        pictures = corrupt(subject.pictures(few), kind, SEVERITIES[-1])
        subject.classifier.ask(Split(pictures, labels))
    corrupting = (time.perf_counter() - started) / len(few) * len(index)
    started = time.perf_counter()
    test = subject.test
    calibration.calibration_test(test.probabilities[index], test.labels[index])
    testing = (time.perf_counter() - started) * len(CORRUPTIONS)
    return len(SEVERITIES) * (corrupting + testing)


def falls(answers: dict[str, list[Evaluation]]) -> str:
    """Write accuracies, and by how much that of the strongest damage is lower."""
    pairs = {kind: (row[0].right, row[-1].right) for kind, row in answers.items()}
    header = ["accuracy, %", "as it is", *(f"severity {s}" for s in SEVERITIES)]
    rows = []
    for kind, fall in effects(pairs).items():
        shares = [f"{100 * each.accuracy:.1f}" for each in answers[kind]]
        rows.append([kind, *shares, fall.written()])
    return markdown_table([*header, "fall, points (95 %)"], rows)
