"""A page is taught: what it fetches, sees, says, keeps and refuses, in a browser."""

import asyncio
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from browser import doing, file_names, hosts, open_page
from node import run_node
from regression import regression
from server import serve

from sightline.export.assets import RUNTIME, TEACHING, WEB, copy_app, copy_teaching
from sightline.export.features import feature_files, own_columns
from sightline.export.page import teaching_fragment
from sightline.models import build_model
from sightline.models.pretrained import SIGHTLINE_MEAN, SIGHTLINE_STD, load_sightline

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
ABOUT = json.loads((WEB / "teach/model.json").read_bytes())
GRAPH = gzip.decompress((WEB / "teach/model.onnx.gz").read_bytes())

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self';
 img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>t</title>
<link rel="icon" href="data:,"></head><body><main>{}</main></body></html>"""

# what the page's own module offers; a stand-in for a camera; a hand that draws
TOOLS = """
const root = document.querySelector(".te-lesson"), { lesson } = root;
const find = (name) => root.querySelector(name);
const all = (name) => [...root.querySelectorAll(name)];
const wait = (ms) => new Promise((go) => setTimeout(go, ms));
const until = async (test, ms = 30000) => {
  const end = performance.now() + ms;
  while (performance.now() < end && !test()) await wait(20);
};
const text = (name) => find(name).textContent;
const focused = () => document.activeElement;
const said = () => ({
  verdict: text(".te-verdict"), why: text(".te-why"), map: text(".te-map"),
  score: text(".te-score"), trouble: text(".te-trouble"), live: text(".te-live"),
  heard: text(".te-heard"), shares: all(".te-share").map((share) => share.textContent),
  counts: all(".te-count").map((count) => count.textContent),
  names: all(".te-name").map((field) => field.value), hint: text(".te-hint"),
  focus: focused().getAttribute("aria-label") ?? focused().textContent,
});
const problem = () => {
  const { rows, ...rest } = lesson.taught.problem();
  return { ...rest, rows: rows.map((row) => [...row]) };
};
const settled = () => until(() => lesson.answers || !lesson.taught.enough);
const pointer = (element, type, x = 0.5, y = 0.5) => {
  const { left, top, width, height } = element.getBoundingClientRect();
  element.dispatchEvent(new PointerEvent(type, { clientX: left + x * width,
    clientY: top + y * height, button: 0, buttons: 1, pointerId: 1, bubbles: true }));
};
const hold = async (place, ms = 0) => {
  const button = all(".te-add")[place];
  pointer(button, "pointerdown");
  await wait(ms);
  pointer(button, "pointerup");
};
const stroke = (points) => {
  pointer(find(".te-canvas"), "pointerdown", ...points[0]);
  for (const point of points) pointer(find(".te-canvas"), "pointermove", ...point);
  pointer(find(".te-canvas"), "pointerup", ...points.at(-1));
};
const draw = async (kind, number) => {
  const [x, y] = [0.4 + 0.04 * (number % 5), 0.6 - 0.05 * (number % 4)];
  const r = 0.2 + 0.02 * (number % 3), { cos, sin } = Math;
  const turns = Array.from({ length: 20 }, (_, i) => i / 3);
  const lines = [[[x - r, y - r], [x + r, y + r]], [[x - r, y + r], [x + r, y - r]]];
  if (kind) lines.forEach(stroke);
  else stroke(turns.map((turn) => [x + r * cos(turn), y + r * sin(turn)]));
  await until(() => lesson.looking.seen && !lesson.looking.asking);
};
const give = (field, ...files) => {
  const data = new DataTransfer();
  for (const file of files) data.items.add(file);
  field.files = data.files;
  field.dispatchEvent(new Event("change"));
};
const key = (element, type, name, more = {}) => element.dispatchEvent(
  new KeyboardEvent(type, { key: name, bubbles: true, cancelable: true, ...more }));
if (!globalThis.scene) {
  globalThis.scene = "disc";
  const world = document.createElement("canvas");
  Object.assign(world, { width: 160, height: 120 });
  const brush = world.getContext("2d");
  let time = 0;
  setInterval(() => {
    const { sin, cos } = Math;
    const [x, y] = [80 + 12 * sin((time += 0.1)), 60 + 9 * cos(1.3 * time)];
    const grounds = { disc: "#733", box: "#357", stripes: "#ddd" };
    brush.fillStyle = grounds[scene];
    brush.fillRect(0, 0, 160, 120);
    brush.fillStyle = { disc: "#fc3", box: "#9f8", stripes: "#111" }[scene];
    brush.beginPath();
    if (scene === "disc") brush.arc(x, y, 28, 0, 7);
    else if (scene === "box") brush.rect(x - 25, y - 25, 50, 50);
    else for (let i = 0; i < 12; i++) brush.rect(14 * i, 0, 5, 120);
    brush.fill();
  }, 40);
  globalThis.refusal = null;
  globalThis.asked = 0;
  const getUserMedia = async () => {
    asked += 1;
    if (refusal) throw Object.assign(new Error("no"), { name: refusal });
    return (globalThis.stream = world.captureStream(25));
  };
  const value = { getUserMedia, enumerateDevices: async () => [] };
  Object.defineProperty(navigator, "mediaDevices", { value });
}
"""
LOAD = """
find(".sl-load").click();
await until(() => !find(".te-app").hidden || text(".sl-failure"));
return { message: text(".sl-failure"), button: text(".sl-load"), asked,
         wide: document.documentElement.scrollWidth, ...said() };
"""
DRAWN = """
const rename = (place, name) => {
  all(".te-name")[place].value = name;
  all(".te-name")[place].dispatchEvent(new Event("change"));
};
rename(0, "ring"), rename(1, "cross");
const blank = all(".te-add").map((button) => button.disabled);
for (let number = 0; number < 6; number++)
  for (const kind of [0, 1]) { await draw(kind, number); await hold(kind); }
await settled();
await wait(400);
const live = text(".te-live");
await draw(0, 7);
await until(() => text(".te-heard"), 3000);
const { seen } = lesson.looking, { head } = lesson;
const { evidence } = await import("./teach/head.mjs");
const sums = head.weights.map((weights, i) => head.biases[i]
  + evidence(seen.columns, weights).reduce((a, b) => a + b));
const before = said(), pressed = () => all(".te-answer").map((b) => b.ariaPressed);
const first = [pressed(), text(".te-map")];
all(".te-answer")[1].click();
return { ...before, blank, live, sums, first, second: [pressed(), text(".te-map")],
         probabilities: head.probabilities(seen.row),
         wide: document.documentElement.scrollWidth,
         problem: problem(), answers: [...lesson.answers.values()],
         pixels: [...seen.rgb], columns: [...seen.columns] };
"""
WRONG = """
const { own } = lesson.cards.values().next().value, [first] = own.pictures;
lesson.answers.set(first, [0.2, 0.8]);
lesson.report();
const thumb = all(".te-thumb")[0], label = thumb.ariaLabel;
const marks = !find(".te-marks").hidden;
thumb.click();
await until(() => text(".te-verdict").startsWith("Picture"));
const inspected = { ...said(), label, marks, pressed: thumb.ariaPressed };
find(".te-back").click();
const back = said();
thumb.focus();
key(thumb, "keydown", "Delete");
await settled();
return { inspected, back, removed: said() };
"""
KEPT = """
let blob;
const make = URL.createObjectURL;
URL.createObjectURL = (each) => ((blob = each), "#");
find(".te-export").click();
URL.createObjectURL = make;
const file = await blob.text();
const rows = problem();
find(".te-over").click();
const question = text(".te-over"), still = lesson.taught.count;
find(".te-over").click();
const empty = said();
give(find(".te-import"), new File([file], "mine.json"));
await until(() => lesson.answers);
const again = problem();
const cut = new File([file.slice(0, 5000)], "cut.json");
const large = new File([" ".repeat(3000001)], "large.json");
const troubles = [];
for (const each of [cut, large]) {
  lesson.warn("");
  give(find(".te-import"), each);
  await until(() => text(".te-trouble"));
  troubles.push(text(".te-trouble"));
}
const after = said();
give(find(".te-import"), new File([file], "mine.json"));
await until(() => lesson.taught.count > rows.rows.length);
const twice = [said().counts, new Set(lesson.taught.problem().series).size];
return { question, still, empty, troubles, after, twice, rows, again };
"""
HOSTILE = """
const name = `<img src=x onerror="globalThis.harm=1">`;
const kind = "sightline taught classes", classes = [{ name, pictures: [] }];
const file = JSON.stringify({ kind, version: 1, size: 32, classes });
give(find(".te-import"), new File([file], "<b>.json"));
await until(() => said().names.includes(name));
const [own] = lesson.taught.classes.filter((each) => each.name === name);
for (const number of [0, 1, 2]) {
  await draw(0, number);
  await hold(lesson.taught.classes.indexOf(own));
}
await settled();
give(find(".te-import"), new File(["{"], `${name}.json`));
await until(() => text(".te-trouble"));
await wait(300);
return { ...said(), images: all("img").length, harm: globalThis.harm ?? 0 };
"""
FILES = """
const canvas = document.createElement("canvas");
Object.assign(canvas, { width: 90, height: 60 });
canvas.getContext("2d").fillRect(20, 0, 30, 60);
const blob = await new Promise((done) => canvas.toBlob(done));
const good = new File([blob], "a.png");
const bad = new File(["no"], "b.heic", { type: "image/heic" });
const before = said().counts[0];
give(all(".te-card .te-file")[0], good, bad, good);
await until(() => said().counts[0] !== before && text(".te-trouble"));
const { series } = lesson.taught.problem();
const added = { ...said(), series: new Set(series).size, count: series.length };
await settled();
give(find(".te-own"), good);
await until(() => lesson.looking.source === "picture" && lesson.looking.seen);
return { before, added, asked: said(), words: text(".te-add") };
"""
CAMERA = """
find(".te-over").click(), find(".te-over").click();
find('[data-source="camera"]').click();
await until(() => lesson.looking.seen);
await hold(0, 900);
scene = "box";
await wait(400);
await hold(1, 900);
await until(() => text(".te-score").includes("hold"));
const once = said(), series = lesson.taught.problem().series;
scene = "disc";
await wait(400);
const button = all(".te-add")[0], more = () => lesson.taught.classes[0].pictures.length;
const start = more();
key(button, "keydown", " ");
key(button, "keydown", " ", { repeat: true });
const forgotten = lesson.answers === null; // what was measured of fewer pictures
await wait(500);
key(button, "keyup", " ");
const byKey = more() - start;
await wait(150);
button.click(); // as a screen reader does
const byClick = more() - start - byKey;
scene = "box";
await wait(400);
await hold(1, 500);
await settled();
const twice = said();
scene = "stripes";
await until(() => text(".te-heard").startsWith("None of these"), 8000);
const stripes = said();
return { once, twice, series, byKey, byClick, stripes, forgotten,
         live: stream.getVideoTracks()[0].readyState };
"""
STOPPED = """
const states = [];
const state = () => stream.getVideoTracks()[0].readyState;
find(".te-stop").click();
states.push(state());
find('[data-source="camera"]').click();
await until(() => lesson.looking.seen);
Object.defineProperty(document, "hidden", { value: true, configurable: true });
document.dispatchEvent(new Event("visibilitychange"));
delete document.hidden;
states.push(state());
const hidden = said(), disabled = all(".te-add").every((button) => button.disabled);
find('[data-source="camera"]').click();
await until(() => lesson.looking.seen);
find('[data-source="drawing"]').click();
states.push(state());
find('[data-source="camera"]').click();
find('[data-source="drawing"]').click(); // before it has started
await wait(300);
states.push(state());
refusal = "NotAllowedError";
find('[data-source="camera"]').click();
await until(() => text(".te-trouble"));
const denied = said();
return { states, hidden, denied, disabled };
"""
FOCUS = """
return { now: document.activeElement.className, down: lesson.looking.pad.down,
         pen: lesson.looking.pad.pen, blank: lesson.looking.pad.blank,
         role: find(".te-canvas").getAttribute("role"), ...said() };
"""


do = doing(TOOLS)


async def reach(page, name: str) -> None:
    """Press Tab until an element of that class has the focus."""
    for _ in range(40):
        if name in await page.value("document.activeElement.className"):
            return
        await page.press("Tab")
    raise AssertionError(f"Tab does not lead to {name}")


async def by_keyboard(page) -> dict:
    """Draw and add without a pointer."""
    seen = {}
    await page.value("document.activeElement.blur()")
    await reach(page, "sl-load")
    await page.press("Enter")
    await do(page, "await until(() => !find('.te-app').hidden);")
    await reach(page, "te-canvas")
    seen["start"] = await do(page, FOCUS)
    await page.press("ArrowLeft")
    seen["moved"] = await do(page, FOCUS)
    await page.press(" ")
    for way in ("ArrowUp", "ArrowUp", "ArrowRight"):
        await page.press(way)
    seen["drawn"] = await do(page, FOCUS)
    await page.press("Enter")
    await do(page, "await until(() => !lesson.looking.asking);")
    await reach(page, "te-add")
    await page.press("Enter")
    await do(page, "await wait(400);")
    seen["added"] = await do(page, FOCUS)
    return seen


async def survey(address: str, engine: str) -> dict:
    """Teach the page; say what it was like."""
    seen = {}
    async with open_page(engine) as page:
        await page.visit(f"{address}/index.html", width=390)
        seen["before"] = list(page.requests)
        seen["loaded"] = await do(page, LOAD)
        fetched = len(page.requests)
        for name, script in (
            ("drawn", DRAWN),
            ("wrong", WRONG),
            ("kept", KEPT),
            ("hostile", HOSTILE),
            ("files", FILES),
            ("camera", CAMERA),
            ("stopped", STOPPED),
        ):
            seen[name] = await do(page, script)
        later = page.requests[fetched:]
        seen["later"] = [url for url in later if not url.startswith(("blob:", "data:"))]
        await page.visit(f"{address}/index.html")
        seen["keyboard"] = await by_keyboard(page)
        seen["requests"], seen["complaints"] = page.requests, page.complaints[:]
        await page.visit(f"{address}/missing.html")
        seen["missing"] = await do(page, LOAD)
    return seen


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return a folder with a page, and with one whose network is missing."""
    root = tmp_path_factory.mktemp("teach")
    copy_app(root)
    copy_teaching(root)
    kinds = {"strange": 0.25, "doubtful": 0.5}
    lesson = {"interval": [0.4, 0.8], "own": kinds, "alike": kinds, "foreign": kinds}
    lessons = [{**lesson, "right": right} for right in (0.3, 0.4, 0.7)]
    page = PAGE.format(teaching_fragment("./", lessons))
    (root / "index.html").write_text(page, encoding="utf-8")
    lost = page.replace('data-folder="./teach/"', 'data-folder="nowhere/"')
    (root / "missing.html").write_text(lost, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def seen(site, engine):
    """What each engine saw."""
    with serve(site) as address:
        return asyncio.run(survey(address, engine))


def levels(graph: bytes) -> dict[str, list[int]]:
    """Return the rounded weights of a graph by name."""
    tensors = onnx.load_from_string(graph).graph.initializer
    named = {t.name: onnx.numpy_helper.to_array(t) for t in tensors}
    return {name: named[name].tolist() for name in named if name.endswith("_levels")}


@pytest.mark.slow
def test_the_graph_is_that_of_the_librarys_own_weights():
    files = feature_files()
    assert json.loads(files["model.json"]) == ABOUT
    own = levels(GRAPH)
    assert own == levels(gzip.decompress(files["model.onnx.gz"])) and len(own) == 12


def test_the_graph_gives_the_channels_of_both_stages():
    model = build_model("resnet10", num_classes=1)
    load_sightline(model)
    maps = {}
    for name in ("layer3", "layer4"):
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda *a, name=name: maps.update({name: a[2]}))
    colours = (
        torch.tensor(c).view(1, 3, 1, 1) for c in (SIGHTLINE_MEAN, SIGHTLINE_STD)
    )
    mean, std = colours
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.eval()((image - mean) / std)
        rounded = own_columns()[0](image).numpy()
    session = onnxruntime.InferenceSession(GRAPH)
    (columns,) = session.run(["columns"], {"image": image.numpy()})
    assert columns.shape == (1, ABOUT["channels"], ABOUT["side"], ABOUT["side"])
    np.testing.assert_allclose(columns, rounded, atol=1e-4)
    coarse = F.interpolate(maps["layer4"], scale_factor=2)
    exact = torch.cat([maps["layer3"], coarse], 1).numpy()
    assert np.corrcoef(columns.ravel(), exact.ravel())[0, 1] > 0.999  # 8 bits


def test_the_button_states_what_will_be_fetched(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    size = sum((site / name).stat().st_size for name in (*RUNTIME, *TEACHING))
    assert f"Teach it here: {size / 1e6:.1f} MB" in text
    assert sum((site / name).stat().st_size for name in TEACHING) < 350_000


def test_the_page_quotes_the_trial(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "Tried in 3 lessons" in text and "held the truth in 2 of them" in text
    assert "25% of the pictures of taught classes" in text
    assert "it would have found 50% and 50%" in text


@pytest.mark.browser
def test_nothing_is_fetched_before_the_button_and_nothing_after_it(seen):
    assert file_names(seen["before"]) == {"index.html", "start.mjs"}
    assert seen["later"] == []
    assert hosts(seen["requests"]) == hosts(seen["before"][:1])


@pytest.mark.browser
def test_no_console_message(seen):
    assert not seen["complaints"]


@pytest.mark.browser
def test_a_failed_download_is_named_and_can_be_tried_again(seen):
    assert "404" in seen["missing"]["message"]
    assert seen["missing"]["button"] == "Try again"


@pytest.mark.browser
def test_the_camera_is_not_asked_for_before_it_is_started(seen):
    assert seen["loaded"]["message"] == "" and seen["loaded"]["asked"] == 0


@pytest.mark.browser
def test_the_lesson_fits_a_phone(seen):
    assert seen["loaded"]["wide"] == 390
    assert seen["drawn"]["wide"] == 390


@pytest.mark.browser
def test_the_page_says_what_is_missing_before_it_can_learn(seen):
    assert "Give two classes some pictures" in seen["loaded"]["why"]
    assert seen["loaded"]["score"] == ""
    assert seen["loaded"]["shares"] == ["–", "–"]
    assert seen["drawn"]["blank"] == [True, True], "nothing is drawn, nothing is added"


@pytest.mark.browser
def test_drawings_are_told_apart_and_the_score_says_how_surely(seen):
    found = seen["drawn"]
    assert found["counts"] == ["6 pictures", "6 pictures"]
    assert "ring" in found["verdict"]
    right = sum(
        int(np.argmax(shares)) == label
        for shares, label in zip(
            found["answers"], found["problem"]["labels"], strict=True
        )
    )
    assert f"Left out one at a time, {right} of 12 pictures are named" in found["score"]
    assert right >= 10


@pytest.mark.browser
def test_a_screen_reader_hears_what_was_measured_and_then_the_answer(seen):
    assert seen["drawn"]["score"] in seen["drawn"]["live"]
    assert seen["drawn"]["heard"] == seen["drawn"]["verdict"]


@pytest.mark.browser
def test_the_places_add_up_to_the_logits(seen):
    found = seen["drawn"]
    powers = np.exp(np.array(found["sums"]) - max(found["sums"]))
    np.testing.assert_allclose(powers / powers.sum(), found["probabilities"], atol=1e-5)


@pytest.mark.browser
def test_the_channels_in_the_browser_are_those_of_python(seen):
    pixels = torch.tensor(seen["drawn"]["pixels"]).view(1, 32, 32, 3)
    with torch.no_grad():
        expected = own_columns()[0](pixels.permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(seen["drawn"]["columns"], expected.flatten(), atol=1e-3)


@pytest.mark.browser
def test_each_left_out_answer_is_that_of_scikit_learn(seen):
    problem = seen["drawn"]["problem"]
    rows = np.array(problem["rows"])
    series = problem["series"]
    assert len(set(series)) == 12
    for number, answer in enumerate(seen["drawn"]["answers"]):
        others = [i for i in range(12) if i != number]
        labels = [problem["labels"][i] for i in others]
        expected = regression(rows[others], labels, rows[[number]])
        np.testing.assert_allclose(answer, expected[0], atol=2e-3)


NODE = """
const { fit, leftOut } = await import(process.argv[2]);
const { rows, ...rest } = JSON.parse(readFileSync(process.argv[3]));
const taught = { ...rest, rows: rows.map((row) => Float64Array.from(row)) };
const head = fit(taught.rows, taught.labels, taught.count);
const answers = [...leftOut(taught, head)].flat();
process.stdout.write(JSON.stringify(answers.map((answer) => answer.probabilities)));
"""


@pytest.mark.browser
def test_the_numbers_in_the_browser_are_those_of_node(seen, tmp_path):
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(seen["drawn"]["problem"]), encoding="utf-8")
    program = 'import { readFileSync } from "node:fs";' + NODE
    found = run_node(program, (WEB / "teach/head.mjs").as_uri(), file)
    np.testing.assert_allclose(json.loads(found), seen["drawn"]["answers"], atol=1e-4)


@pytest.mark.browser
def test_the_bar_of_a_class_shows_its_heatmap(seen):
    pressed, words = seen["drawn"]["first"]
    assert pressed == ["true", "false"] and "“ring”" in words
    pressed, words = seen["drawn"]["second"]
    assert pressed == ["false", "true"] and "“cross”" in words


@pytest.mark.browser
def test_a_picture_that_was_taken_for_another_class_is_marked_and_can_be_seen(seen):
    found = seen["wrong"]["inspected"]
    assert found["label"] == "Picture 1 of ring, taken for cross when left out"
    assert found["marks"] and found["pressed"] == "true"
    assert found["verdict"] == "Picture 1 of “ring”."
    assert found["why"] == "Left out, it is taken for “cross”, 80%."
    assert seen["wrong"]["back"]["verdict"] == seen["drawn"]["verdict"]


@pytest.mark.browser
def test_a_removed_picture_hands_the_focus_to_its_neighbour(seen):
    found = seen["wrong"]["removed"]
    assert found["counts"] == ["5 pictures", "6 pictures"]
    assert found["focus"] == "Picture 1 of ring"
    assert "of 11 pictures" in found["score"]


@pytest.mark.browser
def test_what_was_exported_comes_back_the_same(seen):
    found = seen["kept"]
    assert found["again"]["rows"] == found["rows"]["rows"]
    assert found["again"]["labels"] == found["rows"]["labels"]
    assert found["after"]["names"] == ["ring", "cross"]


@pytest.mark.browser
def test_importing_adds_and_never_takes_away(seen):
    counts, series = seen["kept"]["twice"]
    assert counts == ["10 pictures", "12 pictures"] and series == 22


@pytest.mark.browser
def test_starting_over_asks_first(seen):
    found = seen["kept"]
    assert found["question"] == "Remove 11 pictures?" and found["still"] == 11
    assert found["empty"]["names"] == ["Class 1", "Class 2"]
    assert found["empty"]["counts"] == ["0 pictures", "0 pictures"]


@pytest.mark.browser
def test_a_damaged_file_is_named_and_changes_nothing(seen):
    cut, large = seen["kept"]["troubles"]
    assert "“cut.json” was not imported, and nothing has changed" in cut
    assert "damaged or cut off" in cut
    assert "“large.json”" in large and "3.0 MB; 3 MB are the most" in large
    assert seen["kept"]["after"]["counts"] == ["5 pictures", "6 pictures"]


@pytest.mark.browser
def test_names_of_classes_and_files_cannot_write_html(seen):
    found = seen["hostile"]
    assert found["images"] == 0 and found["harm"] == 0
    assert '<img src=x onerror="globalThis.harm=1">' in found["names"]
    assert "<img" in found["trouble"] and found["score"]


@pytest.mark.browser
def test_of_several_files_the_readable_ones_are_added(seen):
    added = seen["files"]["added"]
    assert "1 of 3 files not added" in added["trouble"] and "HEIC" in added["trouble"]
    grown = int(added["counts"][0].split()[0]) - int(seen["files"]["before"].split()[0])
    assert grown == 2 and added["series"] == added["count"], "each a series of its own"


@pytest.mark.browser
def test_a_file_can_be_asked_about_and_added(seen):
    assert seen["files"]["asked"]["verdict"]
    assert seen["files"]["words"] == "Add the picture"


@pytest.mark.browser
def test_pictures_of_one_hold_are_one_series_and_are_left_out_together(seen):
    found = seen["camera"]
    assert len(set(found["series"])) == 2 and len(found["series"]) >= 6
    assert "was taken in one hold" in found["once"]["score"]
    assert "Left out one hold at a time" in found["twice"]["score"]


@pytest.mark.browser
def test_a_key_is_held_as_a_finger_is_and_a_click_takes_one_picture(seen):
    assert seen["camera"]["byKey"] >= 2
    assert seen["camera"]["byClick"] == 1
    assert seen["camera"]["forgotten"]


@pytest.mark.browser
def test_something_else_is_called_none_of_these_also_to_who_hears_it(seen):
    found = seen["camera"]["stripes"]
    assert found["verdict"].startswith("None of these?")
    assert found["why"].startswith("Strange: none of the ")
    assert found["heard"].startswith("None of these?")
    assert "None of these" not in seen["camera"]["twice"]["verdict"]


@pytest.mark.browser
def test_the_camera_stops_when_told_when_hidden_and_when_not_needed(seen):
    assert seen["camera"]["live"] == "live"
    assert seen["stopped"]["states"] == ["ended"] * 4
    assert "stopped when the page was hidden" in seen["stopped"]["hidden"]["trouble"]
    assert seen["stopped"]["disabled"], "a picture of the past is not added"


@pytest.mark.browser
def test_a_refused_camera_is_explained(seen):
    assert (
        "does not let the page use the camera" in seen["stopped"]["denied"]["trouble"]
    )


@pytest.mark.browser
def test_the_keyboard_draws_and_adds(seen):
    found = seen["keyboard"]
    assert found["start"]["role"] == "application" and found["start"]["blank"]
    assert (
        found["moved"]["pen"][0] < found["start"]["pen"][0] and found["moved"]["blank"]
    )
    assert found["drawn"]["down"] and not found["drawn"]["blank"]
    assert found["drawn"]["pen"][1] < found["moved"]["pen"][1]
    assert found["added"]["counts"] == ["1 picture", "0 pictures"]
    assert "1 picture added to “Class 1”." in found["added"]["live"]
