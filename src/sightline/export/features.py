"""The library's own weights as a graph that describes a picture and names no class.

A page fits a head of its own. The graph ends in the channels of the last two stages,
laid over each other as hypercolumns, Hariharan et al. (2015), section 3: a head that
weighs their means over all places has weighed each place.
"""

import gzip
import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.export.graph import write_graph
from sightline.export.rounding import Rounded, fold_batch_norms, round_weights
from sightline.heatmaps.layers import find_layer
from sightline.models import build_model
from sightline.models.pretrained import SIGHTLINE_MEAN, SIGHTLINE_STD, load_sightline

__all__ = ["SIZE", "Columns", "feature_files", "own_columns"]

SIZE = 32  #: pixels of the side of the pictures that the weights saw
LAYERS = ("layer3", "layer4")  # the finer one first
BITS = 8


class Columns(nn.Module):
    """Channels of some stages, coarser ones repeated at the places of the finest."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        for name, colour in (("mean", SIGHTLINE_MEAN), ("std", SIGHTLINE_STD)):
            self.register_buffer(name, torch.tensor(colour).view(1, 3, 1, 1))
        self.maps: list[Tensor] = []
        for name in LAYERS:
            find_layer(model, name).register_forward_hook(self._note)

    def _note(self, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.maps.append(output)

    def forward(self, image: Tensor) -> Tensor:
        """Return all channels (1, C, h, w) of a picture (1, 3, H, W) in 0..1."""
        self.maps.clear()
        self.model((image - self.mean) / self.std)
        finest = self.maps[0].shape[2:]
        return torch.cat([F.interpolate(each, finest) for each in self.maps], 1)


def own_columns() -> tuple[Columns, dict[str, Rounded]]:
    """Return the network with the library's weights, and what they were rounded to."""
    model = build_model("resnet10", num_classes=1, image_size=SIZE)
    load_sightline(model)
    model = fold_batch_norms(model)
    model.set_submodule("head", nn.Identity())
    columns = Columns(model)
    return columns.eval(), round_weights(columns, BITS)


def feature_files() -> dict[str, bytes]:
    """Return, by name, the graph and what describes it; as `web/teach/` keeps them.

    Input of the graph: `image` (1, 3, H, W) in 0..1; output: `columns` (1, C, h, w).

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    columns, rounded = own_columns()
    picture = torch.zeros(1, 3, SIZE, SIZE)
    with torch.no_grad():
        channels, side = columns(picture).shape[1:3]
    graph = write_graph(columns, {"image": picture}, ["columns"], rounded)
    about = {"image_size": SIZE, "channels": channels, "side": side, "bits": BITS}
    return {
        "model.onnx.gz": gzip.compress(graph, mtime=0),
        "model.json": f"{json.dumps(about)}\n".encode(),
    }
