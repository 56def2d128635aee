"""Optimizers by name, which parameters decay, and the L1 penalty."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sightline.training.recipe import Recipe

__all__ = [
    "OPTIMIZERS",
    "Muon",
    "add_l1",
    "make_optimizer",
    "muon_groups",
    "parameter_groups",
]

MUON_SGD_MOMENTUM = 0.85  # of biases and head, as airbench94_muon has it
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of Jordan (2024)


def sgd(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build SGD with momentum (Nesterov's needs some)."""
    return torch.optim.SGD(
        parameter_groups(model, recipe.weight_decay, recipe.decay),
        lr=recipe.max_lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=True,
    )


def adam(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build Adam, which adds decay to the gradient, or AdamW, which shrinks weights.

    `momentum` is the first beta.
    """
    kind = torch.optim.AdamW if recipe.optimizer == "adamw" else torch.optim.Adam
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay)
    betas = recipe.momentum, 0.999
    return kind(groups, lr=recipe.max_lr, betas=betas, fused=True)


def rmsprop(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build RMSprop: gradients over the root of their running mean square."""
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay)
    return torch.optim.RMSprop(groups, lr=recipe.max_lr, momentum=recipe.momentum)


def adagrad(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build Adagrad: gradients over the root of the sum of all their squares.

    It has no momentum.
    """
    groups = parameter_groups(model, recipe.weight_decay, recipe.decay)
    return torch.optim.Adagrad(groups, lr=recipe.max_lr)


def muon(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build Muon: kernels, biases and the head's matrix have a rate each."""
    groups = muon_groups(
        model,
        lr=recipe.max_lr,
        bias_lr=recipe.bias_lr,
        head_lr=recipe.head_lr,
        weight_decay=recipe.weight_decay,
    )
    return Muon(groups, lr=recipe.max_lr, momentum=recipe.momentum)


#: by the name that a recipe gives
OPTIMIZERS: dict[str, Callable[[Recipe, nn.Module], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "muon": muon,
}


def make_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build the recipe's optimizer over `model`, with its L1 penalty."""
    optimizer = OPTIMIZERS[recipe.optimizer](recipe, model)
    if recipe.l1:
        add_l1(optimizer, recipe.l1, recipe.l1_of)
    return optimizer


def parameter_groups(
    model: nn.Module, weight_decay: float, decay: str = "kernels"
) -> list[dict]:
    """Split the trainable parameters into those that decay and those that do not.

    With "kernels", matrices and kernels decay, gains and biases do not; with "all",
    everything decays, as torch does unless told otherwise.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decaying = [p for p in parameters if p.ndim > 1 or decay == "all"]
    others = [p for p in parameters if p.ndim <= 1 and decay != "all"]
    groups = [{"params": decaying, "weight_decay": weight_decay}]
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups


def add_l1(
    optimizer: torch.optim.Optimizer, factor: float, of: str = "kernels"
) -> None:
    """Add the gradient of an L1 penalty before every update of `optimizer`.

    The penalty is not part of the loss that is reported. Of "kernels" it is the sum of
    `|w|` over matrices and kernels; of "means" the sum over all tensors, norm gains
    included, of each one's mean `|w|`.
    """

    @torch.no_grad()
    def add(optimizer: torch.optim.Optimizer, _args: tuple, _kwargs: dict) -> None:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is None or (of == "kernels" and p.ndim <= 1):
                    continue
                share = 1 if of == "kernels" else p.numel()
                p.grad.add_(p.sign(), alpha=factor / share)

    optimizer.register_step_pre_hook(add)


def orthogonalise(matrix: Tensor, steps: int = 3) -> Tensor:
    """Bring all singular values of `matrix` (m, n) near 1, by Newton and Schulz.

    Of an update USVᵀ few singular values are large, so it moves the kernel in few
    directions only; UVᵀ moves it equally far in all of them. An SVD would find UVᵀ,
    slowly. But an odd polynomial of a matrix, aX + bXXᵀX + c(XXᵀ)²X, is U p(S) Vᵀ: it
    replaces each singular value s by p(s) = as + bs³ + cs⁵ and takes only matrix
    products. Divided by its norm, X has values in 0..1, and p, repeated, drives these
    towards 1. Small values take longest, so the coefficients make p as steep at 0 as
    possible and give up convergence: after 3 steps every s from 0.02 on has come to
    0.68..1.21 and stays there. That near is enough, and bfloat16 exact enough.

    Source: Jordan (2024), "Muon: an optimizer for hidden layers in neural networks".
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    if tall := len(x) > x.shape[1]:  # x @ x.T is the smaller of the two products
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
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters that have a gradient; return the closure's loss."""
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
    model: nn.Module, *, lr: float, bias_lr: float, head_lr: float, weight_decay: float
) -> list[dict]:
    """Split the trainable parameters for `Muon`: kernels, biases, the head's matrix.

    `weight_decay` is the share of biases and matrices that is lost in one update at the
    first rate; kernels have none, their norm is fixed.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kernels = [p for p in parameters if p.ndim > 2]
    matrices = [p for p in parameters if p.ndim == 2]
    biases = [p for p in parameters if p.ndim < 2]
    groups: list[dict] = [{"params": kernels, "lr": lr, "orthogonal": True}]
    for others, rate in ((biases, bias_lr), (matrices, head_lr)):
        options = {"momentum": MUON_SGD_MOMENTUM, "weight_decay": weight_decay / rate}
        groups.append({"params": others, "lr": rate, **options})
    return groups
