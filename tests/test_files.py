"""Files are whole or absent, and whoever fills the disk is told what helps."""

import errno
import os
from pathlib import Path

import pytest

from sightline.errors import RunError
from sightline.files import (
    claim,
    read_json,
    replace_folder,
    whole_or_absent,
    write_atomically,
    write_json,
    write_text,
)
from sightline.pipeline import Pipeline
from sightline.training.recipes import RECIPES
from sightline.training.run import Run


def fill_the_disk(place: Path, raised: type[Exception] = OSError) -> None:
    """Write half a file, then fail as a full disk does."""
    place.write_text("ha", encoding="utf-8")
    raise raised(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch):
    """Let every text file end in the middle, as on a full disk."""
    write = Path.write_text

    def half(path, text, **options):
        write(path, text[: len(text) // 2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)


def test_the_folder_of_a_file_is_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "words.txt", "žluťoučký kůň\n")
    assert (tmp_path / "a/b/words.txt").read_bytes() == "žluťoučký kůň\n".encode()
    assert os.listdir(tmp_path / "a" / "b") == ["words.txt"]


def test_json_comes_back_as_it_was_also_names_that_are_no_text(tmp_path):
    value = {"name": os.fsdecode(b"caf\xe9"), "signs": ["−", 1.5, None]}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize("raised", [OSError, RuntimeError])
def test_a_full_disk_is_an_error_with_the_callers_remedy(tmp_path, raised):
    file = tmp_path / "numbers.json"
    file.write_text("old", encoding="utf-8")
    with pytest.raises(
        RunError, match=r"numbers\.json: .*No space left.*Free some space.*tea first$"
    ):
        write_atomically(
            file, lambda place: fill_the_disk(place, raised), remedy="drink tea first"
        )
    assert file.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["numbers.json"]


def test_only_a_training_is_told_to_resume(tmp_path, full_disk):
    with pytest.raises(RunError, match="go on with --resume"):
        Run(tmp_path / "run").write("recipe.json", {})
    for write in (
        lambda: write_text(tmp_path / "compare.md", "two runs"),
        lambda: write_json(tmp_path / "edition.json", {"chapters": {}}),
        lambda: Pipeline(tmp_path, tmp_path, RECIPES["folder"]).write("a", "page"),
    ):
        with pytest.raises(RunError, match="again") as error:
            write()
        assert "--resume" not in str(error.value)


def test_an_interrupted_write_leaves_no_partial_file(tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        whole_or_absent(tmp_path / "state.pt") as partial,
    ):
        partial.write_text("ha", encoding="utf-8")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    out = tmp_path / "page"

    def fill(text: str, folder: Path) -> None:
        folder.mkdir()
        (folder / text).write_text(text, encoding="utf-8")

    replace_folder(out, lambda folder: fill("one", folder))
    replace_folder(out, lambda folder: fill("two", folder))
    assert os.listdir(out) == ["two"]

    def fail(folder: Path) -> None:
        fill("three", folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"page: .*No space left.*then export again"):
        replace_folder(out, fail, remedy="export again")
    assert os.listdir(out) == ["two"]
    assert os.listdir(tmp_path) == ["page"]


def test_two_that_write_one_file_at_once_do_not_mix_what_they_write(tmp_path):
    file = tmp_path / "decoded"
    with whole_or_absent(file) as one:
        one.write_text("one, slowly", encoding="utf-8")
        with whole_or_absent(file) as other:
            other.write_text("other", encoding="utf-8")
        assert file.read_text(encoding="utf-8") == "other"
    assert file.read_text(encoding="utf-8") == "one, slowly"
    assert os.listdir(tmp_path) == ["decoded"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is not valid JSON"),
        (b"\xff", "it is not valid JSON"),
        (b"[" * 9999, "it is not valid JSON"),
        (b"null", "it is None, not of the type dict"),
        (b"[]", "it is \\[\\], not of the type dict"),
        (b"{}", "it has no lrs, name"),
        (b'{"name": 1, "lrs": []}', "name is 1, not of the type str"),
        (
            b'{"name": "", "lrs": [0.1, NaN]}',
            "lrs\\[1\\] is nan, not of the type float",
        ),
        (b'{"name": "", "lrs": [1e999]}', "lrs\\[0\\] is inf, not of the type float"),
        (b'{"name": "", "lrs": [true]}', "lrs\\[0\\] is True, not of the type float"),
        (b'{"name": "", "lrs": [], "best": {}}', "best has no epoch"),
    ],
)
def test_json_of_another_shape_is_damaged(tmp_path, content, reason):
    shape = {"name": str, "lrs": [float], "best?": {"epoch": int}}
    file = tmp_path / "value.json"
    file.write_bytes(content)
    with pytest.raises(RunError, match=f"value.json is damaged: {reason}.*; drink tea"):
        read_json(file, shape, remedy="drink tea")
    whole = {"name": "a", "lrs": [1, 0.5], "best": {"epoch": 3}, "more": None}
    write_json(file, whole)
    assert read_json(file, shape) == whole


def test_json_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RunError, match="none.json cannot be read .No such file"):
        read_json(tmp_path / "none.json")


def test_a_new_or_an_empty_folder_is_claimed_for_good(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "a" / "new"):
        claim(folder, "export")
        assert read_json(folder / ".sightline") == {"kind": "export"}
        (folder / "model.json").write_text("{}", encoding="utf-8")
        claim(folder, "export")
        with pytest.raises(RunError, match="is no run that sightline made"):
            claim(folder, "run")


def test_a_claim_that_was_cut_off_is_made_up(tmp_path):
    (tmp_path / "..sightline.0123abcd.partial").write_text("{", encoding="utf-8")
    claim(tmp_path, "run")
    assert read_json(tmp_path / ".sightline") == {"kind": "run"}


@pytest.mark.parametrize("content", ["", "[]", "[{}]", "{", '{"name": "me"}', "\udcff"])
@pytest.mark.parametrize("name", ["recipe.json", ".sightline", "thesis.tex"])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path, name, content):
    (tmp_path / name).write_bytes(os.fsencode(content))
    with pytest.raises(
        RunError, match=f"{tmp_path.name} is not empty.*Choose another --out"
    ):
        claim(tmp_path, "run")
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == os.fsencode(content)


def test_a_run_from_before_there_were_markers_is_ours(tmp_path):
    recipe = {"name": "a", "epochs": 1, "batch_size": 1, "max_lr": 0.1, "l1": 0}
    write_json(tmp_path / "recipe.json", recipe)
    claim(tmp_path, "run")
    with pytest.raises(RunError, match="is no export that"):
        claim(tmp_path, "export")


@pytest.mark.parametrize("place", ["file", "file/run", "n" * 300])
def test_a_place_that_cannot_be_a_folder_is_named(tmp_path, place):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(
        RunError, match="cannot be a folder to write to .*another --out"
    ):
        claim(tmp_path / place, "run")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
