"""Optimizers by name, which parameters decay, and the L1 penalty."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError

__all__ = [
    "OPTIMIZERS",
    "Muon",
    "add_l1",
    "build_optimizer",
    "muon_groups",
    "parameter_groups",
]

MUON_SGD_MOMENTUM = 0.85  # of biases and head, as airbench94_muon has it
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of Jordan (2024): steep at 0, near 1 after


def sgd(
    groups: list[dict], *, lr: float, momentum: float, nesterov: bool
) -> torch.optim.Optimizer:
    """Build SGD with momentum (Nesterov's needs some)."""
    nesterov = nesterov and momentum > 0
    return torch.optim.SGD(
        groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True
    )


def adam(
    groups: list[dict], *, lr: float, momentum: float, nesterov: bool
) -> torch.optim.Optimizer:
    """Build Adam: decay is added to the gradient; `momentum` is its first beta."""
    del nesterov  # has no meaning for Adam
    return torch.optim.Adam(groups, lr=lr, betas=(momentum, 0.999), fused=True)


def adamw(
    groups: list[dict], *, lr: float, momentum: float, nesterov: bool
) -> torch.optim.Optimizer:
    """Build AdamW: decay shrinks the weights directly; `momentum` is its first beta."""
    del nesterov
    return torch.optim.AdamW(groups, lr=lr, betas=(momentum, 0.999), fused=True)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
}


def parameter_groups(
    model: nn.Module, weight_decay: float, decay: str = "kernels"
) -> list[dict]:
    """Split the parameters into those that decay and those that do not.

    Args:
        model: whose trainable parameters.
        weight_decay: of the first group; the second has none.
        decay: "kernels": matrices and kernels decay, gains and biases do not;
            "all": everything decays, as torch does unless told otherwise.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decaying = [p for p in parameters if p.ndim > 1 or decay == "all"]
    others = [p for p in parameters if p.ndim <= 1 and decay != "all"]
    groups = [{"params": decaying, "weight_decay": weight_decay}]
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups


def build_optimizer(
    name: str,
    model: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool = True,
    decay: str = "kernels",
) -> torch.optim.Optimizer:
    """Build one of `OPTIMIZERS` over the parameter groups of `model`.

    Raises:
        SightlineError: if `name` is not in `OPTIMIZERS`.
    """
    if name not in OPTIMIZERS:
        known = ", ".join(sorted(OPTIMIZERS))
        raise SightlineError(f"unknown optimizer {name!r}; choose from: {known}")
    groups = parameter_groups(model, weight_decay, decay)
    return OPTIMIZERS[name](groups, lr=lr, momentum=momentum, nesterov=nesterov)


def add_l1(
    optimizer: torch.optim.Optimizer, factor: float, of: str = "kernels"
) -> None:
    """Add the gradient of an L1 penalty before every update of `optimizer`.

    The penalty is not part of the loss that is reported.

    Args:
        optimizer: whose parameters are penalised.
        factor: of the penalty.
        of: "kernels": the sum of `|w|` over matrices and kernels; "means": the sum over
            all tensors, norm gains included, of each one's mean `|w|`.
    """

    @torch.no_grad()
    def add(optimizer: torch.optim.Optimizer, _args, _kwargs) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None or (of == "kernels" and p.ndim <= 1):
                    continue
                share = 1 if of == "kernels" else p.numel()
                p.grad.add_(p.sign(), alpha=factor / share)

    optimizer.register_step_pre_hook(add)


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring all singular values of `matrix` (m, n) near 1, by Newton and Schulz.

    Source: Jordan (2024), "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    if tall := len(x) > x.shape[1]:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonalised momentum for kernels, Nesterov SGD for everything else.

    A group with `orthogonal` true holds kernels: the momentum of each is brought to
    singular values near 1 before it is applied, and the kernel's norm is reset to
    the root of its number of filters, so that the rate alone says how fast it turns.

    Source: Jordan (2024), airbench94_muon in KellerJordan/cifar10-airbench.
    """

    def __init__(self, groups: list[dict], *, lr: float, momentum: float):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": 0.0}
        super().__init__(groups, {**defaults, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all parameters that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for p in (p for p in group["params"] if p.grad is not None):
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                gradient = p.grad.add(p, alpha=group["weight_decay"])
                velocity.mul_(momentum).add_(gradient)
                update = gradient.add_(velocity, alpha=momentum)
                if group["orthogonal"]:
                    p.mul_(len(p) ** 0.5 / p.norm())
                    update = orthogonalise(update.flatten(1)).view_as(p)
                p.add_(update, alpha=-lr)
        return loss


def muon_groups(
    model: nn.Module,
    *,
    lr: float,
    bias_lr: float,
    head_lr: float,
    weight_decay: float,
) -> list[dict]:
    """Split the trainable parameters for `Muon`: kernels, biases, the head's matrix.

    Args:
        model: whose parameters.
        lr: of kernels.
        bias_lr: of biases and gains.
        head_lr: of matrices.
        weight_decay: share of biases and matrices that is lost in one update at the
            first rate; kernels have none, their norm is fixed.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 2]
    matrices = [p for p in parameters if p.ndim == 2]
    biases = [p for p in parameters if p.ndim < 2]
    others = {"momentum": MUON_SGD_MOMENTUM}
    return [
        {"params": kernels, "lr": lr, "orthogonal": True},
        {
            "params": biases,
            "lr": bias_lr,
            "weight_decay": weight_decay / bias_lr,
            **others,
        },
        {
            "params": matrices,
            "lr": head_lr,
            "weight_decay": weight_decay / head_lr,
            **others,
        },
    ]
