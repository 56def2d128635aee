"""Commands that look at runs: evaluate, compare, explain, trust, report."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sightline.cli.group import console, main, print_line
from sightline.cli.options import PATH, pictures_for, run_data_options
from sightline.errors import DataError, SightlineError

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.measures.evaluation import Evaluation
    from sightline.training.classifier import Classifier
    from sightline.training.runtime import Runtime

METHODS = (  # those of sightline.heatmaps, which need torch
    *("grad_cam", "hires_cam", "layer_cam", "grad_cam_plus_plus", "x_grad_cam"),
    *("eigen_cam", "score_cam", "ablation_cam"),
)


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
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    classifier = opened.classifier(choose_runtime(device, precision))
    classifier.refuse_other_classes(splits)
    evaluation = classifier.ask(getattr(splits, split))
    scores = scores_of(evaluation, opened.classes)
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
            console.print(sentence, highlight=False, markup=False)
    if out:
        for file in write(comparison, out):
            click.echo(f"written: {file}", err=True)


@main.command()
@click.argument("run")
@click.argument("image", nargs=-1, required=True, type=PATH)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="grad_cam",
    show_default=True,
    help="the last two take seconds per picture",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="may be given several times; without it, the last two that give maps",
)
@click.option(
    "--target", default="predicted", show_default=True, help="predicted, or a class"
)
@click.option(
    "--against",
    default="rest",
    show_default=True,
    help="whose evidence is subtracted: that of the rest (all other classes, each by "
    "its probability), of nothing (the method as published), of predicted or a class",
)
@click.option(
    "--out",
    default="explanations",
    show_default=True,
    type=PATH,
    help="folder for the figures",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@click.option("--weights", type=PATH, help="of module:attribute")
@click.option("--classes", type=PATH, help="their names, one a line")
@click.option("--image-size", type=int, help="of module:attribute  [default: 224]")
@click.option("--mean", type=float, nargs=3, help="colour  [default: ImageNet's]")
@click.option("--std", type=float, nargs=3, help="colour  [default: ImageNet's]")
def explain(
    run: str,
    image: tuple[Path, ...],
    method: str,
    layers: tuple[str, ...],
    target: str,
    against: str,
    out: Path,
    device: str,
    **description: object,
) -> None:
    """Show where a network finds its evidence in each IMAGE: one figure per picture.

    RUN is the folder of a run, or names any other network as module:attribute, such as
    torchvision.models:resnet18; the options from --weights on describe that one.
    """
    from sightline.heatmaps.layers import default_layers
    from sightline.reports.picture import explain_picture
    from sightline.training.runtime import choose_runtime

    options = {key: value for key, value in description.items() if value is not None}
    classifier = classifier_of(run, choose_runtime(device, "fp32"), options)
    question: dict[str, Any] = {
        "layers": layers or default_layers(classifier.model, classifier.image_size),
        "targets": class_number("--target", target, classifier.classes),
        "against": subtracted(against, classifier.classes),
        "method": method,
    }
    failed = 0
    for path in image:
        try:
            print_line(explain_picture(classifier, path, out, **question))
        except DataError as error:  # one bad picture does not end the others
            click.secho(f"sightline: {error}", fg="red", err=True)
            failed += 1
    if failed:
        sys.exit(1)


def classifier_of(name: str, runtime: "Runtime", options: dict) -> "Classifier":
    """Open a run folder, or build the network that `module:attribute` names."""
    from sightline.training.classifier import from_module
    from sightline.training.run import Run

    if ":" in name and not Path(name).exists():
        if "weights" not in options:
            click.secho(f"note: {name} as it is made, no --weights given", err=True)
        return from_module(name, runtime=runtime, **options)
    if options:
        flags = ", ".join("--" + key.replace("_", "-") for key in options)
        raise SightlineError(
            f"{flags} describes a network given as module:attribute; {name} is a run "
            "folder and knows its own"
        )
    return Run.open(name).classifier(runtime)


def subtracted(name: str, classes: Sequence[str]) -> int | str | None:
    """Return what `--against` names; a class of that name comes first."""
    if name not in classes and name in ("rest", "nothing"):
        return None if name == "nothing" else name
    return class_number("--against", name, classes, "rest, nothing, ")


def class_number(
    flag: str, name: str, classes: Sequence[str], others: str = ""
) -> int | str:
    """Return the number of a class; "predicted" stays as it is."""
    if name == "predicted":
        return name
    if name not in classes:
        known = ", ".join(classes[:20]) + ", ..." * (len(classes) > 20)
        raise SightlineError(
            f"unknown {flag} {name!r}; {others}predicted, or one of {known}"
        )
    return classes.index(name)


@main.command()
@click.argument("run", type=PATH)
@run_data_options
@click.option("--pictures", default=100, show_default=True, help="that it recognises")
@click.option(
    "--method",
    "methods",
    multiple=True,
    type=click.Choice(METHODS[:-2]),
    help="may be given several times; without it, all that are listed",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="may be given several times; without it, the last two that give maps",
)
@click.option("--against", default="rest", show_default=True, help="as of explain")
@click.option("--out", type=PATH, help="folder for the numbers, trust.json")
def trust(
    run: Path,
    data: str | None,
    limit: int | None,
    device: str,
    precision: str,
    pictures: int,
    against: str,
    out: Path | None,
    **chosen: tuple[str, ...],
) -> None:
    """Judge the heatmaps of RUN by one protocol, beside maps that know nothing."""
    from sightline.files import write_json
    from sightline.heatmaps.trust import trust as judge
    from sightline.reports.heatmap_trust import card_tables, sentences
    from sightline.reports.tables import text_table
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    classifier = opened.classifier(choose_runtime(device, precision))
    classifier.refuse_other_classes(splits)
    asked: dict[str, Any] = {name: values for name, values in chosen.items() if values}
    asked["against"] = subtracted(against, classifier.classes)
    card = judge(classifier, splits.test, pictures=pictures, **asked)
    for table in card_tables(card):
        console.print(text_table(*table, width=console.width))
    for sentence in sentences(card):
        console.print(sentence, highlight=False, markup=False)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "trust.json", {"run": str(run), **card.as_json()})
        click.echo(f"written: {out / 'trust.json'}", err=True)


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
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    classifier = opened.classifier(choose_runtime(device, precision))
    subject = Subject(opened, splits, classifier)
    page, _ = write_report(subject, out or run / "report", say=click.echo)
    print_line(f"the report: {page}\nlook at it: open it in a browser")
