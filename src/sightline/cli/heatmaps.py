"""Commands about heatmaps: explain, trust."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightline.cli.group import console, main, notes
from sightline.cli.options import PATH, network_options, opened, run_data_options
from sightline.errors import DataError, SightlineError

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.training.classifier import Classifier
    from sightline.training.runtime import Runtime

METHODS = (  # those of sightline.heatmaps, which need torch
    *("grad_cam", "hires_cam", "layer_cam", "grad_cam_plus_plus", "x_grad_cam"),
    *("eigen_cam", "score_cam", "ablation_cam"),
)
LAYERS = click.option(
    "--layer",
    "layers",
    multiple=True,
    help="may be given several times; without it, the last two that give maps",
)


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
@LAYERS
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
@click.option(
    "--opacity",
    type=click.FloatRange(0, 1),
    default=0.6,
    show_default=True,
    help="of the heatmap over the picture: 0 leaves the grey picture, 1 hides it",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@network_options
def explain(
    run: str,
    image: tuple[Path, ...],
    method: str,
    layers: tuple[str, ...],
    target: str,
    against: str,
    out: Path,
    opacity: float,
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
            _, words = explain_picture(
                classifier, path, out, opacity=opacity, **question
            )
            console.print(words)
        except DataError as error:  # one bad picture does not end the others
            notes.print(f"sightline: {error}", style="red")
            failed += 1
    if failed:
        sys.exit(1)


def classifier_of(name: str, runtime: "Runtime", options: dict) -> "Classifier":
    """Open a run folder, or build the network that `module:attribute` names."""
    from sightline.training.classifier import from_module
    from sightline.training.run import Run

    if ":" in name and not Path(name).exists():
        if "weights" not in options:
            notes.print(f"note: {name} as it is made, no --weights given")
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
@LAYERS
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
    from sightline.files import claim, write_json
    from sightline.heatmaps.trust import trust as judge
    from sightline.reports.heatmap_trust import card_tables, sentences
    from sightline.reports.tables import text_table

    _, splits, classifier = opened(run, data, limit, device, precision)
    asked: dict[str, Any] = {name: values for name, values in chosen.items() if values}
    asked["against"] = subtracted(against, classifier.classes)
    card = judge(classifier, splits.test, pictures=pictures, **asked)
    for table in card_tables(card):
        console.print(text_table(*table, width=console.width))
    for sentence in sentences(card):
        console.print(sentence)
    if out:
        claim(out, "trust")
        write_json(out / "trust.json", {"run": str(run), **card.as_json()})
        notes.print(f"written: {out / 'trust.json'}")
