"""How far apart two ways to compute a number may come out, on any CPU."""

import math

import torch
from torch import Tensor


def rounding(
    terms: int, size: float | Tensor = 1.0, dtype: torch.dtype = torch.float32
) -> float | Tensor:
    """Bound the difference between two orders of the same sum: 4 · √terms · ε · size.

    Kernels add in the order that suits a CPU, a number of threads, a batch size. Each
    order errs by at most λ · √terms · ε/2 · size, but with a probability of
    2 exp(-λ²/2); λ is 4. A chain of operations rounds like a sum of as many terms.

    Source: Higham and Mary (2019), "A new approach to probabilistic rounding error
    analysis", theorem 2.4.

    Args:
        terms: how many numbers are added.
        size: sum of their absolute values. Where a difference is divided, that of the
            difference's terms over the divisor: what cancels is not divided away.
        dtype: in which the sums are computed.
    """
    return 4 * math.sqrt(terms) * torch.finfo(dtype).eps * size
