"""One picture file: what a network answers, and where it finds its evidence."""

import os
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightline import plots
from sightline.data.pictures import CUT, read_picture, read_whole
from sightline.heatmaps.explain import Explanation, explain
from sightline.plots.overlay import framed
from sightline.training.classifier import Classifier

__all__ = ["explain_picture"]

LONGEST = 512  # pixels of a side of the original in a figure
NAME_BYTES = 180  # of a picture's name in that of its figure; drives allow 255 in all


def explain_picture(
    classifier: Classifier,
    picture: Path,
    out: Path,
    *,
    opacity: float = 0.6,
    method: str,
    **question: Any,
) -> tuple[Path, str]:
    """Write a picture and its heatmaps to OUT/PICTURE-METHOD.png; say what it shows.

    Returns that file and the words. A figure that is there stays, and the new one gets
    a number. `opacity` is the share of the heatmap's colour over the picture; `method`
    and the `question` are arguments of `sightline.heatmaps.explain.explain`.

    Raises:
        DataError: if the picture cannot be read.
        SightlineError: if the network answers NaN.
        RunError: if `out` cannot be written to.
    """
    pixels, changes = read_picture(picture, classifier.image_size, classifier.framing)
    pictures = torch.from_numpy(pixels.copy())[None]
    images = classifier.normalise(pictures)
    confidence, place = classifier.logits(images).softmax(1)[0].max(0)
    maps = explain(classifier.model, images, method=method, **question)
    answer = f"{classifier.classes[int(place)]} {float(confidence):.1%}"
    figure = plots.heatmaps(
        pictures,
        maps,
        titles=[answer],
        classes=classifier.classes,
        opacity=opacity,
        wholes=whole_of(picture) if CUT in changes else None,
    )
    file = free_place(out, picture.stem, method)
    plots.save(figure, file)
    seen = f" ({', '.join(changes)})" if changes else ""
    return file, f"{picture}{seen}: {answer} ({_strengths(maps)}) → {file}"


def whole_of(picture: Path) -> dict[str, list[np.ndarray]]:
    """Return a picture with the square that is looked at, under its size in words."""
    pixels, (width, height) = read_whole(picture, LONGEST)
    return {f"original\n{width} × {height}": [framed(pixels)]}


def free_place(out: Path, name: str, method: str) -> Path:
    """Choose a file for a figure where there is none, of a name that drives allow."""
    short = os.fsencode(name)[:NAME_BYTES].decode("utf-8", "ignore")
    numbers = chain([""], (f"-{number}" for number in count(2)))
    files = (out / f"{short}-{method}{number}.png" for number in numbers)
    return next(file for file in files if not os.path.lexists(file))


def _strengths(maps: Mapping[str, Explanation]) -> str:
    """Say how large the score is, and the largest evidence of each layer."""
    score = next(iter(maps.values())).scores.item()
    parts = [
        f"no map at {name}"
        if each.status[0] != "ok"
        else f"at most {each.evidence.max():.2g} at {name}"
        for name, each in maps.items()
    ]
    return f"score {score:.2g}; evidence {', '.join(parts)}"
