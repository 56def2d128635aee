"""The short residual network of two course systems.

Its shape goes back to the network with which David Page won DAWNBench in 2018:
convolutions with max-pooling, and a residual pair after the first and the third.
"""

from functools import partial

from torch import Tensor, nn

from sightline.models.norms import make_norm

__all__ = ["CustomResNet", "Residual", "custom_resnet", "custom_resnet_relu_first"]


class Residual(nn.Module):
    """Add the output of `body` to its input: `x + body(x)`, with no ReLU after it."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return x + self.body(x)


class CustomResNet(nn.Module):
    """Four 3×3 convolutions, two residual pairs, max-pooling, a linear head.

    `prep` has `width` channels, and each layer doubles them; `dropout` is in every
    unit, 0 leaves it out; `relu_first` is ReLU before the norm, one of `NORMS`.
    """

    stages = ("prep", "layer1", "layer2", "layer3", "pool", "head")

    def __init__(
        self,
        *,
        width: int,
        norm: str,
        num_classes: int,
        dropout: float,
        relu_first: bool = False,
        head_bias: bool = True,
    ):
        super().__init__()
        unit = partial(_unit, norm=norm, dropout=dropout, relu_first=relu_first)
        halving = partial(unit, pool=True)

        def pair(channels: int) -> Residual:
            units = (unit(channels, channels, pool=False) for _ in range(2))
            return Residual(nn.Sequential(*units))

        self.prep = unit(3, width, pool=False)
        self.layer1 = nn.Sequential(halving(width, 2 * width), pair(2 * width))
        self.layer2 = halving(2 * width, 4 * width)
        self.layer3 = nn.Sequential(halving(4 * width, 8 * width), pair(8 * width))
        self.pool = nn.AdaptiveMaxPool2d(1)  # of 4×4 positions of a 32×32 picture
        self.head = nn.Linear(8 * width, num_classes, bias=head_bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, H, W) to logits (B, num_classes)."""
        x = self.layer3(self.layer2(self.layer1(self.prep(images))))
        return self.head(self.pool(x).flatten(1))


def _unit(
    in_channels: int,
    out_channels: int,
    *,
    pool: bool,
    norm: str,
    dropout: float,
    relu_first: bool,
) -> nn.Sequential:
    """Build a convolution, perhaps a max-pooling, norm and ReLU, perhaps dropout."""
    norm_and_relu = [make_norm(norm, out_channels), nn.ReLU()]
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        *([nn.MaxPool2d(2)] if pool else []),
        *(norm_and_relu[::-1] if relu_first else norm_and_relu),
        *([nn.Dropout(dropout)] if dropout else []),
    )


def custom_resnet(
    *, num_classes: int, norm: str = "batch", dropout: float = 0.02, width: int = 64
) -> CustomResNet:
    """Build the network with norm before ReLU: 6,573,130 parameters for 10 classes."""
    return CustomResNet(
        width=width, norm=norm, num_classes=num_classes, dropout=dropout
    )


def custom_resnet_relu_first(
    *, num_classes: int, norm: str = "batch", dropout: float = 0.0, width: int = 64
) -> CustomResNet:
    """Build the sibling with ReLU before norm: 6,573,120 parameters for 10 classes."""
    return CustomResNet(
        width=width,
        norm=norm,
        num_classes=num_classes,
        dropout=dropout,
        relu_first=True,
        head_bias=False,
    )
