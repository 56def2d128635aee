"""A training that takes a second: what several test files train."""

from dataclasses import replace

from sightline.data.datasets import draw_split
from sightline.data.shapes import CLASSES
from sightline.data.split import Splits
from sightline.training.recipes import RECIPES

# the last batch of 64 images is short
RECIPE = replace(RECIPES["resnet10"], epochs=2, batch_size=24)
ON_CPU = {"device": "cpu", "precision": "fp32", "progress": False}


def splits(seed: int = 0) -> Splits:
    """Draw a data set of 64 training, 20 validation and 20 test images."""
    return Splits(
        name="shapes",
        train=draw_split(64, seed),
        validation=draw_split(20, seed + 1000),
        test=draw_split(20, seed + 2000),
        classes=CLASSES,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        digest=f"tiny-{seed}",
    )
