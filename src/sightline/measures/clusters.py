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

# at least, where there are as many values: the scatter of two or three columns is told
# so badly that now and then an interval became as wide as the possible range
COLUMNS = 50


def by_series(values: Tensor, series: Tensor) -> Tensor:
    """Lay out values (N,) in one row for each series, NaN where it has no more.

    One series goes on in the column after that in which the one before it ended, and
    round, so that no column means anything.

    Args:
        values: (N,) one for each picture, such as whether an answer is right.
        series: (N,) int64, equal for pictures of one series.
    """
    rows, sizes = series.unique(return_inverse=True, return_counts=True)[1:]
    rank = torch.empty_like(rows)
    rank[rows.argsort(stable=True)] = torch.arange(len(rows))
    longest = int(sizes.max()) if len(sizes) else 0
    width = max(longest, min(COLUMNS, len(rows)))
    table = torch.full((len(sizes), width), math.nan, dtype=torch.double)
    table[rows, rank % max(width, 1)] = values.double()
    return table
