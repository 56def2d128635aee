"""One picture file: what a network answers, and where it finds its evidence."""

from collections.abc import Sequence
from pathlib import Path

import torch

from sightline import plots
from sightline.data.pictures import read_picture
from sightline.heatmaps.explain import Targets, explain
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
    against: Targets | None,
    method: str,
) -> str:
    """Write a picture and its heatmaps to OUT/PICTURE-METHOD.png; say what it shows.

    `opacity` is the share of the heatmap's colour over the picture; `layers` to
    `method` are those of `sightline.heatmaps.explain.explain`.

    Raises:
        DataError: if the picture cannot be read.
    """
    pixels, _ = read_picture(picture, classifier.image_size)
    pictures = torch.from_numpy(pixels.copy())[None]
    images = classifier.normalise(pictures)
    with torch.inference_mode():
        confidence, place = classifier.model(images).softmax(1)[0].max(0)
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
    blank = ", ".join(name for name, each in maps.items() if each.status[0] != "ok")
    remark = f" (no map at {blank})" if blank else ""
    return f"{picture}: {answer}{remark} → {file}"
