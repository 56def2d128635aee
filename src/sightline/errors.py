"""What can go wrong, said to people.

The command line prints these without a traceback and exits with status 1.
"""

__all__ = ["DataError", "NonFiniteLossError", "RunError", "SightlineError"]


class SightlineError(Exception):
    """A mistake or a mishap whose message names the value and the remedy."""


class DataError(SightlineError):
    """Pictures that are missing, broken, or not what was expected."""


class RunError(SightlineError):
    """A run folder that is missing, incomplete, or belongs to another recipe."""


class NonFiniteLossError(SightlineError):
    """A loss that became NaN or infinite."""
