"""The built site: self-contained, described, readable on a phone and in the dark."""

import asyncio
import importlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import nbformat
import pytest
import yaml
from browser import Page, open_page
from server import serve

from sightline import __version__
from sightline.book.chapters import Book
from sightline.book.manifest import mixture, read_edition
from sightline.book.site import build
from sightline.errors import SightlineError

ROOT = Path(__file__).parents[1]
BOOK = Book(ROOT)
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_bytes())
REPOSITORY = CONFIG["repository"]["url"]
BUDGET = 2_000_000  # bytes of a page at first view, nothing compressed
SUMMARY = range(50, 202)  # characters of what a page says about itself
# what readers type, and the page that must be among the first three
QUERIES = {
    "learning rate": "03_lr_finder",
    "own images": "11_your_images",
    "overfitting": "05_training",
    "transfer learning": "11_your_images",
    "convolution": "02_residual_networks",
    "colab": "index",
    "install": "index",
    "grad-cam": "06_grad_cam",
    "label errors": "is_the_data_right",
    "batch size": "05_training",
    "my own pictures": "11_your_images",
    "how to install": "index",
    "data augmentation": "01_data",
    "skip connection": "02_residual_networks",
    "loss nan": "machines",
    "calibration": "10_mistakes",
    "watermark": "09_trust",
    "export": "11_your_images",
    "license": "edition",
    "weight decay": "glossary",
}
KINDS = ("requests", "failures", "complaints")
OF_EACH_KIND = (
    "book/index.html",
    "book/04_one_cycle.html",
    "book/demo.html",
    "book/api_training.html",
)
AXE = ROOT / "tests" / "vendor" / "axe.min.js"
GUIDELINES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# parts of the library that no reader calls: what makes the book
# what only other files of the library use
INNER = {"execute", "chapters", "assets", "manifest", "page", "pages", "site", "cli"}
INNER |= {"still"}  # of the live demo
INNER |= {"index_entries"}  # of Sphinx
INNER |= {"minutes", "paper", "release", "address"}  # of the book
INNER |= {"forecast", "network", "rate", "state", "steps"}  # of a pipeline
INNER |= {"outcome", "run_files", "weights"}  # of a pipeline, of a run, of a classifier
pytestmark = pytest.mark.book


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
    out = tmp_path_factory.mktemp("site")
    return build("full", root=ROOT, out=out, mixed=True)


@pytest.fixture(scope="session")
def pages(site):
    """Name and tags of every page."""
    paths = [*site.glob("book/*.html"), site / "search.html", site / "genindex.html"]
    return {
        str(p.relative_to(site)): Tags(p.read_text(encoding="utf-8")) for p in paths
    }


@pytest.fixture(scope="session")
def address(site):
    """The site at an address of this machine."""
    with serve(site) as address:
        yield address


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


def test_every_link_inside_the_site_leads_to_a_place_on_a_page(pages, site):
    places = {
        (site / name).resolve(): {t["id"] for _, t in tags.found if t.get("id")}
        for name, tags in pages.items()
    }
    for name, tags in pages.items():
        for link in tags.all("a"):
            target = urlsplit(link.get("href") or "")
            if target.scheme or target.netloc:
                continue
            path = (site / name).resolve()
            if target.path:
                path = (path.parent / unquote(target.path)).resolve()
            assert path.exists(), f"{name} links to {link['href']}"
            if target.fragment and path in places:
                assert unquote(target.fragment) in places[path], (
                    f"{name} links to {link['href']}"
                )


def test_every_chapter_has_a_colab_and_a_download_button_for_its_notebook(pages, site):
    for name in chapter_names():
        links = [a.get("href") or "" for a in pages[f"book/{name}.html"].all("a")]
        path = f"/blob/main/book/{name}.ipynb"
        colab = REPOSITORY.replace("https://github.com", "/github") + path
        assert f"https://colab.research.google.com{colab}" in links
        for path in (BOOK.pages / f"{name}.ipynb", BOOK.pages / f"{name}.md"):
            assert f"../_sources/book/{path.name}" in links
            given = site / "_sources" / "book" / path.name
            assert given.read_bytes() == path.read_bytes()


def test_no_page_shows_an_error_or_a_parameter_of_papermill(site):
    for path in site.glob("book/*.html"):
        text = path.read_text(encoding="utf-8")
        for word in ("Traceback (most recent", "injected-parameters", "# Parameters<"):
            assert word not in text, path.name


def test_every_page_says_which_edition_it_shows(site):
    for path in site.glob("book/*.html"):
        assert 'class="edition"' in path.read_text(encoding="utf-8"), path.name


def test_a_mixed_edition_is_refused_unless_told_so(site, tmp_path, monkeypatch):
    record = read_edition(BOOK.edition)
    pages = [path.read_text(encoding="utf-8") for path in site.glob("book/*.html")]
    assert all(mixture(record) in page for page in pages)
    monkeypatch.setattr("sightline.book.site.mixture", lambda record: "It is two.")
    with pytest.raises(SightlineError, match="It is two.*--mixed"):
        build("full", root=ROOT, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_executed_page_says_how_long_it_takes(site, pages):
    for name in chapter_names():
        text = (site / f"book/{name}.html").read_text(encoding="utf-8")
        assert re.search(r'<p class="demand">\d+ minutes to read · \d+ ', text), name
        badges = text.count('<details class="check"><summary>Check: passed<')
        cells = nbformat.read(BOOK.notebook(name), as_version=4).cells
        assert badges == sum("check" in c.metadata.get("tags", []) for c in cells)


def test_the_site_can_be_published_as_it_is(site):
    assert (site / ".nojekyll").exists()
    assert (site / "revision.txt").read_text(encoding="utf-8").strip()
    assert (site / "_static/vendor/mathjax/startup.js").exists()
    assert (site / "_static/vendor/mathjax/LICENSE").exists()


def test_the_citation_names_this_version_at_this_address(site):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_bytes())
    assert str(cited["version"]) == __version__
    assert cited["repository-code"] == REPOSITORY
    assert [a["name"] for a in cited["authors"]] == [CONFIG["author"]]
    text = re.sub(
        r"<[^>]+>", "", (site / "book" / "index.html").read_text(encoding="utf-8")
    )
    for value in (__version__, REPOSITORY, CONFIG["author"], cited["title"]):
        assert f"{{{value}}}" in text


def test_pictures_wait_until_they_are_near_and_keep_their_place(pages):
    for name, tags in pages.items():
        shown = [i for i in tags.all("img") if "_images/" in (i.get("src") or "")]
        for number, image in enumerate(shown):
            assert image.get("decoding") == "async", f"{name}: {image['src']}"
            assert (image.get("loading") == "lazy") == (number > 0), name
            assert int(image["width"]) > 0 and int(image["height"]) > 0, name


def test_every_page_says_in_its_head_what_it_is_about(pages):
    said = {}
    for name, tags in pages.items():
        if name.startswith("book/"):
            lines = {m.get("name") or m.get("property"): m for m in tags.all("meta")}
            said[name] = lines["description"]["content"]
            assert len(said[name]) in SUMMARY, f"{name}: {said[name]!r}"
            assert lines["og:description"]["content"] == said[name]
            assert lines["og:title"]["content"] not in ("", "Sightline")
    assert len(set(said.values())) == len(said), "two pages say the same"


def test_the_reference_lists_its_pages_with_a_line_for_each(pages, site):
    links = {a.get("href") for a in pages["book/api.html"].all("a")}
    assert {p.name for p in site.glob("book/api_*.html")} <= links
    text = (site / "book" / "api.html").read_text(encoding="utf-8")
    listed = re.findall(r'<dt><a [^>]*href="(api_\w+\.html)"', text)
    assert sorted(listed) == sorted(p.name for p in site.glob("book/api_*.html"))


def test_no_page_names_a_place_on_the_machine_that_built_it(site):
    for path in site.glob("book/*.html"):
        assert str(ROOT) not in path.read_text(encoding="utf-8"), path.name


def documented(site: Path) -> set[str]:
    """Full names of everything that the pages of the library describe."""
    data = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(data).decode().splitlines()
    return {line.split()[0] for line in lines if " py:" in line}


def test_the_library_has_a_place_for_every_public_name_that_readers_use(site):
    there, package = documented(site), ROOT / "src" / "sightline"
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        inner = path.parent.name == "plots" and path.stem not in ("__init__", "overlay")
        if inner or parts[-1] == "__main__" or INNER & set(parts):
            continue
        public = set(getattr(importlib.import_module(name), "__all__", ()))
        public -= {"__version__"}
        # colours have their place where they are defined
        lacking = {
            n for n in public if not {f"{name}.{n}", f"{name}.style.{n}"} & there
        }
        assert not lacking, f"{name} has no place in book/api_*.md, or lacks {lacking}"


# a second word of the same colour in the same box can only be as readable as the first
ONE_OF_EACH = """(() => {
  const seen = new Set(), again = [];
  for (const word of document.querySelectorAll('.highlight pre span, dt.sig em span')) {
    const box = word.closest('.cell_input, .cell_output, details, dt, article');
    const kind = [word.className, getComputedStyle(word).color, box?.className].join();
    if (seen.has(kind)) again.push(word);
    else seen.add(kind);
  }
  for (const word of again) word.replaceWith(...word.childNodes);
})()"""


async def violations(page: Page) -> list[str]:
    """Let axe look at the page; say what it finds."""
    run = {"type": "tag", "values": GUIDELINES}
    options = json.dumps({"runOnly": run, "resultTypes": ["violations"]})
    if not await page.value("typeof axe === 'object'"):
        await page.run(AXE.read_text(encoding="utf-8"))
        await page.value(ONE_OF_EACH)
    return await page.value(
        f"axe.run(document, {options}).then(found => "
        "found.violations.flatMap(v => v.nodes.map("
        "node => `${v.id}: ${node.target} ${node.html.slice(0, 120)}`)))"
    )


# boxes in sight that scroll sideways, and the Tab key misses or nothing names
MISSED = """[...document.querySelectorAll('main *')].filter(box => {
  if (box.scrollWidth <= box.clientWidth || !box.checkVisibility()) return false;
  if (!['auto', 'scroll'].includes(getComputedStyle(box).overflowX)) return false;
  const named = box.getAttribute('aria-label') || box.matches('mjx-container');
  return box.tabIndex < 0 || !named;
}).map(box => box.outerHTML.slice(0, 120))"""


async def look_at(page: Page, url: str) -> dict:
    """Open a page wide, make it dark, then narrow and light; say what it is like."""
    await page.visit(url, cold=True)
    found = {"bytes": sum(page.bytes.values())}
    found["formulas"] = await page.value(
        "[document.querySelectorAll('.math').length > 0, "
        "document.querySelectorAll('mjx-container').length > 0, "
        "document.querySelectorAll('mjx-merror').length]"
    )
    await page.show(width=1280, dark=True)
    for _ in range(50):
        found["theme"] = await page.value("document.documentElement.dataset.theme")
        if found["theme"] == "dark":
            break
        await asyncio.sleep(0.1)
    found["dark"] = await violations(page)
    found["filters"] = await page.value(
        "[...document.querySelectorAll('.bd-article img')]"
        ".map(image => getComputedStyle(image).filter)"
    )
    await page.show(width=390, dark=False)
    await asyncio.sleep(0.5)  # the theme waits 0.3 s for the last change
    found["width"] = await page.value("document.documentElement.scrollWidth")
    found["light"] = await violations(page)
    await page.show(width=320, dark=False)  # 1280 pixels, enlarged fourfold
    await asyncio.sleep(0.5)
    found["narrow"] = await page.value("document.documentElement.scrollWidth")
    found["missed"] = await page.value(MISSED)
    return found


async def survey(address: str, names: list[str]) -> dict[str, dict]:
    """Look at every page, with a browser for each of two cores."""

    async def share(names: list[str]) -> dict[str, dict]:
        async with open_page() as page:
            found = {name: await look_at(page, f"{address}/{name}") for name in names}
            lists = (page.requests, page.failures, page.complaints)
            return found | {"*": dict(zip(KINDS, lists, strict=True))}

    one, other = await asyncio.gather(share(names[::2]), share(names[1::2]))
    both = {kind: one["*"][kind] + other["*"][kind] for kind in KINDS}
    return one | other | {"*": both}


@pytest.fixture(scope="session")
def seen(address, pages):
    """What Chromium saw on every page."""
    return asyncio.run(survey(address, sorted(pages)))


@pytest.mark.browser
def test_chromium_asks_no_other_host_and_misses_nothing(seen, address):
    hosts = {urlsplit(url).netloc for url in seen["*"]["requests"]} - {""}
    assert hosts == {urlsplit(address).netloc}
    assert not seen["*"]["failures"]


@pytest.mark.browser
def test_chromium_has_nothing_to_complain_about(seen):
    assert not seen["*"]["complaints"]


@pytest.mark.browser
def test_no_page_scrolls_sideways_on_a_phone(seen, pages):
    assert {name: seen[name]["width"] for name in pages} == dict.fromkeys(pages, 390)


@pytest.mark.browser
def test_no_page_scrolls_sideways_at_400_percent_and_every_box_that_does_is_reached(
    seen, pages
):
    assert {name: seen[name]["narrow"] for name in pages} == dict.fromkeys(pages, 320)
    assert {name: m for name in pages if (m := seen[name]["missed"])} == {}


@pytest.mark.browser
def test_the_dark_theme_leaves_the_colours_of_pictures_alone(seen, pages):
    assert {n: t for n in pages if (t := seen[n]["theme"]) != "dark"} == {}
    filters = {value for name in pages for value in seen[name]["filters"]}
    assert filters <= {"none"}


@pytest.mark.browser
def test_formulas_are_set_without_a_network(seen, pages):
    for name in pages:
        wanted, there, wrong = seen[name]["formulas"]
        assert (wanted, wrong) == (there, 0), name


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(seen, pages, theme):
    assert {n: f for n in pages if (f := seen[n][theme])} == {}


@pytest.mark.browser
def test_no_page_costs_more_than_two_megabytes_at_first_view(seen, pages):
    assert {n: b for n in pages if (b := seen[n]["bytes"]) > BUDGET} == {}


FORMULAS = """[document.querySelectorAll(".math").length > 0,
  document.querySelectorAll("mjx-container").length > 0,
  document.querySelectorAll("mjx-merror").length]"""
ALIVE = """[...document.querySelectorAll("[data-explorer]:not([data-ready])")]
  .map((explorer) => explorer.dataset.explorer)"""


async def glance(page: Page, url: str) -> dict:
    """Say what a page is like that is open in the light, and four times enlarged."""
    await page.visit(url)
    found = {"light": await violations(page), "formulas": await page.value(FORMULAS)}
    found["lifeless"] = await page.value(ALIVE)
    if page.emulates_media:
        await page.show(width=1280, dark=False, forced=True)
        found["forced"] = await violations(page)
    await page.show(width=320, dark=False)
    await asyncio.sleep(0.5)
    found["width"] = await page.value("document.documentElement.scrollWidth")
    return found


async def glances(address: str, engine: str) -> dict[str, dict]:
    """Look at a page of each kind in an engine."""
    async with open_page(engine) as page:
        found = {name: await glance(page, f"{address}/{name}") for name in OF_EACH_KIND}
        for name in OF_EACH_KIND:
            await page.visit(f"{address}/{name}", dark=True)
            found[name]["dark"] = await violations(page)
            found[name]["theme"] = await page.value(
                "document.documentElement.dataset.theme"
            )
        lists = (page.requests, page.failures, page.complaints)
        return found | {"*": dict(zip(KINDS, lists, strict=True))}


@pytest.fixture(scope="session")
def glanced(address, engine):
    """What each engine saw on a page of each kind."""
    return asyncio.run(glances(address, engine))


@pytest.mark.browser
def test_every_engine_asks_no_other_host_and_has_nothing_to_complain_about(
    glanced, address
):
    heard = glanced["*"]
    hosts = {urlsplit(url).netloc for url in heard["requests"]} - {""}
    assert hosts == {urlsplit(address).netloc}
    assert not heard["failures"] and not heard["complaints"]


@pytest.mark.browser
def test_every_engine_sets_formulas_wakes_explorers_and_lets_no_page_scroll_sideways(
    glanced,
):
    for name in OF_EACH_KIND:
        wanted, there, wrong = glanced[name]["formulas"]
        assert (wanted, wrong) == (there, 0), name
        assert not glanced[name]["lifeless"], name
        assert glanced[name]["width"] == 320, name


@pytest.mark.browser
def test_axe_finds_nothing_in_light_dark_and_forced_colours(glanced, engine):
    for name in OF_EACH_KIND:
        found = glanced[name]
        assert found["light"] == found["dark"] == found.get("forced", []) == [], name
        assert ("forced" in found) == (engine != "webkit"), name
        assert found["theme"] == "dark", name


async def results(page: Page, address: str, words: str) -> list[str]:
    """Return what the search page lists, in its order."""
    await page.visit(f"{address}/search.html?q={quote(words)}")
    return await listed(page)


async def listed(page: Page) -> list[str]:
    """Wait until the search page has listed all; return its links."""
    for _ in range(50):
        if await page.value("document.querySelector('.search-summary')?.innerText"):
            break
        await asyncio.sleep(0.1)
    return await page.value(
        "[...document.querySelectorAll('#search-results li > a')].map(a => a.href)"
    )


ASK = """(words => {
  document.querySelector('#search-results').replaceChildren();
  Scorer.query = words;
  Search.performSearch(words);
})(%s)"""


@pytest.mark.browser
def test_search_finds_words_and_names_of_the_library_without_a_network(address, engine):
    async def search() -> dict[str, list[str]]:
        words = ("gradient", "range_test", "explain", "Recipe", "one_cycle")
        async with open_page(engine) as page:
            return {word: await results(page, address, word) for word in words}

    found = asyncio.run(search())
    assert found.pop("gradient")
    modules = {"range_test": "training.lr_finder", "explain": "heatmaps.explain"}
    modules |= {"Recipe": "training.recipe", "one_cycle": "training.schedules"}
    for name, links in found.items():
        place = f"#sightline.{modules[name]}.{name}"
        assert any(link.endswith(place) for link in links), f"{name}: {links}"


@pytest.mark.browser
def test_search_finds_what_readers_type_among_the_first_three_also_on_a_disk(site):
    async def search() -> tuple[dict[str, list[str]], list[str]]:
        async with open_page() as page:
            lists = {"colab": await results(page, site.as_uri(), "colab")}
            for words in QUERIES.keys() - lists:
                await page.value(ASK % json.dumps(words))
                lists[words] = await listed(page)
            return lists, page.complaints

    lists, complaints = asyncio.run(search())
    assert not complaints
    for words, page in QUERIES.items():
        names = [link.split("/book/")[-1].split(".html")[0] for link in lists[words]]
        assert page in names[:3], f"{words}: {names[:6]}"


@pytest.mark.browser
def test_search_shows_a_term_with_its_name_and_its_explanation(address):
    async def search() -> str:
        async with open_page() as page:
            await results(page, address, "weight decay")
            return await page.value(
                "document.querySelector('#search-results li').innerText"
            )

    name, *explanation = asyncio.run(search()).split("\n")
    assert name == "Glossary > weight decay"
    assert "Shrinking the weights" in " ".join(explanation)


FOCUSED = """(() => {
  const item = document.activeElement;
  if (item === document.body) return null;
  const toggle = item.matches('summary') && item.querySelector('.toctree-toggle');
  const mark = toggle || item;  // the theme rings the toggle
  const style = getComputedStyle(mark), box = mark.getBoundingClientRect();
  const ring = parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none';
  return {name: item.outerHTML.slice(0, 100), text: item.innerText.trim(),
          seen: box.width * box.height > 0, ring: ring || style.boxShadow !== 'none'};
})()"""


@pytest.mark.browser
def test_the_tab_key_goes_through_a_page_and_shows_where_it_is(address, engine):
    async def walk() -> list[dict]:
        stops = []
        async with open_page(engine) as page:
            await page.visit(f"{address}/book/index.html")
            for _ in range(200):
                await page.press("Tab")
                stop = await page.value(FOCUSED)
                if stop is None or stop in stops[:1]:  # WebKit begins again
                    break
                stops.append(stop)
        return stops

    stops = asyncio.run(walk())
    assert stops[0]["text"] == "Skip to main content"
    assert 20 < len(stops) < 200, "the Tab key does not come to an end"
    for stop in stops:
        assert stop["seen"] and stop["ring"], stop


@pytest.mark.browser
def test_search_opens_and_closes_by_keyboard_and_the_skip_link_skips(address, engine):
    async def use() -> list:
        async with open_page(engine) as page:
            await page.visit(f"{address}/book/glossary.html")
            await page.press("k", control=True)
            opened = await page.value(
                "[document.querySelector('#pst-search-dialog').open, "
                "document.activeElement.name]"
            )
            await page.press("Escape")
            closed = await page.value("document.querySelector('dialog[open]') === null")
            await page.visit(f"{address}/book/glossary.html")
            await page.press("Tab")
            await page.press("Enter")
            await page.press("Tab")
            inside = await page.value(
                "document.querySelector('main').contains(document.activeElement)"
            )
            return [opened, closed, inside]

    assert asyncio.run(use()) == [[True, "q"], True, True]


@pytest.mark.browser
def test_paper_is_light_shows_the_page_alone_and_cuts_no_line(address):
    async def look() -> dict:
        async with open_page() as page:
            await page.visit(f"{address}/book/02_residual_networks.html", dark=True)
            await page.show(
                width=680, dark=True, paper=True
            )  # what A4 leaves at 96 dpi
            seen = await page.value(
                "dispatchEvent(new Event('beforeprint')), ({"
                "theme: document.documentElement.dataset.theme,"
                "fits: document.documentElement.scrollWidth <= 680,"
                "shown: ['.bd-sidebar-primary', '.bd-header-article', '.headerlink',"
                "'.prev-next-area', '.bd-footer', 'button.copybtn'].filter(s =>"
                "[...document.querySelectorAll(s)].some(e => e.offsetParent)),"
                "title: document.querySelector('.bd-article h1').offsetHeight > 0,"
                "cut: [...document.querySelectorAll('.bd-article pre')]"
                ".filter(e => e.scrollWidth > e.clientWidth + 1).length})"
            )
            seen["then"] = await page.value(
                "dispatchEvent(new Event('afterprint')), "
                "document.documentElement.dataset.theme"
            )
            return seen

    assert asyncio.run(look()) == {
        **{"theme": "light", "fits": True, "shown": [], "title": True, "cut": 0},
        "then": "dark",
    }


PHONE = 844  # CSS pixels of a screen that is 390 wide
BOTTOMS = """(names) => Object.fromEntries(names.map((name) =>
  [name, document.querySelector(name).getBoundingClientRect().bottom]))"""
LIVE = """(async () => {
  document.querySelector(".sl-load").click();
  for (let i = 0; i < 2400 && !document.querySelector(".sl-app:not([hidden])"); i++)
    await new Promise((go) => setTimeout(go, 25));
  const app = document.querySelector(".sl-app");
  const verdict = document.querySelector(".sl-verdict").innerText;
  const names = [".sl-verdict", ".sl-canvas", ".sl-erase", ".sl-top li:nth-child(2)"];
  return { verdict, bottoms: (%s)(names), top: app.getBoundingClientRect().top };
})()"""


def demo_of(page: Path) -> str:
    """The live demo of a page, as its text."""
    text = page.read_text(encoding="utf-8")
    return re.search(r'<section[^>]*class="sl-demo".*?</section>', text, re.DOTALL)[0]


def test_the_front_page_has_the_demo_of_its_own_page(site):
    front, own = (demo_of(site / f"book/{name}.html") for name in ("index", "demo"))
    assert front == own and "still.png" in front


@pytest.mark.browser
def test_a_phones_first_screen_says_what_this_is_and_what_to_press(address):
    parts = [
        ".bd-article h1",
        ".sl-still img",
        ".sl-load",
        "h1 ~ p a[href*='00_one_evening']",
    ]
    parts.append("h1 ~ p a[href$='#sec-run']")

    async def look() -> tuple[dict, list[str], str]:
        async with open_page() as page:
            await page.visit(f"{address}/book/index.html", width=390, cold=True)
            bottoms = await page.value(f"({BOTTOMS})({json.dumps(parts)})")
            said = await page.value("document.querySelector('.sl-offer').innerText")
            return bottoms, list(page.bytes), said

    bottoms, fetched, said = asyncio.run(look())
    assert all(0 < bottom <= PHONE for bottom in bottoms.values()), bottoms
    names = {url.rsplit("/", 1)[-1] for url in fetched if "/_static/demo/" in url}
    assert names == {"start.mjs", "still.png"}
    assert re.search(r"^\w+, \d+% sure\.", said)


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", "demo"])
def test_answer_map_eraser_and_second_class_share_a_phones_screen(address, name):
    async def look() -> dict:
        async with open_page() as page:
            await page.visit(f"{address}/book/{name}.html", width=390)
            still = await page.value("document.querySelector('.sl-offer').innerText")
            return {**await page.value(LIVE % BOTTOMS), "still": still}

    seen = asyncio.run(look())
    assert seen["top"] > 0, "all of it is in view"
    assert all(bottom <= PHONE for bottom in seen["bottoms"].values()), seen["bottoms"]
    assert seen["still"].startswith(seen["verdict"]), "it goes on where the still ends"
