"""What is handed out with an edition, on a book of two tiny chapters."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_output
from test_manifest import CHAPTER, EDITION
from tiny_book import write_book

from sightline.book import paper, release
from sightline.book.chapters import Book, code_cells, read_chapter, save_notebook
from sightline.book.manifest import write_edition
from sightline.book.pages import head_paper
from sightline.errors import SightlineError

ROOT = Path(__file__).parents[1]
PAGE = """<html><head><title>{title} &#8212; Sightline</title></head><body>
<div class="bd-article-container"><article class="bd-article"><section id="top">
<h1>{title}</h1><p id="a">See <a href="#a">here</a>, <a href="{other}.html#a">there</a>,
<a href="{other}.html">all</a>, <a href="api.html#a">code</a> and
<a href="https://example.org/x">others</a>. <img loading="lazy" src="a.svg"/>
<i aria-labelledby="a top">x</i></p></section></article></div></body></html>"""


@pytest.fixture
def site(tmp_path):
    """A built site with two pages."""
    folder = tmp_path / "html"
    (folder / "book").mkdir(parents=True)
    for name, other in (("01_first", "02_second"), ("02_second", "01_first")):
        text = PAGE.format(title=f"Chapter {name}", other=other)
        page = BeautifulSoup(text, "html.parser")
        head_paper(page)
        (folder / "book" / f"{name}.html").write_text(str(page), encoding="utf-8")
    return folder


def test_pages_become_one_document_whose_links_stay_inside(site):
    text = paper.one_document(site, ["01_first", "02_second"], "Edition of today")
    page = BeautifulSoup(text, "html.parser")
    ids = [element["id"] for element in page.select("[id]")]
    assert len(ids) == len(set(ids)) == 6
    for name, other in (("01_first", "02_second"), ("02_second", "01_first")):
        article = page.select_one(f"article#page-{name}")
        links = [link.get("href") for link in article.select("a")]
        inside = [f"#page-{name}--a", f"#page-{other}--a", f"#page-{other}"]
        assert links == [*inside, None, "https://example.org/x"]
        labels = article.select_one("i")["aria-labelledby"]
        assert labels == f"page-{name}--a page-{name}--top"
        assert {link[1:] for link in inside} <= set(ids)
        assert f"#page-{name} {{ page: sheet-{name}; }}" in text
        assert f'@page sheet-{name} {{ @top-left {{ content: "Chapter' in text
    assert "loading" not in text and page.title.get_text() == "Edition of today"


@pytest.mark.browser
@pytest.mark.processes
def test_the_document_is_printed_with_bookmarks_and_the_date_of_the_edition(site):
    page, pdf = site / "book/whole.html", site / "book.pdf"
    names = ["01_first", "02_second"]
    page.write_text(paper.one_document(site, names, "Today"), encoding="utf-8")
    paper.print_pdf(page, pdf, "2026-11-21")
    printed = pdf.read_bytes()
    assert printed.startswith(b"%PDF") and b"/Outlines" in printed
    assert len(re.findall(rb"/Type /Page\b", printed)) == 2  # no empty sheet
    assert b"/CreationDate (D:20261121000000" in printed


def test_without_chromium_it_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(paper, "BROWSERS", ("no-such-browser",))
    with pytest.raises(SightlineError, match="apt-get install chromium"):
        paper.print_pdf(tmp_path / "a.html", tmp_path / "a.pdf", "2026-11-21")


@pytest.fixture
def book(tmp_path, site, monkeypatch):
    """A book whose edition is committed and whose site is built."""
    book = Book(write_book(tmp_path))
    for name in book.chapters:
        done = read_chapter(book.source(name))
        cell = code_cells(done)[-1]
        cell.outputs = [new_output("display_data", {"image/svg+xml": "<svg/>"})]
        cell.metadata["mystnb"] = {"image": {"alt": 'One "line"\nand more.'}}
        save_notebook(done, book.notebook(name))
        (site / "_sources/book").mkdir(parents=True, exist_ok=True)
        shutil.copy(book.notebook(name), site / "_sources/book")
    chapters = dict.fromkeys(book.chapters, CHAPTER)
    write_edition(replace(EDITION, chapters=chapters), book.edition)
    book.stage("full").mkdir(parents=True)
    site.rename(book.stage("full") / "html")
    monkeypatch.setattr(release, "write_pdf", lambda pdf, *_: pdf.write_bytes(b"PDF"))
    return book


def test_a_release_is_whole_checked_and_twice_the_same(book):
    folder = release.release(root=book.root)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    parts = ("-figures.zip", "-notebooks.zip", "-site.zip", ".pdf")
    names = {f"sightline-2026-11-21{part}" for part in parts}
    assert set(first) == names | {"manifest.json", "SHA256SUMS"}
    for line in first["SHA256SUMS"].decode().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(first.pop(name)).hexdigest() == digest
    assert set(first) == {"SHA256SUMS"}
    said = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (said["revision"], said["mixture"]) == (CHAPTER.revision, "")
    assert set(said["files"]) == names
    with zipfile.ZipFile(folder / "sightline-2026-11-21-figures.zip") as archive:
        (figure, _) = json.loads(archive.read("figures.json"))
        assert archive.read("01_first-01.svg") == b"<svg/>"
        gallery = archive.read("index.html").decode()
    assert figure["alt"] == 'One "line" and more.' and figure["page"] == "01_first"
    assert 'alt="One &quot;line&quot; and more."' in gallery
    before = (folder / "SHA256SUMS").read_bytes()
    assert (release.release(root=book.root) / "SHA256SUMS").read_bytes() == before


def test_a_site_of_another_edition_or_a_mixed_one_is_not_released(book):
    with open(book.notebook("02_second"), "a", encoding="utf-8") as file:
        file.write("\n")
    with pytest.raises(SightlineError, match=r"02_second.ipynb; run: make site"):
        release.release(root=book.root)
    other = replace(CHAPTER, revision="ab")
    mixed = replace(EDITION, chapters={"01_first": CHAPTER, "02_second": other})
    write_edition(mixed, book.edition)
    with pytest.raises(SightlineError, match="2 revisions"):
        release.release(root=book.root)
    book.edition.unlink()
    with pytest.raises(SightlineError, match="make edition"):
        release.release(root=book.root)


# the workflow that publishes

GH = """#!/bin/sh
case "$1 $2" in
"release list") printf 'v1\\nedition-2026-11-21\\nedition-2027-01-02\\n' ;;
"release download")
  mkdir -p old
  cp site.zip "old/sightline-${3#edition-}-site.zip" ;;
esac
"""
CURL = """#!/bin/sh
case "$*" in *"?3") git rev-parse --short=12 HEAD ;; *) echo older ;; esac
"""


def step_of(name: str) -> dict:
    """Return a step of the job that publishes, by the beginning of its name."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/book.yml").read_text("utf-8"))
    steps = workflow["jobs"]["publish"]["steps"]
    (step,) = (s for s in steps if s.get("name", "").startswith(name))
    return step


def start(step: dict, folder: Path, **programs: str) -> int:
    """Run a step with some programs replaced; return its status."""
    for name, text in programs.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "URL": "there/", "PAUSE": "0"}
    command = ["bash", "-e", "-c", step["run"]]
    return subprocess.run(command, cwd=folder, env=environment).returncode


@pytest.mark.skipif(sys.platform == "win32", reason="the job runs on Linux")
def test_old_editions_are_published_at_their_address_again(tmp_path):
    release.pack(tmp_path / "site.zip", {"book/index.html": b"old"})
    assert start(step_of("Old editions"), tmp_path, gh=GH) == 0
    editions = tmp_path / "_build/full/html/editions"
    assert sorted(p.name for p in editions.iterdir()) == ["2026-11-21", "2027-01-02"]
    assert (editions / "2026-11-21/book/index.html").read_bytes() == b"old"


@pytest.mark.skipif(sys.platform == "win32", reason="the job runs on Linux")
def test_the_live_site_must_come_to_be_of_this_revision(tmp_path):
    git = "#!/bin/sh\necho 0123456789ab\n"
    step = step_of("The live site")
    assert start(step, tmp_path, curl=CURL, git=git) == 0
    assert start(step, tmp_path, curl="#!/bin/sh\necho older\n", git=git) == 1
