"""The check of a folder: planted problems are found, and a clean folder is clean."""

import json
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from sightline.cli import main
from sightline.data import check as folder_check
from sightline.data.check import FolderCheck, check_folder
from sightline.data.shapes import draw_shapes
from sightline.errors import DataError

PICTURES = draw_shapes(400, seed=3).images


def fill(folder: Path, count: int, start: int, side: int = 40) -> None:
    """Write drawn shapes, all different, as PNG."""
    folder.mkdir(parents=True)
    for place in range(count):
        picture = Image.fromarray(PICTURES[start + place]).resize((side, side))
        picture.save(folder / f"{place}.png")


def check(folder: Path, image_size: int = 32) -> FolderCheck:
    return check_folder(
        folder, image_size=image_size, keep_in=folder.parent / "kept", progress=False
    )


def kinds(found: FolderCheck) -> set[str]:
    return {finding.kind for finding in found.findings}


def the(found: FolderCheck, kind: str) -> folder_check.Finding:
    (finding,) = [f for f in found.findings if f.kind == kind]
    return finding


@pytest.fixture
def pets(tmp_path) -> Path:
    """A clean folder: 100 pictures in each of two classes."""
    fill(tmp_path / "pets" / "cat", 100, 0)
    fill(tmp_path / "pets" / "dog", 100, 100)
    return tmp_path / "pets"


def test_a_clean_folder_has_no_findings(pets):
    found = check(pets)
    assert found.findings == ()
    assert found.trainable
    assert found.classes["dog"] == {"pictures": 100, "unreadable": 0}
    assert found.kinds == {"PNG RGB": 200}
    assert found.sides == (40, 40, 40)
    header, rows = found.table()
    assert header == ["class", "pictures", "unreadable"]
    assert rows[-1] == ["all", "200", "0"]


def test_an_exact_copy_is_found_and_one_in_another_class_is_told_apart(pets):
    shutil.copy(pets / "cat/3.png", pets / "cat/200.png")
    shutil.copy(pets / "cat/4.png", pets / "dog/200.png")
    found = check(pets)
    assert set(the(found, "copies").pairs) == {
        ("cat/200.png", "cat/3.png"),
        ("dog/200.png", "cat/4.png"),
    }
    assert the(found, "copies in two classes").pairs == (("dog/200.png", "cat/4.png"),)
    assert "2 of them byte by byte" in the(found, "copies").words
    assert found.trainable


def test_a_picture_saved_again_is_a_near_copy(pets):
    again = Image.open(pets / "dog/7.png").resize((64, 64))
    again.save(pets / "dog/300.jpg", quality=85)
    finding = the(check(pets), "copies")
    assert finding.pairs == (("dog/300.jpg", "dog/7.png"),)
    assert "0 of them byte by byte, 1 nearly" in finding.words


def test_copies_in_train_and_test_are_said_apart(tmp_path):
    for part, start in (("train", 0), ("test", 200)):
        fill(tmp_path / "set" / part / "a", 60, start)
        fill(tmp_path / "set" / part / "b", 60, start + 60)
    shutil.copy(tmp_path / "set/train/b/5.png", tmp_path / "set/test/b/99.png")
    found = check(tmp_path / "set")
    finding = the(found, "copies in train and test")
    assert finding.pairs == (("test/b/99.png", "train/b/5.png"),)
    assert "train/" in finding.remedy
    assert found.classes["b"] == {"train": 60, "test": 61, "unreadable": 0}


def test_what_cannot_be_read_or_shrunk_is_named(pets):
    (pets / "cat/0.png").write_bytes((pets / "cat/0.png").read_bytes()[:300])
    (pets / "dog/notes.txt").write_text("no picture", encoding="utf-8")
    Image.fromarray(PICTURES[300]).resize((20, 24)).save(pets / "dog/400.png")
    Image.fromarray(PICTURES[301]).resize((300, 90)).save(pets / "dog/401.png")
    found = check(pets)
    unreadable = the(found, "unreadable")
    assert unreadable.files == ("cat/0.png",)
    assert "cat/0.png cannot be read" in unreadable.words  # not with its whole path
    assert the(found, "tiny").files == ("dog/400.png",)
    assert the(found, "odd shapes").files == ("dog/401.png",)
    assert "dog/notes.txt" in the(found, "left out").words
    assert found.classes["cat"] == {"pictures": 99, "unreadable": 1}
    assert found.trainable


def test_uneven_and_small_classes_are_said_with_what_they_cost(tmp_path):
    fill(tmp_path / "set" / "much", 100, 0)
    fill(tmp_path / "set" / "little", 20, 100)
    found = check(tmp_path / "set")
    assert "5 times fewer" in the(found, "imbalance").words
    assert "4 test pictures" in the(found, "few to judge by").words


def test_a_class_that_is_too_small_makes_training_senseless(pets):
    fill(pets / "newt", 2, 300)
    found = check(pets)
    assert not found.trainable
    assert "newt has 2 readable picture(s)" in the(found, "too few").words


def test_a_folder_in_which_nothing_can_be_read_is_no_crash(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for place in range(4):
            (tmp_path / "set" / name / f"{place}.png").write_bytes(b"no picture")
    found = check(tmp_path / "set")
    assert not found.trainable
    assert {"too few", "unreadable"} <= kinds(found)
    assert found.sides == ()


def test_large_pictures_ask_for_a_larger_image_size(tmp_path):
    fill(tmp_path / "set" / "a", 30, 0, side=150)
    fill(tmp_path / "set" / "b", 30, 50, side=150)
    assert (
        "--image-size 64" in the(check(tmp_path / "set"), "much is thrown away").remedy
    )
    assert "much is thrown away" not in kinds(check(tmp_path / "set", 128))


def test_beyond_a_limit_only_equal_files_are_searched_and_said_to_be(pets, monkeypatch):
    monkeypatch.setattr(folder_check, "MOST", 100)
    shutil.copy(pets / "cat/3.png", pets / "cat/200.png")
    found = check(pets)
    assert {"not searched", "copies"} == kinds(found)


def test_what_was_checked_is_what_is_loaded(pets, monkeypatch):
    from sightline.data import folders
    from sightline.data.datasets import load_folder

    check_folder(pets, keep_in=pets.parent / "decoded", progress=False)
    monkeypatch.setattr(folders, "read_pictures", None)  # it is not decoded again
    splits = load_folder(pets, root=pets.parent, progress=False)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 200


def test_a_folder_of_one_class_is_refused(tmp_path):
    fill(tmp_path / "set" / "alone", 5, 0)
    with pytest.raises(DataError, match="at least 2 classes"):
        check(tmp_path / "set")


def test_the_next_command_can_be_pasted_whatever_the_folder_is_called(pets):
    folder = pets.rename(pets.with_name("cats & dogs"))
    done = CliRunner().invoke(main, ["check", str(folder), "--image-size", "64"])
    _, command = done.output.split("next: ")
    expected = ["sightline", "all", str(folder), "--out", "runs/mine"]
    assert shlex.split(command) == [*expected, "--image-size", "64"]


@pytest.mark.parametrize(("spoilt", "status"), [(False, 0), (True, 1)])
def test_the_command_prints_a_table_or_json_and_its_status_says_whether_to_train(
    pets, spoilt, status
):
    shutil.copy(pets / "cat/3.png", pets / "cat/200.png")
    if spoilt:
        fill(pets / "newt", 2, 300)
    done = CliRunner().invoke(main, ["check", str(pets)])
    assert done.exit_code == status
    assert "cat/200.png = cat/3.png" in done.output
    assert ("sightline all" in done.output) == (not spoilt)
    done = CliRunner().invoke(main, ["check", str(pets), "--json"])
    assert done.exit_code == status
    numbers = json.loads(done.stdout)
    assert numbers["trainable"] is not spoilt
    assert numbers["classes"]["cat"]["pictures"] == 101
    expected = json.loads(json.dumps(asdict(check(pets))["findings"]))
    assert numbers["findings"] == expected
