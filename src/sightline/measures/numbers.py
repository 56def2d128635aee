"""Numbers as people read them."""

import math
from collections.abc import Sequence

__all__ = ["duration", "gigabytes", "signed", "with_interval"]


def duration(seconds: float) -> str:
    """Write a duration no more exactly than a forecast is."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def signed(value: float, decimals: int = 1, *, plus: bool = True) -> str:
    """Write a number with its sign, a true minus, and none before a zero."""
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text
    return "−" + text if value < 0 else "+" * plus + text


def with_interval(
    numbers: Sequence[float], decimals: int = 1, *, plus: bool = True
) -> str:
    """Write a value, low and high as +1.2 (−0.3 to +2.7), or – where there is none."""
    if math.isnan(numbers[0]):
        return "–"
    value, low, high = (signed(number, decimals, plus=plus) for number in numbers)
    return f"{value} ({low} to {high})"


def gigabytes(size: float) -> str:
    """Write a number of bytes in GB, small ones in MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
