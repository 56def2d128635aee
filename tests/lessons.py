"""The pages that teach: their exercises and questions, read from the text."""

import re
from pathlib import Path

BOOK = Path(__file__).parents[1] / "book"
FREE = ("is_the_data_right",)  # lessons without a number
# the first hour, 00, asks for nothing
LESSONS = sorted(BOOK.glob("[0-9][0-9]_*.md"))[1:] + [
    path for name in FREE if (path := BOOK / f"{name}.md").exists()
]
# not yet brought to the limits of a page; none is added
LONG: set[str] = set()


def last_part(path: Path) -> str:
    """Text of a chapter from its exercises to its references."""
    text = path.read_text(encoding="utf-8")
    return text.split("\n## Exercises")[1].split("\n## References")[0]


def exercises(path: Path) -> list[tuple[str, str, str]]:
    """Title, label and text of every exercise."""
    found = re.findall(
        r"^````\{exercise\} ([^\n]+)\n:label: (\S+)\n(.*?)^````$",
        last_part(path),
        flags=re.M | re.S,
    )
    return [(title.strip(), label, text) for title, label, text in found]


def solutions(path: Path) -> dict[str, str]:
    """Text of every solution, by the label of its exercise."""
    pattern = r"^```\{solution-start\} (\S+)\n(.*?)^```\{solution-end\}"
    return dict(re.findall(pattern, last_part(path), flags=re.M | re.S))


def questions(path: Path) -> list[str]:
    """Text of every question of the self-check."""
    pattern = r"^:::\{admonition\} (.*?)^:::$"
    found = re.findall(pattern, last_part(path), flags=re.M | re.S)
    return [text for text in found if ":class: self-check" in text]
