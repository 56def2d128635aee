"""Residual networks for pictures of 32×32 to 128×128 pixels.

For 32×32 the stem keeps the full resolution (3×3, stride 1, no max-pool), as in section
4.2 of He et al. (2016), "Deep Residual Learning for Image Recognition"; for larger
pictures it shrinks them first. Widths and block counts are those of their ImageNet
networks (18 and 34 layers) and of their CIFAR-10 networks (20 and 56).
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from sightline.models.norms import make_norm

__all__ = [
    "STEMS",
    "BasicBlock",
    "ResNet",
    "plain20",
    "plain56",
    "resnet10",
    "resnet18",
    "resnet18_layer_norm",
    "resnet20",
    "resnet34",
    "resnet56",
]


def conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int
) -> nn.Conv2d:
    """Build a convolution that keeps the size at stride 1; the norm adds the bias."""
    return nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False
    )


#: kernel size and stride of the first convolution, and whether a max-pooling of stride
#: 2 follows; together they divide the side by 1, 2 and 4
STEMS = {"plain": (3, 1, False), "strided": (3, 2, False), "imagenet": (7, 2, True)}


def make_stem(kind: str, width: int, norm: str) -> nn.Sequential:
    """Build the first layers: a convolution, a norm, ReLU, perhaps a max-pooling."""
    kernel_size, stride, pools = STEMS[kind]
    layers = [conv(3, width, kernel_size, stride), make_norm(norm, width), nn.ReLU()]
    return nn.Sequential(*layers, *[nn.MaxPool2d(3, 2, 1)] * pools)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a way around them: `relu(f(x) + shortcut(x))`.

    The shortcut is the identity unless the shape changes; then it is a 1×1
    convolution with a norm. With `residual=False` the block has no way around
    and is the plain block of the degradation experiment.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        norm: str,
        residual: bool,
    ):
        super().__init__()
        self.conv1 = conv(in_channels, out_channels, 3, stride)
        self.norm1 = make_norm(norm, out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, 1)
        self.norm2 = make_norm(norm, out_channels)
        self.residual = residual
        self.shortcut: nn.Module = nn.Identity()
        if residual and (stride != 1 or in_channels != out_channels):
            self.shortcut = nn.Sequential(
                conv(in_channels, out_channels, 1, stride),
                make_norm(norm, out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H/stride, W/stride)."""
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        if self.residual:
            out = out + self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    """A stem, stages of `BasicBlock`, global average pooling, a linear head.

    Each stage, `layer1` and so on, has its number of `blocks`. The first has `width`
    channels; the others double the channels and halve the side. A `last_stride` of 1
    leaves the last map as large as the one before.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        *,
        width: int,
        norm: str,
        num_classes: int,
        last_stride: int = 2,
        head_bias: bool = True,
        residual: bool = True,
        stem: str = "plain",
    ):
        super().__init__()
        self.stem = make_stem(stem, width, norm)
        block = partial(BasicBlock, norm=norm, residual=residual)
        widths = [width, *(width * 2**stage for stage in range(len(blocks)))]
        strides = [1, *[2] * (len(blocks) - 2), last_stride]
        names = [f"layer{stage}" for stage in range(1, len(blocks) + 1)]
        for name, (before, after), stride, count in zip(
            names, pairwise(widths), strides, blocks, strict=True
        ):
            rest = (block(after, after, 1) for _ in range(count - 1))
            self.add_module(name, nn.Sequential(block(before, after, stride), *rest))
        self.stages = ("stem", *names, "pool", "head")
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], num_classes, bias=head_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, num_classes)."""
        x = images
        for name in self.stages[:-2]:
            x = getattr(self, name)(x)
        return self.head(self.pool(x).flatten(1))


def resnet10(
    *, num_classes: int, norm: str = "batch", residual: bool = True, stem: str = "plain"
) -> ResNet:
    """Build the small net for experiments: one block a stage, 16 channels wide."""
    return ResNet(
        (1, 1, 1, 1),
        width=16,
        norm=norm,
        num_classes=num_classes,
        residual=residual,
        stem=stem,
    )


def resnet18(*, num_classes: int, norm: str = "batch", stem: str = "plain") -> ResNet:
    """Build ResNet-18: 11,173,962 parameters with batch norm and 10 classes."""
    return ResNet((2, 2, 2, 2), width=64, norm=norm, num_classes=num_classes, stem=stem)


def resnet34(*, num_classes: int, norm: str = "batch", stem: str = "plain") -> ResNet:
    """Build ResNet-34: 21,282,122 parameters with batch norm and 10 classes."""
    return ResNet((3, 4, 6, 3), width=64, norm=norm, num_classes=num_classes, stem=stem)


def resnet18_layer_norm(
    *, num_classes: int, norm: str = "layer", stem: str = "plain"
) -> ResNet:
    """Build ResNet-18 whose last stage stays at 8×8, under a head without bias.

    The head is the 1×1 convolution of the course system that used this net:
    after global average pooling a 1×1 convolution is a linear layer.
    11,173,952 parameters with 10 classes.
    """
    return ResNet(
        (2, 2, 2, 2),
        width=64,
        norm=norm,
        num_classes=num_classes,
        last_stride=1,
        head_bias=False,
        stem=stem,
    )


def resnet20(
    *,
    num_classes: int,
    norm: str = "batch",
    residual: bool = True,
    stem: str = "plain",
    blocks: int = 3,
) -> ResNet:
    """Build the 20 layers of He et al., table 6, with 1×1 shortcuts where it narrows.

    Theirs fill the new channels with zeros instead: options A and B of their table 3,
    half a point apart on ImageNet. 272,474 parameters with batch norm and 10 classes.
    With n `blocks` in each of the three stages it has 6 n + 2 layers.
    """
    return ResNet(
        (blocks,) * 3,
        width=16,
        norm=norm,
        num_classes=num_classes,
        residual=residual,
        stem=stem,
    )


#: the 56 layers of the same table
resnet56 = partial(resnet20, blocks=9)
#: 20 and 56 layers without the way around, to compare with as in figure 6 of He et al.
plain20 = partial(resnet20, residual=False)
plain56 = partial(resnet56, residual=False)
