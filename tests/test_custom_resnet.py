"""The custom ResNet: order of its layers, residual pairs, pooling, dropout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sightline.models.custom_resnet import (
    Residual,
    custom_resnet,
    custom_resnet_relu_first,
)


def kinds(unit: nn.Sequential) -> list[type]:
    return [type(module) for module in unit]


def dropouts(model: nn.Module) -> list[float]:
    return [m.p for m in model.modules() if isinstance(m, nn.Dropout)]


def test_norm_comes_before_relu_and_in_the_sibling_behind_it():
    model = custom_resnet(num_classes=10, width=4)
    behind = [nn.BatchNorm2d, nn.ReLU, nn.Dropout]
    assert kinds(model.prep) == [nn.Conv2d, *behind]
    assert kinds(model.layer2) == [nn.Conv2d, nn.MaxPool2d, *behind]
    sibling = custom_resnet_relu_first(num_classes=10, width=4)
    behind = [nn.ReLU, nn.BatchNorm2d]
    assert kinds(sibling.prep) == [nn.Conv2d, *behind]
    assert kinds(sibling.layer2) == [nn.Conv2d, nn.MaxPool2d, *behind]


def test_dropout_is_in_all_eight_units_and_only_where_it_is_asked_for():
    assert dropouts(custom_resnet(num_classes=10, width=4)) == [0.02] * 8
    assert dropouts(custom_resnet(num_classes=10, width=4, dropout=0.3)) == [0.3] * 8
    assert dropouts(custom_resnet(num_classes=10, width=4, dropout=0)) == []
    assert dropouts(custom_resnet_relu_first(num_classes=10, width=4)) == []


def test_a_residual_pair_adds_its_input_without_a_relu():
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(Residual(nn.ReLU())(x), x + x.relu())


@pytest.mark.parametrize("build", [custom_resnet, custom_resnet_relu_first])
def test_the_forward_pass_is_the_published_one(build):
    torch.manual_seed(0)
    model = build(num_classes=10, width=4).eval()
    images = torch.randn(2, 3, 32, 32)
    first, pair = model.layer1
    x = first(model.prep(images))
    x = model.layer2(x + pair.body[1](pair.body[0](x)))
    first, pair = model.layer3
    x = first(x)
    x = x + pair.body[1](pair.body[0](x))
    expected = model.head(F.max_pool2d(x, 4).flatten(1))
    torch.testing.assert_close(model(images), expected)
    # logits, not their logarithmic softmax
    assert not torch.allclose(expected.exp().sum(1), torch.ones(2))
