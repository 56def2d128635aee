"""Recipes refuse what cannot be trained, and describe themselves."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from sightline.cli import main
from sightline.cli.options import chosen_recipe
from sightline.data.augmentation import Augmentation
from sightline.errors import SightlineError
from sightline.models import MODELS, build_model
from sightline.training.recipe import Recipe, describe_fields, variant
from sightline.training.recipes import RECIPES, find_recipe
from sightline.training.repairs import CORRECTED, REPAIRS, repaired
from sightline.training.systems import PUBLISHED

RESULTS = Path(__file__).parents[1] / "book/results"


def test_every_recipe_names_a_network_that_exists():
    assert {recipe.model for recipe in RECIPES.values()} <= set(MODELS)
    assert all(name == recipe.name for name, recipe in RECIPES.items())


def test_every_field_has_a_meaning():
    described = describe_fields()
    assert "name" not in described
    assert all(meaning for _, meaning in described.values())


def test_the_command_line_offers_the_choices_of_a_field():
    refused = CliRunner().invoke(main, ["train", "--keep", "first"])
    assert refused.exit_code == 2
    assert "'first' is not one of 'best', 'last'" in refused.output
    assert chosen_recipe("resnet18", {"image_size": 64, "flip": 0.0}) == variant(
        RECIPES["resnet18"], image_size=64, flip=0.0
    )


@pytest.mark.processes
def test_recipes_are_listed_without_waiting_for_torch():
    code = "import sys, sightline.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", -1),
        ("max_lr", 0.0),
        ("max_lr", float("nan")),
        ("flip", 1.5),
        ("weight_decay", -1e-4),
        ("cutout", -2),
        ("affine_probability", float("nan")),
        ("rotate", -5.0),
        ("image_size", 48),
        ("optimizer", "sdg"),
        ("border", "black"),
        ("seed", -1),
        ("seed", 2**63),
        ("seed", 2**64 - 1),
        ("seed", 10**20),
        ("batch_size", 10**20),
        ("max_lr", float("inf")),
        ("max_lr", "0.1"),
        ("epochs", 2.0),
        ("workers", True),
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(SightlineError, match=f"{field} .*{value}"):
        variant(RECIPES["resnet18"], **{field: value})


def test_numbers_of_numpy_are_numbers():
    recipe = variant(RECIPES["resnet18"], max_lr=np.float32(0.5), seed=np.int64(3))
    assert (recipe.max_lr, recipe.seed) == (0.5, 3)


def test_an_unknown_recipe_lists_those_that_exist():
    with pytest.raises(SightlineError, match="'resnet50'.*resnet18"):
        find_recipe("resnet50")


def test_a_word_that_is_no_choice_is_named_with_the_choices():
    with pytest.raises(SightlineError, match="keep must be one of best, last, not x"):
        replace(RECIPES["resnet18"], keep="x")


@pytest.mark.parametrize("name", [recipe.name for recipe in PUBLISHED.values()])
def test_every_published_recipe_has_a_source_and_a_corrected_twin(name):
    published = RECIPES[name]
    twin = RECIPES[name.replace("published", "corrected")]
    assert published.source
    assert "seed" in published.protocol
    assert "single precision" in published.protocol
    assert 0.8 < published.reported < 0.95
    assert (published.watch, published.repaired) == ("test", ())
    assert (twin.watch, twin.keep) == ("validation", "best")
    assert (twin.epochs, twin.batch_size) == (published.epochs, published.batch_size)
    one, other = published.flat(), twin.flat()
    changed = {name for name in describe_fields() if one[name] != other[name]}
    # what was changed beyond split and checkpoint is told, in words
    assert len(twin.repaired) >= 2
    assert changed - {"watch", "keep"}


EVERY_REPAIR = [(system, name) for system in REPAIRS for name in REPAIRS[system]]


@pytest.mark.parametrize(("system", "name"), EVERY_REPAIR)
def test_one_repair_changes_its_fields_and_says_why(system, name):
    published, recipe = PUBLISHED[system], repaired(system, name)
    repair = REPAIRS[system][name]
    one, other = published.flat(), recipe.flat()
    changed = {k: other[k] for k in describe_fields() if one[k] != other[k]}
    # a checkpoint that already was the best one may stay it
    assert changed.items() <= repair.changes.items()
    assert changed
    assert recipe.repaired == (repair.reason,)
    assert recipe.name == f"{system}-{name}"


@pytest.mark.parametrize("system", REPAIRS)
def test_a_corrected_system_has_all_repairs_and_none_touches_the_field_of_another(
    system,
):
    changes = [field for repair in REPAIRS[system].values() for field in repair.changes]
    assert len(changes) == len(set(changes))
    every = repaired(system, *REPAIRS[system])
    assert replace(every, name=f"{system}-corrected") == CORRECTED[system]
    assert repaired(system) == PUBLISHED[system]


def test_choices_of_the_systems_are_not_repaired():
    choices = {"flip", "crop_padding", "cutout_place", "cutout", "optimizer", "epochs"}
    touched = {f for own in REPAIRS.values() for r in own.values() for f in r.changes}
    assert not touched & choices


def test_the_repaired_l1_penalty_starts_as_large_as_the_published_one():
    recipes = PUBLISHED["s1"], repaired("s1", "l1")
    torch.manual_seed(0)
    model = build_model(recipes[0].model, num_classes=10, norm=recipes[0].norm)
    means = sum(p.abs().mean().item() for p in model.parameters())
    kernels = sum(p.abs().sum().item() for p in model.parameters() if p.ndim > 1)
    assert recipes[0].l1 * means == pytest.approx(recipes[1].l1 * kernels, rel=0.05)


def test_the_repaired_peaks_are_those_of_the_recorded_range_tests():
    record = json.loads((RESULTS / "finder.json").read_bytes())
    peaks = {
        s: own["peak"].changes["max_lr"] for s, own in REPAIRS.items() if "peak" in own
    }
    assert peaks.keys() == record.keys() | {"s2-first"}
    assert peaks["s2-first"] == peaks["s2"]
    for system, test in record.items():
        assert f"{peaks[system]:.2g}" == f"{test['max_lr']:.2g}"
        assert Recipe.from_json(test["recipe"]) == PUBLISHED[system]


@pytest.mark.parametrize("system", PUBLISHED)
def test_the_printed_curve_of_a_system_ends_with_the_accuracy_that_it_reported(system):
    curve = json.loads((RESULTS / "published_curves.json").read_bytes())[system]
    recipe, accuracies = PUBLISHED[system], curve["test_accuracy"]
    assert curve["first_epoch"] - 1 + len(accuracies) == recipe.epochs
    assert accuracies[-1] == recipe.reported
    assert recipe.source.split(",")[0] == re.split("[ ,]", curve["source"])[0]


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_survives_being_recorded(name):
    recorded = json.loads(json.dumps(asdict(RECIPES[name])))
    assert Recipe.from_json(recorded) == RECIPES[name]


def test_a_record_of_an_older_version_is_flat_and_lacks_fields():
    old = {"name": "old", "max_lr": 0.3, "flip": 0.0, "affine": 0.5, "repaired": []}
    expected = variant(Recipe(name="old", max_lr=0.3), flip=0.0, affine_probability=0.5)
    assert Recipe.from_json(old) == expected


@pytest.mark.parametrize(
    ("recorded", "meaning"),
    [
        ({"cutout": 16, "cutout_place": "clipped"}, "asymmetric"),
        ({"cutout": 16, "cutout_place": "inside"}, "inside"),
        ({"cutout": 0, "cutout_place": "inside"}, Augmentation().cutout_place),
    ],
)
def test_holes_of_an_older_record_keep_their_place(recorded, meaning):
    recipe = Recipe.from_json({"name": "old", **recorded})
    assert recipe.augmentation.cutout_place == meaning


def test_a_record_of_a_newer_version_is_refused_by_name():
    with pytest.raises(SightlineError, match="fields .* not know: warp"):
        Recipe.from_json({"name": "new", "warp": 9})


def test_a_variant_changes_the_augmentation_by_its_own_names():
    recipe = variant(RECIPES["resnet18"], name="mine", epochs=3, cutout=8)
    assert (recipe.name, recipe.epochs, recipe.augmentation.cutout) == ("mine", 3, 8)
    assert recipe.augmentation.flip == RECIPES["resnet18"].augmentation.flip
    with pytest.raises(TypeError, match="epoch"):
        variant(recipe, epoch=3)
