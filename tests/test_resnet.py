"""What only the residual networks of He et al. and their variants have."""

import torch

from sightline.models.resnet import resnet10, resnet18_layer_norm
from sightline.models.summary import stage_shapes


def test_the_layer_norm_variant_ends_at_8_by_8():
    shapes = stage_shapes(resnet18_layer_norm(num_classes=10))
    assert shapes["layer4"] == (512, 8, 8)


def test_a_plain_net_has_no_shortcuts():
    plain = resnet10(num_classes=10, residual=False)
    assert not [name for name, _ in plain.named_parameters() if "shortcut" in name]
    assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
