"""Any classifier can be explained: found, loaded, checked, or refused in words."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from tiny import ON_CPU, RECIPE, splits
from torch import nn

from sightline.cli import main
from sightline.errors import DataError, SightlineError
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.models.pretrained import IMAGENET_MEAN
from sightline.training.classifier import Classifier, from_module
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

CPU = choose_runtime("cpu", "fp32")
SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True),
            nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True))
        self.fc = nn.Linear(5, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))

class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Net()

    def forward(self, x):
        return self.inner(x)

def half():
    return Net().bfloat16()

def broken():
    raise ValueError("no such file")

def maps():
    return nn.Conv2d(3, 4, 3)

class Odd(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.scale, self.change = nn.Parameter(torch.ones(3)), change

    def forward(self, x):
        return self.change(self.scale * x.mean((2, 3)))

class Sparse(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("adjacency", torch.eye(2).to_sparse())

def complex_logits():
    return Odd(lambda x: x * 1j)

def whole_logits():
    return Odd(lambda x: x.long())

def nan_logits():
    return Odd(lambda x: x / 0 * 0)

def lazy():
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(3))

made = Net(2)
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with somebody's network, a picture, and class names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text(SOURCE, encoding="utf-8")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "names.txt").write_text("cow\nsheep\ngoat\n", encoding="utf-8")
    yield tmp_path
    sys.modules.pop("mynet", None)


def network(name: str, **options) -> Classifier:
    """Somebody's network, on the CPU."""
    return from_module(name, runtime=CPU, **options)


def sightline(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_class_a_function_or_a_module_itself_is_taken(folder):
    found = network("mynet:Net", image_size=32)
    assert found.classes == ("0", "1", "2") and found.mean == IMAGENET_MEAN
    assert not found.model.training
    assert network("mynet:made", image_size=32).classes == ("0", "1")


def test_a_run_is_taken_with_its_own_normalisation(tmp_path):
    run = train(RECIPE, splits(), out=tmp_path / "run", **ON_CPU)
    classifier = Run(run.path).classifier(CPU)
    assert (classifier.mean, classifier.std) == (run.mean, run.std)
    assert classifier.image_size == 32 and not classifier.flip_average
    assert classifier.classes == run.classes and not classifier.model.training


def test_pictures_become_images_in_the_scale_of_the_training():
    identity = Classifier(nn.Identity(), (), (0.5, 0.4, 0.2), (0.5, 0.2, 0.1), 1, CPU)
    pictures = torch.tensor([255, 102, 0], dtype=torch.uint8).reshape(1, 1, 1, 3)
    images = identity.normalise(pictures)
    assert images.shape == (1, 3, 1, 1)
    assert images.flatten().tolist() == pytest.approx([1, 0, -2], abs=1e-6)


def test_the_answers_are_the_logits_of_every_picture_in_order(folder):
    classifier = network("mynet:Net", image_size=32)
    test = splits().test
    answers = classifier.ask(test)
    images = classifier.normalise(test.images)
    with torch.no_grad():
        logits = classifier.model(images)
        mirrored = classifier.model(images.flip(-1))
    torch.testing.assert_close(answers.logits, logits)
    assert torch.equal(answers.labels, test.labels)
    both = replace(classifier, flip_average=True).ask(test)
    torch.testing.assert_close(both.logits, (logits + mirrored) / 2)


def test_a_network_in_half_precision_is_taken_in_32_bits(folder):
    found = network("mynet:half", image_size=32)
    assert {weight.dtype for weight in found.model.parameters()} == {torch.float32}


def test_a_module_that_cannot_be_parsed_is_told_in_words(folder):
    (folder / "odd.py").write_text("def net(:", encoding="utf-8")
    with pytest.raises(SightlineError, match="'odd' cannot be imported.*odd.py"):
        network("odd:net")


def test_the_names_decide_how_many_classes_are_made(folder):
    (folder / "two.txt").write_text("cow\nsheep", encoding="utf-8")
    found = network("mynet:Net", classes=folder / "two.txt", image_size=32)
    assert found.classes == ("cow", "sheep") and found.model.fc.out_features == 2


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_are_loaded_from_either_kind_of_file(folder, ending):
    source = network("mynet:Net", image_size=32).model
    file = folder / f"w.{ending}"
    if ending == "pt":
        torch.save({"state_dict": source.state_dict()}, file)
    else:
        save_file({k: v.contiguous() for k, v in source.state_dict().items()}, file)
    found = network("mynet:Net", weights=file, image_size=32).model
    for key, value in source.state_dict().items():
        assert torch.equal(found.state_dict()[key], value)


def test_weights_of_another_network_are_named_key_by_key(folder):
    state = network("mynet:Net", image_size=32).model.state_dict()
    state = {name: value.contiguous() for name, value in state.items()}
    state["other"] = state.pop("fc.bias")
    state["fc.weight"] = torch.zeros(3, 9)
    save_file(state, folder / "w.safetensors")
    with pytest.raises(SightlineError) as caught:
        network("mynet:Net", weights=folder / "w.safetensors", image_size=32)
    said = str(caught.value)
    assert "fc.bias is missing; other is unknown" in said
    assert "fc.weight has the shape (3, 9), not (3, 5)" in said


def test_a_file_that_would_run_code_is_not_loaded(folder):
    torch.save(network("mynet:Net", image_size=32).model, folder / "whole.pt")
    with pytest.raises(DataError, match="expected safetensors, or a state dict"):
        network("mynet:Net", weights=folder / "whole.pt", image_size=32)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonet:Net", "'nonet' cannot be imported"),
        ("mynet:Nett", "expected an nn.Module or a function"),
        ("mynet:number", "is of the type int"),
        ("mynet:broken", r"mynet:broken\(\) failed: no such file"),
        ("mynet:maps", r"gives \(1, 4, 30, 30\), expected logits"),
        ("mynet:complex_logits", "numbers of the type torch.complex64, expected"),
        ("mynet:whole_logits", "numbers of the type torch.int64, expected logits"),
        ("mynet:nan_logits", "answers NaN or infinity"),
        ("mynet:lazy", "1.weight of mynet:lazy has no shape yet"),
        ("mynet:Sparse", "adjacency of mynet:Sparse is sparse"),
        ("torch.nn:Identity", "torch.nn:Identity has no weights"),
        ("torch.nn:Flatten", "torch.nn:Flatten has no weights"),
        ("builtins:dict", "is of the type dict"),
        ("builtins:type", r"builtins:type\(\) failed"),
    ],
)
def test_what_is_no_classifier_is_refused_in_words(folder, name, said):
    with pytest.raises(SightlineError, match=said):
        network(name, image_size=32)


def test_a_size_that_the_network_cannot_take_is_named(folder):
    with pytest.raises(SightlineError, match="2×2 pixels.*--image-size"):
        network("mynet:Net", image_size=2)


@pytest.mark.parametrize("size", [-5, 0, 100_000])
def test_a_size_that_no_picture_has_is_refused_before_it_fills_the_memory(folder, size):
    with pytest.raises(SightlineError, match=rf"must lie in 1\.\.2048 .*, not {size}"):
        network("mynet:Net", image_size=size)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"std": (0.0, 0.0, 0.0)}, "std must be three numbers above 0"),
        ({"std": (1.0, float("nan"), 1.0)}, "std must be three numbers above 0"),
        ({"std": (1.0, float("inf"), 1.0)}, "std must be three numbers above 0"),
        ({"mean": (float("nan"), 0.0, 0.0)}, r"mean must be three numbers in 0\.\.1"),
        ({"mean": (123.7, 116.3, 103.5)}, r"mean must be three numbers in 0\.\.1"),
    ],
)
def test_a_normalisation_that_means_nothing_is_refused(folder, options, said):
    with pytest.raises(SightlineError, match=said):
        network("mynet:Net", image_size=32, **options)


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weight: weight.to(torch.int8), "fc.weight is integer, not floating"),
        (lambda weight: weight * 1j, "fc.weight is complex, not floating point"),
        (lambda weight: weight.to_sparse(), "fc.weight is sparse or quantised, not"),
        (lambda weight: weight * torch.nan, "fc.weight in .*w.pt holds NaN or"),
        (lambda weight: weight / 0, "fc.weight in .*w.pt holds NaN or infinity"),
    ],
)
def test_weights_that_cannot_be_right_are_named(folder, change, said):
    state = network("mynet:Net", image_size=32).model.state_dict()
    torch.save({**state, "fc.weight": change(state["fc.weight"])}, folder / "w.pt")
    with pytest.raises(SightlineError, match=said):
        network("mynet:Net", weights=folder / "w.pt", image_size=32)


def test_weights_in_half_precision_are_taken(folder):
    state = network("mynet:Net", image_size=32).model.state_dict()
    torch.save({k: v.half() for k, v in state.items()}, folder / "w.pt")
    loaded = network("mynet:Net", weights=folder / "w.pt", image_size=32).model
    torch.testing.assert_close(
        dict(loaded.state_dict()), dict(state), atol=1e-3, rtol=0
    )


def test_answers_of_nan_are_no_answers(folder):
    classifier = network("mynet:Net", image_size=32)
    classifier.model.fc.bias.data[1] = torch.inf
    pictures = splits().test
    for ask in (
        lambda: classifier.ask(pictures),
        lambda: classifier.logits(classifier.normalise(pictures.images)),
    ):
        with pytest.raises(SightlineError, match="answers NaN or infinity"):
            ask()


def test_the_command_says_that_a_std_of_0_means_nothing(folder):
    arguments = ["explain", "mynet:Net", "photo.png", "--image-size", 48]
    done = sightline(*arguments, "--std", 0, 0, 0)
    assert done.exit_code == 1 and "std must be three numbers above 0" in done.output
    assert not (folder / "explanations").exists()


def test_names_that_are_too_few_or_missing_are_told(folder):
    (folder / "two.txt").write_text("cow\nsheep", encoding="utf-8")
    with pytest.raises(SightlineError, match="names 2 classes, but .* has 3 logits"):
        network("mynet:Nested", classes=folder / "two.txt", image_size=32)
    with pytest.raises(DataError, match="one name a line"):
        network("mynet:Net", classes=folder / "none.txt", image_size=32)


def test_the_outermost_parts_that_give_maps_are_looked_at(folder):
    made = network("mynet:Net", image_size=32).model
    assert default_layers(made, 32) == ["features.1", "features"]  # 30×30, 28×28
    nested = network("mynet:Nested", image_size=32).model
    assert default_layers(nested, 32) == ["inner.features.1", "inner.features"]
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48, 2))
    with pytest.raises(SightlineError, match="no part of this Sequential gives maps"):
        default_layers(flat, 4)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet1_1", ["features.7", "features"]),
        ("mobilenet_v2", ["features.13", "features"]),
        ("regnet_y_400mf", ["trunk_output.block3", "trunk_output"]),
    ],
)
def test_torchvisions_networks_are_looked_at_where_the_size_of_maps_changes(
    name, layers
):
    build = getattr(pytest.importorskip("torchvision.models"), name)
    assert default_layers(build(), 64) == layers


def test_a_pooling_at_the_end_is_not_looked_at():
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)]
    parts += [nn.Conv2d(4, 5, 3), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(nn.Sequential(*parts), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, 3, 32, 32))
    assert default_layers(model, 32) == ["0.1", "0.4"]


def test_torchvisions_resnet_is_explained_at_whole_blocks():
    torchvision = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = torchvision.resnet18().eval()
    layers = default_layers(model, 64)
    assert layers == ["layer3", "layer4"]
    images = torch.randn(2, 3, 64, 64)
    found = explain(model, images, layers=layers, targets=7)["layer4"]
    # at the last block the evidence adds up to the logit, without its bias
    channels = model.layer4(
        model.layer3(
            model.layer2(
                model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(images)))))
            )
        )
    )
    total = (channels * model.fc.weight[7][:, None, None]).sum(1) / 4
    torch.testing.assert_close(found.evidence, total.relu(), rtol=1e-4, atol=1e-6)


def test_the_command_explains_a_network_of_the_current_folder(folder):
    arguments = ["--classes", "names.txt", "--image-size", 48, "--target", "goat"]
    arguments += ["--against", "cow", "--method", "layer_cam"]
    done = sightline("explain", "mynet:Net", "photo.png", *arguments)
    assert done.exit_code == 0, done.output
    assert "no --weights given" in done.output
    assert (folder / "explanations" / "photo-layer_cam.png").exists()


def test_the_command_explains_torchvisions_resnet_at_224_pixels(folder):
    done = sightline("explain", "torchvision.models:resnet18", "photo.png")
    assert done.exit_code == 0, done.output
    assert (folder / "explanations" / "photo-grad_cam.png").exists()


def test_the_command_explains_against_the_rest_unless_it_is_told_otherwise(folder):
    arguments = ["explain", "mynet:made", "photo.png", "--image-size", 48]  # 2 classes
    arguments += ["--target", "0"]
    answers = {}
    for against in ("", "rest", "1", "0", "nothing"):
        option = ["--against", against] if against else []
        done = sightline(*arguments, *option)
        assert done.exit_code == 0, done.output
        answers[against] = done.output.split("score ")[1].split(" →")[0]
    assert answers[""] == answers["rest"] == answers["1"]  # of two classes
    assert answers["0"].startswith("0;") and answers["0"] != answers["nothing"]
    assert answers["nothing"] != answers["rest"]
    done = sightline(*arguments, "--against", "cat")
    assert "unknown --against 'cat'; rest, nothing, predicted, or one of" in done.output


def test_options_of_a_foreign_network_are_refused_for_a_run(folder):
    done = sightline("explain", "some/run", "photo.png", "--image-size", 64)
    assert done.exit_code == 1
    assert "--image-size describes a network given as module:attribute" in done.output
