"""A network and its Grad-CAM as one ONNX graph: forward, backward, heatmaps.

ONNX knows no gradients. So the backward pass is recorded like the forward one, in
torch's elementary operations, and both become one graph whose weights they share.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch._decomp import get_decompositions
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from sightline.errors import SightlineError
from sightline.export.rounding import Rounded
from sightline.heatmaps.layers import find_layer
from sightline.heatmaps.methods import grad_cam
from sightline.heatmaps.scaling import enlarge, scale
from sightline.models.summary import output_shapes
from sightline.training.classifier import Classifier

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

__all__ = ["Explained", "onnx_model", "write_graph"]

OPSET = 21  # the first whose DequantizeLinear takes 4 bits
# names of the tensors that the graph holds besides the network's own
MEAN, STD, STRETCHING = "colour.mean", "colour.std", "enlarge.{}"
aten = torch.ops.aten


@dataclass(frozen=True)
class Explained:
    """What the graph computes: logits, and the heatmaps of some layers."""

    classifier: Classifier  #: on the CPU
    layers: Sequence[str]  #: from the input to the output

    @property
    def model(self) -> nn.Module:
        """Return the network."""
        return self.classifier.model

    @property
    def state(self) -> dict[str, Tensor]:
        """Return all numbers that the graph computes with, by name."""
        mean, std = self.classifier.mean, self.classifier.std
        size = self.classifier.image_size
        shapes = output_shapes(self.model, self.layers, size)
        sides = {shape[1] for shape in shapes.values()}
        # ONNX has no memory formats: with channels last it lacks an operation
        own = {name: tensor.detach().contiguous() for name, tensor in self._own()}
        return (
            own
            | {MEAN: _per_channel(mean), STD: _per_channel(std)}
            | {STRETCHING.format(side): _stretching(side, size) for side in sides}
        )

    def _own(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the network's parameters and buffers by name."""
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    @property
    def examples(self) -> tuple[Tensor, Tensor]:
        """Return a picture and a class, an input of the right shapes."""
        size, classes = self.classifier.image_size, self.classifier.classes
        return torch.rand(1, 3, size, size), torch.eye(len(classes))[:1]

    def __call__(
        self, state: Mapping[str, Tensor], image: Tensor, target: Tensor
    ) -> tuple[Tensor, ...]:
        """Compute logits and heatmaps as `sightline.heatmaps.explain.explain` does.

        Args:
            state: as the property of that name.
            image: (1, 3, H, W) in 0..1.
            target: (1, K), 1 at the class to explain; all 0: the predicted one.

        Returns:
            Logits (1, K), then one heatmap (H, W) in [0, 1] for each layer.
        """
        own = {name: state[name] for name, _ in self._own()}
        outputs: dict[str, Tensor] = {}
        hooks = [
            find_layer(self.model, name).register_forward_hook(_noting(name, outputs))
            for name in self.layers
        ]
        try:
            logits = functional_call(
                self.model, own, ((image - state[MEAN]) / state[STD],)
            )
        finally:
            for hook in hooks:
                hook.remove()
        predicted = (logits >= logits.amax(1, keepdim=True)).float().detach()
        target = torch.where(target.sum(1, keepdim=True) > 0, target, predicted)
        activations = [outputs[name] for name in self.layers]
        gradients = torch.autograd.grad((logits * target).sum(), activations)
        maps = [
            _heatmap(*pair, state[STRETCHING.format(pair[0].shape[2])])
            for pair in zip(activations, gradients, strict=True)
        ]
        return logits.detach(), *maps


def onnx_model(explained: Explained, rounded: Mapping[str, Rounded]) -> bytes:
    """Write the graph, with rounded weights as bytes that are scaled on loading.

    Inputs: `image` and `target`; outputs: `logits`, then the names of the layers. The
    weights of the network must be those of `rounded`, by name of the parameter.

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    state = explained.state
    recorded = _Recorded(_record(explained, state), state)
    levels = {recorded.names[name]: weight for name, weight in rounded.items()}
    return write_graph(
        recorded,
        dict(zip(("image", "target"), explained.examples, strict=True)),
        ["logits", *explained.layers],
        levels,
    )


def write_graph(
    recorded: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    rounded: Mapping[str, Rounded],
) -> bytes:
    """Write a recorded graph as ONNX.

    Args:
        recorded: computes with elementary operations that ONNX knows.
        inputs: examples by name, in the order of its arguments.
        outputs: their names.
        rounded: weights to be stored as bytes, by name of the buffer.

    Raises:
        SightlineError: if onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript.optimizer
    except ImportError as error:
        raise SightlineError(
            f"{error.name} is not installed, and an export needs it: "
            "pip install 'sightline[export]', or pip install onnx onnxscript"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        model = _translated(recorded, inputs, outputs)
        _store_rounded(model, rounded)
        model = onnxscript.optimizer.optimize(model)
    _tidy(model)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _translated(
    recorded: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> "ModelProto":
    """Let torch write a recorded graph as ONNX, operation by operation."""
    program = torch.onnx.export(
        recorded,
        tuple(inputs.values()),
        dynamo=True,
        optimize=False,  # it would turn and rename weights
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        verbose=False,
    )
    assert program is not None, "torch returns one unless it writes a file"
    return program.model_proto


def _noting(name: str, outputs: dict[str, Tensor]) -> Callable:
    """Make a hook that notes the output of a layer, where backward is to end."""

    def hook(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        outputs[name] = output if output.requires_grad else output.requires_grad_()

    return hook


def _heatmap(activations: Tensor, gradients: Tensor, stretch: Tensor) -> Tensor:
    """Return the heatmap (H, H) of one picture whose layer gave (1, C, h, h)."""
    maps = grad_cam(activations, gradients)
    return scale(stretch @ maps.relu() @ stretch.T, maps)[0]


def _stretching(side: int, size: int) -> Tensor:
    """Return the matrix (size, side) that enlarges a column of a map.

    ONNX resizes, too, but torch's exporter writes a table of places for each pixel.
    """
    columns = torch.eye(side)[:, :, None]
    return enlarge(columns, (size, 1))[:, :, 0].T.contiguous()


def _per_channel(colour: Sequence[float]) -> Tensor:
    """Return a colour as (1, 3, 1, 1)."""
    return torch.tensor(colour).view(1, 3, 1, 1)


class _Recorded(nn.Module):
    """A recorded graph with its numbers, as torch's exporter takes it."""

    def __init__(self, graph: nn.Module, state: Mapping[str, Tensor]):
        super().__init__()
        self.graph = graph
        self.names = {name: name.replace(".", "_") for name in state}
        for name, tensor in state.items():
            self.register_buffer(self.names[name], tensor)

    def forward(self, image: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        """Compute logits and heatmaps."""
        state = {name: getattr(self, own) for name, own in self.names.items()}
        return self.graph(state, image, target)


def _record(explained: Explained, state: Mapping[str, Tensor]) -> nn.Module:
    """Run forward and backward once, noting every elementary operation."""
    names = ["threshold_backward", "native_group_norm", "native_group_norm_backward"]
    names += ["native_batch_norm", "native_batch_norm_backward", "silu_backward"]
    table: dict = get_decompositions([getattr(aten, name) for name in names])
    table[aten.convolution_backward.default] = _convolution_backward
    table[aten.max_pool2d_with_indices_backward.default] = _max_pool_backward
    table[aten.adaptive_max_pool2d.default] = _max_pool_to_one
    table[aten.adaptive_max_pool2d_backward.default] = _max_pool_to_one_backward
    return make_fx(explained, decomposition_table=table)(state, *explained.examples)


def _convolution_backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Return the gradient of a convolution's input: a transposed convolution.

    Where the stride has left pixels over, the output is padded by as many.
    """
    left_over = [
        side + 2 * pad - reach * (kernel - 1) - 1 - (out - 1) * step
        for side, out, kernel, step, pad, reach in zip(
            x.shape[2:],
            gradient.shape[2:],
            weight.shape[2:],
            stride,
            padding,
            dilation,
            strict=True,
        )
    ]
    geometry = (stride, padding, dilation, True, left_over, groups)
    return aten.convolution(gradient, weight, None, *geometry), None, None


def _max_pool_backward(
    gradient: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """Return the gradient of a max-pooling's input: it goes where the maxima were."""
    zeros = torch.zeros_like(x).flatten(2)
    return zeros.scatter_add(2, indices.flatten(2), gradient.flatten(2)).view(x.shape)


def _max_pool_to_one(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the maximum of each map and its place: ONNX has no adaptive pooling."""
    return aten.max_pool2d_with_indices(x, x.shape[2:])


def _max_pool_to_one_backward(gradient: Tensor, x: Tensor, indices: Tensor) -> Tensor:
    """Return the gradient of the input of `_max_pool_to_one`."""
    return _max_pool_backward(gradient, x, (), (), (), (), False, indices)


def _tidy(model: "ModelProto") -> None:
    """Drop the names of files and lines of this machine."""
    graph = model.graph
    model.producer_version = ""
    numbers = (*graph.value_info, *graph.input, *graph.output, *graph.initializer)
    for part in (model, graph, *graph.node, *numbers):
        del part.metadata_props[:]
        part.doc_string = ""


def _store_rounded(model: "ModelProto", rounded: Mapping[str, Rounded]) -> None:
    """Replace weights by levels and scales, and a node that multiplies them."""
    from onnx import helper, numpy_helper

    graph = model.graph
    missing = set(rounded) - {tensor.name for tensor in graph.initializer}
    assert not missing, f"the graph computes with other weights than {missing}"
    tensors = [tensor for tensor in graph.initializer if tensor.name not in rounded]
    products = []
    for name, weight in rounded.items():
        parts = [f"{name}_levels", f"{name}_scale"]
        tensors.append(_levels_tensor(weight.levels, parts[0]))
        tensors.append(numpy_helper.from_array(weight.scale.numpy(), parts[1]))
        products.append(helper.make_node("DequantizeLinear", parts, [name], axis=0))
    nodes = [*products, *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tensors)
    graph.node.extend(nodes)


def _levels_tensor(levels: Tensor, name: str) -> "TensorProto":
    """Store levels as bytes, or two in a byte where they fit, the first one low."""
    from onnx import TensorProto, helper

    flat, kind = levels.flatten().numpy(), TensorProto.INT8
    if abs(flat).max() < 8:
        flat = np.append(flat, np.zeros(len(flat) % 2, flat.dtype))
        flat, kind = (flat[0::2] & 15) | (flat[1::2] << 4), TensorProto.INT4
    return helper.make_tensor(name, kind, levels.shape, flat.tobytes(), raw=True)
