"""Pictures of other sizes and shapes: trained, resumed, evaluated, looked at."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from PIL import Image

from sightline import plots
from sightline.cli.options import pictures_for
from sightline.data.datasets import load
from sightline.data.pictures import read_picture
from sightline.data.split import Split, Splits
from sightline.errors import SightlineError
from sightline.heatmaps.layers import default_layers
from sightline.models.pretrained import IMAGENET_MEAN
from sightline.models.resnet import resnet10
from sightline.pipeline import Pipeline
from sightline.reports.picture import explain_picture
from sightline.training import parts
from sightline.training import train as module
from sightline.training.parts import build, training_loader
from sightline.training.recipe import variant
from sightline.training.recipes import RECIPES
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import range_tests, train

CPU = choose_runtime("cpu", "fp32")
RECIPE = replace(tiny.RECIPE, image_size=64, epochs=1)
PRETRAINED = replace(RECIPE, model="resnet18", start="imagenet")


def enlarged(split: Split) -> Split:
    """Make every pixel four."""
    images = split.images.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return Split(images, split.labels)


def splits() -> Splits:
    small = tiny.splits()
    parts = {n: enlarged(getattr(small, n)) for n in ("train", "validation", "test")}
    return replace(small, **parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("run")
    return train(RECIPE, splits(), out=out, **tiny.ON_CPU)


def test_a_run_knows_what_is_needed_to_rebuild_its_network(run):
    assert run.manifest["image_size"] == 64
    assert run.load_model().stem[0].stride == (2, 2)
    classifier = run.classifier(CPU)
    assert torch.equal(classifier.ask(splits().test).logits, run.test.logits)
    assert classifier.image_size == 64
    assert default_layers(classifier.model, 64) == ["layer3", "layer4"]


def test_a_run_goes_on_at_its_size(run, tmp_path):
    """Bit for bit, on one machine."""
    longer = replace(RECIPE, epochs=2)
    whole = train(longer, splits(), out=tmp_path / "whole", **tiny.ON_CPU)
    part = Run(tmp_path / "part")

    def stop(*args, **kwargs):
        yield next(fit(*args, **kwargs))
        raise KeyboardInterrupt

    fit = module.fit
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "fit", stop)
        train(longer, splits(), out=part.path, **tiny.ON_CPU)
    train(longer, splits(), out=part.path, resume=True, **tiny.ON_CPU)
    assert torch.equal(part.test.logits, whole.test.logits)


def test_a_run_that_does_not_say_its_size_is_of_32_pixels(tmp_path):
    run = train(
        replace(tiny.RECIPE, epochs=1), tiny.splits(), out=tmp_path, **tiny.ON_CPU
    )
    recipe = run.read("recipe.json")
    del recipe["image_size"], recipe["start"]
    run.write("recipe.json", recipe)
    expected = resnet10(num_classes=10).state_dict()
    assert run.load_model().stem[0].stride == (1, 1)
    assert run.load_model().state_dict().keys() == expected.keys()


def test_pictures_of_another_size_than_the_recipes_are_refused(tmp_path):
    with pytest.raises(SightlineError, match="64x64 pixels, .* image_size 32"):
        train(tiny.RECIPE, splits(), out=tmp_path / "run", **tiny.ON_CPU)
    with pytest.raises(SightlineError, match="32x32 pixels, .* image_size 64"):
        range_tests(RECIPE, tiny.splits(), CPU, seeds=(0,), num_iter=2)


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    """Pictures of two colours: class a is white at the left, b at the right."""
    folder = tmp_path_factory.mktemp("pictures") / "halves"
    for name, left in (("a", 0), ("b", 60)):
        (folder / name).mkdir(parents=True)
        for place in range(12):
            picture = Image.new("RGB", (90, 30), (place, 0, 0))
            picture.paste("white", (left, 0, left + 30, 30))
            picture.save(folder / name / f"{place}.png")
    return folder


def test_padded_pictures_are_framed_alike_from_the_recipe_to_the_explained_picture(
    halves, tmp_path, monkeypatch
):
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "data"))
    recipe = replace(tiny.RECIPE, framing="pad", epochs=1)
    padded = load(halves, framing="pad", progress=False)
    run = train(recipe, padded, out=tmp_path / "run", **tiny.ON_CPU)
    assert pictures_for(Run(tmp_path / "run"), None, None).digest == padded.digest
    assert load(halves, progress=False).digest != padded.digest
    classifier = run.classifier(CPU)
    seen, real = [], plots.heatmaps

    def draw(pictures, *arguments, **options):
        seen.append(pictures)
        return real(pictures, *arguments, **options)

    monkeypatch.setattr(plots, "heatmaps", draw)
    question = {"targets": "predicted", "against": "rest", "method": "grad_cam"}
    _, words = explain_picture(
        classifier, halves / "a/0.png", tmp_path, layers=["layer4"], **question
    )
    assert "padded to a square" in words
    expected, _ = read_picture(halves / "a/0.png", 32, "pad")
    assert (seen[0][0].numpy() == expected).all()


def test_pictures_of_another_framing_than_the_recipes_are_refused(halves, tmp_path):
    splits = load(halves, framing="pad", root=tmp_path, progress=False)
    with pytest.raises(SightlineError, match="framing pad, but the recipe has crop"):
        train(tiny.RECIPE, splits, out=tmp_path / "run", **tiny.ON_CPU)


def test_a_pipeline_pads_what_its_recipe_pads(halves, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path / "data"))
    recipe = replace(tiny.RECIPE, framing="pad")
    pipeline = Pipeline(halves, tmp_path / "out", recipe, progress=False)
    assert pipeline.splits.framing == "pad"
    assert pipeline.splits.train.images[0, 0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize(("size", "expected"), [(32, 4), (64, 8), (96, 12), (128, 16)])
def test_shift_and_hole_grow_with_the_picture(size, expected):
    recipe = variant(tiny.RECIPE, image_size=size, crop_padding=4, cutout=8)
    split = Split(torch.zeros(8, size, size, 3, dtype=torch.uint8), torch.arange(8))
    data = replace(tiny.splits(), train=split)
    augmentation = training_loader(recipe, data, CPU).augmentation
    assert augmentation.crop_padding == expected
    assert augmentation.cutout == 2 * expected
    assert augmentation.flip == recipe.augmentation.flip


@pytest.mark.processes
def test_worker_processes_cut_out_the_same_size():
    recipe = replace(RECIPE, workers=1, batch_size=8)
    images, _ = next(iter(build(recipe, splits(), CPU).train_loader))
    assert images.shape == (8, 3, 64, 64)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 48}, "image_size must be one of 32, 64, 96, 128, not 48"),
        ({"start": "imagenet", "model": "resnet34", "image_size": 64}, "be resnet18"),
        ({"start": "imagenet", "image_size": 32}, "64 up, not 32"),
        ({"start": "imagenet", "image_size": 64, "norm": "group"}, "be batch"),
        ({"start": "sightline"}, "model with start sightline must be resnet10"),
        ({"start": "moon"}, "start must be one of scratch, sightline, imagenet"),
    ],
)
def test_a_size_or_a_start_that_cannot_be_is_named(changes, message):
    with pytest.raises(SightlineError, match=message):
        replace(RECIPES["resnet18"], **changes)


def test_pretrained_weights_come_with_imagenets_statistics_and_stem(monkeypatch):
    loaded = []
    monkeypatch.setitem(parts.LOADERS, "imagenet", loaded.append)
    chosen = parts.chosen_splits(PRETRAINED, splits())
    built = build(PRETRAINED, chosen, CPU)
    assert loaded == [built.model]
    assert built.train_loader.mean == IMAGENET_MEAN
    assert built.model.stem[0].kernel_size == (7, 7)


@pytest.mark.slow
def test_going_on_needs_no_download(tmp_path, monkeypatch):
    def refuse(model):
        raise AssertionError("downloaded again")

    monkeypatch.setitem(parts.LOADERS, "imagenet", lambda model: None)
    part = Run(tmp_path)
    fit = module.fit

    def stop(*args, **kwargs):
        yield next(fit(*args, **kwargs))
        raise KeyboardInterrupt

    longer = replace(PRETRAINED, epochs=2, batch_size=64)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "fit", stop)
        train(longer, splits(), out=tmp_path, **tiny.ON_CPU)
    monkeypatch.setitem(parts.LOADERS, "imagenet", refuse)
    train(longer, splits(), out=tmp_path, resume=True, **tiny.ON_CPU)
    assert part.finished
    assert part.load_model().stem[0].kernel_size == (7, 7)
