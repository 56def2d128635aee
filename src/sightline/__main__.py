"""The command line: `sightline train`, `lr-find`, `evaluate`, `explain`, `book`."""

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from sightline.errors import SightlineError
from sightline.recipes import RECIPES, Recipe, describe_fields, find_recipe

__all__ = ["main"]

console = Console()
INTERRUPTED = 130  # exit status that shells give to Ctrl-C


def recipe_options(command: Callable) -> Callable:
    """Add one option for every field of a recipe."""
    for name, (kind, meaning) in reversed(describe_fields().items()):
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, type=kind, default=None, help=meaning)(command)
    return command


def data_options(command: Callable) -> Callable:
    """Add the options that name pictures and machine."""
    options = (
        click.option(
            "--data",
            default="cifar10",
            show_default=True,
            help="cifar10, shapes, or a folder of pictures",
        ),
        click.option("--limit", type=int, help="training images at most"),
        click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps"),
        click.option("--precision", default="auto", help="auto, fp32 or bf16"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def chosen_recipe(name: str, overrides: dict) -> Recipe:
    """Return recipe `name` with the fields that were given on the command line."""
    given = {key: value for key, value in overrides.items() if value is not None}
    return replace(find_recipe(name), **given)


class Commands(click.Group):
    """A group whose commands end in one clear line when something is wrong."""

    def invoke(self, context: click.Context):
        """Run the command; turn expected errors into a message and a status."""
        try:
            return super().invoke(context)
        except SightlineError as error:
            click.secho(f"sightline: {error}", fg="red", err=True)
            context.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline")
def main() -> None:
    """Train a ResNet, then see what it sees.

    First run: sightline train resnet10 --data shapes --out runs/first
    """


@main.command(name="recipes")
@click.option("--json", "as_json", is_flag=True, help="print all fields as JSON")
def list_recipes(as_json: bool) -> None:
    """List the recipes, field by field where they differ."""
    if as_json:
        click.echo(json.dumps({n: asdict(r) for n, r in RECIPES.items()}, indent=2))
        return
    table = Table("field", *RECIPES)
    for name, (_, meaning) in describe_fields().items():
        values = [str(getattr(recipe, name)) for recipe in RECIPES.values()]
        style = "bold" if len(set(values)) > 1 else "dim"
        table.add_row(f"{name}\n[dim]{meaning}[/dim]", *values, style=style)
    console.print(table)


@main.command()
@click.argument("recipe", default="resnet18")
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="run folder")
@click.option("--resume", is_flag=True, help="go on with the run in --out")
@click.option("--tensorboard", is_flag=True, help="also write TensorBoard scalars")
@recipe_options
def train(
    recipe: str,
    data: str,
    limit: int | None,
    device: str,
    precision: str,
    out: Path | None,
    resume: bool,
    tensorboard: bool,
    **overrides,
) -> None:
    """Train RECIPE (default: resnet18) and keep the run in a folder."""
    from sightline.datasets import load
    from sightline.train import train as train_recipe

    chosen = chosen_recipe(recipe, overrides)
    splits = load(data, seed=chosen.seed).limited(limit, seed=chosen.seed)
    out = out or Path("runs") / f"{recipe}-{splits.name}"
    command = f"sightline train {' '.join(sys.argv[2:])}".rstrip()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        run = train_recipe(
            chosen,
            splits,
            out=out,
            resume=resume,
            device=device,
            precision=precision,
            tensorboard=tensorboard,
        )
    except KeyboardInterrupt:
        again = command if resume else f"{command} --resume"
        click.secho(f"\ninterrupted; go on with: {again}", fg="yellow", err=True)
        sys.exit(INTERRUPTED)
    test = run.manifest["test"]
    console.print(
        f"test accuracy {test['accuracy']:.2%} (best epoch "
        f"{run.manifest['best_epoch']} by validation), run in {run.path}"
    )
    console.print(f"next: sightline evaluate {run.path} --data {data}", highlight=False)


@main.command(name="lr-find")
@click.argument("recipe", default="resnet18")
@data_options
@click.option("--start-lr", default=1e-5, show_default=True, help="first rate")
@click.option("--end-lr", default=10.0, show_default=True, help="last rate")
@click.option("--num-iter", default=100, show_default=True, help="updates a test")
@click.option("--seeds", default=3, show_default=True, help="range tests to run")
@click.option("--plot", type=click.Path(path_type=Path), help="write the curves here")
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
    **overrides,
) -> None:
    """Run the LR range test for RECIPE: four rules, each over several seeds."""
    from sightline.datasets import load
    from sightline.lr_finder import suggest_range
    from sightline.runtime import choose_runtime
    from sightline.train import range_tests

    chosen = chosen_recipe(recipe, overrides)
    splits = load(data, seed=chosen.seed).limited(limit, seed=chosen.seed)
    tests = range_tests(
        chosen,
        splits,
        choose_runtime(device, precision),
        seeds=range(seeds),
        start_lr=start_lr,
        end_lr=end_lr,
        num_iter=num_iter,
    )
    ranges = suggest_range(tests)
    if plot:
        from sightline import plots

        plots.save(plots.lr_curves(tests), plot)
    if as_json:
        click.echo(json.dumps({name: list(values) for name, values in ranges.items()}))
        return
    table = Table("rule", "lowest", "median", "highest", title=f"{recipe}, {data}")
    for name, values in ranges.items():
        table.add_row(name, *(f"{value:.2g}" for value in values))
    console.print(table)
    median = ranges["valley"][1]
    console.print(f"next: sightline train {recipe} --data {data} --max-lr {median:.2g}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@data_options
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="print the numbers as JSON")
def evaluate(
    run: Path,
    data: str,
    limit: int | None,
    device: str,
    precision: str,
    split: str,
    as_json: bool,
) -> None:
    """Evaluate the best weights of RUN on one split, class by class."""
    from sightline.checkpoint import Run
    from sightline.datasets import load
    from sightline.metrics import confusion_matrix, per_class_accuracy
    from sightline.runtime import choose_runtime
    from sightline.train import evaluate_run

    opened = Run.open(run)
    splits = load(data, seed=opened.recipe["seed"]).limited(
        limit, seed=opened.recipe["seed"]
    )
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
    console.print(table)
    console.print(f"loss {evaluation.loss:.4f} over {len(evaluation.labels)} images")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("image", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", default="grad_cam", show_default=True)
@click.option(
    "--layer", "layers", multiple=True, default=["layer4"], show_default=True
)
@click.option("--target", default="predicted", show_default=True, help="or a class")
@click.option("--out", default="explanations", type=click.Path(path_type=Path))
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
def explain(
    run: Path,
    image: tuple[Path, ...],
    method: str,
    layers: tuple[str, ...],
    target: str,
    out: Path,
    device: str,
) -> None:
    """Show where RUN looks in any IMAGE from disk: one figure per picture."""
    from sightline.checkpoint import Run

    opened = Run.open(run)
    model = opened.load_model()
    out.mkdir(parents=True, exist_ok=True)
    for path in image:
        figure_path, line = explain_file(
            opened, model, path, method, layers, target, out, device
        )
        console.print(f"{path}: {line} → {figure_path}", highlight=False)


@main.group()
def book() -> None:
    """Execute the chapters, build the site, check both."""
