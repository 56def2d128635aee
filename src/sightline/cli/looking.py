"""The command line: `sightline train`, `lr-find`, `evaluate`, `compare`, and more."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from sightline.cli.group import (
    console,
    main,
)
from sightline.cli.options import (
    pictures_for,
    run_data_options,
)
from sightline.errors import DataError, SightlineError

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.training.classifier import Classifier
    from sightline.training.runtime import Runtime


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
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
    from sightline.measures.metrics import (
        balanced_accuracy,
        confusion_matrix,
        per_class_accuracy,
    )
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    classifier = opened.classifier(choose_runtime(device, precision))
    classifier.refuse_other_classes(splits)
    evaluation = classifier.ask(getattr(splits, split))
    confusion = confusion_matrix(
        evaluation.labels, evaluation.predictions, len(opened.classes)
    )
    accuracies = per_class_accuracy(confusion).tolist()
    if as_json:
        numbers = {
            "run": str(run),
            "data": splits.name,
            "digest": splits.digest,
            "split": split,
            "images": len(evaluation.labels),
            "accuracy": evaluation.accuracy,
            "balanced_accuracy": balanced_accuracy(confusion),
            "loss": evaluation.loss,
            "per_class": dict(zip(opened.classes, accuracies, strict=True)),
            "confusion": confusion.tolist(),
        }
        click.echo(json.dumps(numbers, indent=2))
        return
    table = Table("class", "accuracy", title=f"{run} on {splits.name}, {split}")
    for name, accuracy in zip(opened.classes, accuracies, strict=True):
        table.add_row(name, f"{accuracy:.2%}")
    table.add_section()
    table.add_row("all", f"{evaluation.accuracy:.2%}", style="bold")
    table.add_row("mean of classes", f"{balanced_accuracy(confusion):.2%}")
    console.print(table)
    console.print(f"loss {evaluation.loss:.4f} over {len(evaluation.labels)} images")


@main.command()
@click.argument("run", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="folder for a page and its figures"
)
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
        width = console.width
        console.print(text_table(*comparison.table(), width=width))
        header, differences = comparison.recipe_table()
        if differences:
            console.print(text_table(header, differences, width=width))
        for sentence in comparison.sentences():
            console.print(sentence, highlight=False, markup=False)
    if out:
        for file in write(comparison, out):
            click.echo(f"written: {file}", err=True)


@main.command()
@click.argument("run")
@click.argument("image", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--method",
    default="grad_cam",
    show_default=True,
    help="grad_cam, hires_cam, layer_cam, grad_cam_plus_plus, x_grad_cam, eigen_cam, "
    "score_cam or ablation_cam; the last two take seconds per picture",
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
@click.option("--against", help="predicted, or a class whose evidence is subtracted")
@click.option(
    "--out",
    default="explanations",
    show_default=True,
    type=click.Path(path_type=Path),
    help="folder for the figures",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@click.option("--weights", type=click.Path(path_type=Path), help="of module:attribute")
@click.option(
    "--classes", type=click.Path(path_type=Path), help="their names, one a line"
)
@click.option("--image-size", type=int, help="of module:attribute  [default: 224]")
@click.option("--mean", type=float, nargs=3, help="colour  [default: ImageNet's]")
@click.option("--std", type=float, nargs=3, help="colour  [default: ImageNet's]")
def explain(
    run: str,
    image: tuple[Path, ...],
    method: str,
    layers: tuple[str, ...],
    target: str,
    against: str | None,
    out: Path,
    device: str,
    **description: object,
) -> None:
    """Show where a network finds its evidence in each IMAGE: one figure per picture.

    RUN is the folder of a run, or names any other network as module:attribute, such as
    torchvision.models:resnet18; the options from --weights on describe that one.
    """
    from sightline.heatmaps.layers import default_layers
    from sightline.training.runtime import choose_runtime

    options = {key: value for key, value in description.items() if value is not None}
    classifier = classifier_of(run, choose_runtime(device, "fp32"), options)
    classes = classifier.classes
    for flag, name in (("--target", target), ("--against", against)):
        if name not in (None, "predicted", *classes):
            known = ", ".join(classes[:20]) + ", ..." * (len(classes) > 20)
            raise SightlineError(
                f"unknown {flag} {name!r}; predicted, or one of {known}"
            )
    question = {
        "layers": layers or default_layers(classifier.model, classifier.image_size),
        "targets": class_number(target, classes),
        "against": class_number(against, classes),
        "method": method,
    }
    failed = 0
    for path in image:
        try:
            line = explain_picture(classifier, path, out, question)
            console.print(line, highlight=False)
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


def class_number(name: str | None, classes: Sequence[str]) -> int | str | None:
    """Return the number of a class; what is no class stays as it is."""
    return classes.index(name) if name in classes else name


def explain_picture(
    classifier: "Classifier", path: Path, out: Path, question: dict
) -> str:
    """Write the figure of one picture; return a line with the answer."""
    import torch

    from sightline import plots
    from sightline.data.pictures import read_picture
    from sightline.heatmaps.explain import explain as explain_images

    model, classes = classifier.model, classifier.classes
    pixels, _ = read_picture(path, classifier.image_size)
    pictures = torch.from_numpy(pixels.copy())[None]
    images = classifier.normalise(pictures)
    with torch.inference_mode():
        probabilities = model(images).softmax(1)[0]
    maps = explain_images(model, images, **question)
    confidence, predicted = probabilities.max(0)
    answer = f"{classes[predicted]} {confidence:.1%}"
    figure = plots.heatmaps(pictures, maps, titles=[answer], classes=classes)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{path.stem}-{question['method']}.png"
    plots.save(figure, file)
    blank = [layer for layer, of_one in maps.items() if of_one.status[0] != "ok"]
    remark = f" (no map at {', '.join(blank)})" if blank else ""
    return f"{path}: {answer}{remark} → {file}"


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@run_data_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="folder for the report  [default: RUN/report]",
)
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
    click.echo(f"the report: {page}\nlook at it: open it in a browser")
