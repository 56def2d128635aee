"""Ways to lend a model and get it back as it was.

Both restore the mode of every submodule: `model.train()` would also wake up those that
somebody has frozen in evaluation mode.
"""

import copy
import random
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import nn

__all__ = ["borrowed", "evaluating"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Lend a model in evaluation mode, and compute no gradients meanwhile."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            yield model.eval()
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def borrowed(model: nn.Module) -> Iterator[nn.Module]:
    """Lend a model in evaluation mode and float32, frozen, with gradients possible.

    A GPU then multiplies in float32, too, not in TF32. Lends the original of a compiled
    model, and a copy of one in half precision. The caller's random numbers stay where
    they are.
    """
    model = getattr(model, "_orig_mod", model)  # of torch.compile
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        model = copy.deepcopy(model).float()
    weights = [(weight, weight.requires_grad) for weight in model.parameters()]
    device = weights[0][0].device if weights else torch.device("cpu")
    with (
        evaluating(model),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        _float32_products(),
        _nothing_compiled(),
        _own_random_numbers(device),
    ):
        try:
            for weight, _ in weights:
                weight.requires_grad_(False)  # so that backward leaves .grad alone
            yield model
        finally:
            for weight, trainable in weights:
                weight.requires_grad_(trainable)


@contextmanager
def _float32_products() -> Iterator[None]:
    """Keep GPUs from rounding float32 to TF32 where they multiply."""
    cudnn = torch.backends.cudnn
    precision, allowed = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32 = allowed


def _nothing_compiled() -> AbstractContextManager:
    """Run compiled parts of a model as they were written."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; importing takes long
        return nullcontext()
    return torch.compiler.set_stance("force_eager")


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """Let a network that draws numbers take none from the caller's generators."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
