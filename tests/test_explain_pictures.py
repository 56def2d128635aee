"""The command explain: its figures overwrite nothing, hide no cut, and are no NaN."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny import ON_CPU, RECIPE, splits
from torch import nn

from sightline.cli import main
from sightline.errors import SightlineError
from sightline.plots.overlay import framed
from sightline.reports.picture import free_place
from sightline.training.classifier import Classifier, from_module
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

CPU = choose_runtime("cpu", "fp32")
FOREIGN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

class Whole(Net):
    def forward(self, x):
        return super().forward(x).long()

class Complex(Net):
    def forward(self, x):
        return super().forward(x) * 1j

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    return train(RECIPE, splits(), out=out, **ON_CPU).path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "foreign.py").write_text(FOREIGN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    picture(tmp_path / "red.png")
    return tmp_path


def picture(file: Path, size: tuple[int, int] = (32, 32)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 0, 0)).save(file)
    return file


def command(*words: object):
    return CliRunner().invoke(main, ["explain", *map(str, words)], terminal_width=80)


def test_every_picture_has_a_figure_of_its_own_and_an_earlier_one_stays(run, tmp_path):
    names = ("a/1.png", "b/1.png", "b/1.jpg")
    pictures = [picture(tmp_path / name) for name in names]
    out = tmp_path / "out"
    out.mkdir()
    (out / "1-grad_cam.png").write_text("a figure of mine", encoding="utf-8")
    done = command(run, *pictures, "--out", out)
    assert done.exit_code == 0
    assert (out / "1-grad_cam.png").read_text(encoding="utf-8") == "a figure of mine"
    files = [out / f"1-grad_cam-{number}.png" for number in (2, 3, 4)]
    assert set(out.iterdir()) == {out / "1-grad_cam.png", *files}
    for line, file in zip(done.stdout.splitlines(), files, strict=True):
        assert line.endswith(f"→ {file}")


@pytest.mark.parametrize("name", ["n" * 251, "ř" * 125, "漢" * 83, "caf\udce9"])
def test_the_name_of_a_figure_fits_on_any_drive(name, tmp_path):
    file = free_place(tmp_path, name, "grad_cam_plus_plus")
    assert len(os.fsencode(file.name)) < 230  # beside it a partial file is written
    file.with_name(f".{file.name}.01234567.partial").touch()
    file.touch()
    assert free_place(tmp_path, name, "grad_cam_plus_plus") != file


def test_what_was_cut_off_is_seen_beside_the_square(run, tmp_path):
    wide = picture(tmp_path / "wide.png", (90, 30))
    square = picture(tmp_path / "square.png", (40, 40))
    done = command(run, wide, square, "--out", tmp_path)
    assert "cut to the middle square" in done.stdout.splitlines()[0]
    assert "cut to" not in done.stdout.splitlines()[1]
    pixels = framed(np.full((30, 90, 3), 7, np.uint8))
    assert pixels.shape == (90, 90, 4)
    opacity = pixels[45, :, 3]
    assert (opacity[30:60] == 255).all() and (opacity[:30] < 128).all()
    assert not pixels[:30, :, 3].any()


def test_a_network_that_says_nan_explains_nothing(run, tmp_path):
    weights = run / "weights.safetensors"
    whole = weights.read_bytes()
    tensors = load_file(weights)
    try:
        save_file({k: v * torch.nan for k, v in tensors.items()}, weights)
        done = command(run, picture(tmp_path / "red.png"), "--out", tmp_path / "out")
    finally:
        weights.write_bytes(whole)
    assert done.exit_code == 1
    assert "nan%" not in done.output
    assert not (tmp_path / "out").exists()


def test_a_network_that_says_nan_is_not_evaluated(run):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    model[1].bias.data[3] = torch.inf
    classifier = Classifier.trained_on(splits(), model, CPU)
    with pytest.raises(SightlineError, match="NaN or infinity"):
        classifier.ask(splits().test)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["foreign:Net", "--std", "0", "0", "0"], "std must be three numbers above 0"),
        (
            ["foreign:Net", "--mean", "nan", "0", "0"],
            "mean must be three numbers in 0..1",
        ),
        (["torch.nn:Identity"], "has no weights"),
        (["torch.nn:Flatten"], "has no weights"),
        (["foreign:lazy"], "has no shape yet"),
        (["foreign:Whole"], "expected logits"),
        (["foreign:Complex"], "expected logits"),
        (["builtins:dict"], "of the type dict"),
        (["builtins:type"], "failed"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_what_cannot_be_explained_is_refused_in_one_sentence(folder, words, message):
    done = command(*words[:1], "red.png", *words[1:], "--image-size", "32")
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert message in done.stderr
    assert not (folder / "explanations").exists()


@pytest.mark.parametrize("size", ["-5", "0", "100000"])
def test_a_size_that_no_picture_has_is_refused(folder, size):
    done = command("foreign:Net", "red.png", "--image-size", size)
    assert done.exit_code == 1 and "--image-size must lie in 1..2048" in done.stderr


@pytest.mark.filterwarnings("ignore:Validating sparse tensor:UserWarning")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: (100 * weight).to(torch.int8), "integer"),
        (lambda weight: weight * 1j, "complex"),
        (lambda weight: weight.to_sparse(), "sparse or quantised"),
    ],
    ids=["int8", "complex", "sparse"],
)
def test_weights_that_are_numbers_of_another_kind_are_not_rounded_into_place(
    folder, change, message
):
    state = from_module("foreign:Net", runtime=CPU).model.state_dict()
    state["conv.weight"] = change(state["conv.weight"])
    torch.save(state, "weights.pt")
    done = command("foreign:Net", "red.png", "--weights", "weights.pt")
    assert done.exit_code == 1
    assert f"conv.weight is {message}, not floating point" in done.stderr


def test_a_folder_that_cannot_be_written_to_is_named(run, tmp_path):
    (tmp_path / "file").touch()
    red = picture(tmp_path / "red.png")
    done = command(run, red, "--out", tmp_path / "file")
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert "could not write" in done.stderr and "file" in done.stderr
