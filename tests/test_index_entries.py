"""Words that readers type lead to the page, or the section, that answers."""

import io
import json
import re
from pathlib import Path

import yaml
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
PAGE = """\
Fruit
=====

Apples
------

An apple.
"""


def search_index(folder: Path, entries: dict[str, list[str]]) -> tuple[dict, str]:
    """Build a book of one page; return its search index and what Sphinx warned of."""
    (folder / "index.rst").write_text(PAGE, encoding="utf-8")
    names = ["sightline.book.index_entries"]
    settings = {"extensions": names, "index_entries": entries}
    warnings = io.StringIO()
    out = [str(folder / "out"), str(folder / "trees")]
    app = Sphinx(
        *(str(folder), None, *out, "html"),
        **{"confoverrides": settings, "status": None, "warning": warnings},
    )
    app.build()
    text = (folder / "out" / "searchindex.js").read_text(encoding="utf-8")
    return json.loads(re.search(r"\{.*\}", text, re.S)[0]), warnings.getvalue()


def test_an_entry_leads_to_its_page_or_to_its_section(tmp_path):
    entries = {"index": ["vitamins"], "index#apples": ["Cox", "pomes"], "none": ["x"]}
    index, warnings = search_index(tmp_path, entries)
    section = [[0, "apples", True]]  # the first page, and not a mere mention
    assert index["indexentries"] == {
        **{"vitamins": [[0, "", True]], "cox": section, "pomes": section}
    }
    assert not warnings
    listed = (tmp_path / "out" / "genindex.html").read_text(encoding="utf-8")
    assert 'href="index.html#apples"><strong>Cox' in listed


def test_an_entry_for_a_section_that_a_page_does_not_have_is_named(tmp_path):
    _, warnings = search_index(tmp_path, {"index#pears": ["Conference"]})
    assert "index_entries: 'index#pears' is no section" in warnings


def pages_of_the_book() -> set[str]:
    """Every page that the table of contents names."""
    contents = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    names = re.findall(r"(?:file|root): (\S+)", contents)
    return {name.removesuffix(".ipynb") for name in names}


def test_the_entries_of_the_book_belong_to_pages_that_it_has():
    config = yaml.safe_load((ROOT / "_config.yml").read_bytes())
    entries = config["sphinx"]["config"]["index_entries"]
    assert {place.split("#")[0] for place in entries} <= pages_of_the_book()
