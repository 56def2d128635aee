"""The address of the repository, changed for a fork."""

import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

from sightline.book.address import PLACES, addresses, change_address
from sightline.book.chapters import Book, read_chapter, text_of
from sightline.errors import SightlineError

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_bytes())
OLD, SITE = addresses(CONFIG["repository"]["url"])


@pytest.fixture
def fork(tmp_path):
    """The files of the book that name its address."""
    shutil.copy(ROOT / "_toc.yml", tmp_path)
    for path in {path for place in PLACES for path in ROOT.glob(place)}:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def test_one_command_changes_the_address_everywhere(fork):
    files = [p for p in fork.rglob("*") if p.is_file()]
    before = {p: p.read_text(encoding="utf-8") for p in files}
    changed = change_address("https://github.com/Some-One/looking.git", root=fork)
    assert set(changed) == {p for p in files if OLD in before[p] or SITE in before[p]}
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert OLD not in text and SITE not in text, path.name
        new = text.count("https://github.com/Some-One/looking")
        assert new == before[path].count(OLD)
        assert text.count("https://some-one.github.io/looking") == before[path].count(
            SITE
        )
    book = Book(fork)
    for name in book.chapters[:3]:
        if book.notebook(name).exists():
            done = nbformat.read(book.notebook(name), as_version=4)
            assert text_of(read_chapter(book.source(name))) == text_of(done)
    assert change_address("https://github.com/Some-One/looking", root=fork) == []


def test_no_other_file_names_the_address():
    command = ["git", "grep", "-lF", OLD, "--", ":!tests"]
    listed = subprocess.check_output(command, cwd=ROOT, encoding="utf-8").splitlines()
    known = {p.relative_to(ROOT).as_posix() for g in PLACES for p in ROOT.glob(g)}
    assert listed and set(listed) <= known


@pytest.mark.parametrize(
    "url",
    ["sightline", "http://github.com/a/b", "https://github.com/a", "https://x/a/b"],
)
def test_what_is_no_repository_is_refused(url, fork):
    with pytest.raises(SightlineError, match="https://github.com/OWNER/NAME"):
        change_address(url, root=fork)
