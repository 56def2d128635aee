"""Learning-rate schedules: as values to call and plot, and as torch runs them.

The functions of a step are closed forms of what torch's schedulers set; tests
compare them at every step.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch.optim import lr_scheduler

from sightline.training.recipe import Recipe

__all__ = [
    "SCHEDULES",
    "build_scheduler",
    "constant",
    "cosine",
    "linear",
    "one_cycle",
    "one_cycle_momentum",
    "warmup_cosine",
]


def anneal(start: float, end: float, progress: float, shape: str) -> float:
    """Go from `start` to `end` while `progress` goes from 0 to 1."""
    if shape == "linear":
        return start + (end - start) * progress
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def one_cycle(
    step: int,
    *,
    total_steps: int,
    max_lr: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    shape: str = "cos",
) -> float:
    """Return the learning rate that update `step` uses (0 ≤ step < total_steps).

    It climbs from max_lr/div_factor to max_lr at step pct_start·total_steps − 1,
    then falls to max_lr/(div_factor·final_div_factor) at the last step.

    Source: Smith (2018), arXiv:1803.09820; arguments as torch's OneCycleLR.
    """
    start = max_lr / div_factor
    end = start / final_div_factor
    peak = pct_start * total_steps - 1
    if step < peak:
        return anneal(start, max_lr, step / peak, shape)
    return anneal(max_lr, end, (step - peak) / (total_steps - 1 - peak), shape)


def one_cycle_momentum(
    step: int,
    *,
    total_steps: int,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    pct_start: float = 0.3,
    shape: str = "cos",
) -> float:
    """Return the momentum of update `step`: the mirror image of the learning rate."""
    peak = pct_start * total_steps - 1
    if step < peak:
        return anneal(max_momentum, base_momentum, step / peak, shape)
    progress = (step - peak) / (total_steps - 1 - peak)
    return anneal(base_momentum, max_momentum, progress, shape)


def cosine(step: int, *, total_steps: int, max_lr: float) -> float:
    """Return max_lr at step 0, falling along half a cosine towards 0."""
    return anneal(max_lr, 0.0, step / total_steps, "cos")


def warmup_cosine(
    step: int, *, total_steps: int, max_lr: float, pct_start: float = 0.25
) -> float:
    """Return a rate that climbs along a line, then falls along half a cosine towards 0.

    It is max_lr at step round(pct_start·total_steps), and above 0 before.

    Source: Goyal et al. (2017), "Accurate, Large Minibatch SGD", section 2.2, for the
    climb; Loshchilov and Hutter (2017), "SGDR", equation 5, for the fall.
    """
    peak = round(pct_start * total_steps)
    if step < peak:
        return anneal(0.0, max_lr, (step + 1) / (peak + 1), "linear")
    return cosine(step - peak, total_steps=max(total_steps - peak, 1), max_lr=max_lr)


def linear(step: int, *, total_steps: int, max_lr: float) -> float:
    """Return max_lr at step 0, falling along a straight line towards 0."""
    return anneal(max_lr, 0.0, step / total_steps, "linear")


def constant(step: int, *, total_steps: int, max_lr: float) -> float:
    """Return max_lr at every step."""
    return max_lr


def one_cycle_scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, total_steps: int
) -> lr_scheduler.LRScheduler:
    """Build OneCycleLR.

    Where it cycles the momentum, it replaces that of every group (Adam's first beta);
    Adagrad has none.
    """
    has_momentum = "momentum" in optimizer.defaults or "betas" in optimizer.defaults
    pct_start = recipe.pct_start
    if pct_start * total_steps == 1:
        # A climb of exactly one step makes torch divide by zero.
        pct_start = math.nextafter(pct_start, 0.0)
    return lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=recipe.div_factor,
        final_div_factor=recipe.final_div_factor,
        anneal_strategy=recipe.anneal,
        cycle_momentum=recipe.cycle_momentum and has_momentum,
    )


def plateau_scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer
) -> lr_scheduler.LRScheduler:
    """Build ReduceLROnPlateau, which waits until training no longer helps.

    The rate is multiplied by `plateau_factor` after more than `plateau_patience` epochs
    whose validation loss was not 0.01 % below the lowest one, and counting starts anew.
    It never falls below 1e-7.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    lowest = [1e-7 * peak / peaks[0] for peak in peaks]
    return lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=recipe.plateau_factor,
        patience=recipe.plateau_patience,
        min_lr=lowest,
        eps=0.0,
    )


#: each of recipe, optimizer and number of steps
SCHEDULES: dict[str, Callable[..., lr_scheduler.LRScheduler]] = {
    "one_cycle": one_cycle_scheduler,
    "warmup_cosine": lambda recipe, optimizer, total_steps: lr_scheduler.LambdaLR(
        optimizer,
        partial(
            warmup_cosine,
            total_steps=total_steps,
            max_lr=1.0,
            pct_start=recipe.pct_start,
        ),
    ),
    "cosine": lambda _, optimizer, total_steps: lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=total_steps
    ),
    "linear": lambda _, optimizer, total_steps: lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - step / total_steps
    ),
    "constant": lambda _, optimizer, __: lr_scheduler.ConstantLR(
        optimizer, factor=1.0, total_iters=0
    ),
    "plateau": lambda recipe, optimizer, _: plateau_scheduler(recipe, optimizer),
}


def build_scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, total_steps: int
) -> lr_scheduler.LRScheduler:
    """Build the recipe's scheduler for a new optimizer.

    The rate of each parameter group is its own peak, so the ratio between the groups'
    rates stays what it is. Step the scheduler after every batch, "plateau" after every
    epoch with the validation loss.
    """
    return SCHEDULES[recipe.schedule](recipe, optimizer, total_steps)
