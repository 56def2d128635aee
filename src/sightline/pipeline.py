"""From a folder of pictures to a trained, explained, exported network, in steps.

===================== ====================================================
pipeline.json         what was asked for: folder, pictures, recipe
check.json            what may be wrong with the pictures
choices.json          epochs and learning rate, and why they were chosen
rate.json             the range tests and short trainings, each as it was measured
rate.svg              the curves that the learning rate was read from
run/                  the training, as `sightline train` leaves it
report/               its mistakes and heatmaps, on one page
demo/                 the network and its heatmaps, live in a browser
index.html            where everything is
===================== ====================================================

Whatever is there is not made again, so a pipeline that was cut off goes on.
"""

import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sightline import plots
from sightline.data.check import check_folder
from sightline.data.datasets import data_folder, load_folder
from sightline.data.split import Splits
from sightline.errors import DataError, RunError, SightlineError
from sightline.files import Shape, claim, read_json, shell_line, write_json, write_text
from sightline.measures.numbers import duration
from sightline.reports.outcome import index_page, results
from sightline.reports.report import write_report
from sightline.reports.subject import Subject
from sightline.training import choices
from sightline.training.choices import Choice, try_rate
from sightline.training.lr_finder import RangeTest, suggest
from sightline.training.recipe import Recipe, describe_fields
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import range_tests, train

__all__ = ["STEPS", "Choice", "Pipeline", "run"]

RANGE_SEEDS = (0, 1, 2)
AGAIN = "give the same command again; nothing already done is repeated"
DEMO_BITS = 8  # a weight: the network is small, rounding need not cost accuracy

CHOICES = ("epochs", "max_lr")  # fields of the recipe
CHOICE: Shape = {"value": float, "why": str, "images_per_second?": float | None}
FINDING: Shape = {"kind": str, "words": str, "remedy": str}
SHAPES: dict[str, Shape] = {  # of the JSON files
    "check.json": {"table": [[str]], "findings": [FINDING]},
    "choices.json": {f"{name}?": CHOICE for name in CHOICES},
}


@dataclass
class Pipeline:
    """What all steps share."""

    folder: Path
    out: Path
    recipe: Recipe
    fixed: Collection[str] = ()  #: fields of the recipe that are not to be chosen
    device: str = "auto"
    precision: str = "auto"
    progress: bool = True
    say: Callable[[str], None] = print

    @cached_property
    def splits(self) -> Splits:
        """Return the pictures, the same whenever this pipeline goes on."""
        return load_folder(
            self.folder,
            image_size=self.recipe.image_size,
            framing=self.recipe.framing,
            group=self.recipe.group,
            seed=self.recipe.seed,
            progress=self.progress,
        )

    @cached_property
    def runtime(self) -> Runtime:
        """Return device and precision."""
        return choose_runtime(self.device, self.precision)

    @cached_property
    def run(self) -> Run:
        """Return the training."""
        return Run(self.out / "run")

    @property
    def choices(self) -> dict[str, Choice]:
        """Return what has been chosen so far, by the name of the field."""
        if not (self.out / "choices.json").exists():
            return {}
        recorded = self.read("choices.json")
        return {
            name: Choice(each["value"], each["why"], each.get("images_per_second"))
            for name, each in recorded.items()
            if name in CHOICES
        }

    def choose(self, name: str, make: Callable[[], Choice]) -> Choice:
        """Set a field of the recipe, unless it is fixed or was set before."""
        choices = self.choices
        if name not in choices:
            own = Choice(getattr(self.recipe, name), "it was given")
            choices[name] = own if name in self.fixed else make()
            self.write_json("choices.json", {k: asdict(v) for k, v in choices.items()})
        return choices[name]

    @property
    def chosen_recipe(self) -> Recipe:
        """Return the recipe with what has been chosen so far."""
        changes: dict[str, Any] = {k: c.value for k, c in self.choices.items()}
        return replace(self.recipe, **changes)

    def contents(self) -> dict[str, str]:
        """Return what there is in `out`, and what each thing is."""
        server = shell_line("python", "-m", "http.server", "-d", self.out)
        explain = shell_line("sightline", "explain", self.out / "run")
        things = {
            "index.html": "where everything is",
            "report/report.html": "mistakes and heatmaps",
            "demo/index.html": f"the network live: {server}",
            "run": f"the training: {explain} PICTURE",
        }
        return {
            str(self.out / name): words
            for name, words in things.items()
            if (self.out / name).exists()
        }

    def read(self, name: str) -> dict:
        """Read one of the JSON files."""
        remedy = f"delete it, then {AGAIN}"
        return read_json(self.out / name, SHAPES.get(name, dict), remedy=remedy)

    def write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all."""
        write_text(self.out / name, text, remedy=AGAIN)

    def write_json(self, name: str, value: dict) -> None:
        """Write one of the JSON files."""
        write_json(self.out / name, value, remedy=AGAIN)


def run(pipeline: Pipeline) -> Path:
    """Run all steps that are not done yet; return the page that shows them.

    Raises:
        DataError: if training on these pictures makes no sense.
        RunError: if `out` holds another pipeline, or anything else.
    """
    claim(pipeline.out, "pipeline")
    for number, (name, step) in enumerate(STEPS.items(), 1):
        pipeline.say(f"{number}/{len(STEPS)} {name}")
        step(pipeline)
    return pipeline.out / "index.html"


def check(pipeline: Pipeline) -> None:
    """Check the folder, and end here if training makes no sense."""
    if (pipeline.out / "check.json").exists():
        pipeline.say("  checked before: check.json")
        begin(pipeline)
        return
    result = check_folder(
        pipeline.folder,
        image_size=pipeline.recipe.image_size,
        framing=pipeline.recipe.framing,
        group=pipeline.recipe.group,
        keep_in=data_folder() / "decoded",
        progress=pipeline.progress,
    )
    for finding in result.findings:
        pipeline.say(f"  {finding.kind}: {finding.words}. {finding.remedy}".rstrip())
    if not result.trainable:
        grave = next(finding for finding in result.findings if finding.grave)
        raise DataError(f"{grave.words}. {grave.remedy}")
    begin(pipeline)
    header, rows = result.table()
    pipeline.write_json("check.json", {**asdict(result), "table": [header, *rows]})


def begin(pipeline: Pipeline) -> None:
    """Record what is asked for, or make sure that `out` holds this very pipeline.

    Raises:
        RunError: if it was begun with other pictures or another recipe.
    """
    recipe = pipeline.recipe.flat()
    request = {name: recipe[name] for name in ("name", *describe_fields())}
    request |= {"digest": pipeline.splits.digest, "fixed": sorted(pipeline.fixed)}
    if not (pipeline.out / "pipeline.json").exists():
        folder = str(pipeline.folder.resolve())
        pipeline.write_json("pipeline.json", {"folder": folder, **request})
    recorded = pipeline.read("pipeline.json")
    different = [
        f"{key} {recorded[key]!r} ≠ {value!r}"
        for key, value in request.items()
        if value != recorded.get(key, value)
    ]
    if different:
        raise RunError(
            f"{pipeline.out} was begun with something else ({', '.join(different)}); "
            "give the same command to go on, or choose another --out"
        )
    fix_epochs(pipeline)


def fix_epochs(pipeline: Pipeline) -> None:
    """Choose the epochs by the number of pictures."""
    pipeline.choose("epochs", lambda: choices.choose_epochs(len(pipeline.splits.train)))


def find_rate(pipeline: Pipeline) -> None:
    """Choose the largest learning rate by range tests."""
    choice = pipeline.choose("max_lr", lambda: measure_rate(pipeline))
    pipeline.say(f"  max_lr {choice.value:.2g}: {choice.why}")


def measure_rate(pipeline: Pipeline) -> Choice:
    """Run the range tests; return the rate, why it was chosen, and the speed."""
    recipe = pipeline.chosen_recipe
    rows = [range_test(pipeline, seed) for seed in RANGE_SEEDS]
    tests = [RangeTest(row["lrs"], row["losses"], row["stopped"]) for row in rows]
    batch = min(recipe.batch_size, len(pipeline.splits.train))
    with suppress(SightlineError):  # of curves that are too short to read
        curves = plots.lr_curves(tests, [suggest(test) for test in tests])
        plots.save(curves, pipeline.out / "rate.svg")
    choice = choices.choose_rate(recipe, tests, partial(short_training, pipeline))
    images = batch * sum(len(test.lrs) for test in tests)
    speed = images / sum(row["seconds"] for row in rows)
    return replace(choice, images_per_second=speed)


def range_test(pipeline: Pipeline, seed: int) -> dict:
    """Run the range test of one seed."""
    p = pipeline
    one: dict[str, Any] = {"seeds": [seed], "progress": p.progress}

    def measure() -> dict:
        return asdict(range_tests(p.chosen_recipe, p.splits, p.runtime, **one)[0])

    return measured(pipeline, f"range test {seed + 1} of {len(RANGE_SEEDS)}", measure)


def short_training(pipeline: Pipeline, rate: float) -> float:
    """Return the validation loss of a short training at a rate."""

    def measure() -> dict:
        loss = try_rate(pipeline.chosen_recipe, pipeline.splits, pipeline.runtime, rate)
        return {"loss": loss if math.isfinite(loss) else None}

    loss = measured(pipeline, f"short training at {rate:.2g}", measure)["loss"]
    return math.inf if loss is None else loss


def measured(pipeline: Pipeline, name: str, measure: Callable[[], dict]) -> dict:
    """Return what was measured under a name; measure it now if it was not before."""
    known = (pipeline.out / "rate.json").exists()
    results = pipeline.read("rate.json") if known else {}
    if name not in results:
        started = time.perf_counter()
        results[name] = measure()
        results[name]["seconds"] = time.perf_counter() - started
        pipeline.write_json("rate.json", results)
    pipeline.say(f"  {name}: {duration(results[name]['seconds'])}")
    return results[name]


def train_network(pipeline: Pipeline) -> None:
    """Train with that rate, or go on where a training was cut off."""
    recipe, images = pipeline.chosen_recipe, len(pipeline.splits.train)
    left = recipe.epochs - len(pipeline.run.history)
    if left > 0:
        speed = pipeline.choices["max_lr"].images_per_second
        speed = speed or choices.try_speed(recipe, pipeline.splits, pipeline.runtime)
        pipeline.say(
            f"  {recipe.model}, {images:,} training pictures of {recipe.image_size}x"
            f"{recipe.image_size} pixels, {left} of {recipe.epochs} epochs, about "
            f"{duration(left * images / speed)}"
        )
    train(
        recipe,
        pipeline.splits,
        out=pipeline.run.path,
        resume=True,
        device=pipeline.device,
        precision=pipeline.precision,
        progress=pipeline.progress,
    )
    for line in results(pipeline.run):
        pipeline.say(f"  {line}")


def report(pipeline: Pipeline) -> None:
    """Write down the mistakes, with heatmaps."""
    if (pipeline.out / "report/report.html").exists():
        pipeline.say("  done before: report/report.html")
        return
    classifier = pipeline.run.classifier(pipeline.runtime)
    subject = Subject(pipeline.run, pipeline.splits, classifier)
    write_report(subject, pipeline.out / "report", say=lambda s: pipeline.say(f"  {s}"))


def export(pipeline: Pipeline) -> None:
    """Export the network to a page that runs it; go on without, if that is missing."""
    if (pipeline.out / "demo/model.json").exists():
        pipeline.say("  done before: demo/")
        return
    try:
        from sightline.export.export import export as export_run

        about = export_run(
            pipeline.run, pipeline.splits, pipeline.out / "demo", bits=DEMO_BITS
        )
    except (ImportError, SightlineError) as error:
        pipeline.say(f"  left out: {error}. The same command makes it up later")
        return
    accuracy, size = about["accuracy"], about["bytes"]["model"]
    pipeline.say(
        f"  {size / 1e6:.2f} MB of weights, {DEMO_BITS} bits each; test accuracy "
        f"{accuracy['before']:.1%}, rounded {accuracy['after']:.1%}"
    )


def write_index(pipeline: Pipeline) -> None:
    """Write the page that leads to everything."""
    page = index_page(
        pipeline.folder.resolve().name,
        pipeline.out,
        pipeline.run,
        check=pipeline.read("check.json"),
        rate=pipeline.choices["max_lr"],
    )
    pipeline.write("index.html", page)


#: functions that make a step, by name, in order
STEPS: dict[str, Callable[[Pipeline], None]] = {
    "pictures": check,
    "learning rate": find_rate,
    "training": train_network,
    "report": report,
    "demo": export,
    "page": write_index,
}
