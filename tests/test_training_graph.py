"""The training step as a graph: torch's own numbers, in Python as in Node."""

import math
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from node import run_trainer
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.lr_scheduler import OneCycleLR

from sightline.data.shapes import Shapes, draw_shapes
from sightline.export.assets import TRAINING, WEB
from sightline.export.training_graph import (
    BATCH_SIZE,
    CONVOLUTIONS,
    WEIGHT_DECAY,
    WEIGHTS,
    training_files,
)

onnxruntime = pytest.importorskip("onnxruntime")

STEPS = 50
LOCK = Path(__file__).parents[1] / "requirements.txt"
# parts of the seed, as web/train/trainer.mjs has them
TRAINING_PICTURES, FIRST_WEIGHTS = 0, 1

FIFTY = """
const losses = [];
for (let i = 0; i < 50; i++) losses.push((await trainer.step(RIGHT)).loss);
const rates = Array.from({ length: STEPS }, (_, step) => rateAt(step));
process.stdout.write(JSON.stringify({ losses, rates }));
"""


def unit(name: str) -> nn.Sequential:
    """A convolution and its batch norm, from torch's own layers."""
    inputs, outputs = CONVOLUTIONS[name]
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Network(nn.Module):
    """The network of the page in plain torch, in double precision."""

    def __init__(self):
        super().__init__()
        self.units = nn.ModuleDict({name: unit(name) for name in CONVOLUTIONS})
        self.head = nn.Linear(64, 10)
        self.double()
        vector_to_parameters(torch.from_numpy(first_weights()).double(), self.weights)

    @property
    def weights(self) -> list[nn.Parameter]:
        """All weights, in the order of the vector."""
        return list(self.parameters())

    @property
    def statistics(self) -> Tensor:
        """Running means and variances, in the order of the vector."""
        norms = [norm for _, norm in self.units.values()]
        return torch.cat([v for n in norms for v in (n.running_mean, n.running_var)])

    def forward(self, pictures: np.ndarray) -> Tensor:
        """Classify pictures (B, 32, 32, 3) uint8; keep the last map."""
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).double() / 255
        x = x - x.mean((2, 3), keepdim=True)
        x = x / x.std((1, 2, 3), keepdim=True, correction=0)
        x = self.units.stem(F.pixel_unshuffle(x, 2)).relu()
        x = (x + self.units.body2(self.units.body1(x).relu())).relu()
        x = self.units.wide(F.avg_pool2d(x, 2)).relu()
        self.last = self.units.last(x).relu()
        return self.head(self.last.mean((2, 3)))


class Session:
    """One of the committed graphs, with numbers in single precision."""

    def __init__(self, name: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = str(WEB / "train" / f"{name}.onnx")
        self.session = onnxruntime.InferenceSession(path, options)

    def __call__(self, **inputs) -> list[np.ndarray]:
        """Outputs of the graph; 64 bits become 32."""
        narrow = {"float64": np.float32, "int64": np.int32}
        arrays = {name: np.array(value) for name, value in inputs.items()}
        feeds = {
            name: array.astype(narrow.get(str(array.dtype), array.dtype))
            for name, array in arrays.items()
        }
        return self.session.run(None, feeds)


def first_weights() -> np.ndarray:
    """The vector of weights that the page draws from the seed 0."""
    rng = np.random.default_rng([0, FIRST_WEIGHTS])
    parts = [np.full(math.prod(part.shape), part.mean, np.float32) for part in WEIGHTS]
    for part, weights in zip(parts, WEIGHTS, strict=True):
        if weights.std:
            normals = rng.standard_normal(len(part), dtype=np.float32)
            part[:] = np.float32(weights.std) * normals
    return np.concatenate(parts)


def first_state() -> list[np.ndarray]:
    """Weights, velocities and statistics before the first step."""
    weights = first_weights()
    channels = [outputs for _, outputs in CONVOLUTIONS.values()]
    moments = [np.repeat(np.float32([0, 1]), n) for n in channels]
    return [weights, np.zeros_like(weights), np.concatenate(moments)]


def rates(model: nn.Module, steps: int) -> list[float]:
    """The learning rates of torch's one-cycle policy."""
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = OneCycleLR(sgd, 0.1, 3000, pct_start=0.25, cycle_momentum=False)
    values = []
    for _ in range(steps):
        values.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    return values


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    """The first 800 training pictures of the page."""
    return draw_shapes(800, seed=[0, TRAINING_PICTURES, 0])


def batch(shapes: Shapes, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and labels of a step of the first epoch."""
    part = slice(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
    return shapes.images[part], shapes.labels[part]


@pytest.fixture(scope="module")
def trained(shapes) -> tuple[Network, list[float]]:
    """Plain torch after 50 steps, and the losses on the way."""
    network, losses = Network(), []
    sgd = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=WEIGHT_DECAY
    )
    for step, rate in enumerate(rates(Network(), STEPS)):
        sgd.param_groups[0]["lr"] = rate
        images, labels = batch(shapes, step)
        loss = F.cross_entropy(network(images), torch.from_numpy(labels))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
    return network.eval(), losses


def test_fifty_steps_of_the_graph_are_those_of_torch(shapes, trained):
    network, expected = trained
    step, state, losses = Session("step"), first_state(), []
    for number, rate in enumerate(rates(Network(), STEPS)):
        images, labels = batch(shapes, number)
        numbers = {"rate": rate, "momentum": 0.9, "norm": 1.0}
        names = ("weights", "velocities", "statistics")
        vectors = dict(zip(names, state, strict=True))
        loss, correct, *state = step(images=images, labels=labels, **numbers, **vectors)
        losses.append(float(loss))
        assert 0 <= correct <= BATCH_SIZE
    assert np.abs(np.subtract(losses, expected)).max() < 1e-4
    weights = parameters_to_vector(network.parameters()).detach()
    np.testing.assert_allclose(state[0], weights, rtol=0, atol=1e-3)
    np.testing.assert_allclose(state[2], network.statistics, rtol=1e-3, atol=1e-3)


def test_fifty_losses_in_node_are_those_of_torch(trained):
    seen = run_trainer(FIFTY)
    assert np.abs(np.subtract(seen["losses"], trained[1])).max() < 1e-4
    np.testing.assert_allclose(seen["rates"], rates(Network(), 3000), rtol=1e-9)


def test_a_step_counts_the_correct_answers_before_it(shapes):
    images, labels = batch(shapes, 0)
    predicted = Network()(images).argmax(1).numpy()
    names = ("weights", "velocities", "statistics")
    vectors = dict(zip(names, first_state(), strict=True))
    numbers = {"rate": 0.1, "momentum": 0.9, "norm": 1.0}
    _, correct, *_ = Session("step")(images=images, labels=labels, **numbers, **vectors)
    assert correct == (predicted == labels).sum()


def test_without_batch_norm_the_graph_scales_and_shifts_alone(shapes):
    network, (images, labels) = Network(), batch(shapes, 0)
    for _, norm in network.units.values():  # as if mean 0 and variance 1 were measured
        norm.eval()
        norm.eps = 0
    loss = F.cross_entropy(network(images), torch.from_numpy(labels))
    loss.backward()
    weights, velocities, statistics = first_state()
    vectors = {"weights": weights, "velocities": velocities, "statistics": statistics}
    numbers = {"rate": 1.0, "momentum": 0.0, "norm": 0.0}
    own, _, stepped, *_ = Session("step")(
        images=images, labels=labels, **numbers, **vectors
    )
    gradient = parameters_to_vector(weight.grad for weight in network.weights)
    assert abs(own - loss.item()) < 1e-5
    moved = (weights - stepped) - WEIGHT_DECAY * weights
    np.testing.assert_allclose(moved, gradient, rtol=0, atol=1e-5)


def test_the_answers_are_those_of_torch_and_the_evidence_adds_up_to_them(
    shapes, trained
):
    network, (images, _) = trained[0], batch(shapes, 1)
    with torch.no_grad():
        expected = network(images)
    weights = parameters_to_vector(network.parameters()).detach().numpy()
    vectors = {"weights": weights, "statistics": network.statistics.numpy()}
    logits, evidence = Session("look")(images=images, norm=1.0, **vectors)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    bias = network.head.bias.detach().numpy()
    np.testing.assert_allclose(evidence.mean((2, 3)) + bias, logits, atol=1e-5)
    one = torch.einsum("bkhw,ck->bchw", network.last, network.head.weight)
    np.testing.assert_allclose(evidence, one.detach(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_the_committed_graphs_are_what_the_library_writes():
    pinned = LOCK.read_text(encoding="utf-8")
    for name in ("torch", "onnx", "onnxscript"):
        if f"\n{name}=={version(name).split('+')[0]}" not in pinned:
            pytest.skip(f"another {name} than that of requirements.txt writes others")
    made = training_files()
    committed = {Path(name).name: (WEB / name).read_bytes() for name in TRAINING}
    assert {name: made[name] == data for name, data in committed.items()} == {
        name: True for name in made
    }, "write sightline.export.training_graph.training_files() to export/web/train"


def test_what_the_page_adds_to_the_runtime_is_small():
    files = [*WEB.glob("train/*"), WEB / "random.mjs", WEB / "shapes.mjs"]
    assert sum(file.stat().st_size for file in files) < 200_000
