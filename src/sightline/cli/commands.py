"""The command line: `sightline train`, `lr-find`, `evaluate`, `compare`, and more."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from sightline.errors import DataError, SightlineError
from sightline.training.recipes import (
    RECIPES,
    Recipe,
    complete,
    describe_fields,
    find_recipe,
)

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.data.check import FolderCheck
    from sightline.data.datasets import Splits
    from sightline.heatmaps.classifier import Classifier
    from sightline.training.lr_finder import RangeTest
    from sightline.training.run import Run

__all__ = ["main"]

console = Console()
INTERRUPTED = 130  # exit status that shells give to Ctrl-C


def recipe_options(command: Callable) -> Callable:
    """Add one option for every field of a recipe."""
    for name, (kind, meaning) in reversed(describe_fields().items()):
        flag = "--" + name.replace("_", "-")
        if kind is bool:
            flag += "/--no-" + name.replace("_", "-")
        command = click.option(flag, type=kind, default=None, help=meaning)(command)
    return command


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
        click.option("--precision", default="auto", help="auto, fp32 or bf16"),
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

    splits = load(data, image_size=recipe.image_size, seed=recipe.seed)
    return splits.limited(limit, seed=recipe.seed)


def pictures_for(run: "Run", data: str | None, limit: int | None) -> "Splits":
    """Load the pictures to look at; say if they are not those of the training."""
    from sightline.data.datasets import load

    name, seed = run.manifest["data"], run.recipe["seed"]
    if data is None and name not in ("cifar10", "shapes"):
        raise SightlineError(
            f"{run.path} was trained on {name!r}, whose place is not known; "
            "name it with --data PATH"
        )
    size = run.manifest["image_size"]
    splits = load(data or name, image_size=size, seed=seed).limited(limit, seed=seed)
    if splits.digest != run.manifest["digest"]:
        click.secho(
            f"note: these are not the very pictures of {run.path} (digest "
            f"{splits.digest}, not {run.manifest['digest']})",
            err=True,
        )
    return splits


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
            last_words(f"sightline: {error}", "red")
            context.exit(1)


def last_words(message: str, colour: str) -> None:
    """Say why this process ends, unless another one of the same job has said so."""
    if "WORLD_SIZE" in os.environ:  # of torchrun
        for number in (signal.SIGINT, signal.SIGTERM):  # what it sends meanwhile
            signal.signal(number, signal.SIG_IGN)
        from sightline.training.runtime import first_to_speak, tell_torchrun

        if not first_to_speak():
            return
        tell_torchrun(message)
    click.secho(message, fg=colour, err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline")
def main() -> None:
    """Train a ResNet, then see what it sees.

    First run: sightline train resnet10 --data shapes --out runs/first
    """


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
        rate = f"{r.optimizer} {r.max_lr:.2g}"
        numbers = (str(r.epochs), str(r.batch_size), rate)
        table.add_row(r.name, r.model, *numbers, published)
    console.print(table)
    console.print("result: test accuracy as published, where there is one")
    console.print(
        "next: sightline recipes s4-published s4-corrected, "
        "or sightline train resnet10 --data shapes",
        highlight=False,
    )


def print_differences(recipes: list[Recipe]) -> None:
    """Print the fields that are not the same in all recipes, one line each."""
    table = Table("", *(recipe.name for recipe in recipes), box=None)
    told = ("target", "reported", "protocol", "source")
    for name in (*describe_fields(), *told):
        values = [getattr(recipe, name) for recipe in recipes]
        if len(set(values)) > 1:
            table.add_row(name, *("" if v is None else str(v) for v in values))
    console.print(table)
    for recipe in recipes:
        for repair in recipe.repaired:
            console.print(f"{recipe.name}: {repair}", highlight=False)


@main.command()
@click.argument("recipe", default="resnet18")
@data_options
@click.option("--out", type=click.Path(path_type=Path), help="run folder")
@click.option("--resume", is_flag=True, help="go on with the run in --out")
@click.option("--tensorboard", is_flag=True, help="also write TensorBoard scalars")
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
    tensorboard: bool,
    compiled: bool,
    **overrides,
) -> None:
    """Train RECIPE (default: resnet18) and keep the run in a folder.

    On several GPUs or machines: torchrun --nproc-per-node N -m sightline train …
    """
    from sightline.training.runtime import (
        first_process_first,
        keep_freed_memory,
        process_group,
    )
    from sightline.training.train import train as train_recipe

    chosen = chosen_recipe(recipe, overrides)
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        with process_group():
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
    except KeyboardInterrupt:
        again = command_line() + ("" if resume else " --resume")
        last_words(f"\ninterrupted; go on with: {again}", "yellow")
        sys.exit(INTERRUPTED)
    if run_by_first_process():
        print_result(run, chosen)
        console.print(
            f"next: sightline evaluate {run.path} --data {data}", highlight=False
        )


def run_by_first_process() -> bool:
    """Tell whether this process speaks for those that `torchrun` started with it."""
    return os.environ.get("RANK", "0") == "0"


def command_line() -> str:
    """Return the command that started this process, or all of them."""
    command = f"sightline {' '.join(sys.argv[1:])}".rstrip()
    if "WORLD_SIZE" not in os.environ:
        return command
    processes = os.environ["LOCAL_WORLD_SIZE"]
    return f"torchrun --nproc-per-node {processes} -m {command}"


def print_result(run: "Run", recipe: Recipe) -> None:
    """Print the table of all epochs and the result on the test images."""
    from sightline.reports.comparison import target_sentence
    from sightline.reports.tables import epoch_table

    console.print(epoch_table(run.history, watched=recipe.watch))
    test, epoch = run.manifest["test"], run.manifest["best_epoch"]
    which = f"best epoch {epoch} by {recipe.watch}"
    if recipe.keep == "last":
        which = f"last epoch {epoch}"
    console.print(f"test accuracy {test['accuracy']:.2%} ({which}), run in {run.path}")
    if recipe.target is not None:
        console.print(target_sentence(test["accuracy"], recipe.target))


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
    from sightline.training.lr_finder import suggest, suggest_range
    from sightline.training.runtime import choose_runtime
    from sightline.training.train import range_tests

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
    ranges = suggest_range(tests)
    if plot:
        from sightline import plots

        plots.save(plots.lr_curves(tests, [suggest(test) for test in tests]), plot)
    if as_json:
        click.echo(json.dumps({name: list(values) for name, values in ranges.items()}))
        return
    table = Table("rule", "lowest", "median", "highest", title=f"{recipe}, {data}")
    for name, values in ranges.items():
        table.add_row(name, *(f"{value:.2g}" for value in values))
    console.print(table)
    median = ranges["valley"][1]
    say_what_to_doubt(tests, ranges, len(splits.classes))
    console.print(f"next: sightline train {recipe} --data {data} --max-lr {median:.2g}")


def say_what_to_doubt(
    tests: list["RangeTest"], ranges: dict[str, tuple[float, ...]], num_classes: int
) -> None:
    """Warn where a range test says little: no real fall, or rules that disagree."""
    from sightline.training.lr_finder import doubts

    for doubt in doubts(tests, ranges, num_classes):
        console.print(f"note: {doubt}")


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

    recipes = [complete(Run(path).recipe) for path in run]
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
    from sightline.heatmaps.explain import default_layers
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


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="folder for the page"
)
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
    about = export_run(opened, pictures_for(opened, data, limit), out, bits=bits)
    print_export(about)
    click.echo(
        f"the page: {out / 'index.html'}\n"
        f"look at it: python -m http.server --bind 127.0.0.1 --directory {out}, then "
        "open http://127.0.0.1:8000"
    )


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
        highlight=False,
    )


IMAGE_SIZE = click.option(
    "--image-size",
    type=click.Choice(["32", "64", "96", "128"]),
    default="32",
    show_default=True,
    help="pixels: side that the pictures will have",
)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@IMAGE_SIZE
@click.option("--json", "as_json", is_flag=True, help="print everything as JSON")
def check(folder: Path, image_size: str, as_json: bool) -> None:
    """Look at every picture of FOLDER for what would spoil a training.

    Ends with status 1 if training makes no sense.
    """
    from sightline.data.check import check_folder
    from sightline.data.datasets import data_folder

    found = check_folder(
        folder, image_size=int(image_size), keep_in=data_folder() / "decoded"
    )
    if as_json:
        click.echo(
            json.dumps({**asdict(found), "trainable": found.trainable}, indent=2)
        )
    else:
        print_check(found)
    if not found.trainable:
        sys.exit(1)


def print_check(found: "FolderCheck") -> None:
    """Print the counts of a check, what was found, and what to do."""
    from sightline.reports.tables import text_table

    console.print(text_table(*found.table(), width=console.width))
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.items())
    if found.sides:
        least, median, largest = (f"{side:,}" for side in found.sides)
        console.print(
            f"{kinds}; shorter side {least} to {largest} pixels, median {median}",
            highlight=False,
        )
    for finding in found.findings:
        colour = "red" if finding.grave else "yellow"
        click.secho(f"\n{finding.kind}: ", fg=colour, nl=False)
        click.echo(f"{finding.words}.")
        for line in finding.examples():
            click.echo(f"  {line}")
        if finding.remedy:
            click.echo(f"  → {finding.remedy}")
    if found.trainable:
        size = f" --image-size {found.image_size}" * (found.image_size != 32)
        click.echo(f"\nnext: sightline all {found.folder} --out runs/mine{size}")


@main.command(name="all")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="folder for everything; the same command again goes on",
)
@click.option("--recipe", default="folder", show_default=True, help="what to train")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@click.option("--precision", default="auto", help="auto, fp32 or bf16")
@recipe_options
def do_all(
    folder: Path,
    out: Path,
    recipe: str,
    device: str,
    precision: str,
    **overrides,
) -> None:
    """Check FOLDER, find a learning rate, train, look at mistakes, export a demo.

    Every step leaves its result in --out and is not repeated. Without --epochs and
    --max-lr both are chosen by looking at the pictures.
    """
    from sightline.pipeline import Journey, travel

    given = {name for name, value in overrides.items() if value is not None}
    if overrides["pretrained"] and "model" not in given:
        overrides["model"] = "resnet18"
    chosen = chosen_recipe(recipe, overrides)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    journey = Journey(folder, out, chosen, given, device, precision, say=say_plainly)
    try:
        page = travel(journey)
    except KeyboardInterrupt:
        last_words(f"\ninterrupted; go on with: {command_line()}", "yellow")
        sys.exit(INTERRUPTED)
    for name, words in journey.contents().items():
        say_plainly(f"{name}\n  {words}")
    say_plainly(f"next: open {page} in a browser")


def say_plainly(line: str) -> None:
    """Print a line as it is, however wide."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


@main.group()
def book() -> None:
    """Execute the chapters, build the site, check both."""


PROFILE = click.option(
    "--profile",
    type=click.Choice(["fast", "full"]),
    default="fast",
    show_default=True,
    help="fast: a few images and epochs; full: the edition",
)


@book.command(name="run")
@click.argument("chapter", nargs=-1)
@PROFILE
@click.option("--data", help="cifar10, shapes or a folder; default: the profile's own")
@click.option("--keep", is_flag=True, help="leave out chapters that are up to date")
@click.option("--jobs", type=int, help="chapters at a time  [default: fast 2, full 1]")
def run_book(
    chapter: tuple[str, ...],
    profile: str,
    data: str | None,
    keep: bool,
    jobs: int | None,
) -> None:
    """Execute all chapters, or each CHAPTER named, such as 03 or 03_lr_finder."""
    from sightline.book import execute

    executed = execute.run(profile, data=data, chapters=chapter, keep=keep, jobs=jobs)
    console.print(f"executed chapters: {executed}")


@book.command(name="build")
@PROFILE
def build_book(profile: str) -> None:
    """Build the site from chapters that were executed."""
    from sightline.book.site import build

    site = build(profile)
    console.print(
        f"the site: {site}/index.html\nlook at it: make serve", highlight=False
    )


@book.command(name="check")
@click.option("--fix", is_flag=True, help="let ruff repair the chapters first")
def check_book(fix: bool) -> None:
    """Check chapters and committed notebooks: pairing, style, alt text, errors."""
    from sightline.book.chapters import check

    check(fix=fix)
