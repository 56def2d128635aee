"""What a page's own script and styles do: wide things scroll, figures can be large."""

import asyncio
import shutil
from pathlib import Path

import pytest
from browser import open_page
from server import serve

STATIC = Path(__file__).parents[1] / "book" / "_static"
pytestmark = pytest.mark.browser
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="200"></svg>'
PAGE = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title>
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="custom.css"><script defer src="page.js"></script>
<body class="bd-content" style="margin: 16px"><article class="bd-article">
<div class="cell_output"><figure>
<img src="_images/a.svg" alt="a" width="640" height="200">
</figure></div>
<pre style="overflow-x: auto">{line}</pre><pre style="overflow-x: auto">short</pre>
<div class="pst-scrollable-table-container"><table><tr>{cells}</tr></table></div>
</article></body></html>
"""
BOXES = """[...document.querySelectorAll('pre, .pst-scrollable-table-container')].map(
  (box) => [box.tabIndex, box.getAttribute('role'), box.getAttribute('aria-label'),
            box.hasAttribute('data-more')])"""
FIGURE = """(() => {
  const box = document.querySelector('.figure-box');
  const button = document.querySelector('.figure-enlarge');
  return {
    offered: !button.hidden && button.offsetWidth > 0,
    pressed: button.getAttribute('aria-pressed'),
    width: box.querySelector('img').offsetWidth,
    reachable: box.tabIndex === 0,
    page: document.documentElement.scrollWidth,
  };
})()"""
SCROLL = "document.querySelectorAll('pre')[0].scrollLeft = 1e5"
MOVES = """(() => {
  const thing = document.querySelector('pre');
  thing.style.transition = 'color 3s';
  return getComputedStyle(thing).transitionProperty;
})()"""


async def survey(url: str, engine: str) -> dict:
    """Look at the page on a desk, then on a phone; scroll, enlarge, ask for rest."""
    seen = {}
    async with open_page(engine) as page:
        await page.visit(url)
        seen["desk"] = await page.value(FIGURE)
        await page.visit(url, width=390)
        seen["boxes"] = await page.value(BOXES)
        await page.value(SCROLL)
        await asyncio.sleep(0.2)
        seen["scrolled"] = await page.value(BOXES)
        seen["phone"] = await page.value(FIGURE)
        await page.value("document.querySelector('.figure-enlarge').click()")
        seen["large"] = await page.value(FIGURE)
        await page.value("document.querySelector('.figure-enlarge').click()")
        seen["again"] = await page.value(FIGURE)
        seen["moving"] = await page.value(MOVES)
        if page.emulates_media:
            await page.show(width=390, dark=False, still=True)
            seen["still"] = await page.value(MOVES)
        seen["complaints"] = page.complaints
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory, engine):
    """What a page with a figure, code and a table does."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "_images").mkdir()
    (folder / "_images" / "a.svg").write_text(SVG, encoding="utf-8")
    for name in ("custom.css", "page.js"):
        shutil.copy(STATIC / name, folder)
    text = PAGE.format(
        line="x = 1  # " + "long " * 40, cells="<td>wide&nbsp;cell</td>" * 20
    )
    (folder / "page.html").write_text(text, encoding="utf-8")
    with serve(folder) as address:
        return asyncio.run(survey(f"{address}/page.html", engine))


def test_what_is_wider_than_its_box_can_be_reached_is_named_and_shows_that_it_goes_on(
    seen,
):
    code, short, table = seen["boxes"]
    assert code == [0, "group", "Code, scrolls sideways", True]
    assert table == [0, "group", "Table, scrolls sideways", True]
    assert short == [-1, None, None, False]


def test_at_its_end_a_box_no_longer_shows_that_it_goes_on(seen):
    code, _, table = seen["scrolled"]
    assert (code[3], table[3]) == (False, True)


def test_a_figure_that_a_phone_shrinks_can_be_had_in_its_own_size(seen):
    phone, large = seen["phone"], seen["large"]
    assert phone["offered"] and phone["pressed"] == "false" and not phone["reachable"]
    assert phone["width"] <= 390
    assert large["width"] == 640 and large["pressed"] == "true" and large["reachable"]
    assert phone["page"] == large["page"] == 390  # only its box scrolls
    assert seen["again"] == phone


def test_a_figure_that_is_shown_in_its_own_size_offers_no_larger_one(seen):
    assert seen["desk"]["width"] == 640 and not seen["desk"]["offered"]


def test_nothing_moves_for_a_reader_who_wants_rest(seen):
    assert seen["moving"] == "color"
    assert seen.get("still", "none") == "none"  # WebKit cannot be told


def test_the_script_has_nothing_to_complain_about(seen):
    assert not seen["complaints"]
