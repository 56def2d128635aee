"""The command line: what it prints, writes and exits with."""

import functools
import json
import shlex
import subprocess
import sys
from dataclasses import replace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sightline.cli import heatmaps, main, training
from sightline.cli.group import resumable
from sightline.cli.options import chosen_recipe
from sightline.data import shapes
from sightline.errors import SightlineError
from sightline.heatmaps.methods import METHODS, SLOW
from sightline.training.lr_finder import RangeTest
from sightline.training.recipe import describe_fields
from sightline.training.recipes import RECIPES
from sightline.training.run import Run

# each takes about as long to import as torch, or comes with what does
SLOW_IMPORTS = {
    *["torch._dynamo", "torchvision", "pytorch_grad_cam", "sklearn", "scipy"],
    *["pandas", "albumentations", "torchinfo", "matplotlib.pyplot", "IPython"],
}
TINY = ["--data", "shapes", "--limit", "60", "--device", "cpu", "--precision", "fp32"]


def sightline(*arguments: str):
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


@pytest.fixture(scope="module", autouse=True)
def shapes_drawn_once():
    """Draw the 10,000 shapes of `--data shapes` once, not for every command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shapes, "draw_shapes", functools.cache(shapes.draw_shapes))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = sightline("train", "resnet10", *TINY, "--epochs", "1", "--out", str(folder))
    assert done.exit_code == 0, done.output
    return folder


def commands(group: click.Group, *path: str) -> list[list[str]]:
    """Words that start each command of a group and of the groups in it."""
    found = [list(path)]
    for name, command in group.commands.items():
        inner = isinstance(command, click.Group)
        found += commands(command, *path, name) if inner else [[*path, name]]
    return found


@pytest.mark.parametrize("words", commands(main), ids=" ".join)
def test_every_command_has_help(words):
    done = sightline(*words, "--help")
    assert done.exit_code == 0
    usage, description = done.output.split("\n\n")[:2]
    assert usage.startswith("Usage: main " + " ".join(words))
    assert len(description.split()) >= 3, "it does not say what it does"


def test_the_methods_of_explain_are_those_of_the_library():
    assert set(heatmaps.METHODS) == {*METHODS, *SLOW}


def test_every_recipe_field_is_an_option_of_train():
    text = sightline("train", "--help").output
    for name in describe_fields():
        assert "--" + name.replace("_", "-") in text


def test_recipes_as_json_are_complete():
    recipes = json.loads(sightline("recipes", "--json").stdout)
    assert list(recipes) == list(RECIPES)
    assert recipes["resnet18"]["epochs"] == 20
    table = sightline("recipes").output
    assert "resnet34" in table
    assert "91.81%" in table


def test_recipes_that_are_named_are_compared_field_by_field():
    text = sightline("recipes", "s0-published", "s0-corrected").output
    assert "schedule_step" in text
    assert "batch_size" not in text
    assert "s0-corrected: schedule advanced after every batch" in text
    alone = sightline("recipes", "resnet10").output
    assert "resnet18" in alone
    assert sightline("recipes", "resnet50").exit_code == 1


def test_training_says_what_came_out_and_what_to_do_next(run):
    again = sightline(
        "train", "resnet10", *TINY, "--epochs", "1", "--out", str(run), "--resume"
    )
    assert "test accuracy" in again.output
    assert "sightline evaluate" in again.output
    assert "1*" in again.output and "* best validation accuracy" in again.output
    assert (run / "weights.safetensors").exists()


def test_the_target_of_a_recipe_stands_beside_its_result(run, monkeypatch):
    aimed = replace(RECIPES["resnet10"], target=0.999)
    monkeypatch.setitem(RECIPES, "resnet10", aimed)
    again = sightline(
        "train", "resnet10", *TINY, "--epochs", "1", "--out", str(run), "--resume"
    )
    accuracy = json.loads((run / "manifest.json").read_bytes())["test"]["accuracy"]
    missed = f"target 99.90%: missed by {99.9 - 100 * accuracy:.2f} points"
    assert missed in again.output


def test_a_folder_that_holds_a_run_is_not_overwritten(run):
    before = (run / "weights.safetensors").read_bytes()
    again = sightline("train", "resnet10", *TINY, "--epochs", "1", "--out", str(run))
    assert again.exit_code == 1
    assert "--resume" in again.output
    assert (run / "weights.safetensors").read_bytes() == before


def test_evaluate_prints_numbers_that_a_program_can_read(run):
    done = sightline("evaluate", str(run), *TINY, "--json")
    numbers = json.loads(done.stdout)
    confusion = np.array(numbers["confusion"])
    assert numbers["images"] == confusion.sum() == 15
    assert numbers["accuracy"] == pytest.approx(np.trace(confusion) / 15)
    manifest = json.loads((run / "manifest.json").read_bytes())
    assert numbers["accuracy"] == pytest.approx(manifest["test"]["accuracy"])


def test_a_run_is_evaluated_on_as_many_pictures_as_it_had(run):
    done = sightline("evaluate", str(run), "--device", "cpu", "--json")
    assert done.exit_code == 0 and not done.stderr
    assert json.loads(done.stdout)["digest"] == Run(run).manifest["digest"]


def test_pictures_that_may_have_trained_the_network_are_no_silent_test(run):
    done = sightline("evaluate", str(run), *TINY[:2], *TINY[4:], "--limit", "200")
    assert "pictures that trained the network may be among them" in done.stderr
    assert "it was trained with --limit 60" in " ".join(done.stderr.split())


def test_evaluate_refuses_other_classes(run, tmp_path):
    draw_folder(tmp_path)
    done = sightline("evaluate", str(run), "--data", str(tmp_path))
    assert done.exit_code == 1
    assert "disc" in done.output
    assert "egg" in done.output


@pytest.mark.parametrize(
    "command", [["train"], ["lr-find"], ["all", "folder", "--out", "out"]]
)
def test_every_command_that_trains_keeps_freed_memory(command, monkeypatch):
    class KeptError(Exception):
        pass

    def keep():
        raise KeptError

    monkeypatch.setattr("sightline.training.machine.keep_freed_memory", keep)
    with pytest.raises(KeptError):
        sightline(*command)


def draw_folder(folder, brightness=20):
    """Write a folder of two classes, twelve pictures of each part and class."""
    for part in ("train", "test"):
        for name in ("hen", "egg"):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(12):
                pixels = np.full((32, 32, 3), brightness * i, np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")


@pytest.mark.slow
def test_a_run_remembers_its_folder_even_if_that_is_called_cifar10(
    tmp_path, monkeypatch
):
    folder, out = tmp_path / "cifar10", str(tmp_path / "run")
    draw_folder(folder)
    monkeypatch.chdir(tmp_path)
    words = ["resnet10", "--data", "./cifar10", "--epochs", "1", "--device", "cpu"]
    assert sightline("train", *words, "--out", out).exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def refuse(*args, **kwargs):
        raise AssertionError("asked the internet")

    monkeypatch.setattr("sightline.data.datasets.read_cifar10", refuse)
    done = sightline("evaluate", out, "--device", "cpu", "--json")
    assert done.exit_code == 0 and done.stderr == ""
    manifest = json.loads((tmp_path / "run/manifest.json").read_bytes())
    assert json.loads(done.stdout)["digest"] == manifest["digest"]

    draw_folder(folder, brightness=10)
    changed = sightline("evaluate", out, "--device", "cpu")
    assert f"not the very pictures of {out}" in changed.output
    folder.rename(tmp_path / "moved")
    gone = sightline("evaluate", out, "--device", "cpu")
    assert gone.exit_code == 1
    assert f"the pictures in {folder}, but that folder is gone" in gone.output


@pytest.mark.slow
def test_lr_find_prints_four_rules_over_seeds(tmp_path):
    plot = tmp_path / "curves.png"
    done = sightline(
        "lr-find", "resnet10", *TINY, "--seeds", "2", "--num-iter", "30", "--end-lr",
        "1", "--batch-size", "10", "--json", "--plot", str(plot),
    )  # fmt: skip
    ranges = json.loads(done.stdout)
    assert set(ranges) == {"steepest", "valley", "minimum", "slide", "recommended"}
    for lowest, median, highest in ranges.values():
        assert 0 < lowest <= median <= highest
    with Image.open(plot) as curves:
        assert curves.size[0] > 300


def test_a_range_test_that_says_little_is_doubted_aloud(capsys):
    ranges = {"valley": (0.001, 0.001, 0.002), "steepest": (0.3, 0.4, 0.4)}
    flat = RangeTest(lrs=[1e-5, 1e-4], losses=[2.3, 2.29], stopped="end", bandwidth=0.1)
    training.print_doubts([flat], ranges, 10)
    said = " ".join(capsys.readouterr().out.split())
    assert "never fell clearly below chance (2.29, ln 10 = 2.30)" in said
    assert "no clear descent: its steepest point and its middle are at 0.001" in said
    fell = replace(flat, losses=[2.3, 1.9])
    agreeing = {**dict.fromkeys(ranges, (0.1, 0.1, 0.2)), "slide": (9.0, 9.0, 9.0)}
    training.print_doubts([fell], agreeing, 10)
    assert capsys.readouterr().out == ""


def test_explain_writes_one_figure_per_picture_and_names_the_broken_one(run, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(np.arange(40 * 50, dtype=np.uint8).reshape(40, 50)).save(good)
    bad.write_bytes(b"no picture")
    out = tmp_path / "maps"
    done = sightline("explain", str(run), str(bad), str(good), "--out", str(out))
    assert done.exit_code == 1
    assert "bad.png" in done.output
    assert [file.name for file in out.iterdir()] == ["good-grad_cam.png"]


def test_trust_prints_its_tables_and_writes_its_numbers(run, tmp_path):
    more = ["--data", "shapes", "--limit", "400", *TINY[4:]]  # of which it knows a few
    options = ["--pictures", "3", "--method", "hires_cam", "--layer", "layer4"]
    done = sightline("trust", str(run), *more, *options, "--out", str(tmp_path / "a"))
    assert done.exit_code == 0, done.output
    assert "hires_cam layer4" in done.output and "does the test tell?" in done.output
    numbers = json.loads((tmp_path / "a" / "trust.json").read_bytes())
    assert numbers["tests"]["on the object"]["maps"]["hires_cam layer4"]["verdict"]
    done = sightline("trust", str(run), *TINY, "--pictures", "1")
    assert done.exit_code == 1 and "give at least 2" in done.output


def test_explain_lays_the_heatmap_over_the_picture_as_thickly_as_it_is_told(
    run, tmp_path
):
    Image.new("RGB", (32, 32), (200, 0, 0)).save(tmp_path / "red.png")
    drawn = {}
    for opacity in ("0", "0.6", "1"):
        out = tmp_path / opacity
        options = ["--opacity", opacity, "--out", str(out)]
        done = sightline("explain", str(run), str(tmp_path / "red.png"), *options)
        assert done.exit_code == 0
        drawn[opacity] = (out / "red-grad_cam.png").read_bytes()
    usual = tmp_path / "usual"
    sightline("explain", str(run), str(tmp_path / "red.png"), "--out", str(usual))
    assert (usual / "red-grad_cam.png").read_bytes() == drawn["0.6"]
    assert len(set(drawn.values())) == 3
    wrong = sightline("explain", str(run), str(tmp_path / "red.png"), "--opacity", "2")
    assert wrong.exit_code == 2 and "0<=x<=1" in wrong.output


@pytest.mark.processes
def test_explaining_a_picture_imports_nothing_slow_but_torch(run, tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (32, 32)).save(picture)
    arguments = ["explain", str(run), str(picture), "--out", str(tmp_path)]
    code = (
        "import sys; from sightline.cli import main\n"
        f"main({arguments}, standalone_mode=False)\n"
        f"print(sorted({SLOW_IMPORTS} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "resnet50"], "unknown recipe 'resnet50'"),
        (["train", "--data", "/no/such/folder"], "/no/such/folder"),
        (["train", "--data", "shapes", "--max-lr", "-1"], "max_lr"),
        (["train", "--data", "shapes", "--limit", "3"], "limit of 3"),
        (["evaluate", "/no/run"], "/no/run is not a run"),
    ],
)
def test_a_mistake_ends_in_one_line_and_status_1(arguments, message):
    done = sightline(*arguments)
    assert done.exit_code == 1
    assert message in done.output
    assert "Traceback" not in done.output


def test_explain_lists_layers_and_classes_that_exist(run, tmp_path):
    picture = tmp_path / "x.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(picture)
    wrong_layer = sightline("explain", str(run), str(picture), "--layer", "layer9")
    assert "layer4" in wrong_layer.output
    wrong_class = sightline("explain", str(run), str(picture), "--target", "cow")
    assert "disc" in wrong_class.output
    assert (wrong_layer.exit_code, wrong_class.exit_code) == (1, 1)


@pytest.mark.parametrize("command", ["run", "build", "check"])
def test_without_the_packages_of_the_book_a_command_names_the_one_to_install(command):
    script = (
        "import sys; sys.modules['nbformat'] = None\n"
        "from sightline.cli import main\n"
        f"main(['book', '{command}'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sightline: nbformat is not installed")
    assert "pip install 'sightline[book]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_alone_means_the_network_that_has_such_weights():
    flags = {"start": "imagenet", "image_size": 64, "epochs": None}
    assert chosen_recipe("folder", flags).model == "resnet18"
    with pytest.raises(SightlineError, match="resnet18, not resnet34"):
        chosen_recipe("folder", {**flags, "model": "resnet34"})
    assert chosen_recipe("folder", {**flags, "start": None}).model == "resnet10"
    assert chosen_recipe("resnet18", {"start": "sightline"}).model == "resnet10"
    assert chosen_recipe("resnet34", {"start": "scratch"}).model == "resnet34"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["summary", "resnet18", "--image-size", "-5"], "must lie in 1..2048 pixels"),
        (["summary", "resnet18", "--image-size", "100000"], "not 100000"),
        (["lr-find", "resnet10", "--seeds", "0"], "0 is not in the range x>=1"),
        (["train", "resnet10", "--seed", str(2**63)], "seed must lie in 0..4294967295"),
    ],
)
def test_a_number_that_makes_no_sense_is_named_before_anything_is_computed(
    command, said
):
    done = sightline(*command)
    assert done.exit_code != 0 and said in done.output


def test_summary_shows_and_draws_a_network_of_ours_of_a_run_and_of_others(
    run, tmp_path
):
    ours = sightline("summary", "resnet18", "--plot", str(tmp_path / "net.png"))
    assert "11,173,962 parameters" in ours.stdout
    assert "512×4×4" in ours.stdout and "109" in ours.stdout
    with Image.open(tmp_path / "net.png") as drawn:
        assert drawn.size[0] > 300
    trained = sightline("summary", str(run)).stdout
    assert "layer4" in trained and "pictures of 32×32" in trained
    other = sightline("summary", "torchvision.models:alexnet", "--image-size", "64")
    assert "features" in other.stdout and "pictures of 64×64" in other.stdout
    nothing = sightline("summary", "resnet19")
    assert nothing.exit_code == 1 and "is not a run" in nothing.output


def test_the_peak_of_a_cycle_may_be_named_by_its_epoch():
    published = RECIPES["s2-published"]  # peaks at the end of epoch 5 of 24
    flat = replace(published, pct_start=0.9)
    assert training.with_peak(flat, 5, {}) == published
    assert training.with_peak(flat, None, {}) == flat
    with pytest.raises(SightlineError, match=r"must lie in 0..24.*not 25"):
        training.with_peak(flat, 25, {})
    twice = sightline("train", "--peak-epoch", "5", "--pct-start", "0.2")
    assert twice.exit_code == 1
    assert "--peak-epoch and --pct-start say the same" in twice.output


def test_the_command_that_goes_on_can_be_pasted_into_a_shell(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["-c", "train", "--out", "my runs/it's"])
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(SystemExit) as ending, resumable("--resume"):
        raise KeyboardInterrupt
    assert ending.value.code == 130
    _, command = capsys.readouterr().err.strip().split("go on with: ")
    expected = ["sightline", "train", "--out", "my runs/it's", "--resume"]
    assert shlex.split(command) == expected
