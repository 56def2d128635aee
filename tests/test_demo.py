"""The live demo in a real browser: what it fetches, says and draws."""

import asyncio
import base64
import gzip
import io
import json
import re
import shutil

import demo_scripts as scripts
import matplotlib as mpl
import numpy as np
import pytest
import tiny
import torch
from browser import doing, file_names, hosts, open_page
from exported import exported
from PIL import ExifTags, Image
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


do = doing(scripts.TOOLS)


async def erase_by_pointer(page) -> dict:
    """Draw a line across the picture with a finger; then undo it."""
    place = await do(page, scripts.BY_POINTER)
    y = place["top"] + 0.5 * place["width"]
    ends = [(place["left"] + share * place["width"], y) for share in (0.3, 0.7)]
    await page.drag(*ends, finger=True)
    after = await do(page, scripts.NOW)
    return {**place, "after": after, "undone": await do(page, scripts.UNDONE)}


def oblong(height: int = 70, width: int = 97) -> bytes:
    """Draw a picture that is no square, as PNG."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 2 % 256, y * 3, (x * y) % 256], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def turned() -> bytes:
    """Draw a photograph as a telephone stores it: lying on its side, and saying so."""
    picture = Image.open(io.BytesIO(oblong(200, 300))).transpose(
        Image.Transpose.ROTATE_90
    )
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6  # turn it by a quarter, clockwise
    picture.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def encoded(picture: Image.Image, kind: str) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


PHOTO = encoded(Image.effect_noise((300, 200), 90).convert("RGB"), "JPEG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
#: own files by name: their bytes and what the browser takes their type for
OWN = {
    "empty.jpg": (b"", "image/jpeg"),
    "film.mp4": (b"\0\0\0\x20ftypisom", "video/mp4"),
    "logo.svg": (SVG, "image/svg+xml"),
    "IMG_2.HEIC": (b"\0\0\0\x20ftypheic", ""),
    "notes.txt": (b"nothing to see", "text/plain"),
    "torn.png": (encoded(Image.open(io.BytesIO(PHOTO)), "PNG")[:-900], "image/png"),
    "cut.jpg": (PHOTO[: len(PHOTO) // 2], "image/jpeg"),
    "wrong.png": (b"no picture", "image/png"),
    "dot.png": (encoded(Image.new("RGB", (1, 1), "red"), "PNG"), "image/png"),
    "strip.png": (encoded(Image.new("RGB", (3000, 1), "red"), "PNG"), "image/png"),
    "huge.jpg": (
        encoded(Image.new("RGB", (10_000, 10_000), "red"), "JPEG"),
        "image/jpeg",
    ),
    "turned.jpg": (turned(), "image/jpeg"),
}


async def survey_answers(page) -> dict:
    """Ask while an answer is awaited, and show files of all kinds."""
    seen = {}
    for name in ("busy", "overtaken", "early", "crop_live"):
        script = getattr(scripts, name.upper())
        seen[name] = await do(page, scripts.HELD + script)
    for name in ("synthetic", "targets", "no_file", "seconds"):
        seen[name] = await do(page, getattr(scripts, name.upper()))
    for name, (content, kind) in OWN.items():
        text = base64.b64encode(content).decode()
        seen[name] = await do(page, scripts.FILES % (text, name, kind))
    for name in ("forced", "still") if page.emulates_media else ():
        await page.show(width=390, dark=False, **{name: True})
        seen[name] = await do(page, getattr(scripts, name.upper()))
    seen["stopped"] = await do(page, scripts.STOPPED)
    return seen


async def survey(address: str, folder, engine: str) -> dict:
    """Open the demo, whole and broken; say what it is like."""
    seen = {}
    wide = base64.b64encode(oblong()).decode()
    async with open_page(engine) as page:
        await page.visit(f"{address}/whole/index.html", width=390)
        seen["before"] = list(page.requests)
        seen["loaded"] = await do(page, scripts.LOAD)
        await do(page, scripts.ALL_THERE)
        begun = len(page.requests)
        seen["pictures"] = await do(page, scripts.EVERY_PICTURE)
        seen["later"] = page.requests[begun:]
        seen["tap"] = await do(page, scripts.TAP)
        seen["none"] = await do(page, scripts.NONE)
        seen["pointer"] = await erase_by_pointer(page)
        seen["keyboard"] = await do(page, scripts.BY_KEYBOARD)
        seen["shrunk"] = await do(page, scripts.SHRUNK % (wide, "[13.5, 0, 70]"))
        seen["padded"] = [
            await do(page, scripts.PADDED % base64.b64encode(oblong(*sides)).decode())
            for sides in SIDES
        ]
        seen["no picture"] = await do(page, scripts.NO_PICTURE)
        seen["own"] = await do(page, scripts.OWN_PICTURE)
        seen["colours"] = await do(page, scripts.COLOURS)
        seen["requests"], seen["complaints"] = page.requests[:], page.complaints[:]
        await page.visit(f"{address}/whole/index.html", width=390)
        await do(page, scripts.LOAD)
        seen |= await survey_answers(page)
        seen["complaints"] = page.complaints[:]
        for name in ("broken", "missing", "exact"):
            await page.visit(f"{address}/{name}/index.html")
            seen[name] = await do(page, scripts.LOAD)
        seen["exact pictures"] = await do(page, scripts.EVERY_PICTURE)
        await page.visit(f"{address}/whole/index.html")
        seen["old"] = await do(page, "delete self.DecompressionStream;" + scripts.LOAD)
        await page.visit(f"file://{folder}/whole/index.html")
        await asyncio.sleep(2.2)  # for so long its script may still come
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


def test_nothing_but_the_script_of_the_button_is_fetched_before_it_is_pressed(seen):
    assert file_names(seen["before"]) == {"index.html", "start.mjs"}


def test_only_the_server_of_the_page_is_asked(seen):
    assert len(hosts(seen["requests"])) == 1
    assert not seen["complaints"]


def test_once_it_is_loaded_the_demo_needs_no_network(seen):
    assert len(seen["pictures"]) == 10 and seen["later"] == []


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


def test_a_browser_that_lacks_something_is_told_what(seen):
    assert "has no DecompressionStream, without which" in seen["old"]["message"]


def test_a_page_opened_as_a_file_says_what_to_do(seen):
    assert "python -m http.server" in seen["file"]["text"]
    assert seen["file"]["button"] == 0, "a button that cannot work is not shown"


def test_the_demo_fits_a_phone(seen):
    assert seen["loaded"]["message"] == ""
    assert seen["loaded"]["wide"] == 390


def test_the_button_states_the_sizes(seen, done):
    sizes = done[1]["bytes"]
    assert f"{(sizes['model'] + sizes['runtime']) / 1e6:.1f} MB" in json.dumps(
        seen["loaded"]["offer"]
    )


def luminance(colour: str) -> float:
    """Return the relative luminance of `rgb(r, g, b)`, as WCAG 2.2 defines it."""
    shares = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [
        s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares
    ]
    return sum(np.array((0.2126, 0.7152, 0.0722)) * linear)


def test_the_button_can_be_read_while_the_network_loads_and_keeps_the_focus(seen):
    words, ground, opacity = seen["loaded"]["colours"]
    dark, light = sorted((luminance(words), luminance(ground)))
    assert opacity == "1" and (light + 0.05) / (dark + 0.05) >= 4.5
    assert seen["loaded"]["focused"]
    assert "sl-thumb" in seen["loaded"]["pressed"], "from there the keyboard goes on"


def test_the_bar_comes_to_its_end_and_the_page_says_what_happens_then(seen):
    stages = ["Fetching…", "Unpacking…", "Starting the network…"]
    assert seen["loaded"]["stages"] == [*stages, "Asking about the first picture…"]
    first, *others = seen["loaded"]["shares"]
    assert 0 < first < 1 and others == [1, 1, 1]


def test_words_label_and_chosen_class_are_always_those_of_one_question(seen):
    before, during, after = (seen["busy"][key] for key in ("before", "during", "after"))
    waiting = {"busy": "true", "unanswered": True, "map": False}
    assert during == before | waiting, "what is said is still about the last picture"
    assert after["thumb"] == 1 and after["target"] == "" and after["map"]
    assert after["busy"] == "false" and not after["unanswered"]
    for name in ("verdict", "truth", "first", "label"):
        assert after[name] != before[name]


def test_an_answer_that_is_awaited_is_not_hidden_behind_the_last_one(seen):
    assert seen["busy"]["visibility"] == "hidden"
    assert seen["busy"]["asking"] == "visible"


def test_an_answer_about_a_picture_that_was_replaced_meanwhile_is_not_shown(seen):
    before, during, after = (
        seen["overtaken"][key] for key in ("before", "during", "after")
    )
    assert during == before and not during["map"]
    assert after["truth"] == f"Its label: {seen['overtaken']['name']}." and after["map"]


def test_what_is_erased_before_the_first_answer_is_compared_with_the_whole_picture(
    seen,
):
    early = seen["early"]
    assert early["erased"] > 0 and early["before"] == early["expected"]
    assert early["now"] != early["before"]


def test_another_square_is_shown_once_the_last_one_is_answered(seen):
    first, second, waiting, third = seen["crop_live"]["squares"]
    assert waiting == second and len({first, second, third}) == 3
    assert "square" in seen["crop_live"]["truth"]


def test_a_pointer_that_a_script_made_is_obeyed_like_any_other(seen):
    assert 0 < seen["synthetic"]["erased"] < 0.1
    assert seen["synthetic"]["left"] == 0
    assert not seen["complaints"]


def test_everything_to_press_on_a_phone_is_as_large_as_a_thumb(seen):
    assert seen["targets"] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.jpg", "is empty: it has no bytes"),
        ("film.mp4", "is a video. Choose a picture"),
        ("logo.svg", "is an SVG drawing, which has no pixels. Save it as PNG"),
        ("IMG_2.HEIC", "is a HEIC picture, which this browser cannot read. Save it"),
        ("notes.txt", "is no picture (text/plain)"),
        ("torn.png", "is cut off: its end is missing"),
        ("cut.jpg", "is cut off: its end is missing"),
        ("wrong.png", "(image/png) cannot be read: it is damaged or too large"),
    ],
)
def test_a_file_that_cannot_be_shown_is_named_with_its_reason(seen, name, words):
    assert seen[name]["message"].startswith(f"“{name}” ")
    assert words in seen[name]["message"]
    assert seen[name]["busy"] == "false", "nothing is awaited"


@pytest.mark.parametrize(
    ("name", "side"),
    [("dot.png", [1, 1]), ("strip.png", [1500, 1]), ("huge.jpg", [1250, 1250])],
)
def test_a_picture_of_any_size_is_shown(seen, name, side):
    assert seen[name]["message"] == "" and seen[name]["side"] == side
    assert seen[name]["most"] <= 2**24, "more pixels of a canvas stay blank on iOS"
    red = np.array(seen[name]["rgb"]).reshape(-1, 3)
    assert (np.abs(red - (255, 0, 0)) <= 2).all()


def test_a_photograph_is_turned_upright_as_python_turns_it(seen, tmp_path):
    (tmp_path / "turned.jpg").write_bytes(OWN["turned.jpg"][0])
    expected, changes = read_picture(tmp_path / "turned.jpg", 32)
    assert "turned upright (EXIF)" in changes
    found = np.array(seen["turned.jpg"]["rgb"]).reshape(32, 32, 3)
    assert np.abs(found - expected.astype(int)).mean() < 3
    assert np.abs(np.rot90(found) - expected.astype(int)).mean() > 30


def test_what_is_dropped_without_a_file_is_explained(seen):
    assert "That was no file" in seen["no_file"]


def test_a_network_that_stops_leaves_no_words_that_could_be_taken_for_an_answer(seen):
    stopped = seen["stopped"]
    assert "out of memory. Reload the page" in stopped["message"]
    assert (stopped["verdict"], stopped["classes"], stopped["busy"]) == ("", 0, "false")


def test_a_long_time_is_given_in_seconds(seen):
    short, long = seen["seconds"]
    assert "took 130 ms." in short and "took 23.7 s." in long


def test_bars_and_pressed_buttons_are_seen_in_forced_colours(seen, engine):
    if engine == "webkit":
        pytest.skip("WebKitGTK has no forced colours")
    forced = seen["forced"]
    assert forced["active"] and forced["pressed"] != forced["other"]
    assert forced["bar"] != forced["paper"] and forced["frame"] == "1px"
    assert "gradient" in forced["ramp"]


def test_nothing_moves_for_who_does_not_want_it(seen, engine):
    if engine == "webkit":
        pytest.skip("WebKitGTK learns of it only from the system")
    assert seen["still"] == ["0s", "0s"]


def test_evidence_has_the_colours_of_the_books_figures(seen):
    wanted = mpl.colormaps["inferno"](np.arange(256))[:, :3] * 255
    assert np.abs(np.array(seen["colours"]) - wanted).max() < 5
