"""The fast network: whitening, identity start, what is frozen, its small logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.data.shapes import draw_shapes
from sightline.errors import SightlineError
from sightline.models.fast_net import FastNet, fast_net
from sightline.models.norms import NORMS


def tiny(**arguments) -> FastNet:
    return fast_net(num_classes=10, widths=(32, 40, 40), **arguments)


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Draw more pictures than are whitened at once."""
    pixels = torch.from_numpy(draw_shapes(700, seed=3).images).permute(0, 3, 1, 2) / 255
    mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
    return (pixels - mean[:, None, None]) / std[:, None, None]


def covariance_after(model: FastNet, images: Tensor) -> Tensor:
    """Compute the covariance of what the first twelve filters give."""
    with torch.no_grad():
        maps = F.conv2d(images, model.stem[0].weight[:12])
    return torch.cov(maps.transpose(0, 1).flatten(1))


def test_whitening_makes_patches_uncorrelated_and_of_variance_one(images):
    model = tiny()
    identity = torch.eye(12)
    before = covariance_after(model, images)
    model.whiten(images)
    after = covariance_after(model, images)
    assert (before - identity).abs().max() > 0.3
    torch.testing.assert_close(after, identity, rtol=0, atol=0.02)
    # of pictures that the filters have not seen
    model.whiten(images[:350])
    unseen = covariance_after(model, images[350:])
    torch.testing.assert_close(unseen, identity, rtol=0, atol=0.15)


def test_the_second_half_of_the_filters_are_the_negatives_of_the_first(images):
    model = tiny()
    bias = model.stem[0].bias.clone()
    model.whiten(images)
    positive, negative = model.stem[0].weight.split(12)
    assert torch.equal(negative, -positive)
    assert torch.equal(model.stem[0].bias, bias)


def test_directions_without_variance_are_not_blown_up():
    model = tiny()
    model.whiten(torch.randn(8, 1, 16, 16).expand(-1, 3, -1, -1))  # grey pictures
    assert model.stem[0].weight.isfinite().all()
    assert model.stem[0].weight.abs().max() < 5e-4**-0.5


def test_whitening_does_not_depend_on_the_surrounding_precision(images):
    model, same = tiny(), tiny()
    model.whiten(images[:100])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        same.whiten(images[:100])
    assert torch.equal(model.stem[0].weight, same.stem[0].weight)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "torch.uint8: expected a norm"),
        (torch.zeros(2, 8, 8, 3), r"\(2, 8, 8, 3\).*\(B, 3, H, W\)"),
    ],
)
def test_pictures_that_are_not_a_normalised_batch_are_refused(images, message):
    with pytest.raises(SightlineError, match=message):
        tiny().whiten(images)


def test_every_convolution_hands_its_input_on_at_the_start():
    model = tiny()
    stages = [model.layer1, model.layer2, model.layer3]
    convs = [m for stage in stages for m in stage if isinstance(m, nn.Conv2d)]
    assert len(convs) == 6
    for conv in convs:
        x = torch.randn(2, conv.in_channels, 9, 9)
        y = conv(x)
        torch.testing.assert_close(y[:, : conv.in_channels], x)
        if conv.out_channels > conv.in_channels:  # the others are random
            assert y[:, conv.in_channels :].std() > 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_filters_and_gains_are_frozen_and_every_bias_is_trained(norm):
    model = tiny(norm=norm)
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    kinds = (nn.BatchNorm2d, nn.GroupNorm)
    gains = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, kinds)}
    assert frozen == {"stem.0.weight", *gains}
    assert all((m.weight == 1).all() and m.bias.requires_grad for m in gains.values())
    assert sum(p.requires_grad for n, p in model.named_parameters() if "bias" in n) == 7


def test_logits_are_divided_by_the_last_width():
    model = tiny().eval()
    features = torch.randn(4, 40, 1, 1)
    model.pool.register_forward_hook(lambda module, inputs, output: features)
    expected = features.flatten(1) @ model.head.weight.T / 40
    torch.testing.assert_close(model(torch.randn(4, 3, 32, 32)), expected)
    assert model.head.bias is None
