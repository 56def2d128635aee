"""The live demo in a real browser: what it fetches, says and draws."""

import asyncio
import base64
import gzip
import io
import json
import shutil
from urllib.parse import urlsplit

import matplotlib as mpl
import numpy as np
import pytest
import tiny
import torch
from browser import open_page
from exported import exported
from PIL import Image
from server import serve

from sightline.data.pictures import read_picture
from sightline.export.export import export
from sightline.export.rounding import fold_batch_norms, round_weights
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.measures.conformal import prediction_sets
from sightline.training.runtime import choose_runtime

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.browser

SIDES = ((70, 97), (64, 21), (5, 400))  # 21 of 64 pixels become 10.5 of 32

# what the page's own module offers, and a pause until all is shown
TOOLS = """
const { demos } = await import("./demo.mjs");
const demo = demos[0], find = (name) => document.querySelector(name);
const settled = async () => { while (demo.busy) await demo.busy; };
const until = async (test) => {
  for (let i = 0; i < 400 && !test(); i++)
    await new Promise((go) => setTimeout(go, 25));
};
const said = () => ({
  verdict: find(".sl-verdict").textContent, sets: find(".sl-sets").textContent,
  live: find(".sl-live").textContent, sentence: find(".sl-map").textContent,
  message: find(".sl-trouble").textContent, erased: demo.stage.erased,
  confidence: demo.said.probabilities, map: [...demo.answer.maps[demo.layer]],
  pressed: [...document.querySelectorAll(".sl-top button")].map((b) => b.ariaPressed),
  undo: !find(".sl-undo").disabled,
});
"""
LOAD = """
find(".sl-load").click();
await until(() => demo.said || find(".sl-start .sl-message").textContent);
await settled();
return { message: find(".sl-start .sl-message").textContent,
         button: find(".sl-load").textContent,
         wide: document.documentElement.scrollWidth };
"""
EVERY_PICTURE = """
const found = [];
for (const thumb of document.querySelectorAll(".sl-thumb")) {
  await demo.choose(thumb);
  const { logits, maps } = demo.answer;
  found.push({ logits: [...logits], maps: maps.map((map) => [...map]) });
}
return found;
"""
TAP = """
await demo.choose(find(".sl-thumb"));
const before = said();
document.querySelectorAll(".sl-top button")[1].click();
await settled();
return [before, said()];
"""
BY_POINTER = """
await demo.choose(find(".sl-thumb"));
find(".sl-erase").click();
find(".sl-canvas").scrollIntoView({ block: "center" });
const { left, top, width } = find(".sl-canvas").getBoundingClientRect();
return { before: said(), left, top, width };
"""
NOW = "await settled(); return said();"
UNDONE = "find('.sl-undo').click(); await settled(); return said();"
BY_KEYBOARD = """
await demo.choose(find(".sl-thumb"));
const key = (name) => demo.stage.canvas.dispatchEvent(
  new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const start = demo.stage.cursor.slice();
["ArrowLeft", "ArrowUp", " "].forEach(key);
await settled();
const { cursor: end, canvas } = demo.stage;
return { ...said(), start, end, focusable: canvas.tabIndex };
"""
SHRUNK = """
const { Picture } = await import("./picture.mjs");
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
const picture = await Picture.read(new Blob([bytes], { type: "image/png" }));
const [left, top, side] = %s;
return [...picture.fit({ left, top, side }, 32).rgb];
"""
PADDED = """
demo.network.about.framing = "pad";
const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
await demo.take(new Blob([bytes], { type: "image/png" }));
delete demo.network.about.framing;
return { rgb: [...demo.stage.rgb], choice: !find(".sl-crop").hidden };
"""
NONE = """
const { scores } = demo.network.about.prediction_sets, before = { ...scores };
await demo.choose(find(".sl-thumb"));
Object.assign(scores, { 90: 0, 95: 1 });
demo.show();
await new Promise((go) => setTimeout(go, 700));
const changed = said();
Object.assign(scores, before);
return changed;
"""
NO_PICTURE = """
await demo.take(new File(["nothing"], "IMG_1.HEIC", { type: "image/heic" }));
return said();
"""
OWN_PICTURE = """
const canvas = document.createElement("canvas");
Object.assign(canvas, { width: 90, height: 60 });
canvas.getContext("2d").fillRect(20, 0, 30, 60);
await demo.take(await new Promise((done) => canvas.toBlob(done)));
const crop = find(".sl-crop"), before = [...demo.stage.rgb];
find(".sl-across").value = 1;
find(".sl-across").dispatchEvent(new Event("input"));
await settled();
return { shown: !crop.hidden, moved: before.some((v, i) => v !== demo.stage.rgb[i]) };
"""
COLOURS = """
const { colour } = await import("./stage.mjs");
return Array.from({ length: 256 }, (_, i) => colour(i / 255));
"""


async def do(page, script: str):
    """Run a script in the page; return what it returns."""
    return await page.value(f"(async () => {{ {TOOLS} {script} }})()")


async def erase_by_pointer(page) -> dict:
    """Draw a line across the picture with a finger; then undo it."""
    place = await do(page, BY_POINTER)
    y = place["top"] + 0.5 * place["width"]
    ends = [(place["left"] + share * place["width"], y) for share in (0.3, 0.7)]
    await page.drag(*ends, finger=True)
    after = await do(page, NOW)
    return {**place, "after": after, "undone": await do(page, UNDONE)}


def oblong(height: int = 70, width: int = 97) -> bytes:
    """Draw a picture that is no square, as PNG."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 2 % 256, y * 3, (x * y) % 256], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


async def survey(address: str, folder, engine: str) -> dict:
    """Open the demo, whole and broken; say what it is like."""
    seen = {}
    wide = base64.b64encode(oblong()).decode()
    async with open_page(engine) as page:
        await page.visit(f"{address}/whole/index.html", width=390)
        seen["before"] = list(page.requests)
        seen["loaded"] = await do(page, LOAD)
        seen["pictures"] = await do(page, EVERY_PICTURE)
        seen["tap"] = await do(page, TAP)
        seen["none"] = await do(page, NONE)
        seen["pointer"] = await erase_by_pointer(page)
        seen["keyboard"] = await do(page, BY_KEYBOARD)
        seen["shrunk"] = await do(page, SHRUNK % (wide, "[13.5, 0, 70]"))
        seen["padded"] = [
            await do(page, PADDED % base64.b64encode(oblong(*sides)).decode())
            for sides in SIDES
        ]
        seen["no picture"] = await do(page, NO_PICTURE)
        seen["own"] = await do(page, OWN_PICTURE)
        seen["colours"] = await do(page, COLOURS)
        seen["requests"], seen["complaints"] = page.requests[:], page.complaints[:]
        for name in ("broken", "missing", "exact"):
            await page.visit(f"{address}/{name}/index.html")
            seen[name] = await do(page, LOAD)
        seen["exact pictures"] = await do(page, EVERY_PICTURE)
        await page.visit(f"file://{folder}/whole/index.html")
        seen["file"] = await page.value(
            "({ text: document.body.innerText, "
            "button: document.querySelector('.sl-load').offsetWidth })"
        )
    return seen


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run and its export, in `whole` of a folder, with two that lack something."""
    root = tmp_path_factory.mktemp("demo")
    run, about, page = exported(root)
    page.rename(root / "whole")
    for name in ("broken", "missing"):
        shutil.copytree(root / "whole", root / name)
    half = (root / "broken/model.onnx.gz").read_bytes()[:9000]
    (root / "broken/model.onnx.gz").write_bytes(half)
    (root / "missing/model.onnx.gz").unlink()
    export(run, tiny.splits(), root / "exact", bits=32)
    return run, about, root


@pytest.fixture(scope="module")
def seen(done, engine):
    """What each engine saw."""
    with serve(done[2]) as address:
        return asyncio.run(survey(address, done[2], engine))


@pytest.fixture(scope="module")
def pixels(done):
    """The built-in pictures, (10, 32, 32, 3)."""
    _, about, root = done
    files = [root / "whole" / entry["file"] for entry in about["pictures"]]
    return torch.from_numpy(np.stack([read_picture(file, 32)[0] for file in files]))


def test_nothing_is_fetched_before_the_button_is_pressed(seen):
    names = [urlsplit(url).path.rsplit("/")[-1] for url in seen["before"]]
    fetched = [n for n in names if n.endswith((".gz", ".json", ".png"))]
    assert not fetched and not [n for n in names if "ort" in n]


def test_only_the_server_of_the_page_is_asked(seen):
    hosts = {urlsplit(url).netloc for url in seen["requests"]} - {""}
    assert len(hosts) == 1
    assert not seen["complaints"]


def test_logits_in_the_browser_are_those_of_python(seen, done, pixels):
    _, about, root = done
    graph = gzip.decompress((root / "whole/model.onnx.gz").read_bytes())
    session = onnxruntime.InferenceSession(graph)
    nobody = np.zeros((1, len(about["classes"])), np.float32)
    assert len(seen["pictures"]) == 10
    for picture, found in zip(pixels, seen["pictures"], strict=True):
        image = picture.permute(2, 0, 1)[None].numpy() / np.float32(255)
        logits, *_ = session.run(None, {"image": image, "target": nobody})
        np.testing.assert_allclose(found["logits"], logits[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("bits, name", [(4, "pictures"), (32, "exact pictures")])
def test_heatmaps_in_the_browser_are_those_of_explain(seen, done, pixels, bits, name):
    run, _, _ = done
    classifier = run.classifier(choose_runtime("cpu", "fp32"))
    model = classifier.model
    if bits == 4:
        model = fold_batch_norms(model)
        round_weights(model, bits)
    layers = default_layers(model, 32)
    wanted = explain(model, classifier.normalise(pixels), layers=layers)
    for number, layer in enumerate(layers):
        found = np.array([entry["maps"][number] for entry in seen[name]])
        maps = wanted[layer].heatmaps.flatten(1).numpy()
        assert maps.max() == 1, "some of them show evidence"
        np.testing.assert_allclose(found, maps, rtol=0, atol=1e-3)


def test_pressing_a_class_shows_its_heatmap(seen):
    before, after = seen["tap"]
    assert before["pressed"].index("true") == 0
    assert after["pressed"].index("true") == 1
    assert before["map"] != after["map"]
    assert before["sentence"] != after["sentence"]


def test_the_page_names_the_prediction_sets_that_python_makes(seen, done):
    _, about, _ = done
    whole = seen["tap"][0]
    shares = torch.tensor([whole["confidence"]], dtype=torch.float64)
    order = shares[0].argsort(descending=True).tolist()
    words = []
    for coverage, score in about["prediction_sets"]["scores"].items():
        members = prediction_sets(shares, score)[0]
        names = [about["classes"][place] for place in order if members[place]]
        more = f" and {len(names) - 5} more" * (len(names) > 5)
        words.append(f"{coverage}%: {', '.join(names[:5]) or 'none of these'}{more}")
    assert whole["sets"] == f"Prediction sets: {'; '.join(words)}."


def test_a_set_without_a_class_is_called_none_of_these_also_to_who_hears_it(seen):
    assert "90%: none of these; 95%:" in seen["none"]["sets"]
    assert "and 5 more." in seen["none"]["sets"]  # where no class is left out
    assert seen["none"]["sets"] in seen["none"]["live"]


def test_nothing_is_promised_about_a_picture_with_erased_parts(seen):
    assert (
        seen["pointer"]["after"]["sets"] == "Prediction sets are of the whole picture."
    )
    assert seen["pointer"]["undone"]["sets"].startswith("Prediction sets: 90%: ")


def test_erasing_with_the_finger_changes_the_prediction_and_can_be_undone(seen):
    before, after, undone = (
        seen["pointer"][key] for key in ("before", "after", "undone")
    )
    assert before["erased"] == 0 and 0.05 < after["erased"] < 0.5
    assert after["confidence"] != before["confidence"]
    assert "erased" in after["verdict"] and "→" in after["verdict"]
    assert after["undo"] and not undone["undo"]
    assert undone["confidence"] == before["confidence"]


def test_the_keyboard_moves_the_brush_and_erases(seen):
    found = seen["keyboard"]
    assert found["end"] == [found["start"][0] - 1, found["start"][1] - 1]
    assert found["focusable"] == 0
    assert 0 < found["erased"] < 0.1


def test_a_large_picture_is_scaled_as_python_scales_it(seen, tmp_path):
    (tmp_path / "wide.png").write_bytes(oblong())
    wanted, _ = read_picture(tmp_path / "wide.png", 32)
    found = np.array(seen["shrunk"]).reshape(32, 32, 3)
    assert np.abs(found - wanted.astype(int)).max() <= 1


def test_a_picture_is_padded_as_python_pads_it_where_the_network_was_trained_so(
    seen, tmp_path
):
    for sides, found in zip(SIDES, seen["padded"], strict=True):
        (tmp_path / "oblong.png").write_bytes(oblong(*sides))
        expected, _ = read_picture(tmp_path / "oblong.png", 32, "pad")
        rgb = np.array(found["rgb"]).reshape(32, 32, 3)
        assert np.abs(rgb - expected.astype(int)).max() <= 1
        assert not found["choice"]


def test_another_square_of_a_picture_can_be_chosen(seen):
    assert seen["own"] == {"shown": True, "moved": True}


def test_a_file_that_is_no_picture_is_named_with_a_remedy(seen):
    assert "IMG_1.HEIC" in seen["no picture"]["message"]
    assert "JPEG or PNG" in seen["no picture"]["message"]


def test_a_failed_download_names_the_file_and_can_be_tried_again(seen):
    assert "model.onnx.gz is damaged" in seen["broken"]["message"]
    assert "model.onnx.gz" in seen["missing"]["message"]
    assert "404" in seen["missing"]["message"]
    assert seen["missing"]["button"] == "Try again"


def test_a_page_opened_as_a_file_says_what_to_do(seen):
    assert "python -m http.server" in seen["file"]["text"]
    assert seen["file"]["button"] == 0, "a button that cannot work is not shown"


def test_the_demo_fits_a_phone(seen):
    assert seen["loaded"] == {
        "message": "",
        "button": seen["loaded"]["button"],
        "wide": 390,
    }


def test_the_button_states_the_sizes(seen, done):
    sizes = done[1]["bytes"]
    assert f"{(sizes['model'] + sizes['runtime']) / 1e6:.1f} MB" in json.dumps(
        seen["loaded"]["button"]
    )


def test_evidence_has_the_colours_of_the_books_figures(seen):
    wanted = mpl.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(np.array(seen["colours"]) - wanted).max() < 5
