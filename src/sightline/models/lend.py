"""The one way to lend a model and give it back."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

__all__ = ["borrowed"]


@contextmanager
def borrowed(model: nn.Module) -> Iterator[nn.Module]:
    """Lend a model, frozen, in evaluation mode and float32; give it back as it was.

    Of a compiled model that is the original, of one in half precision a copy.
    """
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        model = copy.deepcopy(model).float()
    modes = [(module, module.training) for module in model.modules()]
    weights = [(weight, weight.requires_grad) for weight in model.parameters()]
    device = weights[0][0].device
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.compiler.set_stance("force_eager"),  # for parts compiled by themselves
        _own_random_numbers(device),
    ):
        try:
            model.eval()
            for weight, _ in weights:
                weight.requires_grad_(False)  # so that backward leaves .grad alone
            yield model
        finally:
            for module, training in modes:
                module.training = training
            for weight, trainable in weights:
                weight.requires_grad_(trainable)


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """Let a network that draws numbers take none from the caller's generators."""
    python, numpys = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpys)
