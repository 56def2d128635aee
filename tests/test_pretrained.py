"""Weights to start from: they come with the library, or they are torchvision's."""

import json
import socket
from dataclasses import asdict, replace

import pytest
import tiny
import torch
from safetensors import safe_open
from torchvision.models import ResNet18_Weights, resnet18

from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.models.pretrained import (
    SIGHTLINE_FILE,
    SIGHTLINE_MEAN,
    SIGHTLINE_STD,
    load_imagenet,
    load_sightline,
    rename,
)
from sightline.models.resnet import STEMS, resnet10
from sightline.training.choices import choose_start
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.runtime import choose_runtime
from sightline.training.train import train


@pytest.fixture
def theirs():
    """A ResNet-18 of torchvision whose statistics are not those of a new one."""
    torch.manual_seed(0)
    model = resnet18()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def ours():
    return build_model("resnet18", num_classes=7, image_size=64, start="imagenet")


def features(model, images):
    """What comes before the head, (B, 512)."""
    kept = []
    name = "fc" if hasattr(model, "fc") else "head"
    hook = getattr(model, name).register_forward_pre_hook(
        lambda module, inputs: kept.append(inputs[0])
    )
    with torch.no_grad():
        model.eval()(images)
    hook.remove()
    return kept[0]


def test_features_are_torchvisions_and_the_head_is_our_own(theirs, monkeypatch):
    state = theirs.state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *a, **k: state)
    model = ours()
    head = model.head.weight.detach().clone()
    load_imagenet(model)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(
        features(model, images), features(theirs, images), atol=1e-5, rtol=1e-5
    )
    assert torch.equal(model.head.weight, head)
    assert model.head.out_features == 7


def test_every_weight_but_the_heads_has_a_place(theirs):
    own = {k for k in ours().state_dict() if not k.startswith("head.")}
    assert set(rename(theirs.state_dict())) == own


def test_the_download_is_verified_and_never_unpickled(theirs, monkeypatch):
    asked = {}

    def get(self, **options):
        asked.update(options)
        return theirs.state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get)
    load_imagenet(ours())
    assert asked["check_hash"] and asked["weights_only"]


def test_without_a_network_the_message_names_the_file_and_the_way_without(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("name resolution failed")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fail)
    with pytest.raises(SightlineError, match="name resolution failed") as raised:
        load_imagenet(ours())
    assert "resnet18-f37072fd.pth" in str(raised.value)
    assert "choose --start sightline" in str(raised.value)


def test_a_download_that_has_changed_since_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"almost the weights")
    with pytest.raises(SightlineError, match=f"{file} is damaged.*begin with f37072fd"):
        load_imagenet(ours())
    assert file.read_bytes() == b"almost the weights"


STARTED = replace(tiny.RECIPE, start="sightline", epochs=1)


def metadata():
    """What the file of our own weights says of them."""
    with safe_open(SIGHTLINE_FILE, framework="pt") as file:
        return json.loads(file.metadata()["sightline"])


def test_our_own_weights_are_small_and_say_what_they_were_trained_on():
    about = metadata()
    assert SIGHTLINE_FILE.stat().st_size < 1.5e6
    assert about["data"] == "cifar10" and len(about["digest"]) == 16
    assert about["epochs"] > 0 and about["revision"] and "seed" in about
    assert about["test_accuracy"] > 0.8


def test_their_statistics_are_those_of_the_pictures_that_trained_them():
    assert metadata()["mean"] == pytest.approx(SIGHTLINE_MEAN, abs=1e-4)
    assert metadata()["std"] == pytest.approx(SIGHTLINE_STD, abs=1e-4)
    splits = chosen_splits(STARTED, tiny.splits())
    assert (splits.mean, splits.std) == (SIGHTLINE_MEAN, SIGHTLINE_STD)


def test_a_training_starts_from_them_without_a_network(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    runtime = choose_runtime("cpu", "fp32")
    splits = chosen_splits(STARTED, tiny.splits())
    first, other = (
        build(replace(STARTED, seed=seed), splits, runtime).model for seed in (0, 1)
    )
    others = other.state_dict()
    for name, weights in first.state_dict().items():
        assert torch.equal(weights, others[name]) == (not name.startswith("head."))
    run = train(STARTED, tiny.splits(), out=tmp_path, **tiny.ON_CPU)
    assert run.recipe.start == "sightline"
    assert run.mean == SIGHTLINE_MEAN


@pytest.mark.parametrize("stem", STEMS)
def test_they_fit_the_stem_of_every_size(stem):
    load_sightline(resnet10(num_classes=3, stem=stem))


def test_the_stem_of_large_pictures_sees_in_a_doubled_picture_what_the_small_one_saw():
    small = resnet10(num_classes=3)
    large = resnet10(num_classes=3, stem="imagenet")
    load_sightline(small)
    load_sightline(large)
    images = torch.rand(2, 3, 32, 32)
    doubled = torch.nn.functional.interpolate(images, scale_factor=2)
    with torch.no_grad():
        torch.testing.assert_close(large.stem[0](doubled), small.stem[0](images))


def test_recipes_of_before_the_start_had_a_name_are_read():
    recorded = asdict(replace(tiny.RECIPE, model="resnet18", image_size=64))
    del recorded["start"]
    recipes = [
        Recipe.from_json({**recorded, "pretrained": value}) for value in (True, False)
    ]
    assert [recipe.start for recipe in recipes] == ["imagenet", "scratch"]
    assert Recipe.from_json(recorded).start == "scratch"


@pytest.mark.parametrize(
    ("changes", "images", "start", "why"),
    [
        ({}, 500, "sightline", "50 pictures of a class"),
        ({}, 510, "scratch", "51 pictures of a class"),
        ({"start": "sightline"}, 510, "sightline", "the recipe's own"),
        ({"model": "resnet18"}, 50, "scratch", "no others fit resnet18"),
        ({"norm": "group"}, 50, "scratch", "no others fit"),
    ],
)
def test_few_pictures_start_from_them_where_they_fit(changes, images, start, why):
    choice = choose_start(replace(tiny.RECIPE, **changes), images, 10)
    assert choice.value == start and why in choice.why
