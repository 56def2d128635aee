"""The subject of a report, and the parts that a report has."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from sightline.data.split import Splits
from sightline.heatmaps.layers import default_layers
from sightline.measures.evaluation import Evaluation
from sightline.training.classifier import Classifier
from sightline.training.run import Run

__all__ = ["Part", "Section", "Subject"]

#: Markdown, HTML as `Markup`, or a figure and its words
Part = str | tuple[Figure, str]


@dataclass(frozen=True)
class Subject:
    """A run, its network, and the pictures that it is asked about."""

    run: Run
    splits: Splits
    classifier: Classifier  #: of the run

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of the logits."""
        return self.classifier.classes

    @property
    def model(self) -> nn.Module:
        """Return the network with its best weights, in evaluation mode."""
        return self.classifier.model

    @property
    def layers(self) -> list[str]:
        """Return the layers that give maps."""
        return default_layers(self.model, self.classifier.image_size)

    @cached_property
    def test(self) -> Evaluation:
        """Return the answers about the test images, the recorded ones if they fit."""
        if self.run.finished and self.run.manifest["digest"] == self.splits.digest:
            return self.run.test
        return self.classifier.ask(self.splits.test)

    @property
    def everything(self) -> Tensor:
        """Return the places of all test images."""
        return torch.arange(len(self.test.labels))

    def pictures(self, index: Tensor) -> Tensor:
        """Return test pictures, (B, H, W, 3) uint8."""
        return self.splits.test.images[index]

    def images(self, index: Tensor) -> Tensor:
        """Return normalised test pictures, (B, 3, H, W), on the network's device."""
        return self.classifier.normalise(self.pictures(index))

    def sample(self, count: int | None = None) -> Tensor:
        """Choose up to `count` test images by chance, always the same; None: all."""
        generator = torch.Generator().manual_seed(0)
        return torch.randperm(len(self.test.labels), generator=generator)[:count]


@dataclass(frozen=True)
class Section:
    """One part of a report."""

    title: str
    parts: Sequence[Part]
    numbers: dict[str, object] = field(default_factory=dict)  #: the same for machines
