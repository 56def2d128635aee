"""Numbers as people read them."""

__all__ = ["signed"]


def signed(value: float, decimals: int = 1, *, plus: bool = True) -> str:
    """Write a number with its sign, a true minus, and none before a zero."""
    text = f"{abs(value):,.{decimals}f}"
    if not text.strip("0.,"):
        return text
    return "−" + text if value < 0 else "+" * plus + text
