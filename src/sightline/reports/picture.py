"""One picture file: what a network answers, and where it finds its evidence."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sightline import plots
from sightline.data.pictures import read_picture
from sightline.heatmaps.explain import explain
from sightline.training.classifier import Classifier

__all__ = ["PictureAnswer", "explain_picture"]


@dataclass(frozen=True)
class PictureAnswer:
    """What a network answered about a picture file."""

    picture: Path  #: the file
    class_name: str  #: the answer
    confidence: float  #: its probability, 0..1
    figure: Path  #: file with the picture and its heatmaps
    without_map: tuple[str, ...]  #: layers at which there was no evidence

    def line(self) -> str:
        """Return all of it in one line."""
        blank = ", ".join(self.without_map)
        remark = f" (no map at {blank})" if blank else ""
        answer = f"{self.class_name} {self.confidence:.1%}"
        return f"{self.picture}: {answer}{remark} → {self.figure}"


def explain_picture(
    classifier: Classifier, picture: Path, out: Path, *, method: str, **question: Any
) -> PictureAnswer:
    """Write the figure of one picture into the folder `out`.

    Args:
        classifier: the network that is asked.
        picture: the file.
        out: folder for the figure, PICTURE-METHOD.png.
        method: of `sightline.heatmaps.explain.explain`.
        question: its `layers`, `targets` and `against`.

    Raises:
        DataError: if the picture cannot be read.
    """
    pixels, _ = read_picture(picture, classifier.image_size)
    pictures = torch.from_numpy(pixels.copy())[None]
    images = classifier.normalise(pictures)
    with torch.inference_mode():
        confidence, place = classifier.model(images).softmax(1)[0].max(0)
    maps = explain(classifier.model, images, method=method, **question)
    file = out / f"{picture.stem}-{method}.png"
    answer = PictureAnswer(
        picture,
        classifier.classes[int(place)],
        float(confidence),
        file,
        tuple(name for name, layer in maps.items() if layer.status[0] != "ok"),
    )
    title = f"{answer.class_name} {answer.confidence:.1%}"
    out.mkdir(parents=True, exist_ok=True)
    plots.save(
        plots.heatmaps(pictures, maps, titles=[title], classes=classifier.classes), file
    )
    return answer
