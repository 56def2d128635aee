"""The networks by name.

=============  ==================================================================
resnet         residual networks for pictures of 32×32 to 128×128 pixels
custom_resnet  the short residual network of two course systems
dilated_net    a net of fewer than 200,000 parameters, with dilation
fast_net       a network made to be trained in minutes
norms          normalisation layers by name
pretrained     weights to start from: our own, and torchvision's of ImageNet
lend           ways to lend a model and get it back as it was
summary        what a network is made of
=============  ==================================================================
"""

from collections.abc import Callable

from torch import nn

from sightline.errors import SightlineError
from sightline.models.custom_resnet import custom_resnet, custom_resnet_relu_first
from sightline.models.dilated_net import dilated_net, dilated_net_published
from sightline.models.fast_net import fast_net
from sightline.models.resnet import (
    plain20,
    plain56,
    resnet10,
    resnet18,
    resnet18_layer_norm,
    resnet20,
    resnet34,
    resnet56,
)

__all__ = ["MODELS", "build_model"]

#: by name; each takes the number of classes and the norm
MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet10": resnet10,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "resnet34": resnet34,
    "resnet56": resnet56,
    "plain20": plain20,
    "plain56": plain56,
    "resnet18_layer_norm": resnet18_layer_norm,
    "custom_resnet": custom_resnet,
    "custom_resnet_relu_first": custom_resnet_relu_first,
    "dilated_net_published": dilated_net_published,
    "dilated_net": dilated_net,
    "fast_net": fast_net,
}
# networks whose stem can shrink larger pictures
WITH_STEMS = (
    *("resnet10", "resnet18", "resnet20", "resnet34", "resnet56"),
    *("plain20", "plain56", "resnet18_layer_norm"),
)


def build_model(
    name: str,
    *,
    num_classes: int,
    norm: str = "batch",
    image_size: int = 32,
    start: str = "scratch",
) -> nn.Module:
    """Build one of `MODELS`, randomly initialised, with one of `NORMS`.

    The side of the pictures in pixels decides the stem, so that the last map stays
    about 4×4; a start from "imagenet", whose weights are loaded later, needs its own.

    Raises:
        SightlineError: if `name` is not in `MODELS`, or has no stem for these pictures.
    """
    if name not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise SightlineError(f"unknown model {name!r}; choose from: {known}")
    if image_size < 64 and start != "imagenet":
        return MODELS[name](num_classes=num_classes, norm=norm)
    if name not in WITH_STEMS:
        raise SightlineError(
            f"{name} is made for pictures of 32x32 pixels, not {image_size}x"
            f"{image_size}; choose image_size 32, or a model of "
            f"{', '.join(WITH_STEMS)}"
        )
    # after it 64 are 32 pixels, 96 are 24 and 128 are 32
    stem = "imagenet" if start == "imagenet" or image_size >= 96 else "strided"
    return MODELS[name](num_classes=num_classes, norm=norm, stem=stem)
