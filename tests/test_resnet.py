"""Parameter counts, shapes, norms and receptive fields of the networks."""

import pytest
import torch
from torch import nn

from sightline.errors import SightlineError
from sightline.models import MODELS, build_model
from sightline.models.resnet import receptive_fields, resnet10, stage_shapes, summary


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("name", "norm", "parameters"),
    [
        ("resnet18", "batch", 11_173_962),
        ("resnet18", "layer", 11_173_962),
        ("resnet18", "group", 11_173_962),
        ("resnet18_layer_norm", "layer", 11_173_952),
        ("resnet34", "batch", 21_282_122),
    ],
)
def test_parameters_are_exactly_as_many_as_published(name, norm, parameters):
    assert count(build_model(name, num_classes=10, norm=norm)) == parameters


@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm), ("group", nn.GroupNorm)],
)
def test_every_norm_choice_replaces_every_norm_layer(norm, kind):
    model = build_model("resnet18", num_classes=10, norm=norm)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    assert len(norms) == 20
    assert all(isinstance(m, kind) for m in norms)


def test_layer_norm_is_torchs_layer_norm_over_channels_and_positions():
    norm = build_model("resnet10", num_classes=2, norm="layer").stem[1]
    x = torch.randn(2, 16, 5, 5)
    expected = nn.functional.layer_norm(x, (16, 5, 5))
    torch.testing.assert_close(norm(x), expected)


def test_stages_have_the_shapes_of_the_paper():
    shapes = stage_shapes(build_model("resnet18", num_classes=10))
    assert shapes == {
        "stem": (64, 32, 32),
        "layer1": (64, 32, 32),
        "layer2": (128, 16, 16),
        "layer3": (256, 8, 8),
        "layer4": (512, 4, 4),
        "pool": (512, 1, 1),
        "head": (10,),
    }


def test_the_layer_norm_variant_ends_at_8_by_8():
    shapes = stage_shapes(build_model("resnet18_layer_norm", num_classes=10))
    assert shapes["layer4"] == (512, 8, 8)


@pytest.mark.parametrize("name", ["resnet10", "resnet18"])
def test_receptive_fields_agree_with_gradients(name):
    torch.manual_seed(0)
    model = build_model(name, num_classes=10).double().eval()
    size = 96
    images = torch.randn(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    x = images
    for stage, (field, stride) in receptive_fields(model).items():
        x = getattr(model, stage)(x)
        middle = x.shape[-1] // 2
        (gradient,) = torch.autograd.grad(
            x[0, :, middle, middle].sum(), images, retain_graph=True
        )
        rows = gradient[0].abs().sum((0, 2)).nonzero().flatten()
        assert size / x.shape[-1] == stride
        if field < size // 2:  # a wider one is cut at the border
            assert rows[-1] - rows[0] + 1 == field


def test_a_plain_net_has_no_shortcuts():
    plain = resnet10(num_classes=10, residual=False)
    assert not [name for name, _ in plain.named_parameters() if "shortcut" in name]
    assert plain(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_shapes_leave_the_mode_alone():
    model = build_model("resnet10", num_classes=3)
    stage_shapes(model)
    assert model.training


def test_the_summary_counts_what_the_model_has():
    model = build_model("resnet18", num_classes=10)
    assert "11,173,962" in summary(model)


@pytest.mark.parametrize("name", list(MODELS))
def test_any_number_of_classes_and_any_picture_size(name):
    model = build_model(name, num_classes=3).eval()
    assert model(torch.zeros(1, 3, 48, 48)).shape == (1, 3)


def test_unknown_names_list_what_exists():
    with pytest.raises(SightlineError, match="'resnet19'.*resnet18"):
        build_model("resnet19", num_classes=10)
    with pytest.raises(SightlineError, match="'bacth'.*batch, group, layer"):
        build_model("resnet18", num_classes=10, norm="bacth")
