"""From a folder of pictures to a trained, explained, exported network, in steps.

===================== ====================================================
journey.json          what was asked for: folder, pictures, recipe
check.json            what may be wrong with the pictures
rate.json, rate.svg   the learning rate, and the curves it was read from
run/                  the training, as `sightline train` leaves it
report/               its mistakes and heatmaps, on one page
demo/                 the network and its heatmaps, live in a browser
index.html            where everything is
===================== ====================================================

Whatever is there is not made again, so a journey that was cut off goes on.
"""

import math
import shlex
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from sightline import plots
from sightline.data.check import check_folder
from sightline.data.datasets import Splits, data_folder, load_folder
from sightline.errors import DataError, NonFiniteLossError, RunError, SightlineError
from sightline.files import read_json, write_json, write_text
from sightline.measures.metrics import (
    balanced_accuracy,
    confusion_matrix,
    wilson_interval,
)
from sightline.reports.report import render, write_report
from sightline.reports.subject import Section, Subject
from sightline.reports.tables import markdown_table
from sightline.training.engine import fit
from sightline.training.lr_finder import RangeTest, suggest, suggest_range
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import range_tests, train

__all__ = ["STEPS", "Journey", "travel"]

# pictures that are shown to the network, each of them counted every time: 2 minutes on
# one CPU core, after which 1,500 photographs of hands or rooms were learnt
SHOWN = 60_000
MOST_EPOCHS, LEAST_EPOCHS = 200, 10
RANGE_SEEDS = (0, 1, 2)
RULE = "valley"  # of the range test
FAR_APART = 3  # times: rates that differ by less train alike
CLEARLY = 0.95  # of the validation loss with the recipe's rate, to leave that one
AGAIN = "give the same command again; nothing already done is repeated"
DEMO_BITS = 8  # a weight: the network is small, rounding need not cost accuracy


@dataclass
class Journey:
    """What all steps share."""

    folder: Path
    out: Path
    recipe: Recipe
    given: Collection[str] = ()  # fields of the recipe that somebody chose
    device: str = "auto"
    precision: str = "auto"
    progress: bool = True
    say: Callable[[str], None] = print

    @cached_property
    def splits(self) -> Splits:
        """Return the pictures; those of an earlier part of this journey."""
        return load_folder(
            self.folder,
            image_size=self.recipe.image_size,
            seed=self.recipe.seed,
            progress=self.progress,
        )

    @cached_property
    def runtime(self) -> Runtime:
        """Return device and precision."""
        return choose_runtime(self.device, self.precision)

    @cached_property
    def run(self) -> Run:
        """Return the training of this journey."""
        return Run(self.out / "run")

    def contents(self) -> dict[str, str]:
        """Return what there is in `out`, and what each thing is."""
        out = shlex.quote(str(self.out))
        things = {
            "index.html": "where everything is",
            "report/report.html": "mistakes and heatmaps",
            "demo/index.html": f"the network live: python -m http.server -d {out}",
            "run": f"the training: sightline explain {out}/run PICTURE",
        }
        return {
            str(self.out / name): words
            for name, words in things.items()
            if (self.out / name).exists()
        }

    def read(self, name: str) -> dict:
        """Read one of the JSON files."""
        return read_json(self.out / name)

    def write(self, name: str, text: str) -> None:
        """Write a file, whole or not at all."""
        write_text(self.out / name, text, remedy=AGAIN)

    def write_json(self, name: str, value: dict) -> None:
        """Write one of the JSON files."""
        write_json(self.out / name, value, remedy=AGAIN)


def travel(journey: Journey) -> Path:
    """Go through all steps that are not done yet; return the page that shows them.

    Raises:
        DataError: if training on these pictures makes no sense.
        RunError: if `out` holds another journey.
    """
    journey.out.mkdir(parents=True, exist_ok=True)
    for number, (name, step) in enumerate(STEPS.items(), 1):
        journey.say(f"{number}/{len(STEPS)} {name}")
        step(journey)
    return journey.out / "index.html"


def look(journey: Journey) -> None:
    """Check the folder, and end here if training makes no sense."""
    if (journey.out / "check.json").exists():
        journey.say("  checked before: check.json")
        return settle(journey)
    found = check_folder(
        journey.folder,
        image_size=journey.recipe.image_size,
        keep_in=data_folder() / "decoded",
        progress=journey.progress,
    )
    for finding in found.findings:
        journey.say(f"  {finding.kind}: {finding.words}. {finding.remedy}".rstrip())
    if not found.trainable:
        grave = next(finding for finding in found.findings if finding.grave)
        raise DataError(f"{grave.words}. {grave.remedy}")
    settle(journey)
    header, rows = found.table()
    journey.write_json("check.json", {**asdict(found), "table": [header, *rows]})


def settle(journey: Journey) -> None:
    """Fix the number of epochs, and make sure that `out` holds this very journey.

    Raises:
        RunError: if it was begun with other pictures or another recipe.
    """
    if "epochs" not in journey.given:
        epochs = SHOWN // len(journey.splits.train)
        epochs = min(max(epochs, LEAST_EPOCHS), MOST_EPOCHS)
        journey.recipe = replace(journey.recipe, epochs=epochs)
    asked = {"digest": journey.splits.digest, **asdict(journey.recipe)}
    if not (journey.out / "journey.json").exists():
        folder = str(journey.folder.resolve())
        journey.write_json("journey.json", {"folder": folder, **asked})
    before = journey.read("journey.json")
    different = [
        f"{key} {before[key]!r} ≠ {value!r}"
        for key, value in asked.items()
        if value != before.get(key, value) and not isinstance(value, tuple)
    ]
    if different:
        raise RunError(
            f"{journey.out} was begun with something else ({', '.join(different)}); "
            "give the same command to go on, or choose another --out"
        )


def find_rate(journey: Journey) -> None:
    """Find the largest learning rate by range tests, unless somebody chose it."""
    if (journey.out / "rate.json").exists():
        return journey.say(f"  done before: {journey.read('rate.json')['why']}")
    if "max_lr" in journey.given:
        rate = {"max_lr": journey.recipe.max_lr, "why": "it was given"}
    else:
        rate = test_rates(journey)
    journey.write_json("rate.json", rate)
    journey.say(f"  max_lr {rate['max_lr']:.2g}: {rate['why']}")


def test_rates(journey: Journey) -> dict:
    """Run the range tests; return the rate, why it was chosen, and the speed."""
    started = time.perf_counter()
    tests = range_tests(
        journey.recipe,
        journey.splits,
        journey.runtime,
        seeds=RANGE_SEEDS,
        progress=journey.progress,
    )
    seconds = time.perf_counter() - started
    batch = min(journey.recipe.batch_size, len(journey.splits.train))
    speed = batch * sum(len(test.lrs) for test in tests) / seconds
    return {**choose_rate(journey, tests), "images_per_second": speed}


def choose_rate(journey: Journey, tests: list[RangeTest]) -> dict:
    """Return the rate that range tests suggest, unless the recipe's does as well.

    In a small folder a hundred updates hardly move the loss, and the rules point far
    too low: on 270 drawn shapes to 0.003, which ended at 61 %, where 0.05 reached 92 %.
    So where suggestion and recipe are far apart, short trainings decide; the recipe's
    has the benefit of the doubt.
    """
    own = journey.recipe.max_lr
    try:
        ranges = suggest_range(tests)
    except SightlineError as error:
        return {"max_lr": own, "why": f"the recipe's own, because {error}"}
    plots.save(
        plots.lr_curves(tests, [suggest(test) for test in tests]),
        journey.out / "rate.svg",
    )
    rules = {name: list(values) for name, values in ranges.items()}
    low, rate, high = ranges[RULE]
    why = f"median of the {RULE} rule over {len(tests)} range tests, "
    why += f"{low:.2g} to {high:.2g}"
    if max(rate / own, own / rate) > FAR_APART:
        losses = {lr: try_rate(journey, lr) for lr in (rate, own)}
        better = losses[rate] < CLEARLY * losses[own]
        why = (
            f"{'better' if better else 'not clearly worse'} than "
            f"{own if better else rate:.2g}, after short trainings at {rate:.2g} "
            f"({why}) and at {own:.2g} (the recipe's) with a validation loss of "
            f"{losses[rate]:.2f} and {losses[own]:.2f}"
        )
        rate = rate if better else own
    return {"max_lr": rate, "why": why, "rules": rules}


def try_rate(journey: Journey, max_lr: float) -> float:
    """Return the validation loss after a fifth of the epochs at another rate."""
    epochs = max(journey.recipe.epochs // 5, 2)
    recipe = replace(journey.recipe, max_lr=max_lr, epochs=epochs)
    parts = build(recipe, chosen_splits(recipe, journey.splits), journey.runtime)
    try:
        *_, last = fit(parts, recipe, journey.runtime, progress=False)
    except NonFiniteLossError:
        return math.inf
    return last.validation_loss


def train_network(journey: Journey) -> None:
    """Train with that rate, or go on where a training was cut off."""
    rate, images = journey.read("rate.json"), len(journey.splits.train)
    recipe = replace(journey.recipe, max_lr=rate["max_lr"])
    left = recipe.epochs - len(journey.run.history)
    if left > 0:
        estimate = ""
        if "images_per_second" in rate:
            minutes = math.ceil(left * images / rate["images_per_second"] / 60)
            estimate = f", about {minutes} min"
        journey.say(
            f"  {recipe.model}, {images:,} training pictures of {recipe.image_size}x"
            f"{recipe.image_size} pixels, {left} of {recipe.epochs} epochs{estimate}"
        )
    train(
        recipe,
        journey.splits,
        out=journey.run.path,
        resume=True,
        device=journey.device,
        precision=journey.precision,
        progress=journey.progress,
    )
    for line in results(journey):
        journey.say(f"  {line}")


def results(journey: Journey) -> list[str]:
    """Say how good the network is on the test pictures, and what it confuses."""
    test, classes = journey.run.test, journey.run.classes
    counts = confusion_matrix(test.labels, test.predictions, len(classes))
    low, high = wilson_interval(counts.diagonal().sum()[None], counts.sum()[None])
    lines = [
        f"test accuracy {test.accuracy:.1%} ({float(low):.1%} to {float(high):.1%}) on "
        f"{len(test.labels):,} pictures, balanced {balanced_accuracy(counts):.1%}"
    ]
    wrong = counts.clone().fill_diagonal_(0)
    most = int(wrong.max())
    if most:
        actual, predicted = divmod(int(wrong.argmax()), len(classes))
        lines.append(
            f"most often: {classes[actual]} taken for {classes[predicted]}, {most} of "
            f"{int(counts[actual].sum())}"
        )
    return lines


def report(journey: Journey) -> None:
    """Write down the mistakes, with heatmaps."""
    if (journey.out / "report/report.html").exists():
        return journey.say("  done before: report/report.html")
    classifier = journey.run.classifier(journey.runtime)
    subject = Subject(journey.run, journey.splits, classifier)
    write_report(subject, journey.out / "report", say=lambda s: journey.say(f"  {s}"))


def export(journey: Journey) -> None:
    """Export the network to a page that runs it; go on without, if that is missing."""
    if (journey.out / "demo/model.json").exists():
        return journey.say("  done before: demo/")
    try:
        from sightline.export.export import export as export_run

        about = export_run(
            journey.run, journey.splits, journey.out / "demo", bits=DEMO_BITS
        )
    except (ImportError, SightlineError) as error:
        return journey.say(f"  left out: {error}. The same command makes it up later")
    accuracy, size = about["accuracy"], about["bytes"]["model"]
    journey.say(
        f"  {size / 1e6:.2f} MB of weights, {DEMO_BITS} bits each; test accuracy "
        f"{accuracy['before']:.1%}, rounded {accuracy['after']:.1%}"
    )


def write_index(journey: Journey) -> None:
    """Write the page that leads to everything."""
    found, rate = journey.read("check.json"), journey.read("rate.json")
    header, *rows = found["table"]
    findings = "".join(
        f"- **{f['kind']}**: {f['words']}. {f['remedy']}\n" for f in found["findings"]
    )
    curves = "![Range tests](rate.svg)" if (journey.out / "rate.svg").exists() else ""
    demo = "It was not exported.\n"
    if (journey.out / "demo/model.json").exists():
        demo = (
            "[The demo](demo/index.html) runs the network in the browser; it needs a "
            f"server: `python -m http.server -d {shlex.quote(str(journey.out))}`\n"
        )
    again = f"sightline explain {shlex.quote(str(journey.run.path))} PICTURE"
    sections = {
        "result": Section(
            "Result",
            [
                "".join(f"- {line}\n" for line in results(journey)),
                "[Mistakes and heatmaps](report/report.html), and whether to believe "
                "them.",
                demo,
                f"Look at any other picture: `{again}`",
            ],
        ),
        "pictures": Section("Pictures", [markdown_table(header, rows), findings]),
        "rate": Section(
            "Learning rate", [f"{rate['max_lr']:.2g}: {rate['why']}.", curves]
        ),
    }
    journey.write("index.html", render(journey.folder.resolve().name, sections))


STEPS: dict[str, Callable[[Journey], None]] = {
    "pictures": look,
    "learning rate": find_rate,
    "training": train_network,
    "report": report,
    "demo": export,
    "page": write_index,
}
