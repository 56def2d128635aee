"""A still of the live demo: what it shows first, before anything is loaded."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.data.pictures import read_picture
from sightline.errors import SightlineError
from sightline.files import read_json
from sightline.plots.overlay import overlay

__all__ = ["STILL", "Still", "clearest", "draw_still"]

STILL = "still.png"  #: name of the file, beside the network
GAP = 2  # transparent pixels between picture and heatmap
PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the middle", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)


@dataclass(frozen=True)
class Still:
    """A built-in picture, and what the network says about it."""

    number: int  #: of the picture among the built-in ones, from 0
    label: str  #: class of the picture
    predicted: str  #: class that the network names
    confidence: float  #: 0..1, in the predicted class
    picture: np.ndarray  #: (H, W, 3) uint8
    heatmap: np.ndarray  #: (H, W) in [0, 1], for the predicted class at the last layer

    @property
    def pixels(self) -> np.ndarray:
        """Return the picture beside itself under its heatmap, (H, 2W + gap, 4)."""
        height, width = self.heatmap.shape
        pixels = np.zeros((height, 2 * width + GAP, 4), np.uint8)
        pixels[:, :width, :3] = self.picture
        pixels[:, -width:, :3] = overlay(self.picture.copy(), self.heatmap)
        pixels[:, :width, 3] = pixels[:, -width:, 3] = 255
        return pixels

    @property
    def alt(self) -> str:
        """Return what there is to see, in words."""
        height, width = self.heatmap.shape
        y, x = np.unravel_index(self.heatmap.argmax(), self.heatmap.shape)
        row, column = (6 * y + 3) // (2 * height), (6 * x + 3) // (2 * width)
        place = f"is brightest {PLACES[row][column]}"
        return (
            f"A picture of {width} by {height} pixels, labelled {self.label}. Beside "
            f"it the same picture in grey under the heatmap for {self.predicted}, "
            f"which {place if self.heatmap.any() else 'shows no evidence'}."
        )


def draw_still(export: Path) -> Still:
    """Ask an exported network about its built-in pictures, and choose one of them.

    Of those that it names as they are labelled, it is the one whose evidence takes up
    the smallest part of the picture, which is the clearest at the size of a still.

    Raises:
        SightlineError: if onnxruntime is not installed.
    """
    try:
        from onnxruntime import InferenceSession
    except ImportError as error:
        raise SightlineError(
            "onnxruntime is not installed, and the still of the live demo needs it: "
            "pip install 'sightline[export]', or pip install onnxruntime"
        ) from error
    about = read_json(export / "model.json")
    graph = gzip.decompress((export / "model.onnx.gz").read_bytes())
    session, size = InferenceSession(graph), about["image_size"]
    nothing = np.zeros((1, len(about["classes"])), np.float32)  # the predicted class
    stills = []
    for number, entry in enumerate(about["pictures"]):
        picture, _ = read_picture(export / entry["file"], size)
        image = picture.transpose(2, 0, 1)[None] / np.float32(255)
        logits, *maps = session.run(None, {"image": image, "target": nothing})
        shares = np.exp(logits[0] - logits[0].max())
        shares /= shares.sum()
        predicted = about["classes"][shares.argmax()]
        confidence = float(shares.max())
        stills.append(
            Still(number, entry["class"], predicted, confidence, picture, maps[-1])
        )
    return clearest(stills)


def clearest(stills: Sequence[Still]) -> Still:
    """Choose a still: one that is right and has a map, with the least evidence."""

    def unclear(still: Still) -> tuple[bool, bool, float]:
        wrong, blank = still.predicted != still.label, not still.heatmap.any()
        return wrong, blank, float(still.heatmap.mean())

    return min(stills, key=unclear)
