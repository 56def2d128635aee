"""Commands from a folder of pictures to a page: check, all, export."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sightline.cli.group import (
    console,
    main,
    print_next,
    resumable,
)
from sightline.cli.options import (
    PATH,
    choice_or_type,
    chosen_recipe,
    pictures_for,
    recipe_options,
)
from sightline.data.options import Framing, ImageSize
from sightline.files import shell_line
from sightline.training.recipe import describe_fields

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.data.check import FolderCheck


@main.command()
@click.argument("run", type=PATH)
@click.option("--out", type=PATH, required=True, help="folder for the page")
@click.option(
    "--data",
    show_default="those of RUN",
    help="cifar10, shapes, or a folder of pictures: ten, and the accuracy",
)
@click.option("--limit", type=int, help="training images at most; a quarter to test")
@click.option("--bits", default=4, show_default=True, help="a weight, 2 to 8, or 32")
def export(
    run: Path, out: Path, data: str | None, limit: int | None, bits: int
) -> None:
    """Write RUN as a page: the network and its heatmaps, live in any browser."""
    from sightline.export.export import export as export_run
    from sightline.training.run import Run

    opened = Run.open(run)
    splits = pictures_for(opened, data, limit)
    print_export(export_run(opened, splits, out, bits=bits))
    server = ("python", "-m", "http.server", "--bind", "127.0.0.1", "--directory", out)
    console.print(f"the page: {out / 'index.html'}")
    console.print(f"look at it: {shell_line(*server)}, then open http://127.0.0.1:8000")


def print_export(about: dict) -> None:
    """Print what rounding did to the accuracy, and the bytes to transfer."""
    accuracy, sizes = about["accuracy"], about["bytes"]
    table = Table("", "bits a weight", f"accuracy, {accuracy['images']:,} test images")
    table.add_row("as trained", "32", f"{accuracy['before']:.2%}")
    table.add_row("exported", str(about["bits"]), f"{accuracy['after']:.2%}")
    console.print(table)
    layers = " and ".join(
        f"{layer['name']} ({layer['side']}×{layer['side']})"
        for layer in about["layers"]
    )
    console.print(
        f"to transfer: network {sizes['model'] / 1e6:.2f} MB, "
        f"onnxruntime-web {sizes['runtime'] / 1e6:.2f} MB; heatmaps of {layers}",
    )


@main.command()
@click.argument("folder", type=PATH)
@click.option(
    "--image-size",
    type=choice_or_type(ImageSize),
    default=32,
    show_default=True,
    help="pixels: side that the pictures will have",
)
@click.option(
    "--framing",
    type=choice_or_type(Framing),
    default="crop",
    show_default=True,
    help="pictures that are no squares: the middle, or all of it on grey",
)
@click.option("--group", default="", help=describe_fields()["group"][1])
@click.option(
    "--series", "series_file", type=PATH, help="write the proposed series here, a .csv"
)
@click.option("--json", "as_json", is_flag=True, help="print everything as JSON")
def check(
    folder: Path,
    image_size: int,
    framing: Framing,
    group: str,
    series_file: Path | None,
    as_json: bool,
) -> None:
    """Look at every picture of FOLDER for what would spoil a training.

    Ends with status 1 if training makes no sense.
    """
    from sightline.data.check import check_folder
    from sightline.data.datasets import data_folder

    keep_in = data_folder() / "decoded"
    result = check_folder(
        folder,
        image_size=image_size,
        framing=framing,
        group=group,
        series_file=series_file,
        keep_in=keep_in,
    )
    if as_json:
        numbers = {**asdict(result), "trainable": result.trainable}
        click.echo(json.dumps(numbers, indent=2))
    else:
        print_check(result)
        if series_file:
            console.print(f"the series: {series_file}")
    if not result.trainable:
        sys.exit(1)


def print_check(result: "FolderCheck") -> None:
    """Print the counts of a check, its findings, and what to do."""
    from sightline.reports.tables import text_table

    console.print(text_table(*result.table(), width=console.width))
    console.print(result.summary())
    for finding in result.findings:
        colour = "red" if finding.grave else "yellow"
        console.print(f"\n{finding.kind}: ", style=colour, end="")
        console.print("\n  ".join(finding.lines()))
    if result.trainable:
        size, framing = result.advised_size, result.framing
        options = [] if size == 32 else ["--image-size", size]
        options += [] if framing == "crop" else ["--framing", framing]
        options += [] if not result.group else ["--group", result.group]
        console.print()
        print_next("all", result.folder, "--out", "runs/mine", *options)


@main.command(name="all")
@click.argument("folder", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    help="folder for everything; the same command again goes on",
)
@click.option("--recipe", default="folder", show_default=True, help="what to train")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="that the training should take: network, size and epochs follow",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@click.option("--precision", default="auto", help="auto, fp32, tf32 or bf16")
@recipe_options
def do_all(
    folder: Path,
    out: Path,
    recipe: str,
    minutes: float,
    device: str,
    precision: str,
    **overrides: Any,
) -> None:
    """Check FOLDER, find a learning rate, train, look at mistakes, export a demo.

    Every step leaves its result in --out and is not repeated. What of --image-size,
    --model, --epochs and --max-lr is not given is chosen by the pictures, the speed of
    this machine and --minutes.
    """
    from sightline.pipeline import Pipeline, run
    from sightline.training.machine import keep_freed_memory

    keep_freed_memory()
    chosen = chosen_recipe(recipe, overrides)
    fixed = {name for name, value in overrides.items() if value is not None}
    if recipe != "folder":  # any other one names its network
        fixed |= {"image_size", "model"}
    pipeline = Pipeline(
        folder, out, chosen, fixed, minutes, device, precision, say=console.print
    )
    with resumable():
        page = run(pipeline)
    for name, meaning in pipeline.contents().items():
        console.print(f"{name}\n  {meaning}")
    console.print(f"next: open {page} in a browser")
    print_next("review", pipeline.run.path)
