"""A review: every label is doubted out of fold, and decided about on a page by keys."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
import torch
from browser import open_page, require_engine
from click.testing import CliRunner
from PIL import Image
from test_hostile_names import CLASSES, hostile_folder

from sightline.cli import main
from sightline.data.check import FolderCheck, check_folder
from sightline.data.corrections import apply, plan
from sightline.data.datasets import load_folder
from sightline.data.listing import list_folder
from sightline.data.shapes import draw_shapes
from sightline.errors import DataError, RunError
from sightline.files import write_json
from sightline.measures.inference import effect
from sightline.reports.review import Doubts, before_and_after, write_review
from sightline.training import folds
from sightline.training.folds import ask_out_of_fold, everything, shortened

# --- out of fold --------------------------------------------------------------


def test_every_picture_of_every_part_is_asked_about_by_a_network_that_never_saw_it(
    tmp_path, monkeypatch
):
    splits = tiny.splits()
    whole = everything(splits)
    trainings = []

    def train(recipe, parts, **options):
        assert recipe.keep == "last"  # nothing is chosen by looking at the fold
        seen, own = ({p.numpy().tobytes() for p in s.images} for s in parts_of(parts))
        assert not seen & own
        trainings.append(options["out"].name)
        labels = torch.nn.functional.one_hot(parts.test.labels, 10).double()
        return SimpleNamespace(test=SimpleNamespace(probabilities=labels, accuracy=1.0))

    def parts_of(parts):
        return parts.train, parts.test

    monkeypatch.setattr(folds, "train", train)
    monkeypatch.setattr(folds, "speed_of", lambda *_: 1000.0)
    lines: list[str] = []
    recipe = shortened(tiny.RECIPE, splits)
    shares = ask_out_of_fold(recipe, splits, tmp_path, say=lines.append)
    assert len(whole) == 104 == len(shares)
    assert torch.equal(shares.argmax(1), whole.labels)  # each in its own place
    assert trainings == [f"fold-{n}" for n in (1, 2, 3, 4, 5)]
    assert (
        lines[0] == "5 trainings of resnet10, 2 epochs of 83 pictures each, about 1 s"
    )


@pytest.mark.slow
def test_a_fold_that_is_trained_is_not_trained_again(tmp_path):
    splits, lines = tiny.splits(), []
    recipe = replace(tiny.RECIPE, epochs=1, keep="last")

    def ask():
        return ask_out_of_fold(
            recipe, splits, tmp_path, device="cpu", precision="fp32", say=lines.append
        )

    first = ask()
    times = {p: p.stat().st_mtime_ns for p in tmp_path.glob("fold-*/weights*")}
    assert len(times) == 5
    lines.clear()
    assert torch.equal(ask(), first)
    assert times == {p: p.stat().st_mtime_ns for p in times}
    assert len(lines) == 5  # no cost to state
    labels = splits.train.labels.flip(0)
    other = replace(splits, train=replace(splits.train, labels=labels))
    with pytest.raises(RunError, match="other pictures .* choose another --out"):
        ask_out_of_fold(
            recipe, other, tmp_path, device="cpu", precision="fp32", say=lines.append
        )


@pytest.mark.parametrize(
    ("own", "images", "epochs"),
    [(40, 1600, 10), (200, 300, 53), (24, 480, 24), (20, 40_000, 5), (2, 40_000, 1)],
)
def test_the_trainings_of_folds_are_short_but_not_too_short(own, images, epochs):
    recipe, part = replace(tiny.RECIPE, epochs=own), range(images * 5 // 12)
    splits = SimpleNamespace(train=part, validation=part, test=part)
    assert shortened(recipe, splits).epochs == epochs


# --- the page -----------------------------------------------------------------


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory) -> SimpleNamespace:
    """The page of a folder with hostile names, copies and an unreadable file."""
    home = tmp_path_factory.mktemp("review")
    folder = hostile_folder(home / "<b>pictures '\"")
    (folder / CLASSES[1] / "same.png").write_bytes(
        (folder / CLASSES[2] / "3.png").read_bytes()
    )
    whole = everything(load_folder(folder, root=home / "data", progress=False))
    check = check_folder(folder, keep_in=home / "data", progress=False)
    classes = list_folder(folder).classes
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(len(whole), len(classes), generator=draw)
    logits += torch.nn.functional.one_hot(whole.labels, len(classes))
    doubts = Doubts(folder, whole, classes, logits.softmax(1), check)
    page = write_review(doubts, home / "out", shown=20)
    return SimpleNamespace(folder=folder, doubts=doubts, page=page, home=home)


def test_the_page_has_suspects_copies_and_unreadable_files(reviewed):
    about = json.loads((reviewed.home / "out/review.json").read_text("utf-8"))
    doubts = reviewed.doubts
    assert about["files"] == list(doubts.whole.files)
    own = doubts.probabilities.gather(1, doubts.whole.labels[:, None])[:, 0]
    assert own[doubts.suspects].diff().min() >= 0  # the least probable label first
    assert (doubts.probabilities.argmax(1) != doubts.whole.labels)[
        doubts.suspects
    ].all()
    pair = {f"{CLASSES[1]}/same.png", f"{CLASSES[2]}/3.png"}
    assert pair in [set(group) for group in about["copies"]]
    assert len(about["unreadable"]) == 4
    text = reviewed.page.read_text(encoding="utf-8")
    assert f"the first 20 of {len(doubts.suspects)}" in text
    assert "default-src 'none'" in text and "unsafe-eval" not in text


def test_files_that_repeat_one_another_are_one_group_however_they_were_paired(reviewed):
    finding = reviewed.doubts.check.findings[0]
    pairs = (("b", "a"), ("d", "c"), ("c", "a"), ("f", "e"))
    findings = (replace(finding, kind="copies", pairs=pairs),)
    check: FolderCheck = replace(reviewed.doubts.check, findings=findings)
    groups = replace(reviewed.doubts, check=check).copies
    assert sorted(map(sorted, groups)) == [["a", "b", "c", "d"], ["e", "f"]]


AXE = Path(__file__).parent / "vendor" / "axe.min.js"
PAGE = """({
  units: units.map((unit) => unit.file),
  title: document.title, count: document.getElementById("count").textContent,
  broken: [...document.images].filter((i) => i.complete && !i.naturalWidth).length,
  unnamed: [...document.querySelectorAll("button, figure, input")]
    .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length))
    .filter((e) => !e.hidden).length,
  wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
  focus: units.findIndex((unit) => unit.figure === document.activeElement),
  outline: getComputedStyle(document.activeElement).outlineStyle,
  state: corrections().decisions,
})"""


@pytest.fixture(scope="module")
def session(reviewed) -> SimpleNamespace:
    """What a person does with the keyboard, and what the page makes of it."""
    require_engine("chromium")
    seen, url = SimpleNamespace(), reviewed.page.as_uri()

    async def go() -> None:
        async with open_page() as page:
            await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
            await page.call(
                "Browser.setDownloadBehavior",
                behavior="allow",
                downloadPath=str(reviewed.home),
            )
            await page.visit(url)
            for key in ("k", "k", "x", "1", "ArrowDown", "2", "u", "ArrowUp", "r"):
                await page.press(key)
            await page.value("byId('class').value = 'no such class'")
            await page.press("Enter")
            seen.wrong = await page.value("byId('wrong').textContent")
            await page.value("byId('class').value = review.names[5]")
            await page.press("Enter")
            seen.before = await page.value(PAGE)
            await page.reload()
            await page.show(width=390, dark=True)
            await page.run(AXE.read_text(encoding="utf-8"))
            rules = "axe.run().then((all) => all.violations.map((rule) => rule.id))"
            seen.violations = await page.value(rules)
            seen.after = await page.value(PAGE)
            await page.value("byId('download').click()")
            for _ in range(100):
                if (reviewed.home / "corrections.json").exists():
                    break
                await asyncio.sleep(0.1)
            await page.value("localStorage.clear()")
            await page.visit(url)
            text = (reviewed.home / "corrections.json").read_text(encoding="utf-8")
            strange = {"file": "other.png", "sha256": "", "decision": "keep"}
            seen.file = json.loads(text)
            both = {**seen.file, "decisions": [*seen.file["decisions"], strange]}
            words = json.dumps(json.dumps(both))
            await page.value(f"read(new File([{words}], 'c.json'))")
            seen.imported = await page.value(PAGE)
            seen.note = await page.value("byId('trouble').textContent")
            await page.value("read(new File(['[1]'], 'd.json'))")
            seen.refused = await page.value("byId('trouble').textContent")
            seen.requests, seen.complaints = page.requests, page.complaints

    asyncio.run(go())
    return seen


@pytest.mark.browser
def test_a_first_key_shows_what_it_would_decide_about_and_the_next_ones_decide(session):
    files = session.before["units"]
    shown = [(d["file"], d["decision"]) for d in session.before["state"]]
    assert shown == [
        (files[0], "keep"),
        (files[1], "set aside"),
        (files[2], "relabel"),
        (files[3], "relabel"),
    ]
    assert session.before["focus"] == 4 and session.before["outline"] == "solid"
    assert session.before["count"].startswith("4 of ")
    assert "no such class" in session.wrong


@pytest.mark.browser
def test_decisions_survive_a_reload_and_are_what_is_downloaded(session, reviewed):
    assert session.after["state"] == session.before["state"]
    assert session.file["decisions"] == session.before["state"]
    assert session.file["kind"] == "sightline corrections"
    made = plan(reviewed.folder, reviewed.home / "corrections.json")
    assert made.counts == {"keep": 1, "relabel": 2, "set aside": 1}
    apply(made)
    by_hand = list_folder(reviewed.folder).classes[5]
    assert by_hand in made.moves[-1].target.replace("\x1b", "\\x1b")


@pytest.mark.browser
def test_downloaded_decisions_can_be_read_again_but_not_those_of_other_pages(session):
    assert session.imported["state"] == session.before["state"]
    assert (
        session.note == "4 decisions were read; 1 are not about pictures of this page."
    )
    assert session.refused == "d.json holds no corrections."


@pytest.mark.browser
def test_the_page_asks_for_nothing_obeys_no_name_is_accessible_and_fits_a_telephone(
    session,
):
    strange = [u for u in session.requests if not u.startswith(("file:", "data:"))]
    assert {u.split(":")[0] for u in strange} <= {"about", "blob"}
    assert session.complaints == [] == session.violations
    for state in (session.before, session.after):
        assert state["title"] == "Review of <b>pictures '\""
        assert not state["broken"] and not state["unnamed"] and not state["wide"]


# --- what the corrections have brought ----------------------------------------


def write_answers(folder, right: dict[str, bool]):
    """Write what a review keeps of its networks' answers."""
    folder.mkdir()
    answers = {
        "classes": ["ant", "bee"],
        "files": list(right),
        "predicted": [("bee" in f) == yes for f, yes in right.items()],
    }
    answers["predicted"] = list(map(int, answers["predicted"]))
    write_json(folder / "review.json", answers)
    return folder


def test_before_and_after_are_compared_on_pictures_whose_label_did_not_change(tmp_path):
    names = [f"ant/{n}.png" for n in range(200)]
    before = {name: n % 10 > 1 for n, name in enumerate(names)} | {"ant/x.png": True}
    after = {name: n % 10 > 0 for n, name in enumerate(names)} | {"bee/x.png": True}
    old, new = (
        write_answers(tmp_path / name, right)
        for name, right in (("old", before), ("new", after))
    )
    words = before_and_after(old, new)
    assert words.startswith("of 200 pictures whose label did not change")
    change = effect(
        *(torch.tensor([each[n] for n in names]) for each in (after, before))
    )
    assert f"80.0% before and 90.0% after: {change.written()} points" in words
    assert change.difference == pytest.approx(0.1) and "larger" in words
    with pytest.raises(DataError, match="without a common picture"):
        other = write_answers(tmp_path / "other", {"bee/9.png": True})
        before_and_after(old, other)
    with pytest.raises(RunError, match="review.json cannot be read"):
        before_and_after(tmp_path, new)


# --- the commands -------------------------------------------------------------


def sightline(*words: object, status: int = 0) -> str:
    """Run a command, and return what it prints, both streams."""
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.slow
def test_from_a_run_to_a_corrected_folder_and_back(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "data"))
    drawn = draw_shapes(60, seed=0)
    for n, picture in enumerate(drawn.images):
        place = tmp_path / "mine" / f"{drawn.labels[n] % 2}" / f"{n}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place)
    folder, run = tmp_path / "mine", tmp_path / "run"
    sightline("train", "resnet10", "--data", folder, "--epochs", 1, "--out", run)
    lines = sightline("review", run)
    assert re.search(r"5 trainings of resnet10, 1 epochs of 48 pictures.*about", lines)
    assert f"sightline apply {folder} corrections.json --dry-run" in lines
    answers = json.loads((run / "review/review.json").read_text("utf-8"))
    assert len(answers["files"]) == 60
    file = tmp_path / "c.json"
    from test_corrections import tree, write_corrections

    write_corrections(file, folder, (answers["files"][0], "set aside"))
    before = tree(folder)
    assert "1 set aside" in sightline("apply", folder, file, "--dry-run")
    assert tree(folder) == before
    assert "--undo" in sightline("apply", folder, file)
    assert "in effect" in sightline("apply", folder, file)
    again = sightline("review", run, status=1)
    assert "choose another --out" in again
    two = tmp_path / "two"
    lines = sightline("review", run, "--before", run / "review", "--out", two)
    assert "of 59 pictures whose label did not change" in lines
    assert "1 files are back" in sightline("apply", folder, "--undo")
    assert tree(folder) == before
    assert "no corrections" in sightline("apply", folder, "--undo", status=1)
    assert "either" in sightline("apply", folder, status=1)
