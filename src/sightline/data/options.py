"""Dataclass fields that are command-line options: default, meaning, range.

A field of a `Literal` type takes one of its values; others may have bounds.
"""

from dataclasses import field, fields
from typing import Any, get_args

from sightline.errors import SightlineError

__all__ = ["check_options", "describe_options", "option"]


def option(
    default: str | int | float | bool,
    meaning: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> Any:
    """Declare a field with its default, its unit or meaning, and its range."""
    bounds = {"at_least": at_least, "at_most": at_most, "above": above}
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
        if "meaning" in f.metadata:
            _check(f.name, getattr(value, f.name), get_args(f.type), **f.metadata)


def _check(
    name: str,
    value: Any,
    choices: tuple,
    *,
    meaning: str,
    at_least: float | None,
    at_most: float | None,
    above: float | None,
) -> None:
    """Raise unless `value` is among the choices, if any, and within the bounds."""
    fits, allowed = True, ""
    if choices:
        allowed = f"be one of {', '.join(map(str, choices))}"
        fits = value in choices
    elif above is not None:
        fits, allowed = value > above, f"be above {above}"
    elif at_most is not None:
        fits, allowed = at_least <= value <= at_most, f"lie in {at_least}..{at_most}"
    elif at_least is not None:
        fits, allowed = value >= at_least, f"be at least {at_least}"
    if not fits:  # NaN fits no bounds
        raise SightlineError(f"{name} must {allowed}, not {value}")
