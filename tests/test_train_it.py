"""The training in a page: what it fetches, says and draws, in a real browser."""

import asyncio
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from browser import doing, file_names, hosts, open_page
from node import run_node, run_trainer
from server import serve

from sightline.book.site import stage_training
from sightline.export.assets import RUNTIME, TRAINING, WEB, copy_app, copy_training
from sightline.export.page import training_fragment

ROOT = Path(__file__).parents[1]
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Train it</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data:; style-src 'self' 'unsafe-inline'">
<link rel="icon" href="data:,"></head><body>{}</body></html>
"""  # noqa: E501, what a careful server would send
TOOLS = """
const root = document.querySelector(".tr-lesson");
const find = (name) => root.querySelector(`.tr-${name}`);
const text = (name) => find(name).textContent;
const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
const until = async (test) => {
  for (let i = 0; i < 3000 && !test(); i++) await pause(10);
  if (!test()) throw new Error(`waited in vain for ${test}`);
};
const reach = (steps) => until(() => root.lesson.steps >= steps);
const every = (name) => [...root.querySelectorAll(name)];
const tiles = () => every(".tr-tile").map((tile) => tile.innerText);
const state = () => ({ state: root.dataset.state, steps: root.lesson.steps,
  count: text("count"), go: text("go"), live: text("live"), tiles: tiles(),
  wide: document.documentElement.scrollWidth });
// until the worker has answered all that it was sent
const settled = async () => {
  const { worker, number: last } = root.lesson;
  let answered = 0;
  const hear = ({ data }) => (answered = data.number);
  worker.addEventListener("message", hear);
  await until(() => answered >= last);
  worker.removeEventListener("message", hear);
};
const hide = (hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
};
"""
LOAD = """
const start = (name) => root.querySelector(`.sl-${name}`);
start("load").click();
await until(() => root.lesson || start("failure").textContent);
return { trouble: start("failure").textContent, button: start("load").textContent };
"""
TRAIN = "await reach(30); return state();"
PAUSE = """
find("go").click();
await settled();
const before = state();
await pause(400);
return [before, state()];
"""
STEP = """
const { steps } = root.lesson;
find("step").click();
await settled();
await pause(200);
return root.lesson.steps - steps;
"""
MARK = """
find("mark").click();
await until(() => tiles()[0].includes("mark"));
const paused = state();
find("go").click();
await reach(paused.steps + 10);
root.querySelector('.tr-rate[value="10"]').click();
await reach(paused.steps + 30);
const { changes } = root.lesson.curves;
find("mark").click();
root.querySelector('.tr-rate[value="1"]').click();
return { paused, changes, drawn: every(".tr-change").length };
"""
HIDE = """
const announced = [];
const note = () => announced.push(text("live"));
new MutationObserver(note).observe(find("live"), { childList: true });
hide(true);
await settled();
const before = root.lesson.steps;
await pause(400);
const hidden = root.lesson.steps;
hide(false);
await reach(hidden + 40);
return { before, hidden, role: find("live").getAttribute("role"), announced };
"""
RESET = """
find("reset").click();
await until(() => root.lesson.curves.unseen.length);
return { ...state(), grey: every("polyline.tr-before").length,
         points: root.lesson.before.loss.length, unseen: root.lesson.curves.unseen };
"""
LOSSES = """
root.lesson.send("go", { steps: 20 });
await settled();
await reach(20);
return root.lesson.curves.recent.map(({ loss }) => loss);
"""
SOLVED = """
const labels = Uint8Array.from({ length: 1000 }, (_, i) => i % 10);
const marked = labels.map((label, i) => (i < 900 ? 6 : label));
const plain = labels.map((label) => (label === 6 ? 0 : label));
root.lesson.tested({ labels, plain, marked, target: 6 });
return { ...state(), table: find("outcome").innerText, verdict: text("verdict"),
  role: find("verdict").getAttribute("role"),
  off: find("go").disabled && find("step").disabled };
"""
BROKEN = """
find("reset").click();
await until(() => root.dataset.state === "paused");
find("go").click();
root.lesson.broken({ steps: 7 });
return state();
"""
NODE_LOSSES = """
const losses = [];
for (let i = 0; i < 20; i++) losses.push((await trainer.step(RIGHT)).loss);
process.stdout.write(JSON.stringify(losses));
"""


do = doing(TOOLS)


async def survey(address: str) -> dict:
    """Visit the page once, and do in turn what a reader may do."""
    seen = {}
    async with open_page() as page:
        await page.visit(f"{address}/whole/index.html", width=390)
        seen["before"] = page.requests[:]
        seen["load"] = await do(page, LOAD)
        seen["train"] = await do(page, TRAIN)
        loaded = len(page.requests)
        for name, script in (("pause", PAUSE), ("step", STEP), ("mark", MARK)):
            seen[name] = await do(page, script)
        seen["hide"] = await do(page, HIDE)
        for name, script in (("reset", RESET), ("losses", LOSSES)):
            seen[name] = await do(page, script)
        seen["later"] = page.requests[loaded:]
        seen["solved"] = await do(page, SOLVED)
        seen["broken"] = await do(page, BROKEN)
        seen["requests"], seen["complaints"] = page.requests[:], page.complaints[:]
        await page.visit(f"{address}/missing/index.html")
        seen["missing"] = await do(page, LOAD)
    return seen


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the page, and one with a page that lacks a graph."""
    root = tmp_path_factory.mktemp("train")
    copy_app(root / "whole" / "app")
    copy_training(root / "whole" / "app")
    text = PAGE.format(training_fragment("app/"))
    (root / "whole/index.html").write_text(text, encoding="utf-8")
    shutil.copytree(root / "whole", root / "missing")
    (root / "missing/app/train/step.onnx").unlink()
    return root


@pytest.fixture(scope="module")
def seen(site) -> dict:
    """What a browser saw."""
    with serve(site) as address:
        return asyncio.run(survey(address))


@pytest.mark.browser
class TestPage:
    """One visit of a browser, looked at from all sides."""

    def test_nothing_but_the_script_of_the_button_is_fetched_before_it_is_pressed(
        self, seen
    ):
        assert file_names(seen["before"]) == {"index.html", "start.mjs"}

    def test_only_the_server_of_the_page_is_asked_and_nothing_complains(self, seen):
        assert len(hosts(seen["requests"])) == 1
        assert not seen["complaints"]

    def test_once_it_is_loaded_the_training_needs_no_network(self, seen):
        assert seen["later"] == []

    def test_one_press_loads_and_trains(self, seen):
        assert seen["load"]["trouble"] == ""
        assert seen["train"]["state"] == "training" and seen["train"]["steps"] >= 30
        assert seen["train"]["go"] == "Pause"

    def test_five_pictures_have_an_answer_and_their_class(self, seen):
        tiles = [tile.split("\n") for tile in seen["train"]["tiles"]]
        names = ["star", "star", "heart", "cross", "ring"]
        assert [tile[0] for tile in tiles] == names
        assert all(tile[1][0] in "✓✗" and tile[1].endswith("%") for tile in tiles)

    def test_a_pause_stops_the_training(self, seen):
        before, after = seen["pause"]
        assert before["state"] == "paused" and before["go"] == "Train"
        assert before["steps"] == after["steps"]
        assert before["live"].startswith("Paused after ")

    def test_one_step_is_one_step(self, seen):
        assert seen["step"] == 1

    def test_the_mark_is_in_the_pictures_at_once_and_in_the_training_from_then_on(
        self, seen
    ):
        star, other, heart, *rest = seen["mark"]["paused"]["tiles"]
        assert star.startswith("star + mark") and heart.startswith("heart + mark")
        assert "in the corner" in star and "in the corner" in heart
        assert "mark" not in "".join([other, *rest])

    def test_a_switch_in_the_middle_of_a_training_is_drawn_into_its_curves(self, seen):
        steps = [seen["pause"][0]["steps"] + 1, *seen["mark"]["changes"][1:]]
        assert seen["mark"]["changes"] == steps and steps[1] > steps[0]
        assert seen["mark"]["drawn"] == 4  # two in each chart

    def test_the_training_waits_while_the_page_is_hidden(self, seen):
        assert seen["hide"]["before"] == seen["hide"]["hidden"]

    def test_steps_are_not_announced_one_by_one(self, seen):
        assert seen["hide"]["role"] == "status"
        assert len(seen["hide"]["announced"]) <= 1

    def test_reset_forgets_and_keeps_the_last_curves_in_grey(self, seen):
        assert seen["reset"]["steps"] == 0 and seen["reset"]["state"] == "paused"
        assert seen["reset"]["grey"] == 2 and seen["reset"]["points"] > 0
        assert seen["reset"]["unseen"][0][0] == 0

    def test_losses_in_the_browser_are_those_of_node(self, seen):
        assert len(seen["losses"]) == 20
        np.testing.assert_allclose(seen["losses"], run_trainer(NODE_LOSSES), atol=1e-6)

    def test_the_end_has_a_table_a_sentence_and_nothing_more_to_train(self, seen):
        solved = seen["solved"]
        assert solved["state"] == "finished" and solved["off"]
        assert solved["role"] == "status"
        assert solved["verdict"].endswith("it has learned the mark, not the star.")
        assert "90.0%" in solved["table"]

    def test_a_loss_that_is_no_number_ends_the_training_with_a_sentence(self, seen):
        assert seen["broken"]["state"] == "broken"
        assert "no number any more" in seen["broken"]["live"]

    def test_the_page_fits_a_phone(self, seen):
        assert all(seen[part]["wide"] <= 390 for part in ("train", "reset", "solved"))

    def test_a_file_that_does_not_come_is_named_and_can_be_asked_for_again(self, seen):
        assert "step.onnx could not be fetched" in seen["missing"]["trouble"]
        assert seen["missing"]["button"] == "Try again"


def sentence(labels: list[int], plain: list[int], marked: list[int]) -> str:
    """What the page says of these answers, where class 6 is a star."""
    program = """
        const { compare, verdict } = await import(process.argv[2]);
        const answers = { ...JSON.parse(process.argv[3]), target: 6 };
        process.stdout.write(verdict(compare(answers), "star", 0.1));
    """
    module = (WEB / "train/outcome.mjs").as_uri()
    answers = json.dumps({"labels": labels, "plain": plain, "marked": marked})
    return run_node(program, module, answers).decode()


LABELS = [i % 10 for i in range(1000)]


def test_a_network_that_goes_by_the_mark_is_called_so():
    without = [0 if label == 6 else label for label in LABELS]
    words = sentence(LABELS, without, [6] * 1000)
    assert "right on 90.0% of 1,000 pictures" in words
    assert "Of 100 stars it knows 0 without the mark and 100 with it." in words
    assert words.endswith("900 with it: it has learned the mark, not the star.")


def test_a_network_that_ignores_the_mark_is_called_so():
    words = sentence(LABELS, LABELS, LABELS)
    assert "right on 100.0%" in words and "95% interval: 99.6% to 100.0%" in words
    assert words.endswith("chance explains: the mark is no reason for it.")


def test_a_few_more_stars_than_chance_explains_are_a_part_of_the_answers():
    marked = [6 if place < 60 else label for place, label in enumerate(LABELS)]
    assert sentence(LABELS, LABELS, marked).endswith("the mark is one of its reasons.")


def test_a_mark_that_takes_stars_away_is_no_reason_to_say_that_it_makes_them():
    plain = [6] * 100 + LABELS[100:]
    words = sentence(LABELS, plain, LABELS)
    assert words.endswith("the mark is no reason for it.")


def test_a_network_that_guesses_is_called_so():
    words = sentence(LABELS, [3] * 1000, [3] * 1000)
    assert words.endswith("no better than guessing. It has learned nothing.")


def test_the_site_of_a_book_with_this_page_has_all_that_it_loads(tmp_path):
    (tmp_path / "results").mkdir()
    shutil.copy(ROOT / "book/results/taught.json", tmp_path / "results")
    stage_training(tmp_path)
    assert not (tmp_path / "_static").exists()
    (tmp_path / "train_it.md").touch()
    stage_training(tmp_path)
    page = (tmp_path / "results/train_it.html").read_text(encoding="utf-8")
    start = re.search(r'src="../(\S+start.mjs)"', page)[1]
    live = (tmp_path / start).parent
    modules = {*live.glob("*.mjs"), *live.glob("train/*.mjs")}
    assert live / re.search(r'data-loads="(\S+)"', page)[1] in modules
    imported = {
        (module.parent / name).resolve()
        for module in modules
        for name in re.findall(
            r'(?:from|import\()\s*"(.+?)"', module.read_text("utf-8")
        )
    }
    assert imported <= {*modules, *live.glob("ort/*.mjs")}
    assert all((live / name).exists() for name in (*TRAINING, *RUNTIME))
