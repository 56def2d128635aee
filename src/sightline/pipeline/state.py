"""What all steps of a pipeline share, and the files that they leave.

===================== ====================================================
pipeline.json         what was asked for: folder, pictures, recipe
check.json            what may be wrong with the pictures
choices.json          what was chosen (size, network, start, epochs, rate), and why
speed.json            images per second of the networks that were tried
rate.json             the range tests and short trainings, each as it was measured
rate.svg              the curves that the learning rate was read from
run/                  the training, as `sightline train` leaves it
report/               its mistakes and heatmaps, on one page
demo/                 the network and its heatmaps, live in a browser
learning_curve.json   short trainings on parts of the pictures, and what they forecast
learning_curve.svg    the same as a figure
index.html            where everything is
===================== ====================================================

Whatever is there is not made again, so a pipeline that was cut off goes on.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sightline.data.datasets import load_folder
from sightline.data.split import Splits
from sightline.files import Shape, read_json, shell_line, write_json, write_text
from sightline.measures.numbers import duration
from sightline.training.choices import Choice
from sightline.training.recipe import Recipe
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime

__all__ = ["Pipeline"]

AGAIN = "give the same command again; nothing already done is repeated"

# fields of the recipe
CHOICES = ("image_size", "model", "start", "batch_size", "epochs", "max_lr")
CHOICE: Shape = {
    "value": float | int | str,
    "why": str,
    "images_per_second?": float | None,
}
FINDING: Shape = {"kind": str, "words": str, "remedy": str}
SHAPES: dict[str, Shape] = {  # of the JSON files
    "check.json": {"table": [[str]], "findings": [FINDING]},
    "choices.json": {f"{name}?": CHOICE for name in CHOICES},
    "learning_curve.json": {"result?": {"sentence": str, "points": [float]}},
    "speed.json": {},
}
MINUTES = 5.0  # by default: short enough to wait for


@dataclass
class Pipeline:
    """What all steps share."""

    folder: Path
    out: Path
    recipe: Recipe
    fixed: Collection[str] = ()  #: fields of the recipe that are not to be chosen
    minutes: float = MINUTES  #: that the training should take
    device: str = "auto"
    precision: str = "auto"
    progress: bool = True
    say: Callable[[str], None] = print

    @cached_property
    def splits(self) -> Splits:
        """Return the pictures, the same whenever this pipeline goes on."""
        return load_folder(
            self.folder,
            image_size=self.chosen_recipe.image_size,
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

    def measured(
        self, file: str, name: str, measure: Callable[[], dict]
    ) -> dict[str, Any]:
        """Return what a JSON file holds under a name; measure it if it is not there.

        "seconds" is how long that took.
        """
        known = (self.out / file).exists()
        results = self.read(file) if known else {}
        if name not in results:
            started = time.perf_counter()
            results[name] = measure()
            results[name]["seconds"] = time.perf_counter() - started
            self.write_json(file, results)
        self.say(f"  {name}: {duration(results[name]['seconds'])}")
        return results[name]
