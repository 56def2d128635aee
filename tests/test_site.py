"""The built site: self-contained, described, readable on a phone and in the dark."""

import asyncio
import functools
import http.server
import re
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from browser import find_chromium, open_page

from sightline.chapters import Book
from sightline.site import build

ROOT = Path(__file__).parents[1]
BOOK = Book(ROOT)
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
needs_chromium = pytest.mark.skipif(
    find_chromium() is None,
    reason="Chromium is not installed: apt-get install chromium",
)


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site of the committed edition, as `make site` builds it."""
    if not list(BOOK.pages.glob("[0-9][0-9]_*.ipynb")):
        pytest.skip("no edition is committed yet: make edition")
    return build("full", root=ROOT, out=tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="session")
def pages(site):
    """Name and tags of every page."""
    paths = [*site.glob("book/*.html"), site / "search.html"]
    return {str(p.relative_to(site)): Tags(p.read_text()) for p in paths}


@pytest.fixture(scope="session")
def address(site):
    """The site at an address of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def chapter_names() -> list[str]:
    """Names of the chapters that have a committed notebook."""
    return [n for n in BOOK.chapters if (BOOK.pages / f"{n}.ipynb").exists()]


def test_no_page_loads_anything_from_another_host(pages):
    loading = (("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"))
    for name, tags in pages.items():
        asked = [t.get(key) or "" for tag, key in loading for t in tags.all(tag)]
        asked += [
            t["href"]
            for t in tags.all("link")
            if t.get("rel") in ("stylesheet", "preload", "icon", "preconnect")
        ]
        assert not [url for url in asked if re.match(r"(https?:)?//", url)], name


def test_every_picture_says_what_to_see(pages):
    for name, tags in pages.items():
        for image in tags.all("img"):
            file, alt = Path(urlsplit(image["src"]).path), image.get("alt") or ""
            assert alt, f"{name}: {file} has no alternative text"
            if "_images" in file.parts:  # not a button or a logo
                assert len(alt.split()) >= 6, f"{name}: {file} has alt {alt!r}"
                assert not alt.endswith(file.suffix), f"{name}: {alt!r}"


def test_every_link_inside_the_site_leads_somewhere(pages, site):
    for name, tags in pages.items():
        for link in tags.all("a"):
            target = urlsplit(link.get("href") or "")
            if target.scheme or target.netloc or not target.path:
                continue
            path = (site / name).parent / unquote(target.path)
            assert path.exists(), f"{name} links to {link['href']}"


def test_every_chapter_has_a_colab_and_a_download_button_for_its_notebook(pages, site):
    for name in chapter_names():
        links = [a.get("href") or "" for a in pages[f"book/{name}.html"].all("a")]
        path = f"/blob/main/book/{name}.ipynb"
        colab = REPOSITORY.replace("https://github.com", "/github") + path
        assert f"https://colab.research.google.com{colab}" in links
        assert f"../_sources/book/{name}.ipynb" in links
        assert (site / "_sources" / "book" / f"{name}.ipynb").exists()


def test_no_page_shows_an_error_or_a_parameter_of_papermill(site):
    for path in site.glob("book/*.html"):
        text = path.read_text()
        for word in ("Traceback (most recent", "injected-parameters", "# Parameters<"):
            assert word not in text, path.name


def test_every_page_says_which_edition_it_shows(site):
    for path in site.glob("book/*.html"):
        assert 'class="edition"' in path.read_text(), path.name


def test_the_site_can_be_published_as_it_is(site):
    assert (site / ".nojekyll").exists()
    assert (site / "_static/vendor/mathjax/tex-mml-chtml.js").exists()
    assert (site / "_static/vendor/mathjax/LICENSE").exists()


async def survey(address: str, names: list[str]) -> dict[str, dict]:
    """Open every page wide and light, then narrow and dark; say what it is like."""
    found = {}
    async with open_page() as page:
        for name in names:
            for width, dark in ((1280, False), (390, True)):
                await page.visit(f"{address}/{name}", width=width, dark=dark)
            found[name] = {
                "width": await page.value("document.documentElement.scrollWidth"),
                "filters": await page.value(
                    "[...document.querySelectorAll('.bd-article img')]"
                    ".map(image => getComputedStyle(image).filter)"
                ),
                "theme": await page.value("document.documentElement.dataset.theme"),
                "formulas": await page.value(
                    "[document.querySelectorAll('.math').length > 0, "
                    "document.querySelectorAll('mjx-container').length > 0]"
                ),
            }
        found["*"] = {
            "requests": page.requests,
            "failures": page.failures,
            "complaints": page.complaints,
        }
    return found


@pytest.fixture(scope="session")
def seen(address, pages):
    """What Chromium saw on every page."""
    return asyncio.run(survey(address, sorted(pages)))


@needs_chromium
def test_chromium_asks_no_other_host_and_misses_nothing(seen, address):
    hosts = {urlsplit(url).netloc for url in seen["*"]["requests"]} - {""}
    assert hosts == {urlsplit(address).netloc}
    assert not seen["*"]["failures"]


@needs_chromium
def test_chromium_has_nothing_to_complain_about(seen):
    assert not seen["*"]["complaints"]


@needs_chromium
def test_no_page_scrolls_sideways_on_a_phone(seen, pages):
    assert {name: seen[name]["width"] for name in pages} == dict.fromkeys(pages, 390)


@needs_chromium
def test_the_dark_theme_leaves_the_colours_of_pictures_alone(seen, pages):
    assert all(seen[name]["theme"] == "dark" for name in pages)
    filters = {value for name in pages for value in seen[name]["filters"]}
    assert filters <= {"none"}


@needs_chromium
def test_formulas_are_set_without_a_network(seen, pages):
    for name in pages:
        wanted, there = seen[name]["formulas"]
        assert wanted == there, name


@needs_chromium
def test_search_finds_a_term_without_a_network(address):
    async def search() -> int:
        async with open_page() as page:
            await page.visit(f"{address}/search.html?q=gradient")
            for _ in range(50):
                found = await page.value(
                    "document.querySelectorAll('#search-results li').length"
                )
                if found:
                    return found
                await asyncio.sleep(0.1)
        return 0

    assert asyncio.run(search()) > 0
