"""One picture file: what a network answers, and where it finds its evidence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from sightline import plots
from sightline.data.pictures import read_picture
from sightline.heatmaps.explain import Against, Explanation, Targets, explain
from sightline.training.classifier import Classifier

__all__ = ["explain_picture"]


def explain_picture(
    classifier: Classifier,
    picture: Path,
    out: Path,
    *,
    opacity: float = 0.6,
    layers: Sequence[str],
    targets: Targets,
    against: Against,
    method: str,
) -> str:
    """Write a picture and its heatmaps to OUT/PICTURE-METHOD.png; say what it shows.

    `opacity` is the share of the heatmap's colour over the picture; `layers` to
    `method` are those of `sightline.heatmaps.explain.explain`.

    Raises:
        DataError: if the picture cannot be read.
        SightlineError: if the network answers NaN.
    """
    pixels, _ = read_picture(picture, classifier.image_size)
    pictures = torch.from_numpy(pixels.copy())[None]
    images = classifier.normalise(pictures)
    confidence, place = classifier.logits(images).softmax(1)[0].max(0)
    maps = explain(
        classifier.model,
        images,
        layers=layers,
        targets=targets,
        against=against,
        method=method,
    )
    answer = f"{classifier.classes[int(place)]} {float(confidence):.1%}"
    file, names = out / f"{picture.stem}-{method}.png", classifier.classes
    figure = plots.heatmaps(
        pictures, maps, titles=[answer], classes=names, opacity=opacity
    )
    plots.save(figure, file)
    return f"{picture}: {answer} ({_strengths(maps)}) → {file}"


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
