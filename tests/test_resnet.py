"""What only the residual networks of He et al. and their variants have."""

import pytest
import torch

from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.models.resnet import resnet10, resnet18_layer_norm
from sightline.models.summary import receptive_fields, stage_shapes


def test_the_layer_norm_variant_ends_at_8_by_8():
    shapes = stage_shapes(resnet18_layer_norm(num_classes=10))
    assert shapes["layer4"] == (512, 8, 8)


def test_a_plain_net_has_no_shortcuts():
    plain = resnet10(num_classes=10, residual=False)
    assert not [name for name, _ in plain.named_parameters() if "shortcut" in name]
    assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(("name", "layers"), [("resnet20", 20), ("plain56", 56)])
def test_the_networks_for_cifar_have_the_layers_of_their_name(name, layers):
    model = build_model(name, num_classes=10)
    kernels = [w for w in model.parameters() if w.ndim == 4 and w.shape[-1] == 3]
    assert len(kernels) + 1 == layers  # the head is one, too
    assert list(stage_shapes(model).values())[-1] == (10,)
    assert stage_shapes(model)["layer3"] == (64, 8, 8)


@pytest.mark.parametrize(
    ("image_size", "start", "stem", "side"),
    [
        (32, "scratch", "plain", 4),
        (64, "scratch", "strided", 4),
        (96, "sightline", "imagenet", 3),
        (128, "scratch", "imagenet", 4),
        (64, "imagenet", "imagenet", 2),
    ],
)
def test_a_larger_picture_has_a_stem_that_keeps_the_last_map_small(
    image_size, start, stem, side
):
    chosen = {"image_size": image_size, "start": start}
    model = build_model("resnet10", num_classes=3, **chosen)
    expected = resnet10(num_classes=3, stem=stem)
    assert model.state_dict().keys() == expected.state_dict().keys()
    assert stage_shapes(model, image_size)["layer4"][1:] == (side, side)


def test_a_network_without_stems_refuses_larger_pictures():
    with pytest.raises(SightlineError, match="32x32 pixels, not 64x64.*resnet18"):
        build_model("fast_net", num_classes=3, image_size=64)


def test_the_receptive_field_counts_the_pooling_of_a_stem():
    stem = receptive_fields(resnet10(num_classes=3, stem="imagenet"))["stem"]
    assert stem == (7 + 2 * 2, 4)  # a window of 3 over positions 2 pixels apart
