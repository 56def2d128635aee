"""Rendered pages made lighter and clearer: what the theme writes, put right.

Jupyter Book's theme loads every icon there is, a search index on every page and all
pictures at once, gives some elements names that a screen reader cannot use, and says
nowhere what a page is about. All of it is repaired in the finished files.
"""

import re
import textwrap
from collections.abc import Container, Mapping
from html import unescape
from pathlib import Path
from types import MappingProxyType

from bs4 import BeautifulSoup
from bs4.element import Stylesheet, Tag
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from sightline.book.minutes import Demand
from sightline.data.pictures import open_picture

__all__ = ["finish"]

CSS_PIXELS = {"pt": 4 / 3, "px": 1.0, "": 1.0}  # what a length's unit is worth
PAPER_TYPE = "font: 8pt system-ui, sans-serif; color: #57606a;"  # as in print.css
PRIVATE = re.compile("[\ue000-\uf8ff]").match
COMPOSED = "bs-"  # scripts put the names of such classes together
STYLES = Path("_static/styles/pydata-sphinx-theme.css")
FONTS = Path("_static/vendor/fontawesome/webfonts")
SEARCH_SCRIPTS = ("searchtools.js", "language_data.js", "searchindex.js")
SUMMARY = 200  # characters of a description; what lists of links show is shorter
DASH = " \N{EM DASH} "  # between the title of a page and that of the book
DOOR = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="refresh" content="0; url=book/index.html"/>
{lines}
</head><body><a href="book/index.html">Sightline</a></body></html>
"""
HIDDEN_MODULE = re.compile(
    r"~(\w+\.)+"
)  # what Sphinx leaves where it cannot read a default
ICON = re.compile("^(fa[bs]?|fa-.*|theme-switch)$")  # the first class of an icon


def finish(site: Path, asked: Mapping[str, Demand] = MappingProxyType({})) -> None:
    """Put right what the theme wrote, in every page of a rendered site.

    Pages that are named in `asked` say at their top what they ask of a reader.
    """
    for path in site.glob("_static/scripts/fontawesome*"):
        path.unlink()
    texts = []
    for path in [*site.glob("*.html"), *site.glob("book/*.html")]:
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        repair(page, path)
        if path.stem in asked:
            state_demand(page, asked[path.stem], path.parent)
        texts.append(str(page))
        path.write_text(texts[-1], encoding="utf-8")
    texts += [path.read_text(encoding="utf-8") for path in site.glob("_static/**/*.js")]
    drop_unused(site, {word for text in texts for word in re.findall(r"[\w-]+", text)})
    drop_maps(site)
    keep_icons(site)
    write_door(site)


def repair(page: BeautifulSoup, path: Path) -> None:
    """Put right one page, which lies at `path`."""
    drop_scripts(page, searches=path.name == "search.html")
    repair_names_and_roles(page)
    repair_elements(page)
    fold_checks(page)
    offer_text(page, path.parent)
    arrange_pictures(page, path.parent)
    describe(page)
    head_paper(page)


def drop_scripts(page: BeautifulSoup, *, searches: bool) -> None:
    """Drop the scripts that a page can do without."""
    # 1.5 MB that draw a dozen icons, as the page's own fonts also can
    scripts = ['[src*="/fontawesome.js"]']
    if not searches:  # results while one types, which are switched off
        scripts += [f'[src$="{name}"]' for name in SEARCH_SCRIPTS]
    if not page.select_one(".math"):  # pages below this one may have formulas
        scripts.append('[src*="/mathjax/startup.js"]')
    for script in page.select(",".join(f"script{address}" for address in scripts)):
        script.decompose()


def repair_names_and_roles(page: BeautifulSoup) -> None:
    """Give elements names and roles that a screen reader can use."""
    for icon in page.select("i[class]"):
        if ICON.match(icon["class"][0]):
            icon["aria-hidden"] = "true"  # the button around it has a name
    buttons = 'summary[aria-label="Toggle hidden content"], '
    buttons += 'button.search-button-field[aria-label="Search"]'
    for button in page.select(buttons):  # the name differs from the words that one sees
        del button["aria-label"]
    for sidebar in page.select("#pst-primary-sidebar"):
        # else logo and search field would belong to no region
        sidebar["role"], sidebar["aria-label"] = "region", "Book"
    links = page.select("a:has(+ details)")
    arrows = page.select("a + details > summary")
    for link, arrow in zip(links, arrows, strict=True):
        arrow["aria-label"] = f"Pages of {link.get_text()}"  # whose sections it opens
    for reference in page.select('[role="doc-biblioentry"]'):
        reference["role"] = "listitem"  # the other role was withdrawn


def repair_elements(page: BeautifulSoup) -> None:
    """Replace elements that promise what they do not hold."""
    for heading in page.select("th.head"):  # a corner of a table, nothing to announce
        if not heading.get_text(strip=True) and not heading.select("img"):
            heading.name = "td"
            heading.attrs.clear()
            heading.clear()
    for signature in page.select("dt.sig"):  # a list without terms to define
        for part in signature.select("dl"):
            part.name = "span"
        for part in signature.select("dd"):
            part.name, part["class"] = "span", "sig-line"
        for name in signature.find_all(string=HIDDEN_MODULE):
            name.replace_with(HIDDEN_MODULE.sub("", name))
    for term in page.select("dl.glossary > dt[id]:has(+ dd)"):
        # one place for both, so that the search shows the words that explain it
        entry = term.wrap(page.new_tag("div", id=str(term.attrs.pop("id"))))
        entry.extend(["\n", *entry.find_next_siblings("dd", limit=1)])


def fold_checks(page: BeautifulSoup) -> None:
    """Close the code of every check, below a badge that says that it passed.

    A site is built from chapters only whose cells all came to their end.
    """
    for folded in page.select(".cell.tag_check > details:has(> .cell_input)"):
        folded.replace_with(*folded.select(".cell_input"))  # hide-input folds it, too
    for code in page.select(".cell.tag_check > .cell_input"):
        box = code.wrap(page.new_tag("details", attrs={"class": "check"}))
        badge = page.new_tag("summary")
        badge.string = "Check: passed"
        box.insert(0, badge)


def offer_text(page: BeautifulSoup, folder: Path) -> None:
    """Offer a chapter's text file for download, below its notebook."""
    link = 'a[href*="/_sources/"][href$=".ipynb"]'
    for item in page.select(f"li:has(> {link})"):
        text = BeautifulSoup(str(item).replace(".ipynb", ".md"), "html.parser")
        if all((folder / str(a["href"])).exists() for a in text.select("a")):
            item.insert_after(text)


def arrange_pictures(page: BeautifulSoup, folder: Path) -> None:
    """Give a page's pictures their size; all but the first load when they are near."""
    pictures = page.select('img[src*="_images/"]:not([loading])')
    for number, picture in enumerate(pictures):
        picture["decoding"] = "async"
        if number:
            picture["loading"] = "lazy"
        has_size = picture.has_attr("width") or "width" in str(picture.get("style"))
        if not has_size and (size := picture_size(folder / str(picture["src"]))):
            picture["width"], picture["height"] = map(str, size)


def describe(page: BeautifulSoup) -> None:
    """Say in a page's head what it is about, for lists of links and for messages."""
    words = [plain(paragraph) for paragraph in page.select(".bd-article section > p")]
    if page.title is None or page.head is None or not words:
        return
    title, _, book = page.title.get_text().partition(DASH)
    front = title == book  # which would be called so twice
    if front:
        title = page.title.string = f"{book}: {words[0].rstrip('.')}"
    summary = textwrap.shorten(" ".join(words[:2]), SUMMARY, placeholder=" …")
    lines = {
        "description": summary,
        "og:description": summary,
        "og:title": title,
        "og:site_name": book,
        "og:type": "website" if front else "article",
    }
    for key, content in lines.items():
        kind = "property" if key.startswith("og:") else "name"
        line = page.new_tag("meta", attrs={kind: key, "content": content})
        page.head.append(line)


def state_demand(page: BeautifulSoup, demand: Demand, folder: Path) -> None:
    """Say below a page's title how long it takes, and which pages it builds on."""
    heading = page.select_one(".bd-article h1")
    if heading is None:
        return
    line = page.new_tag("p", attrs={"class": "demand"})
    line.append(f"{demand}")
    for number, name in enumerate(demand.needs or ()):
        path = folder / f"{name}.html"
        link = page.new_tag("a", href=path.name)
        link.string = title_of(path)
        line.extend([", " if number else " · builds on ", link])
    if demand.needs == ():
        line.append(" · builds on no other page")
    heading.insert_after(line)


def title_of(path: Path) -> str:
    """Return a page's title, with its number, as a list of pages shows it."""
    found = re.search("<title>(.*?)</title>", path.read_text(encoding="utf-8"), re.S)
    return unescape(found[1]).partition(DASH)[0].strip() if found else path.stem


def plain(paragraph: Tag) -> str:
    """Return the words of a paragraph without its citations."""
    copy = BeautifulSoup(str(paragraph), "html.parser")
    for citation in copy.select(".bibtex-citation"):
        citation.decompose()
    words = " ".join(copy.get_text().split())
    return re.sub(r" ([.,;:?!])", r"\1", words)  # where a citation was


def write_door(site: Path) -> None:
    """Let the site's own address say what it leads to: the front page."""
    text = (site / "book" / "index.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    lines = page.select('title, meta[name="description"], meta[property]')
    text = DOOR.format(lines="\n".join(str(line) for line in lines))
    (site / "index.html").write_text(text, encoding="utf-8")


def head_paper(page: BeautifulSoup) -> None:
    """Put a page's title at the top of every sheet that is printed."""
    if page.title is None or page.head is None:
        return
    words = page.title.get_text().split(" \N{EM DASH} ")[0].strip()
    words = words.replace("\\", "").replace('"', r"\"")
    box = f'@top-left {{ content: "{words}"; {PAPER_TYPE} }}'
    style = page.new_tag("style", media="print")
    style.append(Stylesheet(f"@page {{ {box} }}"))
    page.head.append(style)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return a picture's width and height in CSS pixels; None if it has none."""
    if path.suffix != ".svg":
        with open_picture(path) as picture:
            return picture.size
    root = re.search(r"<svg\b[^>]*>", path.read_text(encoding="utf-8"))
    lengths = [
        re.search(rf'\s{name}="([\d.]+)(pt|px|)"', root[0] if root else "")
        for name in ("width", "height")
    ]
    sides = [round(float(m[1]) * CSS_PIXELS[m[2]]) for m in lengths if m]
    return (sides[0], sides[1]) if len(sides) == 2 else None


def drop_unused(site: Path, words: Container[str]) -> None:
    """Take the rules for classes that no page has out of the theme's style sheets.

    A rule stays if `words`, of all pages and scripts, hold every class that one of
    its selectors asks for.
    """

    def without_unused(rule: re.Match) -> str:
        selectors = re.split(r",(?![^()]*\))", rule[1])
        used = [s for s in selectors if all(c in words for c in classes(s))]
        return f"{','.join(used)}{{{rule[2]}}}" if used else ""

    for path in [site / "_static" / "basic.css", *sheets(site)]:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
        text = re.sub(r"([^{}@;]+)\{([^{}]*)\}", without_unused, text)
        text = re.sub(r"@media[^{}]*\{\s*\}", "", text)
        path.write_text(text, encoding="utf-8")


def drop_maps(site: Path) -> None:
    """Leave out the maps of the theme's files, which serve who works on the theme."""
    for path in site.glob("_static/s*/*.map"):
        path.unlink()
    for path in site.glob("_static/scripts/*.js"):
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"\n//# sourceMappingURL=.*", "", text)
        path.write_text(text, encoding="utf-8")


def sheets(site: Path) -> list[Path]:
    """Return the style sheets of the theme and of the extensions."""
    patterns = ("styles/*.css", "mystnb*.css", "sphinx-design*.css")
    return [p for pattern in patterns for p in sorted(site.glob(f"_static/{pattern}"))]


def classes(selector: str) -> list[str]:
    """Return the classes that an element must have, or must be inside of."""
    selector = re.sub(r":(?:not|is|where)\([^)]*\)", "", selector)
    names = re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector)
    return [name for name in names if not name.startswith(COMPOSED)]


def icons(styles: str) -> set[int]:
    """Return the characters for private use that style sheets write, both ways."""
    escaped = re.findall(r"\\([ef][0-9a-f]{3})\b", styles)
    return {int(c, 16) for c in escaped} | {ord(c) for c in styles if PRIVATE(c)}


def keep_icons(site: Path) -> None:
    """Reduce the icon fonts to the icons that style sheets still name."""
    # one format is enough: every browser that can show these pages reads it
    style = (site / STYLES).read_text(encoding="utf-8")
    style = re.sub(
        r'url\([^)]*\.woff2\) format\("woff2"\),(?=url\([^)]*/fa-)', "", style
    )
    (site / STYLES).write_text(style, encoding="utf-8")
    codes = icons(
        "".join(p.read_text(encoding="utf-8") for p in site.glob("_static/**/*.css"))
    )
    for path in (site / FONTS).glob("*.ttf"):
        font = TTFont(path, recalcTimestamp=False)  # or every build would differ
        subsetter = Subsetter(Options(notdef_outline=True))
        subsetter.populate(unicodes=codes)
        subsetter.subset(font)
        font.save(path)
    for path in (site / FONTS).glob("*.woff2"):
        path.unlink()
