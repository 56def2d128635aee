"""The steps of a pipeline; what is there is not made again."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from sightline.data.check import check_folder
from sightline.data.datasets import data_folder
from sightline.errors import DataError, RunError, SightlineError
from sightline.files import claim
from sightline.measures.numbers import duration
from sightline.pipeline.forecast import forecast, forecast_sentence
from sightline.pipeline.network import choose_length, choose_network, measured_speed
from sightline.pipeline.rate import find_rate
from sightline.pipeline.state import Pipeline
from sightline.reports.outcome import index_page, results
from sightline.reports.report import write_report
from sightline.reports.subject import Subject
from sightline.training.recipe import describe_fields
from sightline.training.train import train

__all__ = ["STEPS", "run"]

DEMO_BITS = 8  # a weight: the network is small, rounding need not cost accuracy


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
    choose_network(pipeline)
    if (pipeline.out / "check.json").exists():
        pipeline.say("  checked before: check.json")
        begin(pipeline)
        return
    result = check_folder(
        pipeline.folder,
        image_size=pipeline.chosen_recipe.image_size,
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
    request["minutes"] = pipeline.minutes
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
    choose_length(pipeline)


def train_network(pipeline: Pipeline) -> None:
    """Train with that rate, or go on where a training was cut off."""
    recipe, images = pipeline.chosen_recipe, len(pipeline.splits.train)
    left = recipe.epochs - len(pipeline.run.history)
    if left > 0:
        speed = pipeline.choices["max_lr"].images_per_second
        speed = speed or measured_speed(pipeline, recipe, len(pipeline.splits.classes))
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
        forecast=forecast_sentence(pipeline),
    )
    pipeline.write("index.html", page)


#: functions that make a step, by name, in order
STEPS: dict[str, Callable[[Pipeline], None]] = {
    "pictures": check,
    "learning rate": find_rate,
    "training": train_network,
    "report": report,
    "demo": export,
    "learning curve": forecast,
    "page": write_index,
}
