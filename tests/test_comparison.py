"""Runs side by side: what is compared, what is marked, what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from tiny import ON_CPU, RECIPE, splits

from sightline.cli import main
from sightline.errors import RunError, SightlineError
from sightline.measures.inference import effect, wilson_interval
from sightline.models import build_model
from sightline.reports.comparison import (
    compare,
    target_sentence,
    trained_parameters,
)
from sightline.training.run import Run
from sightline.training.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs that differ in their learning rate."""
    folder = tmp_path_factory.mktemp("runs")
    slow = replace(RECIPE, max_lr=0.002)
    for name, recipe in (("first", RECIPE), ("slow", slow)):
        train(recipe, splits(), out=folder / name, **ON_CPU)
    return folder / "first", folder / "slow"


@pytest.fixture
def altered(runs, tmp_path):
    """Return a function that copies the second run with other facts in its files."""

    def copy(*, recipe=None, epochs=None, name="altered", **manifest):
        run = Run(shutil.copytree(runs[1], tmp_path / name))
        run.write("recipe.json", run.read("recipe.json") | (recipe or {}))
        run.write("manifest.json", run.manifest | manifest)
        if epochs is not None:  # as if it had been cut off
            (run.path / "test.safetensors").unlink()
            run.write_history(run.history[:epochs])
        return run.path

    return copy


def compared(*paths):
    return compare([Run(path) for path in paths])


def cells_of(comparison, row=-1):
    header, rows = comparison.table()
    names = [name.replace("\n", " ") for name in header]
    return dict(zip(names, rows[row], strict=True))


def sightline(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


# --- what is compared ---------------------------------------------------------


def test_only_what_differs_between_the_recipes_is_listed(runs):
    differences = compared(*runs).recipe_differences
    assert differences == {"max_lr": {"first": 0.1, "slow": 0.002}}


def test_a_row_has_the_result_with_its_interval(runs):
    entry = compared(*runs).runs[0]
    accuracy = Run(runs[0]).test.accuracy
    assert entry.test_accuracy == pytest.approx(accuracy)
    low, high = wilson_interval(torch.tensor([20 * accuracy]), torch.tensor([20]))
    assert entry.test_interval == pytest.approx((low.item(), high.item()))
    history = Run(runs[0]).history
    best = max(epoch["validation_accuracy"] for epoch in history)
    assert entry.best_accuracy == best
    assert entry.train_seconds == round(sum(e["seconds"] for e in history), 1)
    # 64 images an epoch, two epochs
    expected = 128 / sum(e["seconds"] for e in history)
    assert entry.images_per_second == pytest.approx(expected, abs=0.1)


def test_two_results_on_the_same_images_are_compared_image_by_image(runs):
    (pair,) = compared(*runs).paired
    first, slow = (Run(path).test for path in runs)
    assert (pair.run, pair.minus, pair.images) == ("slow", "first", 20)
    assert pair.difference == pytest.approx(slow.accuracy - first.accuracy)
    assert pair.only_run - pair.only_minus == round(20 * pair.difference)
    one = effect(slow.right, first.right)
    assert pair.interval == (one.low, one.high)
    assert (pair.p, pair.verdict) == (one.p, one.verdict())
    diagonal = [row[i] for i, row in enumerate(pair.confusion_difference)]
    assert sum(diagonal) == pair.only_run - pair.only_minus


def test_equal_data_and_budget_are_not_marked(runs):
    comparison = compared(*runs)
    assert cells_of(comparison)["run"] == "slow"
    assert comparison.notes == ()


def test_parameters_are_those_that_training_changes():
    model = build_model("resnet10", num_classes=7)
    expected = sum(p.numel() for p in model.parameters())
    assert trained_parameters(RECIPE, 7) == expected
    assert trained_parameters(replace(RECIPE, model="forgotten"), 7) is None


def test_folders_of_one_name_are_told_apart_by_the_folder_above(runs, altered):
    other = altered(name="first")
    first, second = compared(runs[0], other).runs
    assert first.name == f"{runs[0].parent.name}/first"
    assert second.name == f"{other.parent.name}/first"


# --- what must not be compared ------------------------------------------------


def test_other_pictures_are_marked_and_not_compared_image_by_image(runs, altered):
    comparison = compared(runs[0], altered(digest="others", test_digest="others"))
    assert cells_of(comparison)["run"] == "altered †"
    assert comparison.paired == ()
    assert any("must not be compared" in note for note in comparison.notes)


def test_runs_that_validated_on_other_pictures_are_paired_on_the_same_test(
    runs, altered
):
    comparison = compared(runs[0], altered(digest="another seed's"))
    assert cells_of(comparison)["run"] == "altered †"
    assert [pair.images for pair in comparison.paired] == [20]


def test_another_budget_is_marked(runs, altered):
    comparison = compared(runs[0], altered(recipe={"epochs": 3}))
    assert cells_of(comparison)["run"] == "altered ‡"
    assert "2 epochs of 64 training images" in comparison.notes[0]


def test_an_unfinished_run_shows_what_it_has(runs, altered):
    comparison = compared(runs[0], altered(epochs=1))
    cells = cells_of(comparison)
    assert cells["epochs"] == "1/2"
    assert cells["test accuracy (95% interval)"] == "–"
    assert cells["best validation accuracy (epoch)"].endswith("(1)")
    assert "unfinished: 1 of 2 epochs" in " ".join(comparison.notes)
    assert comparison.paired == ()


def test_a_run_without_an_epoch_has_a_row_but_no_curve(runs, altered, tmp_path):
    done = sightline("compare", runs[0], altered(epochs=0), "--out", tmp_path / "page")
    assert done.exit_code == 0
    assert "0/2" in done.stdout
    curves = (tmp_path / "page" / "curves.svg").read_text(encoding="utf-8")
    assert "first" in curves and "altered" not in curves


def test_who_watched_the_test_images_is_named(runs, altered):
    comparison = compared(runs[0], altered(recipe={"watch": "test"}))
    assert "§" in cells_of(comparison)["best validation accuracy (epoch)"]
    assert "§" not in cells_of(comparison, 0)["best validation accuracy (epoch)"]
    assert "§ altered watched the test images" in " ".join(comparison.notes)


def test_speeds_of_different_machines_and_losses_of_different_kinds_are_noted(
    runs, altered
):
    path = altered(recipe={"label_smoothing": 0.0}, device="a faster one")
    said = " ".join(compared(runs[0], path).notes)
    assert "ignore their speed" in said
    assert "training losses are of different kinds" in said


# --- what is refused ----------------------------------------------------------


def test_runs_of_other_classes_are_refused(runs, altered):
    with pytest.raises(RunError, match="altered distinguishes cat, dog, but"):
        compared(runs[0], altered(classes=["cat", "dog"]))


def test_a_run_named_twice_is_refused(runs):
    with pytest.raises(RunError, match="first is named twice"):
        compared(runs[0], runs[0].parent / "." / "first")


def test_fewer_than_two_runs_are_refused(runs):
    for paths in ((), runs[:1]):
        with pytest.raises(SightlineError, match=f"two run folders, not {len(paths)}"):
            compared(*paths)
    assert sightline("compare", runs[0]).exit_code == 1


def test_a_folder_that_is_no_run_is_named(runs, tmp_path):
    done = sightline("compare", runs[0], tmp_path)
    assert done.exit_code == 1
    assert f"{tmp_path} is not a run" in done.stderr


# --- targets ------------------------------------------------------------------


def test_a_target_is_reached_or_missed_by_points():
    assert target_sentence(0.8403, 0.85) == "target 85.00%: missed by 0.97 points"
    assert target_sentence(0.8612, 0.85) == "target 85.00%: reached by 1.12 points"


def test_the_target_stands_beside_the_result_of_runs_that_have_one(runs, altered):
    path = altered(recipe={"target": 0.999})
    said = compared(runs[0], path).sentences()
    assert [s for s in said if "target" in s][0].startswith("altered: target 99.90%")
    old = altered(name="old")  # recipes of earlier versions have no such field
    old_recipe = Run(old).read("recipe.json")
    old_recipe.pop("target", None)
    Run(old).write("recipe.json", old_recipe)
    assert not any("target" in s for s in compared(runs[0], old).sentences())


# --- the command --------------------------------------------------------------


def test_the_command_prints_results_differences_and_the_paired_interval(runs):
    text = sightline("compare", *runs).stdout
    for words in ("first", "slow", "max_lr", "0.002", "95% interval", "not that of"):
        assert words in text


def test_json_has_everything(runs):
    found = json.loads(sightline("compare", *runs, "--json").stdout)
    assert [row["name"] for row in found["runs"]] == ["first", "slow"]
    assert len(found["runs"][0]["history"]) == 2
    assert found["runs"][1]["recipe"]["max_lr"] == 0.002
    assert found["recipe_differences"]["max_lr"] == {"first": 0.1, "slow": 0.002}
    assert found["paired"][0]["images"] == 20


def test_out_holds_a_page_with_its_figures(runs, tmp_path):
    done = sightline("compare", *runs, "--out", tmp_path / "page")
    assert done.exit_code == 0
    files = {file.name for file in (tmp_path / "page").iterdir()}
    assert files == {"compare.md", "curves.svg", "confusion.svg"}
    page = (tmp_path / "page" / "compare.md").read_text(encoding="utf-8")
    assert "| max_lr | 0.1 | 0.002 |" in page
    assert "![Confusion counts of slow minus first](confusion.svg)" in page
    curves = (tmp_path / "page" / "curves.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme:dark" in curves
    assert "first" in curves and "slow" in curves


def test_each_further_run_has_a_confusion_difference_of_its_own(
    runs, altered, tmp_path
):
    others = [
        runs[1],
        altered(),
        altered(name="else", digest="others", test_digest="others"),
    ]
    sightline("compare", runs[0], *others, "--out", tmp_path / "page")
    files = {file.name for file in (tmp_path / "page").glob("confusion*")}
    assert files == {"confusion-slow.svg", "confusion-altered.svg"}
