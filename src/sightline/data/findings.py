"""What may be wrong with a folder of pictures, in words, with its remedy."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Finding", "as_text", "count_pictures", "enumerate_names"]

NAMED = 5  # files shown


@dataclass(frozen=True)
class Finding:
    """One thing to know about a folder."""

    kind: str  #: one word or two, for machines
    words: str  #: a sentence without its full stop
    remedy: str
    files: tuple[str, ...] = ()  #: all of them, relative to the folder
    pairs: tuple[tuple[str, str], ...] = ()  #: a picture and an earlier one
    grave: bool = False  #: training makes no sense before it is put right
    image_size: int | None = None  #: pixels, if the remedy is another size

    def lines(self) -> list[str]:
        """Return the sentence, the first files and how many more, and the remedy."""
        names = [*self.files, *(f"{one} = {other}" for one, other in self.pairs)]
        more = [f"and {len(names) - NAMED:,} more"] * (len(names) > NAMED)
        remedy = [f"→ {self.remedy}"] * bool(self.remedy)
        return [f"{self.words}.", *map(as_text, names[:NAMED]), *more, *remedy]


def enumerate_names(names: Sequence[str]) -> str:
    """Join the first file names, and say how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(as_text, names[:NAMED])) + more


def as_text(name: str) -> str:
    r"""Read a file's name as UTF-8; a byte that is none is written as \xe9."""
    return os.fsencode(name).decode(errors="backslashreplace")


def count_pictures(count: int, kind: str = "") -> str:
    """Count pictures in words, of a kind if it is named."""
    return f"{count:,} {kind} picture{'s' * (count != 1)}".replace("  ", " ")
