"""Optimizers by name, and which parameters decay."""

from collections.abc import Callable

import torch
from torch import nn

from sightline.errors import SightlineError

__all__ = ["OPTIMIZERS", "build_optimizer", "parameter_groups"]


def sgd(groups: list[dict], *, lr: float, momentum: float) -> torch.optim.Optimizer:
    """Build SGD with Nesterov momentum (plain when `momentum` is 0)."""
    return torch.optim.SGD(
        groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True
    )


def adam(groups: list[dict], *, lr: float, momentum: float) -> torch.optim.Optimizer:
    """Build Adam: decay is added to the gradient; `momentum` is its first beta."""
    return torch.optim.Adam(groups, lr=lr, betas=(momentum, 0.999), fused=True)


def adamw(groups: list[dict], *, lr: float, momentum: float) -> torch.optim.Optimizer:
    """Build AdamW: decay shrinks the weights directly; `momentum` is its first beta."""
    return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), fused=True)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split the parameters: matrices and kernels decay, gains and biases do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def build_optimizer(
    name: str, model: nn.Module, *, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build one of `OPTIMIZERS` over the parameter groups of `model`.

    Raises:
        SightlineError: if `name` is not in `OPTIMIZERS`.
    """
    if name not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise SightlineError(f"unknown optimizer {name!r}; choose from: {known}")
    groups = parameter_groups(model, weight_decay)
    return OPTIMIZERS[name](groups, lr=lr, momentum=momentum)
