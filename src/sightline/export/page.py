"""The page around an exported network: its built-in pictures and its HTML."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from sightline.data.split import Split
from sightline.export.assets import RUNTIME, TEACHING, TRAINING, WEB
from sightline.export.features import SIZE
from sightline.export.still import Still
from sightline.files import printable

__all__ = [
    "Picture",
    "fragment",
    "pick_pictures",
    "png",
    "teaching_fragment",
    "training_fragment",
    "whole_page",
]

PICTURES = 10
TEMPLATES = Environment(
    loader=FileSystemLoader(WEB),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters["megabytes"] = lambda count: f"{count / 1e6:.1f} MB"
TEMPLATES.filters["percent"] = lambda share: f"{share:.{int(share < 0.0995)}%}"
NAMED = 50  # classes in the words above a demo, which has them all in its menu


def enumerated(classes: Sequence[str]) -> str:
    """Name classes in a sentence, the first ones if there are many."""
    if len(classes) <= NAMED:
        return f"these classes: {', '.join(classes)}"
    more = len(classes) - NAMED
    return f"{len(classes):,} classes: {', '.join(classes[:NAMED])} and {more:,} more"


TEMPLATES.filters["enumerated"] = enumerated


@dataclass(frozen=True)
class Picture:
    """A built-in picture: a PNG of the size that the network takes."""

    name: str  #: of its class
    png: bytes  #: the file


def pick_pictures(split: Split, classes: Sequence[str], seed: int = 0) -> list[Picture]:
    """Pick ten pictures, one of each class in turn; skip classes without a picture."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split.labels), generator=generator)
    queues = {
        label: order[split.labels[order] == label].tolist()
        for label in range(len(classes))
    }
    picked: list[Picture] = []
    while len(picked) < PICTURES and any(queues.values()):
        for label, queue in queues.items():
            if queue and len(picked) < PICTURES:
                image = split.images[queue.pop(0)]
                picked.append(Picture(classes[label], png(image)))
    return picked


def png(image: torch.Tensor | np.ndarray) -> bytes:
    """Return pixels (H, W, 3 or 4) uint8 as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG", optimize=True)
    return file.getvalue()


def fragment(about: dict, folder: str, still: Still | None = None) -> str:
    """Return the demo as a piece of a page.

    Args:
        about: what `model.json` holds.
        folder: address, from the page, of the folder of `model.json`; ends in /.
        still: what is shown before the network is loaded.
    """
    template = TEMPLATES.get_template("demo.html")
    return printable(template.render(about, folder=folder, still=still))


def training_fragment(folder: str) -> str:
    """Return the training of a network as a piece of a page.

    Args:
        folder: address, from the page, of the folder of the app; ends in /.
    """
    size = sum((WEB / name).stat().st_size for name in (*RUNTIME, *TRAINING))
    template = TEMPLATES.get_template("train/train.html")
    return template.render(folder=folder, bytes=size)


def teaching_fragment(folder: str, lessons: Sequence[dict]) -> str:
    """Return the lesson in one's own classes as a piece of a page.

    Args:
        folder: address, from the page, of the folder of the app; ends in /.
        lessons: the rows of `book/results/taught.json`.
    """
    runtime, model = (
        sum((WEB / name).stat().st_size for name in names)
        for names in (RUNTIME, TEACHING)
    )
    template = TEMPLATES.get_template("teach/teach.html")
    sizes = {"runtime": runtime, "model": model}
    return template.render(
        folder=folder, bytes=sizes, image_size=SIZE, trial=_trial(lessons)
    )


def _trial(lessons: Sequence[dict]) -> dict[str, float]:
    """Sum up what was measured: lessons, and shares of pictures called strange."""

    def mean(pictures: str, kind: str) -> float:
        return fmean(lesson[pictures][kind] for lesson in lessons)

    bounds = [(*lesson["interval"], lesson["right"]) for lesson in lessons]
    return {
        "lessons": len(lessons),
        "held": sum(low <= right <= high for low, high, right in bounds),
        **{name: mean(name, "strange") for name in ("own", "alike", "foreign")},
        "alike_by_confidence": mean("alike", "doubtful"),
        "foreign_by_confidence": mean("foreign", "doubtful"),
    }


def whole_page(about: dict) -> str:
    """Return a page of its own around the demo, to lie beside `model.json`."""
    template = TEMPLATES.get_template("index.html")
    return printable(template.render(about, folder="./", still=None))
