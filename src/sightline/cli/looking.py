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
from sightline.training.recipe import Recipe

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.heatmaps.classifier import Classifier


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
    from sightline.training.train import evaluate_run

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    runtime = choose_runtime(device, precision)
    evaluation = evaluate_run(opened, splits, split, runtime)
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
    from sightline.reports import comparison
    from sightline.reports.tables import text_table
    from sightline.training.run import Run

    recipes = [Recipe.from_json(Run(path).recipe).flat() for path in run]
    found = comparison.compare(run, recipes)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        width = console.width
        console.print(text_table(*comparison.overview(found), width=width))
        header, differences = comparison.difference_table(found)
        if differences:
            console.print(text_table(header, differences, width=width))
        for sentence in comparison.sentences(found):
            console.print(sentence, highlight=False, markup=False)
    if out:
        for file in comparison.write(found, out):
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
    **given: object,
) -> None:
    """Show where a network finds its evidence in each IMAGE: one figure per picture.

    RUN is the folder of a run, or names any other network as module:attribute, such as
    torchvision.models:resnet18; the options from --weights on describe that one.
    """
    from sightline.heatmaps.layers import default_layers
    from sightline.training.runtime import choose_runtime

    found = classifier_of(run, {k: v for k, v in given.items() if v is not None})
    for flag, name in (("--target", target), ("--against", against)):
        if name not in (None, "predicted", *found.classes):
            known = ", ".join(found.classes[:20]) + ", ..." * (len(found.classes) > 20)
            raise SightlineError(
                f"unknown {flag} {name!r}; predicted, or one of {known}"
            )
    model = choose_runtime(device, "fp32").place(found.model)
    asked = {
        "layers": layers or default_layers(model, found.image_size),
        "targets": class_number(target, found.classes),
        "against": class_number(against, found.classes),
        "method": method,
    }
    failed = 0
    for path in image:
        try:
            console.print(explain_picture(found, path, out, asked), highlight=False)
        except DataError as error:  # one bad picture does not end the others
            click.secho(f"sightline: {error}", fg="red", err=True)
            failed += 1
    if failed:
        sys.exit(1)


def classifier_of(name: str, given: dict) -> "Classifier":
    """Open a run folder, or build the network that `module:attribute` names."""
    from sightline.heatmaps import classifier
    from sightline.training.run import Run

    if ":" in name and not Path(name).exists():
        if "weights" not in given:
            click.secho(f"note: {name} as it is made, no --weights given", err=True)
        return classifier.from_module(name, **given)
    if given:
        flags = ", ".join("--" + key.replace("_", "-") for key in given)
        raise SightlineError(
            f"{flags} describes a network given as module:attribute; {name} is a run "
            "folder and knows its own"
        )
    return classifier.from_run(Run.open(name))


def class_number(name: str | None, classes: Sequence[str]) -> int | str | None:
    """Return the number of a class; what is no class stays as it is."""
    return classes.index(name) if name in classes else name


def explain_picture(
    classifier: "Classifier", path: Path, out: Path, asked: dict
) -> str:
    """Write the figure of one picture; return the line that says what was found."""
    import torch

    from sightline import plots
    from sightline.data.augment import normalise_uint8
    from sightline.data.pictures import read_picture
    from sightline.heatmaps.explain import explain as explain_images

    model, classes = classifier.model, classifier.classes
    pixels, _ = read_picture(path, classifier.image_size)
    images = torch.from_numpy(pixels.copy())[None]
    device = next(model.parameters()).device
    batch = normalise_uint8(images.to(device), classifier.mean, classifier.std)
    with torch.inference_mode():
        probabilities = model(batch).softmax(1)[0]
    maps = explain_images(model, batch, **asked)
    confidence, predicted = probabilities.max(0)
    said = f"{classes[predicted]} {confidence:.1%}"
    figure = plots.heatmaps(images, maps, titles=[said], classes=classes)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{path.stem}-{asked['method']}.png"
    plots.save(figure, file)
    blank = [name for name, found in maps.items() if found.status[0] != "ok"]
    remark = f" (no map at {', '.join(blank)})" if blank else ""
    return f"{path}: {said}{remark} → {file}"


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
    from sightline.reports.sections import Subject
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    subject = Subject(opened, splits, choose_runtime(device, precision))
    page, _ = write_report(subject, out or run / "report", say=click.echo)
    click.echo(f"the report: {page}\nlook at it: open it in a browser")
