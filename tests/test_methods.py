"""Each method is the formula of the package grad-cam, on numbers of any size."""

import oracle
import pytest
import torch
from tolerance import rounding

from sightline.heatmaps.methods import METHODS, eigen_cam

SHAPE = (5, 12, 4, 3)  # images, channels, rows, columns


def draw(seed: int, *, after_relu: bool = True, size: float = 1.0):
    """Draw activations, some channels of which are dead, and gradients with zeros."""
    generator = torch.Generator().manual_seed(seed)
    activations, gradients = (
        size * torch.randn(SHAPE, generator=generator, dtype=torch.float64)
        for _ in range(2)
    )
    gradients[torch.rand(SHAPE, generator=generator) < 0.3] = 0
    activations[:, :2] = 0
    return activations.relu() if after_relu else activations, gradients


def rounding_of(method, activations, gradients) -> torch.Tensor:
    """Bound the rounding of a method's sums over positions and channels, (B, 1, 1)."""
    terms, dtype = activations[0].numel(), activations.dtype
    if method == "eigen_cam":  # the package returns 32 bits
        return rounding(1, activations.flatten(1).norm(dim=1), torch.float32)
    size = METHODS[method](activations.abs(), gradients.abs()).amax((1, 2))
    return rounding(terms, size, dtype)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_the_formula_of_the_package(method, size):
    activations, gradients = draw(1, size=size)
    expected = oracle.formula(method, activations, gradients)
    maps = METHODS[method](activations, gradients)
    assert maps.shape == (5, 4, 3) and maps.dtype == torch.float64
    allowed = rounding_of(method, activations, gradients)
    assert ((maps - expected).abs().amax((1, 2)) <= allowed).all()
    assert (maps.amax((1, 2)) > 100 * allowed).all()  # there is something to compare


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam", "eigen_cam"])
def test_activations_may_be_negative(method):
    activations, gradients = draw(2, after_relu=False)
    expected = oracle.formula(method, activations, gradients)
    maps = METHODS[method](activations, gradients)
    allowed = rounding_of(method, activations, gradients)
    assert ((maps - expected).abs().amax((1, 2)) <= allowed).all()


@pytest.mark.parametrize("method", METHODS)
def test_dead_channels_make_maps_of_zeros_and_not_of_nan(method):
    activations, gradients = draw(3)
    assert METHODS[method](torch.zeros_like(activations), gradients).eq(0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_may_be_empty(method):
    empty = torch.zeros(0, 12, 4, 3)
    assert METHODS[method](empty, empty).shape == (0, 4, 3)


def test_eigen_cam_projects_the_positions_where_they_vary_most():
    row = torch.tensor([1.0, -1.0, 2.0, 0.0])
    direction = torch.tensor([3.0, 4.0]) / 5
    activations = (direction[:, None] * row)[None, :, None]  # (1, 2, 1, 4)
    maps = eigen_cam(activations, torch.zeros_like(activations))
    torch.testing.assert_close(maps.abs()[0, 0], (row - row.mean()).abs())


def test_eigen_cam_survives_numbers_that_are_not_finite():
    activations, gradients = draw(4)
    others = [0, 1, 3, 4]
    expected = eigen_cam(activations, gradients)[others]
    activations[2, 3, 0, 0], activations[2, 4, 0, 0] = torch.nan, torch.inf
    assert torch.equal(eigen_cam(activations, gradients)[others], expected)
