"""Exports: rounded weights, one graph for logits and heatmaps, a whole folder."""

import gzip
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from exported import exported
from torch import nn

from sightline.data.transforms import normalise
from sightline.errors import RunError, SightlineError
from sightline.export.export import export
from sightline.export.graph import Explained, onnx_model
from sightline.export.page import whole_page
from sightline.export.rounding import fold_batch_norms, round_weight, round_weights
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.measures.conformal import Thresholds
from sightline.models import build_model
from sightline.training.classifier import Classifier
from sightline.training.runtime import choose_runtime

onnxruntime = pytest.importorskip("onnxruntime")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def ask(graph: bytes, image: torch.Tensor, target: int | None, classes: int):
    """Ask a graph about one picture (3, H, W) in 0..1; None: the predicted class."""
    wanted = np.zeros((1, classes), np.float32)
    if target is not None:
        wanted[0, target] = 1
    session = onnxruntime.InferenceSession(graph)
    return session.run(None, {"image": image[None].numpy(), "target": wanted})


def with_statistics(model: nn.Module, size: int) -> nn.Module:
    """Give batch norms means and variances of their own, and gains that differ."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.weight.requires_grad:
            nn.init.uniform_(module.weight, 0.5, 1.5)
    with torch.no_grad():
        model.train()(torch.randn(16, 3, size, size))
    return model.eval()


def test_three_bits_are_the_multiples_of_a_third_of_the_largest_weight():
    rounded = round_weight(torch.tensor([[3.0, -1.4, 0.4, 1.6], [0.0, 0, 0, 0]]), 3)
    assert rounded.levels.tolist() == [[3, -1, 0, 2], [0, 0, 0, 0]]
    assert rounded.weight().tolist() == [[3, -1, 0, 2], [0, 0, 0, 0]]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounding_moves_no_weight_by_more_than_half_a_step(bits):
    weight = torch.randn(5, 4, 3, 3)
    rounded = round_weight(weight, bits)
    half = weight.abs().amax((1, 2, 3), keepdim=True) / (2 ** (bits - 1) - 1) / 2
    assert ((rounded.weight() - weight).abs() <= half * 1.0001).all()
    assert rounded.levels.abs().max() == 2 ** (bits - 1) - 1


def test_rounding_twice_changes_nothing():
    once = round_weight(torch.randn(5, 4, 3, 3), 4)
    again = round_weight(once.weight(), 4)
    assert torch.equal(again.levels, once.levels)


def test_small_layers_keep_eight_bits():
    model = build_model("resnet18", num_classes=10)
    rounded = round_weights(model, 4)
    assert rounded["layer4.1.conv2.weight"].levels.abs().max() == 7
    for name in ("stem.0.weight", "head.weight"):
        assert rounded[name].levels.abs().max() == 127
    assert torch.equal(model.head.weight, rounded["head.weight"].weight())


def test_folded_batch_norms_leave_the_logits_and_the_original_alone():
    model = with_statistics(build_model("resnet10", num_classes=5), 32)
    images = torch.randn(4, 3, 32, 32)
    folded = fold_batch_norms(model)
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_that_follows_no_convolution_stays():
    model = with_statistics(build_model("dilated_net", num_classes=5), 32)
    images = torch.randn(4, 3, 32, 32)
    folded = fold_batch_norms(model)
    assert any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(images), model(images), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
# max-pooling and norms that are computed from maps; dilation, groups, norms that stay
@pytest.mark.parametrize(
    ("name", "norm"), [("fast_net", "group"), ("dilated_net", "batch")]
)
def test_the_graph_says_what_torch_says(name, norm):
    size = 32
    model = build_model(name, num_classes=5, norm=norm, image_size=size)
    model = fold_batch_norms(with_statistics(model, size))
    rounded = round_weights(model, 4)
    layers = default_layers(model, size)
    runtime = choose_runtime("cpu", "fp32")
    classifier = Classifier(model, tuple("abcde"), MEAN, STD, size, runtime)
    network = Explained(classifier, layers)
    graph = onnx_model(network, rounded)
    image = torch.rand(3, size, size)
    batch = normalise(image[None], MEAN, STD)
    for target in (None, 3):
        logits, *maps = ask(graph, image, target, 5)
        torch.testing.assert_close(
            torch.from_numpy(logits), model(batch).detach(), rtol=1e-4, atol=1e-5
        )
        wanted = explain(
            model, batch, layers=layers, targets="predicted" if target is None else 3
        )
        for layer, found in zip(layers, maps, strict=True):
            difference = wanted[layer].heatmaps[0] - torch.from_numpy(found)
            assert difference.abs().max() < 1e-3, layer
    assert (
        len(graph)
        < 1.3
        * sum(
            r.levels.numel() * (1 if r.levels.abs().max() > 7 else 0.5)
            for r in rounded.values()
        )
        + 60_000
    ), "forward and backward share their weights"


def test_the_graph_calls_even_and_blank_what_explain_calls_so():
    model, small = with_statistics(build_model("resnet10", num_classes=5), 32), 8
    runtime = choose_runtime("cpu", "fp32")
    classifier = Classifier(model, tuple("abcde"), MEAN, STD, small, runtime)
    network = Explained(classifier, ["layer3", "layer4"])
    images = torch.rand(8, 3, small, small)
    targets = torch.arange(8) % 5
    batch = normalise(images, MEAN, STD)
    expected = explain(model, batch, layers=network.layers, targets=targets)
    assert {"even", "blank"} == set(expected["layer4"].status)  # maps of 1×1
    for i, target in enumerate(F.one_hot(targets, 5).float()):
        _, *maps = network(network.state, images[i : i + 1], target[None])
        for layer, heatmap in zip(network.layers, maps, strict=True):
            torch.testing.assert_close(heatmap, expected[layer].heatmaps[i])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run, what `export` returned, and the folder."""
    return exported(tmp_path_factory.mktemp("export"))


@pytest.mark.slow
def test_an_export_is_a_site_of_its_own(done):
    run, about, folder = done
    for name in ("index.html", "demo.mjs", "demo.css", "ort/LICENSE", "model.onnx.gz"):
        assert (folder / name).exists(), name
    assert json.loads((folder / "model.json").read_bytes()) == about
    assert about["classes"] == list(run.classes)
    assert about["bytes"]["model"] == (folder / "model.onnx.gz").stat().st_size
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "{{" not in page and "{%" not in page
    assert f"Weights in 4 bits: {about['accuracy']['after']:.2%} of" in page


@pytest.mark.slow
def test_names_of_classes_cannot_write_html(done):
    _, about, _ = done
    hostile = {**about, "classes": ["<b>"], "run": "<i>"}
    hostile["pictures"] = [{"file": 'x" onerror="alert(1)', "class": '<script>"'}]
    text = whole_page(hostile)
    for tag in ("<b>", "<i>", "<script>", 'x" onerror'):
        assert tag not in text
    assert "these classes: &lt;b&gt;." in text and "&lt;i&gt;: " in text


@pytest.mark.slow
def test_accuracies_are_those_of_the_test_images(done):
    run, about, _ = done
    assert about["accuracy"]["images"] == 20
    assert about["accuracy"]["before"] == pytest.approx(run.test.accuracy)


@pytest.mark.slow
def test_thresholds_of_the_page_are_those_of_the_rounded_network(done):
    run, about, _ = done
    classifier = run.classifier(choose_runtime("cpu", "fp32"))
    model = fold_batch_norms(classifier.model)
    own = Thresholds.of(replace(classifier, model=model).ask(tiny.splits().validation))
    round_weights(model, 4)
    rounded = replace(classifier, model=model).ask(tiny.splits().validation)
    assert about["prediction_sets"] == asdict(Thresholds.of(rounded))
    assert about["prediction_sets"]["scores"] != own.scores


@pytest.mark.slow
def test_the_built_in_pictures_are_test_pictures_one_a_class(done):
    from sightline.data.pictures import read_picture

    _, about, folder = done
    test = tiny.splits().test
    for entry in about["pictures"]:
        pixels, changes = read_picture(folder / entry["file"], 32)
        (places,) = (test.images.numpy() == pixels).all((1, 2, 3)).nonzero()
        label = test.labels[places[0]].item()
        assert about["classes"][label] == entry["class"] and not changes
    names = [entry["class"] for entry in about["pictures"]]
    there = [about["classes"][label] for label in test.labels.unique().tolist()]
    assert len(names) == 10 and names[: len(there)] == there


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes(done, tmp_path):
    """Bit for bit, on one machine."""
    run, _, folder = done
    export(run, tiny.splits(), tmp_path / "again")
    for path in folder.rglob("*"):
        if path.is_file():
            other = tmp_path / "again" / path.relative_to(folder)
            assert path.read_bytes() == other.read_bytes(), path


@pytest.mark.slow
def test_an_export_that_fails_leaves_the_old_one(done, monkeypatch):
    run, _, folder = done
    before = (folder / "model.onnx.gz").read_bytes()
    monkeypatch.setattr("sightline.export.export.onnx_model", lambda *_: b"graph")

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("sightline.export.export.whole_page", full)
    with pytest.raises(RunError, match="No space left"):
        export(run, tiny.splits(), folder)
    assert (folder / "model.onnx.gz").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()].count("page") == 1
    assert not list(folder.parent.glob(".*"))


@pytest.mark.slow
def test_a_folder_that_is_no_export_is_refused(done, tmp_path):
    run, _, _ = done
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="no export"):
        export(run, tiny.splits(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["site", "file", "in/file"])
def test_a_place_that_cannot_be_an_export_is_refused_before_anything_is_computed(
    place, done, tmp_path, monkeypatch
):
    """Also TensorFlow.js and Keras call a file model.json."""
    monkeypatch.setattr("sightline.export.export.onnx_model", None)  # would fail
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "model.json").write_text("{}", encoding="utf-8")
    (tmp_path / "site" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="another --out"):
        export(done[0], tiny.splits(), tmp_path / place.replace("in/file", "file/in"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == [
        *("file", "model.json", "site", "thesis.tex")
    ]


@pytest.mark.slow
def test_an_export_again_keeps_what_was_added_even_in_the_current_folder(
    done, tmp_path, monkeypatch
):
    run, _, folder = done
    own = shutil.copytree(folder, tmp_path / "page")
    (own / ".git").mkdir()
    for name in (".git/HEAD", "CNAME", "pictures/mine.png"):
        (own / name).write_text("mine", encoding="utf-8")
    (own / "index.html").write_text("old", encoding="utf-8")
    monkeypatch.setattr("sightline.export.export.onnx_model", lambda *_: b"graph")
    monkeypatch.chdir(own)
    export(run, tiny.splits(), ".")
    for name in (".git/HEAD", "CNAME", "pictures/mine.png"):
        assert (own / name).read_text(encoding="utf-8") == "mine"
    assert "<h1>" in (own / "index.html").read_text(encoding="utf-8")
    assert not list(own.glob("*.partial")) + list(own.glob(".*.partial"))


@pytest.mark.slow
def test_pictures_of_other_classes_are_refused(done, tmp_path):
    run, _, _ = done
    splits = replace(tiny.splits(), classes=("cat", "dog"))
    with pytest.raises(RunError, match="cat, dog"):
        export(run, splits, tmp_path / "page")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 9])
def test_other_bits_are_refused(done, tmp_path, bits):
    with pytest.raises(SightlineError, match=f"{bits} bits .* choose 2 to 8"):
        export(done[0], tiny.splits(), tmp_path / "page", bits=bits)


@pytest.mark.slow
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    done, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript.optimizer", None)
    with pytest.raises(SightlineError, match=r"pip install 'sightline\[export\]'"):
        export(done[0], tiny.splits(), tmp_path / "page")


@pytest.mark.slow
def test_the_stored_graph_holds_rounded_weights(done):
    onnx = pytest.importorskip("onnx")
    _, about, folder = done
    graph = onnx.load_from_string(
        gzip.decompress((folder / "model.onnx.gz").read_bytes())
    ).graph
    assert [value.name for value in graph.input] == ["image", "target"]
    layers = [layer["name"] for layer in about["layers"]]
    assert [value.name for value in graph.output] == ["logits", *layers]
    kinds = {t.data_type for t in graph.initializer if t.name.endswith("_levels")}
    assert kinds <= {onnx.TensorProto.INT4, onnx.TensorProto.INT8}
    assert len([n for n in graph.node if n.op_type == "DequantizeLinear"]) == 13
