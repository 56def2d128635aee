"""Layouts are recognised by what a network does, and equal a reshape by hand."""

import pytest
import torch
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.heatmaps.layouts import Probe
from sightline.heatmaps.methods import grad_cam

SAME = {"rtol": 1e-6, "atol": 1e-6}  # of the largest evidence


def raw(model: nn.Module, layer: str, images: Tensor, target: int):
    """Return output and gradient of a layer as a hook and autograd give them."""
    outputs = []

    def hook(module, inputs, output):
        outputs.append(output)
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(hook)
    images = images.clone().requires_grad_()
    score = model.eval()(images)[:, target].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, outputs)
    return outputs[0].detach(), gradient


def assert_equal_by_hand(model, layer, images, by_hand, target=1):
    """Compare the evidence with Grad-CAM of maps that `by_hand` reshapes."""
    found = explain(model, images, layers=layer, targets=target)[layer]
    values, gradients = raw(model, layer, images, target)
    expected = grad_cam(by_hand(values), by_hand(gradients)).relu()
    assert expected.max() > 0
    scale = expected.max()
    torch.testing.assert_close(found.evidence / scale, expected / scale, **SAME)


# --- layouts, in small ----------------------------------------------------------


class Patches(nn.Module):
    """Cuts a picture into tokens; mixes them; averages them or reads the first."""

    def __init__(
        self,
        *,
        beside: int = 1,
        order: str = "rows",
        read: str = "first",
        side: int | None = None,
    ):
        super().__init__()
        self.cut = nn.Conv2d(3, 12, 4, 4)
        self.beside = nn.Parameter(torch.randn(1, beside, 12))
        self.tokens = nn.Identity()
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 4)
        self.order, self.read, self.side = order, read, side

    def forward(self, x):
        assert self.side in (None, x.shape[2])
        x = self.cut(x)
        if self.order == "columns":
            x = x.mT
        x = x.flatten(2).mT
        x = torch.cat([self.beside.expand(len(x), -1, -1), x], 1)
        if self.order == "shuffled":
            x = x[:, torch.randperm(x.shape[1], generator=torch.manual_seed(3))]
        x = self.norm(self.blocks(self.tokens(x)))
        return self.head(x[:, 0] if self.read == "first" else x.mean(1))


class Block(nn.Module):
    """A block of a transformer."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.dense = nn.Linear(12, 12)

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.dense(x).relu()


class ChannelsLast(nn.Module):
    """Works on maps (B, H, W, C)."""

    def __init__(self, channels: int = 6, *, turned: bool = False):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, 4, 4)
        self.mix = nn.Linear(channels, channels)
        self.turn = nn.Identity()
        self.head = nn.Linear(channels, 3)
        self.turned = turned

    def forward(self, x):
        x = self.mix(self.patches(x).permute(0, 2, 3, 1)).relu()
        if self.turned:
            x = self.turn(x.permute(0, 2, 1, 3))
        return self.head(x.mean((1, 2)))


@pytest.mark.parametrize("size", [(32, 32), (16, 32), (40, 24)])
@pytest.mark.parametrize("beside", [0, 1, 5])
@pytest.mark.parametrize("read", ["first", "mean"])
def test_tokens_become_the_grid_that_the_picture_was_cut_into(size, beside, read):
    """With class and register tokens, and pictures that are no squares."""
    if read == "first" and not beside:
        read = "mean"
    torch.manual_seed(0)
    model = Patches(beside=beside, read=read)
    images = torch.randn(2, 3, *size)
    rows, columns = size[0] // 4, size[1] // 4

    def by_hand(values):
        return values[:, beside:].transpose(1, 2).reshape(2, 12, rows, columns)

    for layer in ("tokens", "blocks.1", "blocks.2.norm"):
        assert_equal_by_hand(model, layer, images, by_hand)


@pytest.mark.parametrize("size", [(32, 32), (16, 40)])
def test_channels_last_become_maps(size):
    """Swin's `norm` was once drawn as a bar code, with channels for columns."""
    torch.manual_seed(0)
    model = ChannelsLast()
    images = torch.randn(2, 3, *size)
    assert_equal_by_hand(model, "mix", images, lambda v: v.permute(0, 3, 1, 2))
    assert_equal_by_hand(model, "patches", images, lambda v: v)
    assert default_layers(model, size) == ["mix"]


@pytest.mark.parametrize("channels", [8, 10])
def test_as_many_channels_as_rows_or_columns_confuse_nothing(channels):
    torch.manual_seed(0)
    model, images = ChannelsLast(channels), torch.randn(1, 3, 32, 40)
    assert_equal_by_hand(model, "mix", images, lambda v: v.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        (ChannelsLast(turned=True), "turn"),  # rows and columns exchanged
        (Patches(order="columns"), "blocks.1"),
        (Patches(order="shuffled"), "blocks.1"),
        (Patches(order="columns", side=32), "blocks.1"),
    ],
    ids=["turned", "columns first", "shuffled", "of one size"],
)
def test_what_cannot_be_told_or_is_transposed_is_refused(model, layer):
    with pytest.raises(SightlineError, match="rows and columns .* cannot be told"):
        explain(model, torch.randn(1, 3, 32, 32), layers=layer)


def test_how_much_each_token_attends_to_each_is_no_map():
    """(heads, N, N) looks like maps, also where N divides the side of the picture."""

    class Attends(Patches):
        def __init__(self):
            super().__init__(beside=0, read="mean", side=16)
            self.weights = nn.Identity()

        def forward(self, x):
            tokens = self.tokens(self.cut(x).flatten(2).mT)
            each = (tokens @ tokens.mT).softmax(-1)[:, None].repeat(1, 3, 1, 1)
            return self.head((self.weights(each).mean(1) @ tokens).mean(1))

    model = Attends()  # 16 tokens, 16 pixels
    images = torch.randn(1, 3, 16, 16)
    with pytest.raises(SightlineError, match="cannot be told"):
        explain(model, images, layers="weights")
    assert default_layers(model, 16) == ["tokens"]


def test_a_class_token_alone_is_read_after_the_last_block_so_the_one_before_is_shown():
    torch.manual_seed(0)
    model, images = Patches(read="first"), torch.randn(2, 3, 32, 32)
    assert default_layers(model, 32) == ["blocks.2.norm"]
    assert explain(model, images, layers="blocks.2.norm", targets=1)
    for layer in ("blocks", "norm"):
        with pytest.raises(SightlineError, match="do not depend on the places"):
            explain(model, images, layers=layer)
    assert default_layers(Patches(read="mean"), 32) == ["norm"]


def test_a_network_that_takes_one_size_only_is_read_by_its_patches():
    torch.manual_seed(0)
    model, images = Patches(side=32), torch.randn(1, 3, 32, 32)

    def by_hand(values):
        return values[:, 1:].transpose(1, 2).reshape(1, 12, 8, 8)

    assert_equal_by_hand(model, "blocks.1", images, by_hand)
    assert_equal_by_hand(model, "cut", images, lambda values: values)


def test_maps_from_before_unknown_tokens_are_no_default():
    """ViT's first layer was once shown as its explanation."""
    with pytest.raises(SightlineError, match=r"'cut' lie before"):
        default_layers(Patches(order="shuffled"), 32)
    images = torch.randn(1, 3, 32, 32)
    assert explain(Patches(order="shuffled"), images, layers="cut")  # for who asks


def test_ablation_cam_is_refused_where_channels_are_not_first():
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(SightlineError, match="channels last, and ablation_cam takes"):
        explain(ChannelsLast(), images, layers="mix", method="ablation_cam")


def test_a_probe_leaves_no_hooks_and_takes_no_random_numbers():
    torch.manual_seed(0)
    model = Patches().eval()
    before = torch.get_rng_state()
    probe = Probe(model, {"norm": model.norm}, (3, 32, 32))
    layout = probe.layout("norm", (65, 12))
    assert layout is not None and layout.grid == (8, 8)
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), before)


# --- torchvision's families -------------------------------------------------------


def first(values):
    return values


def last(values):
    return values.permute(0, 3, 1, 2)


CONVOLUTIONS = {
    "resnet18": ["layer3", "layer4"],
    "resnext50_32x4d": ["layer3", "layer4"],
    "vgg11": ["features.14", "features.19"],
    "densenet121": ["features.denseblock3", "features"],
    "mobilenet_v2": ["features.13", "features"],
    "mobilenet_v3_small": ["features.8", "features"],
    "efficientnet_b0": ["features.5", "features"],
    "regnet_y_400mf": ["trunk_output.block3", "trunk_output"],
    "googlenet": ["inception4e", "inception5b"],
    "shufflenet_v2_x0_5": ["stage3", "conv5"],
}


def make(name: str, **options) -> nn.Module:
    """Build one of torchvision's networks with random weights and statistics."""
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    if name == "googlenet":
        options |= {"aux_logits": False, "init_weights": False}
    model = getattr(models, name)(num_classes=10, **options)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):  # so that signals neither die nor explode
            part.momentum = None
        if isinstance(part, nn.ReLU | nn.ReLU6 | nn.Hardswish | nn.SiLU):
            part.inplace = False  # what a hook saw stays what it was
    with torch.no_grad():
        model.train()(torch.randn(4, 3, 64, 64))
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_convolutional_families_find_their_layers_and_equal_a_hook(name):
    model = make(name)
    assert default_layers(model, 64) == CONVOLUTIONS[name]
    for size in ((64, 64), (64, 128)):
        layers = default_layers(model, size)
        assert layers == CONVOLUTIONS[name]
        images = torch.randn(1, 3, *size, generator=torch.manual_seed(1))
        target = int(model(images).argmax())
        for layer in layers:
            assert_equal_by_hand(model, layer, images, first, target)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (64, 128)])
def test_swin_and_convnext_are_read_with_their_channels_last(size):
    swin = make(
        "SwinTransformer",
        patch_size=[4, 4],
        embed_dim=12,
        depths=[2, 2],
        num_heads=[2, 2],
        window_size=[4, 4],
    )
    assert default_layers(swin, size) == ["features.1", "permute"]
    images = torch.randn(1, 3, *size)
    for layer, by_hand in {"features.1": last, "norm": last, "permute": first}.items():
        assert_equal_by_hand(swin, layer, images, by_hand)
    from torchvision.models.convnext import CNBlockConfig

    blocks = [CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 2)]
    convnext = make("ConvNeXt", block_setting=blocks, layer_scale=1.0)
    assert default_layers(convnext, size) == ["features.1", "features"]
    assert_equal_by_hand(convnext, "features.1", images, first)
    assert_equal_by_hand(convnext, "features.3.1.block.2", images, last)


@pytest.mark.slow
def test_vit_is_read_at_the_last_tokens_on_which_the_answer_depends():
    vit = pytest.importorskip("torchvision.models").VisionTransformer(
        image_size=64,
        patch_size=16,
        num_layers=3,
        num_heads=2,
        hidden_dim=24,
        mlp_dim=32,
        num_classes=10,
    )
    nn.init.normal_(vit.heads.head.weight)  # which is zero at first: nothing to see
    assert default_layers(vit, 64) == ["encoder.layers.encoder_layer_2.ln_1"]
    images = torch.randn(1, 3, 64, 64)

    def by_hand(values):
        return values[:, 1:].transpose(1, 2).reshape(1, 24, 4, 4)

    for layer in ("encoder.layers.encoder_layer_2.ln_1", "encoder.dropout"):
        assert_equal_by_hand(vit, layer, images, by_hand)
