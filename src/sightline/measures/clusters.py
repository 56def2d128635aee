"""Answers about pictures that come in series, for the one rule.

Pictures of one burst are right or wrong together: twenty bursts of five are hardly more
than twenty answers. In a table with a row for each series, `estimate` and `effect` of
`measures/inference.py` treat series as they do seeds, and intervals become as wide as
they must be.
"""

import math

import torch
from torch import Tensor

__all__ = ["by_series"]


def by_series(values: Tensor, series: Tensor) -> Tensor:
    """Lay out values (N,) in one row for each series, NaN where it has no more.

    Rows begin one column further to the right each, and go round, so that no column
    means anything.

    Args:
        values: (N,) one for each picture, such as whether an answer is right.
        series: (N,) int64, equal for pictures of one series.
    """
    rows, sizes = series.unique(return_inverse=True, return_counts=True)[1:]
    order = rows.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    place = torch.empty_like(rows)  # within the series
    place[order] = torch.arange(len(rows)) - starts[rows[order]]
    width = int(sizes.max()) if len(sizes) else 0
    table = torch.full((len(sizes), width), math.nan, dtype=torch.double)
    table[rows, (rows + place) % max(width, 1)] = values.double()
    return table
