"""What holds for every network: counts, stages, norms, receptive fields, learning."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sightline.data.shapes import draw_shapes
from sightline.errors import SightlineError
from sightline.models import MODELS, build_model
from sightline.models.custom_resnet import custom_resnet, custom_resnet_relu_first
from sightline.models.dilated_net import dilated_net, dilated_net_published
from sightline.models.fast_net import fast_net
from sightline.models.norms import NORMS, make_norm
from sightline.models.resnet import ResNet
from sightline.models.summary import (
    describe_stages,
    receptive_fields,
    stage_shapes,
)

# the same networks with few channels, where the number of channels plays no part
NARROW = {
    "resnet18": lambda: ResNet((2, 2, 2, 2), width=8, norm="batch", num_classes=10),
    "custom_resnet": lambda: custom_resnet(num_classes=10, width=8),
    "custom_resnet_relu_first": lambda: custom_resnet_relu_first(
        num_classes=10, width=8
    ),
    "dilated_net_published": lambda: dilated_net_published(num_classes=10),
    "dilated_net": lambda: dilated_net(num_classes=10),
    "fast_net": lambda: fast_net(num_classes=10, widths=(24, 24, 24)),
}
each_narrow = pytest.mark.parametrize("name", NARROW)
each_model = pytest.mark.parametrize("name", MODELS)


def build_empty(name: str, norm: str) -> nn.Module:
    """Build a network without memory for its weights, which takes no time."""
    with torch.device("meta"):
        return build_model(name, num_classes=10, norm=norm)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_173_962),
        ("resnet18_layer_norm", 11_173_952),
        ("resnet34", 21_282_122),
        ("custom_resnet", 6_573_130),
        ("custom_resnet_relu_first", 6_573_120),
        ("dilated_net_published", 192_298),
        ("dilated_net", 159_530),
        ("fast_net", 1_972_792),
    ],
)
@pytest.mark.parametrize("norm", NORMS)
def test_parameters_are_exactly_as_many_as_published(name, norm, parameters):
    model = build_empty(name, norm)
    assert sum(p.numel() for p in model.parameters()) == parameters


# --- norms --------------------------------------------------------------------


@each_model
@pytest.mark.parametrize(
    ("norm", "kind"),
    [("batch", nn.BatchNorm2d), ("layer", nn.GroupNorm), ("group", nn.GroupNorm)],
)
def test_every_norm_choice_replaces_every_norm_layer(name, norm, kind):
    modules = list(build_empty(name, norm).modules())
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d | nn.GroupNorm)]
    # of all convolutions only the whitening one has a bias, and no norm behind it
    convs = [m for m in modules if isinstance(m, nn.Conv2d) and m.bias is None]
    assert len(norms) == len(convs) >= 6
    assert all(isinstance(m, kind) for m in norms)
    if norm == "layer":
        assert {m.num_groups for m in norms} == {1}


def test_layer_norm_is_torchs_layer_norm_over_channels_and_positions():
    norm = make_norm("layer", 12)
    x = torch.randn(2, 12, 5, 5)
    torch.testing.assert_close(norm(x), F.layer_norm(x, (12, 5, 5)))


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(64, 8), (24, 3), (8, 1), (20, 2), (12, 1), (26, 2), (11, 1), (4, 1)],
)
def test_group_norm_takes_any_number_of_channels(channels, groups):
    norm = make_norm("group", channels)
    assert norm.num_groups == groups
    assert norm(torch.randn(2, channels, 3, 3)).isfinite().all()


# --- stages -------------------------------------------------------------------


@each_model
def test_the_stages_are_all_parts_of_a_network_in_their_order(name):
    model = build_empty(name, "batch")
    assert model.stages == tuple(name for name, _ in model.named_children())
    assert model.stages[-2:] == ("pool", "head")


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet18", [(8, 32), (8, 32), (16, 16), (32, 8), (64, 4)]),
        ("custom_resnet", [(8, 32), (16, 16), (32, 8), (64, 4)]),
        ("dilated_net_published", [(12, 32), (24, 16), (32, 16), (64, 14)]),
        ("dilated_net", [(12, 32), (24, 16), (32, 16), (64, 16)]),
        ("fast_net", [(24, 31), (24, 15), (24, 7), (24, 3)]),
    ],
)
def test_stages_have_the_published_shapes(name, shapes):
    channels = shapes[-1][0]
    expected = [*((c, side, side) for c, side in shapes), (channels, 1, 1), (10,)]
    model = NARROW[name]()
    assert stage_shapes(model) == dict(zip(model.stages, expected, strict=True))


def test_the_stages_of_a_network_carry_its_shapes_fields_and_parameters():
    model = build_model("resnet18", num_classes=10)
    stages = describe_stages(model)
    assert [stage.name for stage in stages] == list(model.stages)
    assert {stage.name: stage.shape for stage in stages} == stage_shapes(model)
    fields = {s.name: (s.field, s.stride) for s in stages if s.field}
    assert fields == receptive_fields(model)
    parameters = sum(p.numel() for p in model.parameters())
    assert sum(stage.parameters for stage in stages) == parameters
    assert stages[1].kind == "2 × BasicBlock"


def test_any_network_is_described_in_the_order_of_execution_to_any_depth():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(8, 3)
            self.unused = nn.Linear(2, 2)
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())

        def forward(self, images):
            return self.head(self.body(images).mean((2, 3)))

    coarse = describe_stages(Backwards(), 16)
    assert [(stage.name, stage.shape) for stage in coarse] == [
        ("body", (8, 7, 7)),
        ("head", (3,)),
    ]
    assert coarse[0].field is None  # a field needs the order that `stages` gives
    fine = describe_stages(Backwards(), 16, depth=2)
    assert [stage.name for stage in fine] == ["body.0", "body.1", "head"]
    assert [stage.parameters for stage in fine] == [8 * 28, 0, 27]
    ours = describe_stages(build_model("resnet10", num_classes=2), depth=2)
    assert {"layer1.0", "layer4.0", "head"} <= {stage.name for stage in ours}


# --- receptive fields ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet18", [(3, 1), (11, 1), (25, 2), (53, 4), (109, 8)]),
        ("custom_resnet", [(3, 1), (14, 2), (20, 4), (64, 8)]),
        ("dilated_net_published", [(7, 1), (13, 2), (25, 2), (41, 2)]),
        ("dilated_net", [(7, 1), (13, 2), (21, 2), (45, 2)]),
        ("fast_net", [(2, 1), (9, 2), (23, 4), (51, 8)]),
    ],
)
def test_receptive_fields_count_strides_dilation_and_pooling(name, fields):
    assert list(receptive_fields(NARROW[name]()).values()) == fields


def make_positive(model: nn.Module) -> None:
    """Let every path from input to output count: nothing cancels, nothing is cut."""
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.MaxPool2d):  # its gradient reaches one pixel only
            parent, _, last = name.rpartition(".")
            mean = nn.AvgPool2d(module.kernel_size, module.stride)
            setattr(model.get_submodule(parent), last, mean)


@each_narrow
def test_receptive_fields_agree_with_gradients(name):
    model = NARROW[name]().double().eval()
    fields = receptive_fields(model)
    make_positive(model)
    images = torch.ones(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
    x = images
    for stage, (field, stride) in fields.items():
        x = getattr(model, stage)(x)
        middle = x.shape[-1] // 2
        starts = []
        for unit in (middle, middle + 1):
            score = x[0, :, unit, unit].sum()
            (gradient,) = torch.autograd.grad(score, images, retain_graph=True)
            seen = gradient[0].sum(0) > 0
            rows = seen.any(1).nonzero().flatten()
            assert rows[-1] - rows[0] + 1 == field
            assert seen.sum() == field**2  # dilation leaves no holes
            starts.append(rows[0])
        assert starts[1] - starts[0] == stride


# --- use ----------------------------------------------------------------------


@each_model
def test_any_number_of_classes_and_any_picture_size(name):
    model = build_model(name, num_classes=7).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 7)


@pytest.mark.slow
@each_narrow
def test_a_few_steps_lower_the_loss(name):
    torch.manual_seed(0)
    drawn = draw_shapes(10, seed=1)  # one of each class
    images = torch.from_numpy(drawn.images).permute(0, 3, 1, 2) / 127.5 - 1
    labels = torch.from_numpy(drawn.labels)
    model = NARROW[name]()
    weights = [p for p in model.parameters() if p.requires_grad]
    lr = 0.1 if name == "fast_net" else 0.02  # its logits start 24 times smaller
    optimizer = torch.optim.Adam(weights, lr=lr)
    losses = []
    for _ in range(12):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1.6 < losses[0]  # chance: ln 10 = 2.30


@each_narrow
def test_networks_return_logits_and_not_log_probabilities(name):
    torch.manual_seed(0)
    with torch.no_grad():
        logits = NARROW[name]().eval()(torch.randn(4, 3, 32, 32))
    assert (logits.logsumexp(1).abs() > 0.1).all()  # 0 after a log-softmax


@each_narrow
def test_half_precision_and_channels_last_change_only_the_rounding(name):
    torch.manual_seed(0)
    model = NARROW[name]().eval()
    images = torch.randn(4, 3, 32, 32)
    expected = model(images)
    model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(images.to(memory_format=torch.channels_last))
    logits.sum().backward()
    assert (logits - expected).abs().max() < 0.05 * expected.abs().max()


def test_unknown_names_list_what_exists():
    with pytest.raises(SightlineError, match="'resnet19'.*resnet18"):
        build_model("resnet19", num_classes=10)
    with pytest.raises(SightlineError, match="'bacth'.*batch, group, layer"):
        build_model("resnet18", num_classes=10, norm="bacth")
