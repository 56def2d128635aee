"""What is put right in rendered pages, on a site of a few lines."""

import re

import pytest
from bs4 import BeautifulSoup
from fontTools.fontBuilder import FontBuilder
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._g_l_y_f import Glyph

from sightline.book.minutes import Demand
from sightline.book.pages import finish

SVG = '<svg width="30pt" height="15pt" viewBox="0 0 30 15"></svg>'
HEAD = """\
<title>2. Two &amp; "three" &#8212; Sightline</title>
<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>
<script src="../_static/searchtools.js"></script>
<script src="../searchindex.js"></script>
<script defer="defer" src="../_static/vendor/mathjax/startup.js?v=1"></script>
"""
FRONT = """\
<title>Sightline &#8212; Sightline</title>
"""
BODY = """\
<i class="fas fa-rocket"></i>
<img alt="one" src="../_images/a.svg" />
<img alt="two" src="../_images/b.svg" />
<dt class="sig py">say: ~collections.abc.Callable[[~x.Move], None]
<dl><dd>a: int</dd></dl></dt><dl><dt>word</dt><dd>kept</dd></dl>
<dl class="glossary"><dt id="term-epoch">epoch</dt><dd><p>One pass.</p></dd></dl>
<div class="cell tag_check"><div class="cell_input">assert one</div><p>2</p></div>
<div class="cell tag_check"><details class="hide"><summary>Show</summary>
<div class="cell_input">assert two</div></details></div>
<article class="bd-article"><section><h1>Two</h1><p>What a "map" says
<span class="bibtex-citation">[Smith, 2017]</span>, and what not.</p>
<p>Then this.</p><p>Never this.</p></section></article>
"""
STYLE = (
    '.fa-rocket:before{content:"\\f135"}.fa-bug:before{content:"\\f188"}'
    ".used,.never{a:b}@media print{.never{c:d}}p:not(.never){e:f}"
    '@font-face{src:url(x/fa-solid.woff2) format("woff2"),url(x/fa-solid.ttf)}'
)

SCRIPTS = {
    "fontawesome.js": "fa-rocket fa-bug",
    "theme.js": "act();\n//# sourceMappingURL=theme.js.map\n",
    "theme.js.map": "{}",
}


@pytest.fixture
def site(tmp_path):
    """A rendered site with one page, one style sheet and one icon font."""
    for folder in ("book", "_images", "_static/styles", "_static/scripts"):
        (tmp_path / folder).mkdir(parents=True)
    fonts = tmp_path / "_static/vendor/fontawesome/webfonts"
    fonts.mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "_images" / f"{name}.svg").write_text(SVG, encoding="utf-8")
    page = f"<html><head>{HEAD}</head><body class='used'>{BODY}</body></html>"
    (tmp_path / "book" / "two.html").write_text(page, encoding="utf-8")
    front = page.replace(HEAD, FRONT)
    (tmp_path / "book" / "index.html").write_text(front, encoding="utf-8")
    (tmp_path / "search.html").write_text(page.replace("../", ""), encoding="utf-8")
    (tmp_path / "_static/basic.css").write_text("", encoding="utf-8")
    (tmp_path / "_static/styles/pydata-sphinx-theme.css").write_text(
        STYLE, encoding="utf-8"
    )
    for name, words in SCRIPTS.items():
        (tmp_path / "_static/scripts" / name).write_text(words, encoding="utf-8")
    write_font(fonts / "fa-solid.ttf")
    (fonts / "fa-solid.woff2").touch()
    finish(tmp_path, {"two": Demand(9, 0, 0, 0, ("two", "index"))})
    return tmp_path


def write_font(path):
    """Write a font that has a rocket and a bug."""
    builder = FontBuilder(1000, isTTF=True)
    names = [".notdef", "rocket", "bug"]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({0xF135: "rocket", 0xF188: "bug"})
    builder.setupGlyf({name: Glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (9, 0)))
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": "icons", "styleName": "solid"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def text(site):
    """The page of the site."""
    return (site / "book" / "two.html").read_text(encoding="utf-8")


def test_a_page_loads_no_script_that_it_does_not_use(text, site):
    assert not re.findall(r"fontawesome|searchtools|searchindex|mathjax", text)
    assert "searchindex.js" in (site / "search.html").read_text(encoding="utf-8")


def test_a_check_is_closed_below_a_badge_and_what_it_printed_is_not(text):
    closed = '<details class="check"><summary>Check: passed</summary>'
    closed += '<div class="cell_input">assert one</div></details><p>2</p>'
    assert closed in text
    assert closed.replace("one", "two").replace("<p>2</p>", "</div>") in text
    assert "Show" not in text


def test_a_page_says_below_its_title_what_it_asks_and_what_it_builds_on(text, site):
    line = BeautifulSoup(text, "html.parser").select_one("h1 + p.demand")
    said = '9 minutes to read · builds on 2. Two & "three", Sightline'
    assert line.get_text() == said
    assert [link["href"] for link in line.select("a")] == ["two.html", "index.html"]
    front = (site / "book" / "index.html").read_text(encoding="utf-8")
    assert "demand" not in front


def test_the_first_picture_loads_at_once_and_the_others_when_they_are_near(text):
    first, second = re.findall(r"<img[^>]*>", text)
    for picture in (first, second):
        assert 'width="40"' in picture and 'height="20"' in picture
    assert "lazy" not in first and 'loading="lazy"' in second


def test_a_signature_is_no_list_and_other_lists_stay(text):
    assert '<span class="sig-line">a: int</span>' in text
    assert "<dl><dt>word</dt><dd>kept</dd></dl>" in text


def test_paper_carries_the_title_of_the_page(text):
    assert 'content: "2. Two & \\"three\\""' in text


def test_style_sheets_keep_what_pages_and_their_scripts_name(site):
    style = (site / "_static/styles/pydata-sphinx-theme.css").read_text(
        encoding="utf-8"
    )
    assert ".fa-rocket:before" in style and "fa-bug" not in style
    assert ".used{a:b}" in style and "c:d" not in style and "@media" not in style
    assert "p:not(.never){e:f}" in style


def test_an_icon_font_keeps_the_icons_that_are_shown(site):
    fonts = site / "_static/vendor/fontawesome/webfonts"
    assert [path.name for path in fonts.iterdir()] == ["fa-solid.ttf"]
    assert set(TTFont(fonts / "fa-solid.ttf").getBestCmap()) == {0xF135}
    style = (site / "_static/styles/pydata-sphinx-theme.css").read_text(
        encoding="utf-8"
    )
    assert "woff2" not in style and "fa-solid.ttf" in style


def about(text):
    """What the head of a page says about it."""
    lines = BeautifulSoup(text, "html.parser").select("meta[name], meta[property]")
    return {line.get("name") or line["property"]: line["content"] for line in lines}


def test_a_page_says_in_its_head_what_its_first_paragraphs_say(text):
    words = 'What a "map" says, and what not. Then this.'
    assert about(text) == {
        **{"description": words, "og:description": words, "og:type": "article"},
        **{"og:title": '2. Two & "three"', "og:site_name": "Sightline"},
    }


def test_the_front_page_is_not_called_twice_by_the_name_of_the_book(site):
    front = (site / "book" / "index.html").read_text(encoding="utf-8")
    title = 'Sightline: What a "map" says, and what not'
    assert BeautifulSoup(front, "html.parser").title.get_text() == title
    assert about(front)["og:type"] == "website"


def test_the_address_of_the_site_says_what_its_front_page_says(site):
    door = (site / "index.html").read_text(encoding="utf-8")
    front = (site / "book" / "index.html").read_text(encoding="utf-8")
    assert 'http-equiv="refresh" content="0; url=book/index.html"' in door
    assert about(door) == about(front)


def test_a_term_and_its_explanation_are_one_place(text):
    entry = text[text.index('<div id="term-epoch">') :]
    assert "One pass." in entry[: entry.index("</div>")]
    assert text.count('id="term-epoch"') == 1


def test_signatures_name_types_as_readers_do(text):
    assert "say: Callable[[Move], None]" in text


def test_maps_of_the_theme_are_not_shipped_and_nothing_asks_for_them(site):
    scripts = site / "_static/scripts"
    assert [path.name for path in scripts.iterdir()] == ["theme.js"]
    assert (scripts / "theme.js").read_text(encoding="utf-8") == "act();\n"
