"""The address of the repository, which a fork changes everywhere with one command."""

import re
from pathlib import Path

from sightline.book.chapters import Book
from sightline.book.site import read_yaml
from sightline.errors import SightlineError
from sightline.files import write_text

__all__ = ["change_address"]

# every file that names it; set-up cells of chapters and of their notebooks, too
PLACES = [
    *["*.md", "CITATION.cff", "_config.yml", "pyproject.toml"],
    *["book/*.md", "book/*.ipynb"],
]
REPOSITORY = re.compile(r"https://github\.com/([\w-]+)/([\w.-]+?)(?:\.git)?/?")


def change_address(url: str, *, root: str | Path | None = None) -> list[Path]:
    """Write a repository's address, and that of its site, in place of the present ones.

    Nothing is executed; chapters and their notebooks still agree. Returns the files
    that were changed.

    Raises:
        SightlineError: if `url` is not that of a repository on GitHub.
    """
    book = Book(root)
    config = read_yaml(book.root / "_config.yml")
    old, new = (addresses(u) for u in (config["repository"]["url"], url))
    changed = []
    for path in sorted(p for place in PLACES for p in book.root.glob(place)):
        before = after = path.read_text(encoding="utf-8")
        for was, will_be in zip(old, new, strict=True):
            after = re.sub(rf"{re.escape(was)}(?![\w-])", will_be, after)
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed


def addresses(url: str) -> tuple[str, str]:
    """Return the address of a repository, and that of the site that it publishes.

    Raises:
        SightlineError: if `url` is not that of a repository on GitHub.
    """
    match = REPOSITORY.fullmatch(url)
    if match is None:
        raise SightlineError(
            f"{url!r} is not the address of a repository; it looks like "
            "https://github.com/OWNER/NAME"
        )
    owner, name = match.groups()
    site = f"https://{owner.lower()}.github.io/{name}"
    return f"https://github.com/{owner}/{name}", site
