"""Recipes refuse what cannot be trained, and describe themselves."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from click.testing import CliRunner

from sightline.cli import main
from sightline.cli.options import chosen_recipe
from sightline.errors import SightlineError
from sightline.models import MODELS
from sightline.training.recipe import Recipe, describe_fields, variant
from sightline.training.recipes import RECIPES, find_recipe


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
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(SightlineError, match=f"{field} .*{value}"):
        variant(RECIPES["resnet18"], **{field: value})


def test_an_unknown_recipe_lists_those_that_exist():
    with pytest.raises(SightlineError, match="'resnet50'.*resnet18"):
        find_recipe("resnet50")


def test_a_word_that_is_no_choice_is_named_with_the_choices():
    with pytest.raises(SightlineError, match="keep must be one of best, last, not x"):
        replace(RECIPES["resnet18"], keep="x")


PUBLISHED = [name for name in RECIPES if name.endswith("-published")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_recipe_has_a_source_and_a_corrected_twin(name):
    published = RECIPES[name]
    twin = RECIPES[name.replace("published", "corrected")]
    assert published.source
    assert published.protocol
    assert 0.8 < published.reported < 0.95
    assert (published.watch, published.repaired) == ("test", ())
    assert (twin.watch, twin.keep) == ("validation", "best")
    assert (twin.epochs, twin.batch_size) == (published.epochs, published.batch_size)
    one, other = published.flat(), twin.flat()
    changed = {name for name in describe_fields() if one[name] != other[name]}
    # what was changed beyond split and checkpoint is told, in words
    assert len(twin.repaired) >= 2
    assert changed - {"watch", "keep"}


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_survives_being_recorded(name):
    recorded = json.loads(json.dumps(asdict(RECIPES[name])))
    assert Recipe.from_json(recorded) == RECIPES[name]


def test_a_record_of_an_older_version_is_flat_and_lacks_fields():
    old = {"name": "old", "max_lr": 0.3, "flip": 0.0, "affine": 0.5, "repaired": []}
    expected = variant(Recipe(name="old", max_lr=0.3), flip=0.0, affine_probability=0.5)
    assert Recipe.from_json(old) == expected


def test_a_record_of_a_newer_version_is_refused_by_name():
    with pytest.raises(SightlineError, match="fields .* not know: warp"):
        Recipe.from_json({"name": "new", "warp": 9})


def test_a_variant_changes_the_augmentation_by_its_own_names():
    recipe = variant(RECIPES["resnet18"], name="mine", epochs=3, cutout=8)
    assert (recipe.name, recipe.epochs, recipe.augmentation.cutout) == ("mine", 3, 8)
    assert recipe.augmentation.flip == RECIPES["resnet18"].augmentation.flip
    with pytest.raises(TypeError, match="epoch"):
        variant(recipe, epoch=3)
