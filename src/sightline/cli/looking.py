"""Commands that look: evaluate, compare, report, summary."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sightline.cli.group import console, main, notes
from sightline.cli.options import PATH, opened, run_data_options

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from torch import nn

    from sightline.measures.evaluation import Evaluation


@main.command()
@click.argument("run", type=PATH)
@run_data_options
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="print the numbers as JSON")
def evaluate(
    run: Path,
    data: str | None,
    limit: int | None,
    device: str,
    precision: str,
    split: str,
    as_json: bool,
) -> None:
    """Evaluate the best weights of RUN on one split, class by class."""
    _, splits, classifier = opened(run, data, limit, device, precision)
    evaluation = classifier.ask(getattr(splits, split))
    scores = scores_of(evaluation, classifier.classes)
    if as_json:
        about = {"run": str(run), "data": splits.name, "digest": splits.digest}
        click.echo(json.dumps({**about, "split": split, **scores}, indent=2))
    else:
        print_scores(scores, f"{run} on {splits.name}, {split}")


def scores_of(evaluation: "Evaluation", classes: Sequence[str]) -> dict[str, Any]:
    """Return accuracy and loss, of all pictures and of each class."""
    from sightline.measures.metrics import (
        balanced_accuracy,
        confusion_matrix,
        per_class_accuracy,
    )

    labels = evaluation.labels
    confusion = confusion_matrix(labels, evaluation.predictions, len(classes))
    accuracies = per_class_accuracy(confusion).tolist()
    return {
        "images": len(labels),
        "accuracy": evaluation.accuracy,
        "balanced_accuracy": balanced_accuracy(confusion),
        "loss": evaluation.loss,
        "per_class": dict(zip(classes, accuracies, strict=True)),
        "confusion": confusion.tolist(),
    }


def print_scores(scores: dict[str, Any], title: str) -> None:
    """Print the accuracy of each class and of all, and the loss."""
    table = Table("class", "accuracy", title=title)
    for name, accuracy in scores["per_class"].items():
        table.add_row(name, f"{accuracy:.2%}")
    table.add_section()
    table.add_row("all", f"{scores['accuracy']:.2%}", style="bold")
    table.add_row("mean of classes", f"{scores['balanced_accuracy']:.2%}")
    console.print(table)
    console.print(f"loss {scores['loss']:.4f} over {scores['images']} images")


@main.command()
@click.argument("run", nargs=-1, type=PATH)
@click.option("--out", type=PATH, help="folder for a page and its figures")
@click.option("--json", "as_json", is_flag=True, help="print everything as JSON")
def compare(run: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Set two or more RUNs side by side; the first is the reference."""
    from sightline.reports.comparison import compare as compare_runs
    from sightline.reports.comparison_page import write
    from sightline.reports.tables import text_table
    from sightline.training.run import Run

    comparison = compare_runs([Run(path) for path in run])
    if as_json:
        click.echo(json.dumps(comparison.as_json(), indent=2))
    else:
        console.print(text_table(*comparison.table(), width=console.width))
        header, differences = comparison.recipe_table()
        if differences:
            console.print(text_table(header, differences, width=console.width))
        for sentence in comparison.sentences():
            console.print(sentence)
    if out:
        for file in write(comparison, out):
            notes.print(f"written: {file}")


@main.command()
@click.argument("run", type=PATH)
@run_data_options
@click.option("--out", type=PATH, help="folder for the report  [default: RUN/report]")
def report(
    run: Path,
    data: str | None,
    limit: int | None,
    device: str,
    precision: str,
    out: Path | None,
) -> None:
    """Write down what RUN gets wrong, and whether its heatmaps can be believed."""
    from sightline.reports.report import write_report
    from sightline.reports.subject import Subject

    subject = Subject(*opened(run, data, limit, device, precision))
    page, *_ = write_report(subject, out or run / "report", say=console.print)
    console.print(f"the report: {page}\nlook at it: open it in a browser")


@main.command()
@click.argument("network")
@click.option("--image-size", type=int, help="side of the pictures  [default: its own]")
@click.option(
    "--depth",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="levels of parts in parts",
)
@click.option("--plot", type=PATH, help="draw the network here")
def summary(
    network: str, image_size: int | None, depth: int, plot: Path | None
) -> None:
    """Show what NETWORK is made of, part by part.

    NETWORK is a model of ours such as resnet18, the folder of a run, or names any other
    as module:attribute.
    """
    from sightline.models.summary import describe_stages

    model, size = network_of(network, image_size)
    stages = describe_stages(model, size, depth)
    columns = ("part", "made of", "output", "parameters", "sees, px", "stride, px")
    table = Table(*columns, title=f"{network}, pictures of {size}×{size} pixels")
    for stage in stages:
        shape = "×".join(map(str, stage.shape))
        field = "" if stage.field is None else str(stage.field)
        stride = "" if stage.stride is None else str(stage.stride)
        numbers = (f"{stage.parameters:,}", field, stride)
        table.add_row(stage.name, stage.kind, shape, *numbers)
    console.print(table)
    total = sum(p.numel() for p in model.parameters())
    console.print(f"{total:,} parameters")
    if plot:
        from sightline import plots

        plots.save(plots.network(stages, size), plot)


def network_of(name: str, image_size: int | None) -> tuple["nn.Module", int]:
    """Return a network on the CPU, and the side of its pictures."""
    from sightline.models import MODELS, build_model
    from sightline.training.classifier import (
        IMAGENET_SIZE,
        from_module,
        require_size,
    )
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    if image_size is not None:
        require_size(image_size)
    if name in MODELS:
        size = image_size or 32
        return build_model(name, num_classes=10, image_size=size), size
    if ":" in name and not Path(name).exists():
        size = image_size or IMAGENET_SIZE
        runtime = choose_runtime("cpu", "fp32")
        return from_module(name, runtime=runtime, image_size=size).model, size
    run = Run.open(name)
    return run.load_model(), image_size or run.manifest["image_size"]
