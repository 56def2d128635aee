"""A training that takes a second: what several test files train."""

from dataclasses import replace

import torch

from sightline.data.datasets import Split, Splits
from sightline.data.shapes import CLASSES, draw_shapes
from sightline.training.recipes import RECIPES

# the last batch of 64 images is short
RECIPE = replace(RECIPES["resnet10"], epochs=2, batch_size=24)
ON_CPU = {"device": "cpu", "precision": "fp32", "progress": False}


def part(count: int, seed: int) -> Split:
    """Draw some shapes."""
    drawn = draw_shapes(count, seed=seed)
    return Split(torch.from_numpy(drawn.images), torch.from_numpy(drawn.labels))


def splits(seed: int = 0) -> Splits:
    """Draw a data set of 64 training, 20 validation and 20 test images."""
    return Splits(
        name="shapes",
        train=part(64, seed),
        validation=part(20, seed + 1000),
        test=part(20, seed + 2000),
        classes=CLASSES,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        digest=f"tiny-{seed}",
    )
