"""The small dilated net: what its publication had, and what was put right."""

import torch
from torch import nn

from sightline.models.dilated_net import dilated_net, dilated_net_published
from sightline.models.summary import receptive_fields


def sides_through(model: nn.Module) -> list[int]:
    """Follow the side of the map through every convolution, from 32 pixels."""
    x, sides = torch.zeros(1, 3, 32, 32), []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for unit in stage:
            x = unit(x)
            sides.append(x.shape[-1])
    return sides


def test_the_published_net_shrinks_where_nobody_asked_for_it():
    published = dilated_net_published(num_classes=10).eval()
    assert sides_through(published) == [32] * 5 + [16] * 4 + [14] * 3


def test_only_the_stride_shrinks_the_map_of_ours():
    ours = dilated_net(num_classes=10).eval()
    assert sides_through(ours) == [32] * 5 + [16] * 7


def test_the_receptive_field_exceeds_44_pixels_in_ours_alone():
    assert receptive_fields(dilated_net(num_classes=10))["layer4"][0] > 44
    assert receptive_fields(dilated_net_published(num_classes=10))["layer4"][0] < 44


def test_a_pointwise_convolution_follows_the_depthwise_one_in_ours_alone():
    def pair(model: nn.Module) -> list[tuple]:
        return [(u[0].groups, u[0].kernel_size) for u in model.layer3[1:]]

    ours, published = dilated_net(num_classes=10), dilated_net_published(num_classes=10)
    assert pair(ours) == [(32, (3, 3)), (1, (1, 1))]
    assert pair(published) == [(32, (3, 3)), (1, (3, 3))]


def test_relu_and_dropout_come_before_the_norm():
    model = dilated_net(num_classes=10, dropout=0.1)
    units = [unit for name in model.stages[:4] for unit in getattr(model, name)]
    assert len(units) == 12
    for unit in units:
        kinds = [type(module) for module in unit]
        assert kinds == [nn.Conv2d, nn.ReLU, nn.Dropout, nn.BatchNorm2d]
        assert unit[0].bias is None
        assert unit[2].p == 0.1
