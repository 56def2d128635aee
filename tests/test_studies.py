"""A study records every training, goes on where it was cut off, and compares fairly."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sightline.book.studies import StudyRecord, pack, unpack
from sightline.errors import SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.measures.inference import Verdict
from sightline.training.recipes import RECIPES

FOLDER = Path(__file__).parents[1] / "studies"
RECIPE = replace(RECIPES["resnet10"], epochs=1)


@pytest.fixture
def common(monkeypatch, tmp_path):
    """Import what studies share; it records into a folder of the test."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("study")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(module, "RUNS", tmp_path)
    return module


@pytest.fixture
def start(common, monkeypatch):
    """Run a study of arms that answer at once; return whether all is done."""
    monkeypatch.setattr(importlib.import_module("plan"), "probe", lambda task: 1000.0)

    def run(study, *words):
        monkeypatch.setattr(sys, "argv", ["study", "--data", "shapes", *words])
        return common.main(study)

    return run


def answer(recipe, splits, runtime):
    """Answer at once: half of the images are right, with seed 0 all of them."""
    from arms import Outcome

    labels = splits.test.labels
    wrong = torch.arange(len(labels)) % 2 if recipe.seed else 0
    row = {
        "train_loss": 1.0,
        "train_accuracy": 0.5,
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
        "seconds": 0.1,
    }
    return Outcome([row], Evaluation(torch.eye(10)[(labels + wrong) % 10], labels))


def diverge(recipe, splits, runtime):
    """Raise what a training raises whose loss is not a number."""
    from sightline.errors import NonFiniteLossError

    raise NonFiniteLossError("training loss is nan")


def study(common, **changes):
    """Return a study of one arm that answers at once."""
    values = {
        "name": "quick",
        "question": "Does it go on?",
        "arms": [common.Arm("at once", RECIPE, answer)],
        "images": 100,
        "validation": 20,
        "seeds": range(2),
    }
    return common.Study(**{**values, **changes})


def test_packed_answers_are_the_answers():
    right = torch.rand(1003, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(unpack(pack(right), 1003), right)


@pytest.mark.processes
def test_a_study_goes_on_where_it_was_cut_off(common, start, tmp_path, capsys):
    start(study(common), "--seeds", "1", "--jobs", "1")
    first = json.loads((tmp_path / "quick.json").read_bytes())
    assert [row["seed"] for row in first["arms"]["at once"]["trainings"]] == [0]
    assert start(study(common), "--jobs", "1")
    both = json.loads((tmp_path / "quick.json").read_bytes())
    rows = both["arms"]["at once"]["trainings"]
    assert [row["seed"] for row in rows] == [0, 1]
    assert rows[0] == first["arms"]["at once"]["trainings"][0]
    assert [row["test_accuracy"] for row in rows] == [1.0, 0.5]
    capsys.readouterr()
    assert start(study(common), "--jobs", "1")
    assert "0 trainings to do" in capsys.readouterr().out


@pytest.mark.processes
def test_a_training_that_diverges_calls_everything_the_first_class(
    common, start, tmp_path
):
    arms = [common.Arm("diverges", RECIPE, diverge)]
    start(study(common, arms=arms, seeds=range(1)), "--jobs", "1")
    record = StudyRecord.of(json.loads((tmp_path / "quick.json").read_bytes()))
    (row,) = record.trainings("diverges")
    assert row["diverged"]
    assert record.values("diverges", "train_loss").isnan().all()
    assert record.values("diverges", "validation_accuracy").item() < 0.2
    labels = common.whole("shapes").test.labels
    assert torch.equal(record.answers("diverges")[0], labels == 0)


@pytest.mark.processes
def test_a_study_of_all_images_records_how_many_validate(common, start, tmp_path):
    start(study(common, images=None), "--seeds", "1", "--jobs", "1")
    record = json.loads((tmp_path / "quick.json").read_bytes())
    validating = len(common.whole("shapes").validation)
    assert record["protocol"]["images"]["validation"] == validating != 20


def test_a_plan_trains_nothing(common, start, tmp_path, capsys):
    start(study(common, arms=[common.Arm("as it says", RECIPE)]), "--plan")
    text = capsys.readouterr().out
    assert "2 trainings to do" in text
    assert "2 seeds see a difference of" in text
    assert not (tmp_path / "quick.json").exists()


@pytest.mark.processes
def test_a_plan_goes_without_arms_that_have_not_begun(common, start, capsys):
    first = common.Arm("at once", RECIPE, answer)
    start(study(common, arms=[first]), "--jobs", "1")
    arms = [first, common.Arm("later", RECIPE, answer)]
    start(study(common, arms=arms, controls=lambda _: {"later": "at once"}), "--plan")
    assert "2 trainings to do" in capsys.readouterr().out


def test_a_record_of_other_pictures_is_refused(common, start, tmp_path):
    content = {"question": "", "protocol": {"digest": "another"}, "arms": {"a": {}}}
    (tmp_path / "quick.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(
        SightlineError, match="quick.json was recorded on other pictures"
    ):
        start(study(common), "--plan")


def test_every_seed_trains_on_its_own_pictures_and_all_judge_the_same(common):
    first, second = (common.drawn_splits("shapes", 100, 20, seed) for seed in (0, 1))
    assert not torch.equal(first.train.images[:], second.train.images[:])
    assert torch.equal(first.validation.images[:], second.validation.images[:])
    assert torch.equal(first.test.images[:], second.test.images[:])


def row(seed, right):
    """Return what a training records of these answers."""
    return {"seed": seed, "right": pack(right), "validation_accuracy": [0.1, 0.5]}


def test_arms_are_compared_by_the_seeds_that_both_have():
    few = torch.rand(3, 400, generator=torch.Generator().manual_seed(0)) < 0.5
    many = few | (torch.rand(3, 400, generator=torch.Generator().manual_seed(1)) < 0.5)
    record = StudyRecord(
        protocol={"images": {"test": 400}},
        arms={
            "few": {"trainings": [row(seed, few[seed]) for seed in (2, 0, 1)]},
            "many": {"trainings": [row(seed, many[seed]) for seed in (0, 1)]},
        },
    )
    assert record.seeds("few", "many") == [0, 1]
    effect = record.compare({"many": "few"})["many"]
    assert effect.seeds == 2
    gained = (many[:2].double() - few[:2].double()).mean().item()
    assert effect.difference == pytest.approx(gained)
    assert effect.verdict() is Verdict.LARGER
    assert record.values("many", "validation_accuracy").tolist() == [0.5, 0.5]
    assert record.best(["few", "many"]) == "few"  # equal: the first
