"""The networks by name."""

from collections.abc import Callable

from torch import nn

from sightline.errors import SightlineError
from sightline.models.custom_resnet import custom_resnet, custom_resnet_relu_first
from sightline.models.dilated_net import dilated_net, dilated_net_published
from sightline.models.fast_net import fast_net
from sightline.models.resnet import (
    resnet10,
    resnet18,
    resnet18_layer_norm,
    resnet34,
)

__all__ = ["MODELS", "build_model"]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "resnet10": resnet10,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet18_layer_norm": resnet18_layer_norm,
    "custom_resnet": custom_resnet,
    "custom_resnet_relu_first": custom_resnet_relu_first,
    "dilated_net_published": dilated_net_published,
    "dilated_net": dilated_net,
    "fast_net": fast_net,
}


def build_model(name: str, *, num_classes: int, norm: str = "batch") -> nn.Module:
    """Build one of `MODELS`, randomly initialised.

    Raises:
        SightlineError: if `name` is not in `MODELS`.
    """
    if name not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise SightlineError(f"unknown model {name!r}; choose from: {known}")
    return MODELS[name](num_classes=num_classes, norm=norm)
