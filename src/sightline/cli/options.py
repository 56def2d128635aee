"""Options that several commands share, and what they stand for."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from sightline.cli.group import notes
from sightline.errors import DataError
from sightline.training.recipe import STARTED, Recipe, describe_fields, variant
from sightline.training.recipes import find_recipe

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.data.split import Splits
    from sightline.training.classifier import Classifier
    from sightline.training.run import Run

PATH = click.Path(path_type=Path)


def recipe_options(command: Callable) -> Callable:
    """Add one option for every field of a recipe."""
    for name, (kind, meaning) in reversed(describe_fields().items()):
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            flag += "/--no-" + name.replace("_", "-")
        value = choice_or_type(kind)
        command = click.option(flag, type=value, default=None, help=meaning)(command)
    return command


def choice_or_type(kind: Any) -> Any:
    """Return what click takes for a type: the choices of a `Literal`."""
    choices = get_args(kind)
    return click.Choice(choices) if choices else kind


def data_options(
    command: Callable, default: str | None = "cifar10", otherwise: str | None = None
) -> Callable:
    """Add the options that name pictures and machine."""
    options = (
        click.option(
            "--data",
            default=default,
            show_default=otherwise or True,
            help="cifar10, shapes, or a folder of pictures",
        ),
        click.option("--limit", type=int, help="training images at most"),
        click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps"),
        click.option("--precision", default="auto", help="auto, fp32, tf32 or bf16"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def network_options(command: Callable) -> Callable:
    """Add the options that describe a network given as module:attribute."""
    size = "of module:attribute  [default: 224]"
    colour = "colour  [default: ImageNet's]"
    options = (
        click.option("--weights", type=PATH, help="of module:attribute"),
        click.option("--classes", type=PATH, help="their names, one a line"),
        click.option("--image-size", type=int, help=size),
        click.option("--mean", type=float, nargs=3, help=colour),
        click.option("--std", type=float, nargs=3, help=colour),
    )
    for option in reversed(options):
        command = option(command)
    return command


def run_data_options(command: Callable) -> Callable:
    """Add the same options to a command that looks at a run."""
    return data_options(command, default=None, otherwise="those of RUN")


def pictures_of(data: str, recipe: Recipe, limit: int | None) -> "Splits":
    """Load the pictures that a recipe is to be trained on."""
    from sightline.data.datasets import load

    splits = load(data, **how_to_load(recipe))
    return splits.limited(limit, seed=recipe.seed)


def how_to_load(recipe: Recipe) -> dict[str, Any]:
    """Return the options of `load` that a recipe decides."""
    names = ("image_size", "framing", "group", "seed")
    return {name: getattr(recipe, name) for name in names}


def pictures_for(run: "Run", data: str | None, limit: int | None) -> "Splits":
    """Load the pictures to look at, without `data` those of the training.

    Says so if they are not the very pictures.
    """
    from sightline.data.datasets import load

    manifest, recipe = run.manifest, run.recipe
    if data is None and limit is None:
        limit = manifest.get("limit")
    how = how_to_load(recipe) | {"image_size": manifest["image_size"]}
    try:
        splits = load(data or source_of(run), **how)
    except DataError as error:
        if data is None or not recipe.group:
            raise
        notes.print(f"note: divided at random, not as {run.path} was: {error}")
        splits = load(data, **how | {"group": ""})
    splits = splits.limited(limit, seed=recipe.seed)
    if splits.digest != manifest["digest"]:
        doubt = (
            "the test pictures are the same ones"
            if splits.test_digest == manifest.get("test_digest")
            else "pictures that trained the network may be among them, and what it "
            "says about those is no test"
        )
        trained = manifest.get("limit")
        if trained not in (None, limit):
            doubt += f"; it was trained with --limit {trained}"
        notes.print(
            f"note: these are not the very pictures of {run.path} (digest "
            f"{splits.digest}, not {manifest['digest']}): {doubt}"
        )
    return splits


def opened(
    run: Path, data: str | None, limit: int | None, device: str, precision: str
) -> "tuple[Run, Splits, Classifier]":
    """Return a run, the pictures to look at, and the network that can be asked.

    Raises:
        SightlineError: if the pictures have other classes than the network.
    """
    from sightline.training.run import Run
    from sightline.training.runtime import choose_runtime

    trained = Run.open(run)
    splits = pictures_for(trained, data, limit)
    classifier = trained.classifier(choose_runtime(device, precision))
    classifier.refuse_other_classes(splits)
    return trained, splits, classifier


def source_of(run: "Run") -> str:
    """Return the name or the folder of the pictures that a run was trained on."""
    name, source = run.manifest["data"], run.manifest.get("source")
    if not source and name in ("cifar10", "shapes"):  # older runs know a name alone
        return name
    if not source:
        raise DataError(
            f"{run.path} was trained on {name!r}, whose place is not known; name it "
            "with --data PATH"
        )
    if source not in ("cifar10", "shapes") and not Path(source).is_dir():
        raise DataError(
            f"{run.path} was trained on the pictures in {source}, but that folder is "
            "gone; name where they are now with --data PATH"
        )
    return source


def chosen_recipe(name: str, overrides: dict) -> Recipe:
    """Return recipe `name` with the fields that were named on the command line.

    `--start` alone means the network that has such weights.
    """
    changes = {key: value for key, value in overrides.items() if value is not None}
    if changes.get("start", "scratch") != "scratch":
        changes = {"model": STARTED[changes["start"]], **changes}
    if changes.get("group", "").lower().endswith(".csv"):  # wherever it is read again
        changes["group"] = str(Path(changes["group"]).expanduser().resolve())
    return variant(find_recipe(name), **changes)
