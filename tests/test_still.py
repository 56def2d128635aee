"""The still of the live demo: which picture, what it shows, what it says."""

import gzip
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.data.pictures import read_picture
from sightline.errors import SightlineError
from sightline.export.assets import copy_network
from sightline.export.page import fragment
from sightline.export.still import Still, clearest, draw_still
from sightline.plots.overlay import overlay

onnxruntime = pytest.importorskip("onnxruntime")
DEMO = Path(__file__).parents[1] / "book" / "results" / "demo"
ABOUT = json.loads((DEMO / "model.json").read_bytes())


@pytest.fixture(scope="module")
def still() -> Still:
    """The still of the committed network."""
    return draw_still(DEMO)


def made(label: str, predicted: str, *evidence: float) -> Still:
    """A still of two by two pixels."""
    picture = np.full((2, 2, 3), 7, np.uint8)
    heatmap = np.array(evidence, np.float32).reshape(2, 2)
    return Still(0, label, predicted, 0.5, picture, heatmap)


def test_a_still_shows_a_built_in_picture_beside_its_heatmap(still):
    entry, size = ABOUT["pictures"][still.number], ABOUT["image_size"]
    picture, _ = read_picture(DEMO / entry["file"], size)
    session = onnxruntime.InferenceSession(
        gzip.decompress((DEMO / "model.onnx.gz").read_bytes())
    )
    image = picture.transpose(2, 0, 1)[None] / np.float32(255)
    nobody = np.zeros((1, len(ABOUT["classes"])), np.float32)
    logits, *maps = session.run(None, {"image": image, "target": nobody})
    assert still.label == entry["class"]
    assert still.predicted == ABOUT["classes"][logits.argmax()]
    assert still.confidence == pytest.approx(
        np.exp(logits).max() / np.exp(logits).sum(), rel=1e-5
    )
    colours, opacity = still.pixels[..., :3], still.pixels[..., 3]
    np.testing.assert_array_equal(colours[:, :size], picture)
    heated = overlay(picture.copy(), maps[-1]).numpy()
    np.testing.assert_array_equal(colours[:, -size:], heated)
    assert (opacity == 255).sum() == 2 * size * size


def test_of_all_stills_that_is_chosen_which_is_right_and_most_definite(still):
    wrong, blank = made("cat", "dog", 1, 0, 0, 0), made("cat", "cat", 0, 0, 0, 0)
    wide, narrow = made("cat", "cat", 1, 1, 1, 0), made("cat", "cat", 0, 1, 0, 0)
    assert clearest([wrong, blank, wide, narrow]) is narrow
    assert clearest([wrong, blank]) is blank
    assert still.predicted == still.label


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [(0, 0, "in the upper left"), (4, 2, "on the right"), (2, 4, "at the bottom")],
)
def test_the_alternative_text_says_what_there_is_to_see(x, y, place):
    heatmap = np.zeros((5, 5), np.float32)
    heatmap[y, x] = 1
    words = replace(made("cat", "dog", 0, 0, 0, 0), heatmap=heatmap).alt
    assert words.startswith("A picture of 5 by 5 pixels, labelled cat. Beside it the")
    assert words.endswith(f"heatmap for dog, which is brightest {place}.")


def test_a_map_without_evidence_is_brightest_nowhere():
    assert made("cat", "dog", 0, 0, 0, 0).alt.endswith("dog, which shows no evidence.")


def test_a_demo_begins_with_the_picture_of_its_still(still):
    page = fragment(ABOUT, "folder/", still)
    assert f'src="folder/still.png" alt="{still.alt}"' in page
    assert f'data-first="{still.number}"' in page
    assert f"{still.predicted}, {still.confidence:.0%} sure." in page
    assert "still.png" not in fragment(ABOUT, "folder/")


def test_without_onnxruntime_a_still_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SightlineError, match="pip install onnxruntime"):
        draw_still(DEMO)


@pytest.mark.parametrize("name", ["model.onnx.gz", "model.json", "pictures/03.png"])
def test_a_network_is_not_copied_without_all_that_its_page_shows(name, tmp_path):
    export = shutil.copytree(DEMO, tmp_path / "export")
    copy_network(export, tmp_path / "whole")
    for path in DEMO.rglob("*.*"):
        copy = tmp_path / "whole" / path.relative_to(DEMO)
        assert copy.read_bytes() == path.read_bytes()
    (export / name).unlink()
    with pytest.raises(SightlineError, match=f"has no {name}: .* book run demo"):
        copy_network(export, tmp_path / "part")
