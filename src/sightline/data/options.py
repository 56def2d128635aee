"""Dataclass fields that are command-line options: default, meaning, range.

A field of a `Literal` type takes one of its values; others may have bounds.
"""

import math
from dataclasses import Field, field, fields
from numbers import Integral, Real
from typing import Any, get_args

from sightline.errors import SightlineError

__all__ = ["check_options", "describe_options", "option"]

BOUNDS = ("at_least", "at_most", "above")
KINDS: dict[Any, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "a text"),
}
LIMITS: dict[type, float] = {
    Integral: 2**32,
    Real: math.inf,
}  # above all numbers that make sense


def option(
    default: str | int | float | bool,
    meaning: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> Any:
    """Declare a field with its default, its unit or meaning, and its range."""
    bounds = dict(zip(BOUNDS, (at_least, at_most, above), strict=True))
    return field(default=default, metadata={"meaning": meaning, **bounds})


def describe_options(kind: type) -> dict[str, tuple[Any, str]]:
    """Return type and meaning of every option among the fields of a dataclass."""
    options = [f for f in fields(kind) if "meaning" in f.metadata]
    return {f.name: (f.type, f.metadata["meaning"]) for f in options}


def check_options(value: Any) -> None:
    """Refuse a dataclass with options of another type, out of range, or no choices.

    Raises:
        SightlineError: with the name of the field, what it allows, and its value.
    """
    for f in fields(value):
        content = getattr(value, f.name)
        if "meaning" in f.metadata and (demand := _demand(f, content)):
            raise SightlineError(f"{f.name} must {demand}, not {content}")


def _demand(f: Field, content: Any) -> str:
    """Say what an option must be; return "" if it is that."""
    if choices := get_args(f.type):
        same = (c == content and type(c) is type(content) for c in choices)
        return "" if any(same) else f"be one of {', '.join(map(str, choices))}"
    kind, name = KINDS[f.type]
    fits: bool = isinstance(content, kind)
    if not fits or isinstance(content, bool) != (kind is bool):
        return f"be {name}"
    low, high, above = (f.metadata[bound] for bound in BOUNDS)
    demand = ""
    if above is not None:
        fits, demand = content > above, f"be above {above}"
    elif high is not None:
        fits, demand = low <= content <= high, f"lie in {low}..{high}"
    elif low is not None:
        fits, demand = content >= low, f"be at least {low}"
    if fits and (limit := LIMITS.get(kind)):
        fits, demand = abs(content) < limit, f"be below {limit}"
    return "" if fits else demand  # NaN fits no bounds
