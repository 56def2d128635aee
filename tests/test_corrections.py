"""Corrections: files are moved as decided, never lost, and all of it can be undone."""

import hashlib
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from sightline.data import corrections as moving
from sightline.data.corrections import KIND, apply, digest, plan, undo
from sightline.data.listing import list_folder
from sightline.errors import DataError, RunError


def write(file: Path, content: str) -> Path:
    """Make a file, its folder and a time that no later writing has."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")
    os.utime(file, ns=(10**18, 10**18 + 7 * len(content)))
    return file


def make_folder(folder: Path, parts: tuple[str, ...] = ("",)) -> Path:
    """Make three classes of four files; some names are in several classes."""
    for part in parts:
        for name in ("ant", "bee", "cow"):
            for number in range(4):
                file = folder / part / name / f"{number}.png"
                write(file, f"{part}{name}{number}")
    return folder


def tree(folder: Path) -> dict[str, object]:
    """Names, contents and times of everything in a folder."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else None,
        )
        for path in (folder, *sorted(folder.rglob("*")))
    }


def contents(folder: Path) -> Counter[str]:
    """How often each content is in the folder, what we write for ourselves aside."""
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix == ".png")
    return Counter(hashlib.sha256(p.read_bytes()).hexdigest() for p in files)


def write_corrections(file: Path, folder: Path, *decisions: tuple[str, ...]) -> Path:
    """Write decisions (file, decision[, class]) as the page does."""
    rows = [
        {"file": name, "sha256": digest(folder / name), "decision": decision}
        | ({"class": to[0]} if to else {})
        for name, decision, *to in decisions
    ]
    value = {"kind": KIND, "folder": folder.name, "decisions": rows}
    file.write_text(json.dumps(value), encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path / "animals")


def test_pictures_go_to_their_class_or_out_of_the_data(folder, tmp_path):
    file = write_corrections(
        tmp_path / "c.json",
        folder,
        ("ant/0.png", "relabel", "bee"),  # where there is a 0.png
        ("ant/1.png", "set aside"),
        ("cow/2.png", "keep"),
    )
    before = contents(folder)
    made = plan(folder, file)
    assert made.counts == {"keep": 1, "relabel": 1, "set aside": 1}
    assert made.renamed == 1
    apply(made)
    names = list_folder(folder).names
    assert len(names) == 11  # one is no data any more
    assert not {"ant/0.png", "ant/1.png"} & set(names)
    assert (folder / "bee/0-2.png").read_text(encoding="utf-8") == "ant0"
    assert (folder / "bee/0.png").read_text(encoding="utf-8") == "bee0"
    assert contents(folder) == before


def test_a_relabelled_picture_stays_in_its_part(tmp_path):
    folder = make_folder(tmp_path / "animals", ("train", "test"))
    file = write_corrections(
        tmp_path / "c.json",
        folder,
        ("test/ant/3.png", "relabel", "cow"),
        ("train/bee/3.png", "relabel", "ant"),
    )
    apply(plan(folder, file))
    assert (folder / "test/cow/3-2.png").read_text(encoding="utf-8") == "testant3"
    assert (folder / "train/ant/3-2.png").read_text(encoding="utf-8") == "trainbee3"


def test_planning_touches_nothing(folder, tmp_path):
    file = write_corrections(tmp_path / "c.json", folder, ("ant/0.png", "set aside"))
    before = tree(folder)
    plan(folder, file)
    assert tree(folder) == before


def test_undo_restores_names_contents_and_times_also_of_emptied_folders(
    folder, tmp_path
):
    before = tree(folder)
    everyone = [(f"ant/{n}.png", "relabel", "bee") for n in range(4)]
    apply(plan(folder, write_corrections(tmp_path / "c.json", folder, *everyone)))
    assert not list((folder / "ant").iterdir())
    assert undo(folder, dry_run=True) == 4 and (folder / "bee/0-2.png").exists()
    assert undo(folder) == 4
    assert tree(folder) == before


def test_the_last_corrections_are_undone_first(folder, tmp_path):
    states = [tree(folder)]
    for n, name in enumerate(("ant", "bee", "cow")):
        row = (f"{name}/1.png", "set aside")
        apply(plan(folder, write_corrections(tmp_path / f"{n}.json", folder, row)))
        states.append(tree(folder))
    for state in states[-2::-1]:
        undo(folder)
        shown = tree(folder)
        if state is not states[0]:  # the lock file and our own folders stay meanwhile
            shown, state = (
                {k: v for k, v in each.items() if not k.startswith(".")}
                for each in (shown, state)
            )
        assert shown == state
    with pytest.raises(DataError, match="no corrections that could be undone"):
        undo(folder)


def test_the_same_corrections_are_applied_once(folder, tmp_path):
    file = write_corrections(tmp_path / "c.json", folder, ("ant/0.png", "set aside"))
    apply(plan(folder, file))
    once = tree(folder)
    again = plan(folder, file)
    assert again.done
    apply(again)
    assert tree(folder).keys() == once.keys()


# --- what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../c.json", "/etc/passwd", "ant/../bee/1.png", "ant", "ant/9.png", "\ud800", "."],
)
def test_names_that_are_no_pictures_of_the_folder_are_refused(folder, tmp_path, name):
    file = tmp_path / "c.json"
    row = {"file": name, "sha256": "", "decision": "set aside"}
    file.write_text(json.dumps({"kind": KIND, "decisions": [row]}), encoding="utf-8")
    before = tree(tmp_path)
    with pytest.raises(DataError, match="has no picture .*Nothing was moved"):
        plan(folder, file)
    assert tree(tmp_path) == before


def test_a_picture_that_changed_since_the_review_is_refused(folder, tmp_path):
    file = write_corrections(tmp_path / "c.json", folder, ("ant/0.png", "set aside"))
    write(folder / "ant/0.png", "another")
    with pytest.raises(DataError, match=r"ant/0.png of .* changed since the review"):
        plan(folder, file)


@pytest.mark.parametrize("name", ["dog", "../bee", "", "Ant", "ant/"])
def test_classes_that_do_not_exist_are_refused(folder, tmp_path, name):
    row = ("ant/0.png", "relabel", name)
    file = write_corrections(tmp_path / "c.json", folder, row)
    with pytest.raises(DataError, match="has no class .* ant, bee, cow"):
        plan(folder, file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not of the type"),
        ('{"kind": "recipe", "decisions": []}', "it is 'recipe'"),
        ('{"kind": "K", "decisions": [{"file": 1}]}', "has no decision, sha256"),
        (
            '{"kind": "K", "decisions": '
            '[{"file": "a", "sha256": "", "decision": "delete"}]}',
            "'delete' is none of keep, relabel, set aside",
        ),
        (
            '{"kind": "K", "decisions": '
            '[{"file": "a", "sha256": "", "decision": "relabel"}]}',
            "names no class for a",
        ),
        (
            '{"kind": "K", "decisions": '
            '[{"file": "a", "sha256": "", "decision": "keep"},'
            '{"file": "a", "sha256": "", "decision": "keep"}]}',
            "decides twice",
        ),
    ],
)
def test_a_file_that_holds_no_corrections_is_refused(folder, tmp_path, text, words):
    file = tmp_path / "c.json"
    file.write_text(text.replace('"K"', f'"{KIND}"'), encoding="utf-8")
    with pytest.raises((DataError, RunError), match=words):
        plan(folder, file)


def test_what_a_link_leads_to_outside_of_the_folder_is_not_touched(folder, tmp_path):
    shutil.copytree(folder / "cow", tmp_path / "elsewhere")
    shutil.rmtree(folder / "cow")
    (folder / "cow").symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path / "elsewhere")
    for n, row in enumerate(
        (("cow/0.png", "set aside"), ("ant/0.png", "relabel", "cow"))
    ):
        file = write_corrections(tmp_path / f"{n}.json", folder, row)
        with pytest.raises(DataError, match="leads out of"):
            plan(folder, file)
    assert tree(tmp_path / "elsewhere") == before


def test_a_strangers_journal_moves_nothing_outside_of_the_folder(folder, tmp_path):
    secret = write(tmp_path / "secret", "mine")
    journal = {
        "corrections": "",
        "state": "applied",
        "moves": [{"source": "ant/5.png", "target": "../secret"}],
        "times": [],
    }
    write(folder / ".corrections/1.json", json.dumps(journal))
    with pytest.raises(DataError, match="leads out of"):
        undo(folder)
    assert secret.exists()


def test_undo_replaces_no_new_file_and_says_what_is_missing(folder, tmp_path):
    rows = [("ant/0.png", "set aside"), ("ant/1.png", "set aside")]
    apply(plan(folder, write_corrections(tmp_path / "c.json", folder, *rows)))
    write(folder / "ant/1.png", "new")
    with pytest.raises(DataError, match="there is a new ant/1.png; move that away"):
        undo(folder)
    (folder / "ant/1.png").unlink()
    (folder / ".corrections/set-aside/ant/0.png").unlink()
    with pytest.raises(DataError, match="has gone"):
        undo(folder)
    assert not (folder / "ant/1.png").exists()  # nothing was moved


def test_other_corrections_wait_for_those_that_were_cut_off(folder, tmp_path):
    rows = [(f"ant/{n}.png", "set aside") for n in range(3)]
    file = write_corrections(tmp_path / "c.json", folder, *rows)
    with pytest.raises(KeyboardInterrupt):
        cut_off(lambda hook: apply(plan(folder, file), moved=hook), 1)
    other = write_corrections(tmp_path / "o.json", folder, ("cow/1.png", "keep"))
    with pytest.raises(DataError, match="half corrected.*--undo"):
        plan(folder, other)
    apply(plan(folder, file))
    assert not (folder / "ant/2.png").exists()
    apply(plan(folder, other))


# --- nothing is lost ----------------------------------------------------------


def cut_off(act, after: int) -> None:
    """Do something that is killed after so many moves."""
    left = [after]

    def hook(move) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt

    act(hook)


def random_rows(draw: random.Random, folder: Path) -> list[tuple[str, ...]]:
    """Decide at random about some pictures, in any class that is left."""
    listing = list_folder(folder)
    rows: list[tuple[str, ...]] = []
    for name in draw.sample(listing.names, min(draw.randint(1, 6), len(listing.names))):
        kind = draw.choice(moving.DECISIONS)
        to = (draw.choice(listing.classes),) if kind == "relabel" else ()
        rows.append((name, kind, *to))
    return rows


def journals(folder: Path) -> int:
    """How many corrections are in effect, or were begun."""
    return len(list(folder.glob(".corrections/*.json")))


def killed_at(draw: random.Random, monkeypatch, act) -> None:
    """Do something, sometimes killed before or after one of its renames."""
    rename, left, late = os.rename, [draw.randint(1, 8)], draw.random() < 0.5

    def dying(start, end):
        left[0] -= 1
        if left[0] == 0 and not late:
            raise KeyboardInterrupt
        rename(start, end)
        if left[0] == 0 and late:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", dying)
        try:
            act()
        except KeyboardInterrupt:
            return


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_nothing_is_lost_in_a_thousand_random_sequences(tmp_path, monkeypatch, first):
    monkeypatch.setattr(os, "fsync", lambda file: None)  # waits for the disk
    for seed in range(first, first + 250):
        draw = random.Random(seed)
        parts = draw.choice([("",), ("train", "test")])
        folder = make_folder(tmp_path / f"{seed}", parts)
        before, all_contents = tree(folder), contents(folder)
        for step in range(draw.randint(1, 4)):
            try:
                rows = random_rows(draw, folder)
            except DataError:  # a class was emptied: no training either
                break
            file = tmp_path / f"{seed}-{step}.json"
            write_corrections(file, folder, *rows)
            made = plan(folder, file)
            killed_at(draw, monkeypatch, lambda made=made: apply(made))
            assert contents(folder) == all_contents
            if draw.random() < 0.3:  # taken back, perhaps killed again
                killed_at(draw, monkeypatch, lambda folder=folder: undo(folder))
                assert contents(folder) == all_contents
                if journals(folder) > step:
                    undo(folder)
                assert journals(folder) == step
                assert contents(folder) == all_contents
            apply(plan(folder, file))
            assert contents(folder) == all_contents
        while journals(folder):
            undo(folder)
            assert contents(folder) == all_contents
        assert tree(folder) == before, seed
        shutil.rmtree(folder)
