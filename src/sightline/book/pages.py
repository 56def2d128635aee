"""Rendered pages made lighter and clearer: what the theme writes, put right.

Jupyter Book's theme loads every icon there is, a search index on every page and all
pictures at once, and gives some parts names that a screen reader cannot use. All of
it is repaired in the finished files: the reasons stand beside the repairs.
"""

import html
import re
from collections.abc import Container
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from PIL import Image

__all__ = ["finish"]

CSS_PIXELS = {"pt": 4 / 3, "px": 1.0, "": 1.0}  # what a length's unit is worth
PAPER_TYPE = "font: 8pt system-ui, sans-serif; color: #57606a;"  # as in print.css
PRIVATE = re.compile("[\ue000-\uf8ff]").match
COMPOSED = "bs-"  # such names of classes are put together by scripts
STYLES = Path("_static/styles/pydata-sphinx-theme.css")
FONTS = Path("_static/vendor/fontawesome/webfonts")

# pattern and what takes its place, on every page
REPAIRS = (
    # 1.5 MB that draw a dozen icons as the page's own fonts also can
    (r'\s*<script defer src="[^"]*/fontawesome\.js[^"]*"></script>', ""),
    # needed where results appear while one types, which is switched off
    (
        r'\s*<script src="[^"]*\b'
        r'(?:searchtools|language_data|searchindex)\.js"></script>',
        "",
    ),
    # decoration: the button beside it has a name
    (r'<i class="(fa[bs]? |fa-|theme-switch)', r'<i aria-hidden="true" class="\1'),
    # a name must contain the words that one sees
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^>]*) aria-label="Search"', r"\1"),
    # the logo and the search field would belong to no part of the page
    (r'(<div id="pst-primary-sidebar")', r'\1 role="region" aria-label="Book"'),
    # an arrow that opens a part of the contents is named after it
    (
        r'(">([^<]+)</a><details[^>]*>)<summary>',
        r'\1<summary aria-label="Pages of \2">',
    ),
    # a role that was withdrawn, in a list that needs items
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # nothing to announce
    (r'<th class="head">(?:<p></p>)?</th>', "<td></td>"),
)


def finish(site: Path) -> None:
    """Put right what the theme wrote, in every page of a rendered site."""
    pages = [*site.glob("*.html"), *site.glob("book/*.html")]
    for path in site.glob("_static/scripts/fontawesome*"):
        path.unlink()
    words: set[str] = set()
    for path in pages:
        text = path.read_text()
        for pattern, instead in REPAIRS:
            if path.name != "search.html" or "searchtools" not in pattern:
                text = re.sub(pattern, instead, text)
        text = re.sub(r'<dt class="sig .*?</dt>', unlist, text, flags=re.S)
        text = offer_text(text, path.parent)
        text = head_paper(arrange_pictures(text, path.parent))
        if 'class="math' not in text:  # a page above pages with formulas
            text = re.sub(
                r"\s*<script[^>]*/mathjax/startup\.js[^>]*></script>", "", text
            )
        words |= set(re.findall(r"[\w-]+", text))
        path.write_text(text)
    for path in site.glob("_static/**/*.js"):
        words |= set(re.findall(r"[\w-]+", path.read_text()))
    drop_unused(site, words)
    keep_icons(site)


def offer_text(text: str, folder: Path) -> str:
    """Offer a chapter's text file for download, below its notebook."""
    item = re.search(r'<li><a href="([^"]*/_sources/[^"]*)\.ipynb".*?</li>', text, re.S)
    if not item or not (folder / f"{item[1]}.md").exists():
        return text
    return text.replace(item[0], item[0] + item[0].replace(".ipynb", ".md"), 1)


def unlist(signature: re.Match) -> str:
    """Return a long signature without the list that has no terms to define."""
    lines = signature[0].replace("<dl>", "<span>").replace("</dl>", "</span>")
    lines = lines.replace("<dd>", '<span class="sig-line">')
    return lines.replace("</dd>", "</span>")


def arrange_pictures(text: str, folder: Path) -> str:
    """Give a page's pictures their size; all but the first load when they are near."""
    seen = 0

    def arranged(match: re.Match) -> str:
        nonlocal seen
        tag = match[0]
        source = re.search(r'src="([^"]*)"', tag)
        if not source or "_images/" not in source[1] or "loading=" in tag:
            return tag
        seen += 1
        extra = "" if seen == 1 else ' loading="lazy"'
        size = None if "width" in tag else picture_size(folder / source[1])
        if size:
            extra += f' width="{size[0]}" height="{size[1]}"'
        return f'<img decoding="async"{extra}' + tag.removeprefix("<img")

    return re.sub(r"<img\b[^>]*>", arranged, text)


def head_paper(text: str) -> str:
    """Put a page's title at the top of every sheet that is printed."""
    title = re.search(r"<title>(.*?)( &#8212; .*)?</title>", text, flags=re.S)
    if not title:
        return text
    words = html.unescape(title[1]).strip().replace("\\", "").replace('"', r"\"")
    box = f'@top-left {{ content: "{words}"; {PAPER_TYPE} }}'
    style = f'<style media="print">@page {{ {box} }}</style>'
    return text.replace("</head>", f"{style}\n  </head>", 1)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return a picture's width and height in CSS pixels; None if it has none."""
    if path.suffix != ".svg":
        with Image.open(path) as picture:
            return picture.size
    root = re.search(r"<svg\b[^>]*>", path.read_text())
    found = [
        re.search(rf'\s{name}="([\d.]+)(pt|px|)"', root[0]) if root else None
        for name in ("width", "height")
    ]
    if None in found:
        return None
    width, height = (round(float(m[1]) * CSS_PIXELS[m[2]]) for m in found)
    return width, height


def drop_unused(site: Path, words: Container[str]) -> None:
    """Take the rules for classes that no page has out of the theme's style sheets.

    A rule stays if `words`, of all pages and scripts, hold every class that one of
    its selectors asks for.
    """

    def kept(match: re.Match) -> str:
        selectors = re.split(r",(?![^()]*\))", match[1])
        used = [s for s in selectors if all(c in words for c in classes(s))]
        return f"{','.join(used)}{{{match[2]}}}" if used else ""

    for path in [site / "_static" / "basic.css", *sheets(site)]:
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
        text = re.sub(r"([^{}@;]+)\{([^{}]*)\}", kept, text)
        path.write_text(re.sub(r"@media[^{}]*\{\s*\}", "", text))


def sheets(site: Path) -> list[Path]:
    """Return the style sheets of the theme and of the extensions."""
    patterns = ("styles/*.css", "mystnb*.css", "sphinx-design*.css")
    return [p for pattern in patterns for p in sorted(site.glob(f"_static/{pattern}"))]


def classes(selector: str) -> list[str]:
    """Return the classes that an element must have, or must be inside of."""
    selector = re.sub(r":(?:not|is|where)\([^)]*\)", "", selector)
    found = re.findall(r"\.(-?[A-Za-z_][\w-]*)", selector)
    return [name for name in found if not name.startswith(COMPOSED)]


def icons(styles: str) -> set[int]:
    """Return the characters for private use that style sheets write, both ways."""
    escaped = re.findall(r"\\([ef][0-9a-f]{3})\b", styles)
    return {int(c, 16) for c in escaped} | {ord(c) for c in styles if PRIVATE(c)}


def keep_icons(site: Path) -> None:
    """Reduce the icon fonts to the icons that style sheets still name."""
    # one format is enough: every browser that can show these pages reads it
    style = (site / STYLES).read_text()
    style = re.sub(
        r'url\([^)]*\.woff2\) format\("woff2"\),(?=url\([^)]*/fa-)', "", style
    )
    (site / STYLES).write_text(style)
    codes = icons("".join(p.read_text() for p in site.glob("_static/**/*.css")))
    for path in (site / FONTS).glob("*.ttf"):
        font = TTFont(path)
        subsetter = Subsetter(Options(notdef_outline=True))
        subsetter.populate(unicodes=codes)
        subsetter.subset(font)
        font.save(path)
    for path in (site / FONTS).glob("*.woff2"):
        path.unlink()
