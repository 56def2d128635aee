"""Folders whose names hold pictures, links, HTML, commands: no page obeys them."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from browser import open_page
from markdown_it import MarkdownIt
from PIL import Image
from server import serve

from sightline import plots
from sightline.data.shapes import draw_shapes
from sightline.export import page as export_page
from sightline.pipeline import Pipeline, rate, run
from sightline.reports import report, sections
from sightline.reports.comparison import compare
from sightline.reports.comparison_page import write
from sightline.reports.tables import code, markdown_table, plain
from sightline.training.lr_finder import RangeTest
from sightline.training.recipes import RECIPES
from sightline.training.run import Run

SITE = "evil.example"
# a folder's name has no slash, but Markdown and HTML know other ways to write one
CLASSES = (
    "![i](https:&#47;&#47;evil.example&#47;p.png)",
    "[a](https:&sol;&sol;evil.example) <https:&#x2f;&#x2f;evil.example>",
    "<img src=x onerror=alert(1)>",
    "<script>document.title='taken'<script>",
    "`$(touch taken)` $x$ a|b {cite}`x`",
    'quotes " onload="alert(1)" \'; --',
    "two\nlines\n\n# heading",
    "\x1b[31mred\x1b]0;taken\x07",
    "gpj.\u202eexe",
    "</svg><style>@import url(https:evil.example)<style>",
    "[/bold]a[red]",
    "n" * 255,
)
COMMANDS = ("$(touch taken)", "`touch taken`; touch taken &", "a' \"b")


@pytest.mark.parametrize("name", [*CLASSES, *COMMANDS])
def test_markdown_shows_a_name_as_it_is(name):
    """As a browser and GitHub would: the words of the page are those of the name."""
    reader = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table")
    words = " ".join(name.splitlines()).strip()
    for text in (plain(name), f"- {plain(name)}\n", code(name)):
        kinds, shown = set(), ""
        for token in reader.parse(text):
            for part in token.children or ():
                kinds.add(part.type)
                shown += part.content
        assert kinds <= {"text", "text_special", "code_inline"}
        assert (
            shown.replace("\\x1b", "\x1b")
            .replace("\\x07", "\x07")
            .replace("\\u202e", "\u202e")
            .split()
            == words.split()
        )
    table = reader.render(markdown_table(["class"], [[name]]))
    assert table.count("<td") == 1 and "<img" not in table and "<a" not in table


def hostile_folder(folder: Path) -> Path:
    """Draw pictures into classes of hostile names, one file unreadable in each."""
    drawn = draw_shapes(10 * len(CLASSES), seed=1)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for place in range(10):
            picture = Image.fromarray(drawn.images[10 * label + place])
            picture.save(folder / name / f"{place}.png")
    for name in (*COMMANDS, CLASSES[0]):
        (folder / CLASSES[0] / f"{name}.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, list[str]]:
    """What `all` leaves of such a folder, in a folder of such a name; its lines."""
    home = tmp_path_factory.mktemp("hostile")
    folder = hostile_folder(home / CLASSES[0])
    lines: list[str] = []
    low = RangeTest(
        lrs=np.geomspace(1e-5, 10, 40).tolist(),
        losses=[0.7 - 0.01 * i for i in range(40)],
        stopped="end",
    )
    recipe = replace(RECIPES["folder"], model="resnet10", epochs=1, batch_size=16)
    few = ("run", "classes", "mistakes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_DATA", str(home / "data"))
        patch.setattr(rate, "range_tests", lambda *a, **k: [low])
        patch.setattr(report, "SECTIONS", {n: sections.SECTIONS[n] for n in few})
        options = {"device": "cpu", "precision": "fp32", "progress": False}
        out = home / COMMANDS[0]
        run(Pipeline(folder, out, recipe, {"epochs"}, say=lines.append, **options))
    other = shutil.copytree(out / "run", home / CLASSES[1])
    write(compare([Run(out / "run"), Run(other)]), home / "page")
    return home, lines


@pytest.fixture(scope="module")
def seen(made) -> list[dict]:
    """What Chromium makes of each page."""

    async def look() -> list[dict]:
        pages = []
        out = made[0] / COMMANDS[0]
        with serve(out / "demo") as server:
            async with open_page() as page:
                files = (out / "index.html", out / "report/report.html")
                for url in (*(file.as_uri() for file in files), f"{server}/index.html"):
                    page.complaints.clear()
                    await page.visit(url)
                    about = await page.value(LOOK)
                    asked = {u for u in page.bytes if not u.startswith("data:")}
                    pages.append(
                        {**about, "asked": asked, "said": list(page.complaints)}
                    )
                pages[-1]["answer"] = await page.value(ASK)
        return pages

    return asyncio.run(look())


LOOK = """({
  images: [...document.images].filter((i) => !i.complete || !i.naturalWidth).length,
  links: [...document.links].map((a) => a.href),
  scripts: [...document.scripts].map((s) => s.src),
  policy: document.querySelector("meta[http-equiv]").content,
  title: document.title, text: document.body.innerText,
})"""
ASK = """(async () => {
  const { demos } = await import("./load.mjs");
  document.querySelector(".sl-load").click();
  for (let i = 0; i < 600 && !demos[0]?.said; i++)
    await new Promise((go) => setTimeout(go, 25));
  return document.querySelector(".sl-verdict").textContent
    + document.querySelector(".sl-message").textContent;
})()"""


@pytest.mark.slow
@pytest.mark.browser
def test_no_name_makes_a_page_ask_for_anything_or_run_anything(made, seen):
    pytest.importorskip("onnx")
    for page in seen:
        assert not [url for url in page["asked"] if SITE in url], page["asked"]
        assert not [link for link in page["links"] if SITE in link]
        assert "default-src 'none'" in page["policy"]
        assert page["title"] != "taken" and not page["said"], page["said"]
    index, page, demo = seen
    assert index["images"] == page["images"] == 0  # all are shown, also the curves
    assert [script.rsplit("/", 1)[1] for script in demo["scripts"]] == ["start.mjs"]
    assert demo["answer"].rstrip(".").endswith("sure")
    for name in (CLASSES[0], CLASSES[2]):
        assert name in index["text"] and name in page["text"]


@pytest.mark.slow
@pytest.mark.browser
def test_no_name_is_obeyed_by_a_page_of_markdown_or_a_picture(made):
    text = (made[0] / "page" / "compare.md").read_text(encoding="utf-8")
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<a" not in html and f'src="https://{SITE}' not in html
    for file in (made[0] / "page").glob("*.svg"):
        assert "<script" not in file.read_text(encoding="utf-8")


def test_a_figure_holds_any_name_and_stays_xml():
    counts = torch.ones(len(CLASSES), len(CLASSES), dtype=torch.int64)
    figure = plots.confusion(counts, [*CLASSES[:-1], "caf\udce9 漢 $x$"])
    text = plots.svg(figure)
    ElementTree.fromstring(text)
    text.encode("utf-8")


def test_a_thousand_classes_are_named_in_the_menu_of_a_demo_not_above_it():
    words = export_page.enumerated([f"class {i}" for i in range(1000)])
    assert words.startswith("1,000 classes: class 0,") and len(words) < 800
