"""Which pictures go where: a share of every class, or equally many of all."""

import torch
from torch import Tensor

from sightline.errors import DataError

__all__ = ["carve", "choose"]


def carve(
    labels: Tensor, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Divide the places of `labels` so that each class gives its share, at least 1.

    Returns:
        The places that stay and those that are taken, both ascending.
    """
    taken = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        count = min(max(round(fraction * len(places)), 1), len(places) - 1)
        order = torch.randperm(len(places), generator=generator)
        taken[places[order[:count]]] = True
    return torch.nonzero(~taken)[:, 0], torch.nonzero(taken)[:, 0]


def choose(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose `count` places, going round the classes; return them ascending.

    Raises:
        DataError: if `count` is smaller than the number of classes.
    """
    if count < len(labels.unique()):
        raise DataError(
            f"a limit of {count} pictures leaves classes without any; "
            f"at least {len(labels.unique())} are needed, one per class"
        )
    rank = torch.empty(len(labels), dtype=torch.int64)  # place within the class
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        rank[places] = torch.randperm(len(places), generator=generator)
    return torch.argsort(rank, stable=True)[:count].sort().values
