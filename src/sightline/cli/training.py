"""Commands that train: recipes, train, lr-find."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sightline.cli.group import console, main, print_next, resumable
from sightline.cli.options import (
    PATH,
    chosen_recipe,
    data_options,
    pictures_of,
    recipe_options,
)
from sightline.errors import SightlineError
from sightline.training.recipe import Recipe, describe_fields, variant
from sightline.training.recipes import RECIPES, find_recipe

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.data.split import Splits
    from sightline.training.lr_finder import RangeTest
    from sightline.training.run import Run


@main.command(name="recipes")
@click.argument("names", nargs=-1, metavar="[RECIPE]...")
@click.option("--json", "as_json", is_flag=True, help="print all fields as JSON")
def list_recipes(names: tuple[str, ...], as_json: bool) -> None:
    """List the recipes, or show where each RECIPE named differs from the others.

    One name alone is compared with resnet18.
    """
    chosen = [find_recipe(name) for name in names] or list(RECIPES.values())
    if as_json:
        click.echo(json.dumps({r.name: asdict(r) for r in chosen}, indent=2))
        return
    if names:
        others = [] if len(chosen) > 1 else [find_recipe("resnet18")]
        print_differences([*chosen, *others])
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("recipe", "model", "epochs", "batch", "max_lr", "result"):
        table.add_column(name, no_wrap=True)
    for r in chosen:
        published = "" if r.reported is None else f"{r.reported:.2%}"
        numbers = (str(r.epochs), str(r.batch_size), f"{r.optimizer} {r.max_lr:.2g}")
        table.add_row(r.name, r.model, *numbers, published)
    console.print(table)
    console.print("result: test accuracy as published, where there is one")
    console.print(
        "next: sightline recipes s4-published s4-corrected, "
        "or sightline train resnet10 --data shapes",
    )


def print_differences(recipes: list[Recipe]) -> None:
    """Print the fields that are not the same in all recipes, one line each."""
    table = Table("", *(recipe.name for recipe in recipes), box=None)
    about = ("target", "reported", "protocol", "source")
    for name in (*describe_fields(), *about):
        values = [recipe.flat()[name] for recipe in recipes]
        if len(set(values)) > 1:
            table.add_row(name, *("" if v is None else str(v) for v in values))
    console.print(table)
    for recipe in recipes:
        for repair in recipe.repaired:
            console.print(f"{recipe.name}: {repair}")


@main.command()
@click.argument("recipe", default="resnet18")
@data_options
@click.option("--out", type=PATH, help="run folder")
@click.option("--resume", is_flag=True, help="go on with the run in --out")
@click.option("--peak-epoch", type=float, help="epoch of the peak, for --pct-start")
@click.option("--tensorboard", is_flag=True, help="also write TensorBoard's files")
@click.option(
    "--compile", "compiled", is_flag=True, help="compile first: long GPU runs"
)
@recipe_options
def train(
    recipe: str,
    data: str,
    limit: int | None,
    device: str,
    precision: str,
    out: Path | None,
    resume: bool,
    peak_epoch: float | None,
    tensorboard: bool,
    compiled: bool,
    **overrides: Any,
) -> None:
    """Train RECIPE (default: resnet18) and keep the run in a folder.

    On several GPUs or machines: torchrun --nproc-per-node N -m sightline train …
    """
    from sightline.training.distributed import first_process_first, process_group
    from sightline.training.machine import keep_freed_memory
    from sightline.training.train import train as train_recipe

    keep_freed_memory()
    chosen = with_peak(chosen_recipe(recipe, overrides), peak_epoch, overrides)
    with resumable(*([] if resume else ["--resume"])), process_group():
        with first_process_first():  # it downloads and decodes
            splits = pictures_of(data, chosen, limit)
        run = train_recipe(
            chosen,
            splits,
            out=out or Path("runs") / f"{recipe}-{splits.name}",
            resume=resume,
            device=device,
            precision=precision,
            tensorboard=tensorboard,
            compiled=compiled,
        )
    if os.environ.get("RANK", "0") == "0":  # the first of those torchrun started
        if tensorboard:
            add_pictures(run, splits, device, precision)
        print_result(run, chosen)


def add_pictures(run: "Run", splits: "Splits", device: str, precision: str) -> None:
    """Add the network's graph and its pictures to TensorBoard's files."""
    from sightline.reports import tensorboard
    from sightline.reports.subject import Subject
    from sightline.training.runtime import choose_runtime

    classifier = run.classifier(choose_runtime(device, precision))
    tensorboard.add_pictures(Subject(run, splits, classifier))


def with_peak(recipe: Recipe, epoch: float | None, overrides: dict) -> Recipe:
    """Return `recipe` with the peak of its schedule after a number of epochs."""
    if epoch is None:
        return recipe
    if overrides.get("pct_start") is not None:
        raise SightlineError("--peak-epoch and --pct-start say the same: name one")
    if not 0 <= epoch <= recipe.epochs:
        raise SightlineError(
            f"--peak-epoch must lie in 0..{recipe.epochs}, the epochs of the training, "
            f"not {epoch:g}"
        )
    return variant(recipe, pct_start=epoch / recipe.epochs)


def print_result(run: "Run", recipe: Recipe) -> None:
    """Print all epochs, the result on the test images, and what comes next."""
    from sightline.reports.comparison import target_sentence
    from sightline.reports.tables import epoch_table

    console.print(epoch_table(run.history, watched=recipe.watch))
    test, epoch = run.manifest["test"], run.manifest["best_epoch"]
    best = f"best epoch {epoch} by {recipe.watch}"
    which = f"last epoch {epoch}" if recipe.keep == "last" else best
    console.print(f"test accuracy {test['accuracy']:.2%} ({which}), run in {run.path}")
    if recipe.target is not None:
        console.print(target_sentence(test["accuracy"], recipe.target))
    print_next("evaluate", run.path)


@main.command(name="lr-find")
@click.argument("recipe", default="resnet18")
@data_options
@click.option("--start-lr", default=1e-5, show_default=True, help="first rate")
@click.option("--end-lr", default=10.0, show_default=True, help="last rate")
@click.option("--num-iter", default=100, show_default=True, help="updates a test")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="range tests to run",
)
@click.option("--plot", type=PATH, help="write the curves here")
@click.option("--json", "as_json", is_flag=True, help="print suggestions as JSON")
@recipe_options
def lr_find(
    recipe: str,
    data: str,
    limit: int | None,
    device: str,
    precision: str,
    start_lr: float,
    end_lr: float,
    num_iter: int,
    seeds: int,
    plot: Path | None,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Run the LR range test for RECIPE: what rules read from it, over several seeds."""
    from sightline.training.lr_finder import recommended, spread, suggest_range
    from sightline.training.machine import keep_freed_memory
    from sightline.training.runtime import choose_runtime
    from sightline.training.train import range_tests

    keep_freed_memory()
    chosen = chosen_recipe(recipe, overrides)
    splits = pictures_of(data, chosen, limit)
    tests = range_tests(
        chosen,
        splits,
        choose_runtime(device, precision),
        seeds=range(seeds),
        start_lr=start_lr,
        end_lr=end_lr,
        num_iter=num_iter,
    )
    ranges = {**suggest_range(tests), "recommended": spread(recommended, tests)}
    if as_json:
        click.echo(json.dumps(ranges))
    else:
        print_doubts(tests, ranges, len(splits.classes))
        print_ranges(ranges, recipe, data)
    if plot:  # last, because a full disk must not cost the answer
        plot_curves(tests, plot)


def plot_curves(tests: Sequence["RangeTest"], file: Path) -> None:
    """Draw the curves of range tests, with what each rule suggests."""
    from sightline import plots
    from sightline.training.lr_finder import suggest

    plots.save(plots.lr_curves(tests, [suggest(test) for test in tests]), file)


def print_ranges(
    ranges: Mapping[str, tuple[float, ...]], recipe: str, data: str
) -> None:
    """Print what each rule suggests, over the seeds, and how to train with it."""
    columns = ("rule", "lowest", "median", "highest")
    table = Table(*columns, title=f"{recipe}, {data}")
    for name, values in ranges.items():
        table.add_row(name, *(f"{value:.2g}" for value in values))
    console.print(table)
    max_lr = f"{ranges['recommended'][1]:.2g}"
    print_next("train", recipe, "--data", data, "--max-lr", max_lr)


def print_doubts(
    tests: Sequence["RangeTest"],
    ranges: Mapping[str, tuple[float, ...]],
    num_classes: int,
) -> None:
    """Warn where a range test says little: no real fall, or no clear descent."""
    from sightline.training.lr_finder import doubts

    for doubt in doubts(tests, ranges, num_classes):
        console.print(f"note: {doubt}")
