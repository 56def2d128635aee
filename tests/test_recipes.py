"""Recipes refuse what cannot be trained, and describe themselves."""

from dataclasses import replace

import pytest

from sightline.errors import SightlineError
from sightline.models import MODELS
from sightline.training.recipe import Recipe, complete, describe_fields
from sightline.training.recipes import RECIPES, find_recipe


def test_every_recipe_names_a_network_that_exists():
    assert {recipe.model for recipe in RECIPES.values()} <= set(MODELS)
    assert all(name == recipe.name for name, recipe in RECIPES.items())


def test_every_field_has_a_meaning():
    described = describe_fields()
    assert "name" not in described
    assert all(meaning for _, meaning in described.values())


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
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(SightlineError, match=f"{field} .*{value}"):
        replace(RECIPES["resnet18"], **{field: value})


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
    changed = {n for n in describe_fields() if differs(published, twin, n)}
    # what was changed beyond split and checkpoint is told, in words
    assert len(twin.repaired) >= 2
    assert changed - {"watch", "keep"}


def differs(one: Recipe, two: Recipe, name: str) -> bool:
    return getattr(one, name) != getattr(two, name)


def test_an_old_record_is_filled_up_with_defaults():
    filled = complete({"name": "old", "max_lr": 0.3})
    assert filled["max_lr"] == 0.3
    assert Recipe(**filled) == Recipe(name="old", max_lr=0.3)
