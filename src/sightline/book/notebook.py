"""What every chapter needs: its edition, its run, source on the page, figures."""

import inspect
import io
import os
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType

import matplotlib as mpl
import matplotlib.pyplot as plt
from IPython.core.getipython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from sightline import plots
from sightline.data.datasets import load
from sightline.data.pictures import open_picture
from sightline.data.split import Splits
from sightline.errors import SightlineError
from sightline.files import locked, read_json
from sightline.plots import INK
from sightline.training.recipe import Recipe, variant
from sightline.training.recipes import RECIPES
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

__all__ = [
    "PROFILES",
    "Edition",
    "edition",
    "glue",
    "label",
    "main_run",
    "recorded",
    "setup",
    "show_source",
]

PROFILES = {"full": "cifar10", "fast": "shapes"}  #: and the data that each one takes
TITLES = {"cifar10": "CIFAR-10", "shapes": "drawn shapes"}

# measured on 2 cores: the main run of fast takes about 20 s, one short training about
# 4 s in fast and 15 s in full; without augmentation a few epochs show more
FAST_IMAGES, FAST_EPOCHS = 5000, 6
SHORT_IMAGES, SHORT_EPOCHS = {"fast": 2000, "full": 5000}, {"fast": 3, "full": 4}
SHORT = variant(
    RECIPES["resnet10"], batch_size=32, crop_padding=0, flip=0.0, label_smoothing=0.0
)

DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts a reader's Google Drive
LOST = (
    "This runtime ends after some hours, and its runs with it. To keep them on Google "
    "Drive, run this in a cell at the top, then choose Run all:\n"
    "    from google.colab import drive\n"
    '    drive.mount("/content/drive")'
)

FIGURE_STYLE = mpl.RcParams(
    {
        "figure.figsize": (7.2, 3.6),  # inches: the text column
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.size": 10,
        "image.interpolation": "none",
        "legend.frameon": False,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
    }
)


@dataclass(frozen=True)
class Edition:
    """What one execution of the book runs, and on what."""

    profile: str  #: "full" or "fast"
    data: str  #: as in `sightline.data.datasets.load`
    label: str  #: the data in words, e.g. "CIFAR-10, JPEG q75 copy"
    splits: Splits  #: of the main run
    runtime: Runtime  #: of everything
    recipe: Recipe  #: of the main run, chapter 05
    run_dir: Path  #: of the main run
    short: Recipe  #: of the many small experiments
    short_splits: Splits  #: of the many small experiments
    seeds: tuple[int, ...]  #: over which a small experiment is repeated

    def __str__(self) -> str:
        """Say in two lines what a page ran on."""
        parts = self.splits.train, self.splits.validation, self.splits.test
        training, validation, test = (f"{len(part):,}" for part in parts)
        return (
            f"{self.profile} edition: {self.label}, "
            f"{self.runtime.device.type} in {self.runtime.precision}\n"
            f"{training} training, {validation} validation, {test} test images"
        )


def edition(profile: str = "full", data: str | Path | None = None) -> Edition:
    """Load the data and set the budgets of a profile.

    Args:
        profile: "full" for results, "fast" to see everything run in minutes.
        data: "cifar10", "shapes" or a folder; `None`: the profile's own.

    Raises:
        SightlineError: if the profile or the data do not exist.
    """
    if profile not in PROFILES:
        raise SightlineError(f"unknown profile {profile!r}; choose 'full' or 'fast'")
    data = str(data or PROFILES[profile])
    splits, runtime, full = load(data), choose_runtime(), profile == "full"
    recipe = RECIPES["resnet18"]
    if not full:
        splits = splits.limited(FAST_IMAGES)
        recipe = replace(RECIPES["resnet10"], epochs=FAST_EPOCHS)
    run_dir = runs_folder() / f"{profile}-{splits.name}"
    splits = replace(splits, name=label(data, splits.name))  # as manifests say it
    return Edition(
        profile=profile,
        data=data,
        label=splits.name,
        splits=splits,
        runtime=runtime,
        recipe=recipe,
        run_dir=run_dir,
        short=replace(SHORT, epochs=SHORT_EPOCHS[profile]),
        short_splits=splits.limited(SHORT_IMAGES[profile]),
        seeds=(0, 1, 2) if full else (0, 1),
    )


def label(data: str, name: str) -> str:
    """Name a data set in words; call a folder of JPEGs a lossy copy."""
    title = TITLES.get(name, name)
    first = next(Path(data).rglob("*.jp*g"), None) if data not in TITLES else None
    if first is None:
        return title
    with open_picture(first) as image:
        table = sum(image.quantization[0]) if isinstance(image, JpegImageFile) else 0
    return f"{title}, JPEG q{jpeg_quality(table)} copy" if table else title


def jpeg_quality(table: int) -> int:
    """Return the quality whose standard luminance table has this sum, 1..100.

    Source: ITU-T T.81, table K.1, scaled as the Independent JPEG Group does.
    """
    probe, sums = Image.new("L", (8, 8)), {}
    for quality in range(1, 101):
        file = io.BytesIO()
        probe.save(file, "JPEG", quality=quality)
        file.seek(0)
        sums[quality] = sum(JpegImageFile(file).quantization[0])
    return min(sums, key=lambda quality: abs(sums[quality] - table))


def runs_folder() -> Path:
    """Return SIGHTLINE_RUNS, or `runs/` of the checkout or the working directory.

    On Colab, where both are lost with the runtime, a mounted Google Drive comes first.
    """
    if "SIGHTLINE_RUNS" in os.environ:
        return Path(os.environ["SIGHTLINE_RUNS"])
    if DRIVE.is_dir():
        return DRIVE / "sightline" / "runs"
    return (checkout() or Path.cwd()) / "runs"


def checkout() -> Path | None:
    """Return the outermost checkout of the book around the working directory."""
    for folder in [*Path.cwd().parents[::-1], Path.cwd()]:
        if (folder / "_toc.yml").exists() and (folder / "src/sightline").exists():
            return folder
    return None


def recorded(name: str) -> dict:
    """Return what `book/results/NAME.json` holds; {} if there is no such file.

    Measurements of hours are recorded once and read by both editions. Outside a
    checkout of the book, as on Colab, there is no record.
    """
    file = (checkout() or Path.cwd()) / "book/results" / f"{name}.json"
    return read_json(file) if file.exists() else {}


def main_run(edition: Edition) -> Run:
    """Take, resume or make the run of chapter 05; print which.

    An existing run keeps its own recipe. One that was trained on other pictures is
    moved aside, never overwritten. A chapter executed beside another one waits until
    that one has made the run.
    """
    run, recipe, splits = Run(edition.run_dir), edition.recipe, edition.splits
    with locked(run.path.with_name(f"{run.path.name}.lock")):
        if (run.path / "recipe.json").exists():
            if run.manifest["digest"] == splits.digest:
                recipe = run.recipe
            else:
                print(f"{run.path.name} was trained on other pictures:", set_aside(run))
        done = len(run.history)
        if run.finished:
            print(f"Taking the run in runs/{run.path.name}.")
        elif done:
            print(f"Going on with runs/{run.path.name} after epoch {done}.")
        else:
            print(f"No run yet: training {recipe.model} for {recipe.epochs} epochs.")
        if "google.colab" in sys.modules and not run.path.is_relative_to(DRIVE):
            print(LOST)
        return train(recipe, splits, out=run.path, resume=True, profile=edition.profile)


def set_aside(run: Run) -> str:
    """Rename the run's folder to the first free name; return what was done."""
    for number in range(1, 1000):
        other = run.path.with_name(f"{run.path.name}-old-{number}")
        if not other.exists():
            run.path.rename(other)
            return f"moved to {other.name}"
    raise SightlineError(f"too many old runs beside {run.path}; delete some")


def show_source(thing: FunctionType | type) -> None:
    """Show the library's own text of a function or class, and the name of its file."""
    source = textwrap.dedent(inspect.getsource(thing)).rstrip()
    file = f"{thing.__module__.replace('.', '/')}.py"
    display(Markdown(f"*From `src/{file}`:*\n\n```python\n{source}\n```"))


def glue(name: str, value: object) -> None:
    """Record a value under a name, for {glue:text} in the prose; show nothing.

    The record is the one that myst-nb reads; Colab has no myst-nb to make it.
    """
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": repr(str(value))},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        raw=True,
    )


def setup() -> None:
    """Draw matplotlib figures as SVG that follows the light or dark theme."""
    plt.rcParams.update(FIGURE_STYLE)
    shell = get_ipython()
    if shell is None or shell.display_formatter is None:
        return
    plt.switch_backend("module://matplotlib_inline.backend_inline")
    plt.rcParams.update(FIGURE_STYLE)  # the backend has set its own
    formatters = shell.display_formatter.formatters
    formatters["image/png"].pop(Figure, None)
    formatters["image/svg+xml"].for_type(Figure, figure_svg)


def figure_svg(figure: Figure) -> str:
    """Return `figure` as SVG text for both themes, and close it."""
    text = plots.svg(figure)
    plt.close(figure)  # or the end of the cell would show it once more
    return text
