"""The pages of a built site as one document on paper: a PDF, printed by Chromium."""

import re
import shutil
import subprocess
from collections.abc import Container, Sequence
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from bs4 import BeautifulSoup
from bs4.element import Stylesheet, Tag

from sightline.book.pages import PAPER_TYPE
from sightline.errors import SightlineError

__all__ = ["one_document", "print_pdf"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    *["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-extensions"],
    *["--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"],
    *["--no-pdf-header-footer", "--generate-pdf-document-outline"],
    "--virtual-time-budget=120000",  # ms, in which formulas are set
]
LIMIT = 1800  # seconds; idle machines need one or two minutes
REFERENCES = ("href", "for", "aria-labelledby", "aria-describedby", "aria-controls")
WHEN = re.compile(rb"(/(?:Creation|Mod)Date \(D:)\d{14}")


def one_document(site: Path, names: Sequence[str], edition: str) -> str:
    """Return pages of a site, by name, as one page, each with its title on its sheets.

    A link between them leads to the place in the document; ids are unique in it. Every
    sheet has the line that names the `edition` at its foot.
    """
    pages = {name: read(site / "book" / f"{name}.html") for name in names}
    shell = next((p for p in pages.values() if p.select_one(".math")), pages[names[0]])
    title, styles, articles = shell.title, [], []
    for name, page in pages.items():
        [style], article = sheet_styles(page), page.select_one("article.bd-article")
        if article is None:
            raise SightlineError(f"{name}.html has no article; build the site again")
        styles.append(
            style.extract().get_text().replace("@page", f"@page {sheet(name)}", 1)
        )
        articles.append(article.extract())
        move_places(article, name, pages)
    box = shell.select_one(".bd-article-container")
    if box is None or shell.head is None or title is None:
        raise SightlineError(f"{site} has no pages to print; build the site again")
    box.clear()
    box.extend(articles)
    title.string = edition
    style = shell.new_tag("style", media="print")
    style.append(Stylesheet("\n".join([*styles, *sheets(names, edition)])))
    shell.head.append(style)
    return str(shell)


def sheets(names: Sequence[str], edition: str) -> list[str]:
    """Return the rules that give each page its own kind of sheet, and all one foot."""
    words = edition.replace('"', "'")
    rules = [f"#{place(name)} {{ page: {sheet(name)}; }}" for name in names]
    # the first as well: else an empty sheet comes before it
    rules.append(f"body {{ page: {sheet(names[0])}; }}")
    rules.append(f'@page {{ @bottom-left {{ content: "{words}"; {PAPER_TYPE} }} }}')
    return rules


def sheet(name: str) -> str:
    """Return the name of a page's kind of sheet, which may not begin with a digit."""
    return f"sheet-{name}"


def read(path: Path) -> BeautifulSoup:
    """Read a page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def sheet_styles(page: BeautifulSoup) -> list[Tag]:
    """Return the style that puts a page's title on every sheet: `pages.head_paper`."""
    styles = page.select('head > style[media="print"]')
    return [style for style in styles if "@page" in style.get_text()]


def place(name: str, fragment: str = "") -> str:
    """Return the id in the whole document of a place on a page, or of the page."""
    return f"page-{name}" + (f"--{fragment}" if fragment else "")


def move_places(article: Tag, name: str, pages: Container[str]) -> None:
    """Make the places of one page and its links those of the whole document."""
    for element in article.select("[id]"):
        element["id"] = place(name, str(element["id"]))
    article["id"] = place(name)
    for key in REFERENCES:
        for element in article.select(f"[{key}]"):
            words = " ".join(map(str, element.get_attribute_list(key))).split()
            moves = [
                moved(w, name, pages) if key == "href" else place(name, w)
                for w in words
            ]
            if any(moves):
                element[key] = " ".join(moves)
            else:
                del element[key]
    for picture in article.select("img[loading]"):
        del picture["loading"]  # all are near


def moved(link: str, name: str, pages: Container[str]) -> str:
    """Return what a link on one page is in the whole document; "" if it leads out."""
    address, fragment = urldefrag(link)
    if urlsplit(address).scheme:
        return link
    target = address.removesuffix(".html") if address else name
    return f"#{place(target, fragment)}" if target in pages else ""


def print_pdf(page: Path, pdf: Path, date: str) -> None:
    """Print a page; the PDF has bookmarks and says that it was made on `date`.

    Raises:
        SightlineError: if no Chromium is installed, or it does not print.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SightlineError(
            "the PDF is printed by Chromium, which is not installed: apt-get install "
            "chromium"
        )
    command = [browser, *FLAGS, f"--print-to-pdf={pdf}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=LIMIT)
    if not pdf.exists():
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SightlineError(f"Chromium printed nothing: {said[-1:]}")
    when = f"{date.replace('-', '')}000000".encode()
    pdf.write_bytes(WHEN.sub(rb"\g<1>" + when, pdf.read_bytes()))
