"""The training step as a graph: torch's own numbers, in Python, in Node, in a browser."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.data.shapes import draw_shapes
from sightline.export.training_graph import (
    BATCH_SIZE,
    CONVOLUTIONS,
    WEIGHT_DECAY,
    WEIGHTS,
    look_graph,
    step_graph,
)

onnxruntime = pytest.importorskip("onnxruntime")
STEPS = 50


def unit(name: str) -> nn.Sequential:
    """Make a convolution and its batch norm from torch's own layers."""
    inputs, outputs = CONVOLUTIONS[name]
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Network(nn.Module):
    """The network of the page, in plain torch."""

    def __init__(self):
        super().__init__()
        self.units = nn.ModuleDict({name: unit(name) for name in CONVOLUTIONS})
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Classify pictures (B, 32, 32, 3) uint8."""
        x = images.permute(0, 3, 1, 2) / 255
        x = x - x.mean((2, 3), keepdim=True)
        x = x / x.std((1, 2, 3), keepdim=True, correction=0)
        x = self.units.stem(F.pixel_unshuffle(x, 2)).relu()
        x = (x + self.units.body2(self.units.body1(x).relu())).relu()
        x = self.units.wide(F.avg_pool2d(x, 2)).relu()
        self.activations = self.units.last(x).relu()
        return self.head(self.activations.mean((2, 3)))
