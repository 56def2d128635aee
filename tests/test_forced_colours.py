"""Where the reader's system chooses all colours, what is chosen can still be seen."""

import asyncio

import pytest
from browser import open_page
from test_exercises import QUESTION
from test_explorers import ROOT, SCRIPTS, elements

STATIC = ROOT / "book" / "_static"
pytestmark = pytest.mark.browser
PAGE = """\
<!doctype html><html lang="en" data-theme="light">
<meta charset="utf-8"><title>page</title>
<link rel="stylesheet" href="{theme}">
<link rel="stylesheet" href="{styles}"><script defer src="{load}"></script>
<body style="background: Canvas">{body}<script src="{script}"></script>
"""
TILES = """[...document.querySelectorAll('.explorer-tiles input')].map(input => [
  input.checked,
  getComputedStyle(input.nextElementSibling.querySelector('figure')).outlineStyle])"""
BARS = """[...document.querySelectorAll('.explorer-classes i')].map(
  bar => getComputedStyle(bar).backgroundImage)"""
CHART = """[getComputedStyle(document.querySelector('.explorer-chart text')).fill,
  getComputedStyle(document.body).color]"""
OPTIONS = """[...document.querySelectorAll('.self-check label')].map(label => {
  const { borderTopWidth, borderTopColor } = getComputedStyle(label);
  const ground = getComputedStyle(document.body).backgroundColor;
  return parseFloat(borderTopWidth) > 0 && borderTopColor !== ground;
})"""
CHOOSE = "document.querySelectorAll('.self-check input')[1].click()"
BADGE = """(() => {
  const badge = document.querySelector('details.check > summary');
  const { borderTopWidth, borderTopColor } = getComputedStyle(badge);
  const ground = getComputedStyle(document.body).backgroundColor;
  const mark = getComputedStyle(badge, '::before').content;
  return [parseFloat(borderTopWidth) > 0, borderTopColor !== ground, mark];
})()"""
READY = "document.querySelectorAll('[data-explorer][data-ready]').length"


async def survey(url: str, engine: str) -> dict:
    """Look at explorers and at a question in the colours of a system."""
    async with open_page(engine) as page:
        await page.visit(url)
        await page.show(width=1280, dark=False, forced=True)
        while await page.value(READY) < 2:
            await asyncio.sleep(0.1)
        await page.value(CHOOSE)
        looks = {"tiles": TILES, "bars": BARS, "chart": CHART, "options": OPTIONS}
        looks |= {"badge": BADGE}
        return {name: await page.value(look) for name, look in looks.items()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory, emulating_engine):
    """What can be seen on a page with two explorers and a question."""
    made = elements()
    body = made["grad-cam"] + made["one-cycle"]
    body += QUESTION.format(title="Which?", letter="B")
    body += '<details class="check"><summary>Check: passed</summary>1</details>'
    names = {
        "theme": "custom.css",
        "styles": "self_check.css",
        "script": "self_check.js",
    }
    addresses = {key: (STATIC / name).as_uri() for key, name in names.items()}
    text = PAGE.format(body=body, load=(SCRIPTS / "load.js").as_uri(), **addresses)
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(text, encoding="utf-8")
    return asyncio.run(survey(path.as_uri(), emulating_engine))


def test_the_chosen_picture_alone_has_a_ring(seen):
    assert sum(checked for checked, _ in seen["tiles"]) == 1
    for checked, outline in seen["tiles"]:
        assert (outline != "none") == checked


def test_the_bars_of_the_classes_are_drawn(seen):
    assert seen["bars"]
    for image in seen["bars"]:
        assert image.startswith("linear-gradient"), image


def test_the_words_of_a_chart_have_the_colour_of_text(seen):
    words, text = seen["chart"]
    assert words == text


def test_the_chosen_answer_alone_has_a_border(seen):
    assert seen["options"] == [False, True, False]


def test_the_badge_of_a_check_has_a_border_and_a_mark(seen):
    assert seen["badge"] == [True, True, '"\N{CHECK MARK}"']
