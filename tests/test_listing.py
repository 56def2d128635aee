"""A folder as strangers have it: what lies one level off, or is not read, is said."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.data.datasets import load
from sightline.data.findings import Finding
from sightline.data.listing import list_folder
from sightline.errors import DataError


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "teal").save(path)


def make(folder: Path, *names: str) -> Path:
    """Make a folder of pictures; other endings become empty files."""
    for name in names:
        if name.endswith(".png"):
            draw(folder / name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    return folder


@pytest.fixture
def pets(tmp_path) -> Path:
    return make(tmp_path / "pets", "cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")


def the(folder: Path, kind: str) -> Finding:
    (finding,) = [f for f in list_folder(folder).findings if f.kind == kind]
    return finding


def test_a_clean_folder_has_nothing_to_say(pets):
    assert list_folder(pets).findings == ()


def test_a_class_folder_without_pictures_is_said_to_be_no_class(pets):
    (pets / "fox").mkdir()
    assert list_folder(pets).classes == ("cat", "dog")
    finding = the(pets, "no class")
    assert "fox" in finding.words and "Fill or remove" in finding.remedy


def test_pictures_one_level_deeper_are_counted_and_said_where(pets):
    make(pets, "fox/red/0.png", "fox/red/old/1.png", "cat/more/0.png")
    assert "fox" in the(pets, "no class").words
    finding = the(pets, "one level deeper")
    assert "fox/red (2 pictures)" in finding.words
    assert "cat/more (1 picture)" in finding.words
    assert "Move" in finding.remedy


def test_pictures_beside_the_class_folders_are_named(pets):
    make(pets, "3.png", "README.txt")
    assert "3.png" in the(pets, "loose pictures").words
    assert "README" not in str(list_folder(pets).findings)


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("IMG_1.HEIC", "HEIC", "Save them as JPEG"),
        ("IMG_2.CR2", "RAW", "Develop them"),
        ("logo.svg", "other formats", "PNG or JPEG"),
        ("notes.txt", "left out", ""),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(pets, name, kind, remedy):
    make(pets, f"cat/{name}")
    finding = the(pets, kind)
    assert f"cat/{name}" in finding.words and remedy in finding.remedy


def test_only_the_first_of_many_are_named(pets):
    make(pets, *(f"cat/{place}.heic" for place in range(9)))
    assert the(pets, "HEIC").words.endswith("cat/4.heic and 4 more")


def test_a_validation_part_is_said_to_be_left_out_and_how_to_use_it(tmp_path):
    names = [f"{part}/{c}/0.png" for part in ("train", "val", "test") for c in "ab"]
    finding = the(make(tmp_path / "set", *names), "validation part")
    assert "val" in finding.words and "into train/" in finding.remedy


def test_a_part_under_another_name_is_asked_about(tmp_path):
    names = [f"{part}/{c}/0.png" for part in ("train", "val") for c in "ab"]
    with pytest.raises(DataError, match=r"val holds folders, too.*rename it to test"):
        list_folder(make(tmp_path / "set", *names))


def test_of_a_nested_folder_it_is_said_where_the_pictures_are(tmp_path):
    folder = make(tmp_path / "raw", "Fruit/Apple/0.png", "Fruit/Pear/0.png", "Dairy/a")
    with pytest.raises(DataError, match="found none") as error:
        list_folder(folder)
    assert "Fruit/Apple (1 picture), Fruit/Pear (1 picture)" in str(error.value)
    assert "name a folder one level down" in str(error.value)
    assert list_folder(folder / "Fruit").classes == ("Apple", "Pear")


def test_of_a_flat_folder_it_is_said_that_its_pictures_are_loose(tmp_path):
    folder = make(tmp_path / "flat", "0.png", "1.png")
    with pytest.raises(DataError, match="found none") as error:
        list_folder(folder)
    assert "0.png, 1.png" in str(error.value)
    assert "into the folder of its class" in str(error.value)


@pytest.mark.parametrize("place", ["cat/round.png", "round", "cat/round"])
def test_a_link_without_an_end_is_named_and_left_out(pets, place):
    (pets / place).symlink_to(pets / place)
    assert len(list_folder(pets).names) == 4
    assert place in the(pets, "unreachable").words


def test_a_link_to_the_folder_itself_ends(pets):
    (pets / "cat/all").symlink_to(pets)
    assert len(list_folder(pets).names) == 4


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_files_that_may_not_be_looked_at_are_named(pets, monkeypatch):
    draw(pets / "cat/locked.png")
    real = os.scandir

    class Locked:
        """An entry of a folder without the right to enter it."""

        def __init__(self, entry):
            self.name = entry.name
            self.stat = entry.stat if "locked" not in entry.name else self.refuse

        def refuse(self):
            raise PermissionError(13, "Permission denied")

    class Scan:
        def __init__(self, folder):
            self.entries = real(folder)

        def __enter__(self):
            return (Locked(entry) for entry in self.entries)

        def __exit__(self, *_):
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Scan)
    assert "cat/locked.png" in the(pets, "unreachable").words


def test_names_of_255_bytes_are_read_and_kept(tmp_path):
    long = "ä" * 125
    names = [f"{c}{long}/{place}{long}.png" for c in "ab" for place in range(4)]
    folder = make(tmp_path / f"{long}abcde", *names)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    splits = load(folder, image_size=8, root=tmp_path / "data", progress=False)
    assert splits.notes == ()
    assert splits.classes == (f"a{long}", f"b{long}")
    assert len(list((tmp_path / "data/decoded").iterdir())) == 1
