"""From a folder to a page: every step is done once, wherever it was cut off."""

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
from click.testing import CliRunner
from PIL import Image

from sightline.cli import main
from sightline.cli.group import INTERRUPTED
from sightline.data.shapes import draw_shapes
from sightline.errors import DataError, RunError, SightlineError
from sightline.pipeline import Pipeline, rate, run, steps
from sightline.reports import report, sections
from sightline.training import budget, choices
from sightline.training.lr_finder import RangeTest
from sightline.training.recipes import RECIPES
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime

pytestmark = pytest.mark.slow
CPU = choose_runtime("cpu", "fp32")
RECIPE = replace(RECIPES["folder"], epochs=2, batch_size=16)
FALLING = RangeTest(
    lrs=np.geomspace(1e-5, 10, 40).tolist(),
    losses=[0.7 - 0.01 * i for i in range(40)],
    stopped="end",
)


@pytest.fixture(autouse=True)
def speeds(monkeypatch) -> dict[tuple[str, int], float]:
    """Give networks a speed instead of measuring it: 100 images a second."""
    known: dict[tuple[str, int], float] = {}

    def speed_of(recipe, num_classes, runtime):
        return known.get((recipe.model, recipe.image_size), 100.0)

    monkeypatch.setattr(budget, "speed_of", speed_of)
    return known


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two classes of 30 drawn shapes."""
    path = tmp_path_factory.mktemp("pictures") / "shapes"
    drawn = draw_shapes(300, seed=1)
    for label, name in enumerate(("disc", "ring")):
        (path / name).mkdir(parents=True)
        for place in np.flatnonzero(drawn.labels == label):
            Image.fromarray(drawn.images[place]).save(path / name / f"{place}.png")
    return path


@pytest.fixture
def quick(monkeypatch) -> list[str]:
    """Keep range tests and the sections of a report short; count the former."""
    calls = []

    def range_tests(*args, seeds, **kwargs):
        if seeds == [0]:  # the first of a search
            calls.append("range tests")
        return [FALLING]

    monkeypatch.setattr(rate, "range_tests", range_tests)
    monkeypatch.setattr(rate, "RANGE_SEEDS", (0, 1))
    few = {name: sections.SECTIONS[name] for name in ("run", "classes")}
    monkeypatch.setattr(report, "SECTIONS", few)
    # of tests/test_learning_curve.py
    monkeypatch.setitem(steps.STEPS, "learning curve", lambda pipeline: None)
    return calls


def go(folder: Path, out: Path, **changes) -> list[str]:
    """Run the pipeline; return the lines it printed."""
    lines = []
    options = {"recipe": RECIPE, "fixed": {"epochs"}} | changes
    options |= {"device": "cpu", "precision": "fp32", "progress": False}
    run(Pipeline(folder, out, say=lines.append, **options))
    return lines


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory) -> Path:
    """A pipeline that nothing interrupted, without a demo."""
    out = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "range_tests", lambda *a, **k: [FALLING])
        patch.setattr(rate, "RANGE_SEEDS", (0, 1))
        patch.setattr(report, "SECTIONS", {"run": sections.SECTIONS["run"]})
        patch.setitem(steps.STEPS, "learning curve", lambda pipeline: None)
        patch.setitem(steps.STEPS, "demo", lambda pipeline: None)
        patch.setattr(budget, "speed_of", lambda *arguments: 100.0)
        go(folder, out)
    return out


def weights(out: Path) -> bytes:
    return (out / "run/weights.safetensors").read_bytes()


def test_every_step_leaves_its_result_and_the_page_leads_to_all(unbroken):
    for name in ("check.json", "choices.json", "rate.svg", "report/report.html"):
        assert (unbroken / name).exists()
    page = (unbroken / "index.html").read_text(encoding="utf-8")
    assert "report/report.html" in page
    assert "test accuracy" in page
    made = json.loads((unbroken / "choices.json").read_bytes())
    recipe = Run(unbroken / "run").recipe
    assert recipe.epochs == made["epochs"]["value"] == 2
    assert recipe.max_lr == made["max_lr"]["value"]
    assert "median of 2 range tests" in made["max_lr"]["why"]


def test_the_same_command_again_repeats_nothing(unbroken, folder, quick):
    files = [p for p in unbroken.rglob("*") if p.is_file() and p.name != "index.html"]
    before = {file: file.stat().st_mtime_ns for file in files}
    lines = go(folder, unbroken)
    assert not quick
    assert "  done before: report/report.html" in lines
    after = {file: file.stat().st_mtime_ns for file in files}
    assert after == before


class StopHereError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("step", ["learning rate", "training", "report", "page"])
def test_a_pipeline_that_was_cut_off_before_a_step_goes_on_there(
    step, folder, tmp_path, quick, unbroken, monkeypatch
):
    def stop(pipeline):
        raise StopHereError

    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "demo", lambda pipeline: None)
        patch.setitem(steps.STEPS, step, stop)
        with pytest.raises(StopHereError):
            go(folder, tmp_path)
    assert not (tmp_path / "index.html").exists()
    with monkeypatch.context() as patch:
        patch.setitem(steps.STEPS, "demo", lambda pipeline: None)
        go(folder, tmp_path)
    assert quick == ["range tests"]  # once, before or after the cut
    assert weights(tmp_path) == weights(unbroken)
    assert (tmp_path / "index.html").exists()


def test_a_training_that_was_cut_off_ends_with_the_same_weights(
    folder, tmp_path, quick, unbroken, monkeypatch
):
    """Bit for bit, on one machine."""
    save = Run.save_epoch

    def save_and_stop(self, *args, **kwargs):
        save(self, *args, **kwargs)
        raise StopHereError

    monkeypatch.setitem(steps.STEPS, "demo", lambda pipeline: None)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_epoch", save_and_stop)
        with pytest.raises(StopHereError):
            go(folder, tmp_path)
    assert len(Run(tmp_path / "run").history) == 1
    lines = go(folder, tmp_path)
    assert any("1 of 2 epochs" in line for line in lines)
    assert weights(tmp_path) == weights(unbroken)


def test_another_recipe_or_other_pictures_are_refused(unbroken, folder, tmp_path):
    with pytest.raises(RunError, match="epochs 2 ≠ 3"):
        go(folder, unbroken, recipe=replace(RECIPE, epochs=3))
    more = tmp_path / "more"
    for name in ("disc", "ring"):
        (more / name).mkdir(parents=True)
        for file in (folder / name).iterdir():
            (more / name / file.name).write_bytes(file.read_bytes())
    next((more / "disc").iterdir()).unlink()
    with pytest.raises(RunError, match="digest"):
        go(more, unbroken)


def test_pictures_that_cannot_be_trained_on_end_the_pipeline_at_once(folder, tmp_path):
    spoilt = tmp_path / "spoilt"
    for name, count in (("a", 5), ("b", 1)):
        (spoilt / name).mkdir(parents=True)
        for file in list((folder / "disc").iterdir())[:count]:
            (spoilt / name / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="b has 1 readable picture"):
        go(spoilt, tmp_path / "out")
    assert not (tmp_path / "out/run").exists()


def photographs(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Write two classes of `count` pictures of noise each."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for place in range(count):
            coarse = rng.integers(0, 256, (8, 8, 3), np.uint8)
            picture = Image.fromarray(coarse).resize(size)
            picture.save(folder / name / f"{place}.jpg", quality=50)
    return folder


def chosen(folder: Path, out: Path, **options) -> tuple[dict, list[str]]:
    """Let the first step choose; return the values, and the lines it printed."""
    lines: list[str] = []
    options = {"recipe": RECIPES["folder"]} | options
    options |= {"device": "cpu", "precision": "fp32", "progress": False}
    made = Pipeline(folder, out, say=lines.append, **options)
    steps.check(made)
    return {name: choice.value for name, choice in made.choices.items()}, lines


def test_the_largest_pictures_and_network_are_chosen_that_there_is_time_for(
    tmp_path, speeds
):
    """Of 160 pictures 115 train: 40 epochs in a minute are 77 images a second."""
    many = photographs(tmp_path / "many", 80, (200, 150))
    speeds |= {("resnet18", 128): 76, ("resnet10", 128): 76}
    values, lines = chosen(many, tmp_path / "one", minutes=1)
    assert (values["image_size"], values["model"]) == (128, "resnet10")
    assert "  image_size 128: half of the pictures have 150 or more" in lines
    (model,) = [line for line in lines if line.startswith("  model resnet10")]
    assert "1 min are about 40 epochs of resnet10 at 128 pixels" in model
    (epochs,) = [line for line in lines if line.startswith("  epochs 39")]
    assert "1 min at 76 pictures a second allow" in epochs
    speeds[("resnet18", 128)] = 100
    values, _ = chosen(many, tmp_path / "two", minutes=1)
    assert (values["image_size"], values["model"]) == (128, "resnet18")
    speeds |= {(m, s): 18 for m in ("resnet10", "resnet18") for s in (96, 128)}
    values, _ = chosen(many, tmp_path / "three", minutes=1)
    assert (values["image_size"], values["model"]) == (64, "resnet18")


def test_few_pictures_are_not_learnt_by_a_large_network_and_small_ones_not_enlarged(
    tmp_path, folder
):
    few = photographs(tmp_path / "few", 20, (70, 90))
    values, lines = chosen(few, tmp_path / "out", minutes=1)
    assert (values["image_size"], values["model"]) == (64, "resnet10")
    assert values["epochs"] == choices.MOST_EPOCHS
    assert any("more would teach little" in line for line in lines)
    values, _ = chosen(folder, tmp_path / "drawn", minutes=1)
    assert values["image_size"] == 32


def test_what_was_given_is_not_chosen(tmp_path):
    many = photographs(tmp_path / "many", 80, (200, 150))
    recipe = replace(RECIPES["folder"], image_size=64)
    values, lines = chosen(many, tmp_path / "a", recipe=recipe, fixed={"image_size"})
    assert values["image_size"] == 64
    assert "  image_size 64: it was given" in lines
    recipe = replace(recipe, model="resnet20", image_size=32, epochs=3)
    fixed = {"image_size", "model", "epochs"}
    values, _ = chosen(many, tmp_path / "b", recipe=recipe, fixed=fixed)
    given = {"image_size": 32, "model": "resnet20", "epochs": 3}
    assert values == {**given, "start": "scratch"}


def test_choices_are_kept_when_the_machine_is_slower_the_next_time(tmp_path, speeds):
    many = photographs(tmp_path / "many", 80, (200, 150))
    before, _ = chosen(many, tmp_path / "out", minutes=1)
    speeds |= {(m, s): 1 for m in ("resnet10", "resnet18") for s in (32, 64, 96, 128)}
    (tmp_path / "out/check.json").unlink()
    assert chosen(many, tmp_path / "out", minutes=1)[0] == before
    with pytest.raises(RunError, match=r"minutes 1 ≠ 2"):
        chosen(many, tmp_path / "out", minutes=2)


def test_memory_is_said_before_it_is_used_and_a_batch_that_does_not_fit_is_halved(
    tmp_path, monkeypatch
):
    many = photographs(tmp_path / "many", 80, (200, 150))
    _, lines = chosen(many, tmp_path / "a", minutes=1)
    (line,) = [line for line in lines if line.startswith("  memory: ")]
    assert re.search(r"of .* usable: pictures \d+ MB, network \d+ MB, a batch", line)
    monkeypatch.setattr(budget, "usable_memory", lambda: 1.1e9)
    values, lines = chosen(many, tmp_path / "b", minutes=1)
    assert values["model"] == "resnet18" and values["batch_size"] == 32
    assert "  batch_size 32: 64 would fill the memory" in lines
    with pytest.raises(SightlineError, match="--batch-size 64 needs .* 32 fits"):
        chosen(many, tmp_path / "c", minutes=1, fixed={"batch_size"})
    monkeypatch.setattr(budget, "usable_memory", lambda: 0.7e9)
    with pytest.raises(SightlineError, match="give a smaller --image-size"):
        chosen(many, tmp_path / "d", minutes=1)


def test_epochs_that_were_chosen_are_not_taken_for_fixed_ones(folder, tmp_path):
    options = {"progress": False, "say": lambda line: None}
    steps.check(Pipeline(folder, tmp_path, RECIPE, **options))
    with pytest.raises(RunError, match=r"fixed \[\] ≠ \['epochs'\]"):
        steps.check(Pipeline(folder, tmp_path, RECIPE, {"epochs"}, **options))


@pytest.mark.parametrize(
    ("loss", "suggested"), [(1.0, True), (1.99, False), (3.0, False)]
)
def test_short_trainings_decide_and_the_recipe_has_the_benefit_of_the_doubt(
    loss, suggested
):
    tried = []

    def trial(lr):
        tried.append(lr)
        return 2.0 if lr == RECIPE.max_lr else loss

    low = replace(FALLING, lrs=np.geomspace(1e-6, 1e-2, 40).tolist())
    choice = choices.choose_rate(RECIPE, [low, low], trial)
    assert len(tried) == 2 and RECIPE.max_lr in tried
    assert choice.value == (min(tried) if suggested else RECIPE.max_lr)
    assert f"validation loss of {loss:.2f} and 2.00" in choice.why


def test_a_rate_is_tried_by_a_real_training():
    assert 0 < choices.try_rate(RECIPE, tiny.splits(), CPU, 0.01) < 5


def test_a_search_for_a_rate_that_was_cut_off_repeats_nothing_it_has_measured(
    folder, tmp_path, quick, monkeypatch
):
    """Each range test and each short training is kept and said as it ends."""
    for step in ("training", "report", "demo", "page"):
        monkeypatch.setitem(steps.STEPS, step, lambda pipeline: None)
    low = replace(FALLING, lrs=np.geomspace(1e-6, 1e-2, 40).tolist())
    monkeypatch.setattr(rate, "range_tests", lambda *a, **k: [low])
    tried = []

    def try_rate(recipe, splits, runtime, lr):
        tried.append(lr)
        if len(tried) == 2:
            raise StopHereError
        return 2.0

    monkeypatch.setattr(rate, "try_rate", try_rate)
    with pytest.raises(StopHereError):
        go(folder, tmp_path)
    monkeypatch.setattr(rate, "range_tests", None)  # would fail
    lines = go(folder, tmp_path)
    assert len(tried) == 3 and tried[1] == tried[2]
    begun = [
        line.split(":")[0] for line in lines if line.startswith(("  range", "  short"))
    ]
    assert begun[:3] == [
        "  range test 1 of 2",
        "  range test 2 of 2",
        f"  short training at {tried[0]:.2g}",
    ]
    assert json.loads((tmp_path / "choices.json").read_text(encoding="utf-8"))[
        "max_lr"
    ]["value"]


def test_what_the_search_for_a_rate_may_cost_is_said_before(
    folder, tmp_path, quick, monkeypatch
):
    for step in ("training", "report", "demo", "page"):
        monkeypatch.setitem(steps.STEPS, step, lambda pipeline: None)
    lines = go(folder, tmp_path)  # 16 pictures a batch, 100 a second
    (cost,) = [line for line in lines if "range tests, about" in line]
    assert cost.startswith("  2 range tests, about 32 s; if they point far from 0.1,")


def test_range_tests_that_end_too_soon_leave_the_recipes_rate():
    short = replace(FALLING, lrs=[1e-5, 1e-4], losses=[1, 2])
    choice = choices.choose_rate(RECIPE, [short], trial=None)
    assert choice.value == RECIPE.max_lr
    assert "only 2 points" in choice.why


def test_a_rate_that_was_given_is_not_looked_for(folder, tmp_path, quick, monkeypatch):
    for step in ("report", "demo", "page"):
        monkeypatch.setitem(steps.STEPS, step, lambda pipeline: None)
    recipe = replace(RECIPE, max_lr=0.05, epochs=1)
    lines = go(folder, tmp_path, recipe=recipe, fixed={"epochs", "max_lr"})
    assert not quick
    assert "  max_lr 0.05: it was given" in lines
    (training,) = [line for line in lines if "training pictures of" in line]
    assert re.search(r"1 of 1 epochs, about \d+ s$", training)


def test_a_folder_of_somebody_else_is_refused_before_anything_is_looked_at(
    folder, tmp_path
):
    (tmp_path / "check.json").write_text("mine", encoding="utf-8")
    with pytest.raises(RunError, match="no pipeline that sightline made"):
        go(folder, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["check.json"]


def test_without_the_export_extra_everything_else_is_made(
    folder, tmp_path, quick, monkeypatch
):
    # its import fails
    monkeypatch.setitem(sys.modules, "sightline.export.export", None)
    lines = go(folder, tmp_path, recipe=replace(RECIPE, epochs=1))
    assert any("left out" in line for line in lines)
    assert "It was not exported" in (tmp_path / "index.html").read_text(
        encoding="utf-8"
    )


def test_the_command_says_how_to_go_on_after_an_interruption(
    folder, tmp_path, monkeypatch
):
    def interrupt(pipeline):
        raise KeyboardInterrupt

    monkeypatch.setitem(steps.STEPS, "learning rate", interrupt)
    out = str(tmp_path / "out")
    done = CliRunner().invoke(main, ["all", str(folder), "--out", out, "--epochs", "1"])
    assert done.exit_code == INTERRUPTED
    assert "go on with: sightline" in done.output
    assert (tmp_path / "out/check.json").exists()


def test_the_command_ends_with_a_table_of_what_there_is(
    folder, tmp_path, quick, monkeypatch
):
    monkeypatch.setitem(steps.STEPS, "demo", lambda pipeline: None)
    done = CliRunner().invoke(
        main,
        [
            *["all", str(folder), "--out", str(tmp_path), "--device", "cpu"],
            *["--epochs", "1", "--max-lr", "0.05", "--image-size", "64"],
        ],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "report.html" in done.output
    assert "next: open" in done.output
    assert Run(tmp_path / "run").manifest["image_size"] == 64


def test_the_commands_it_names_can_be_pasted_whatever_the_folder_is_called(tmp_path):
    out = tmp_path / "my pictures"
    for name in ("demo/index.html", "run/weights"):
        (out / name).parent.mkdir(parents=True)
        (out / name).touch()
    pipeline = Pipeline(tmp_path, out, RECIPES["folder"])
    commands = [words.split(": ")[1] for words in pipeline.contents().values()]
    server, explain = map(shlex.split, commands)
    assert server[-2:] == ["-d", str(out)]
    assert explain == ["sightline", "explain", str(out / "run"), "PICTURE"]
