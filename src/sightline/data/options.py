"""Dataclass fields that are command-line options: default, meaning, range.

A field of a `Literal` type takes one of its values; others may have bounds.
"""

from dataclasses import field, fields
from typing import Any, Literal, get_args

from sightline.errors import SightlineError

__all__ = ["Framing", "ImageSize", "check_options", "describe_options", "option"]

ImageSize = Literal[32, 64, 96, 128]  #: pixels that a picture's side may have
#: how a picture becomes a square, by its middle or by all of it with grey around
Framing = Literal["crop", "pad"]

BOUNDS = ("at_least", "at_most", "above")


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
    """Refuse a dataclass whose options are out of range, or no choices.

    Raises:
        SightlineError: with the name of the field, what it allows, and its value.
    """
    for f in fields(value):
        if "meaning" not in f.metadata:
            continue
        low, high, above = (f.metadata[bound] for bound in BOUNDS)
        number, fits, allowed = getattr(value, f.name), True, ""
        if choices := get_args(f.type):
            fits = number in choices
            allowed = f"be one of {', '.join(map(str, choices))}"
        elif above is not None:
            fits, allowed = number > above, f"be above {above}"
        elif high is not None:
            fits, allowed = low <= number <= high, f"lie in {low}..{high}"
        elif low is not None:
            fits, allowed = number >= low, f"be at least {low}"
        if not fits:  # NaN fits no bounds
            raise SightlineError(f"{f.name} must {allowed}, not {number}")
