"""Recipes refuse what cannot be trained, and describe themselves."""

from dataclasses import replace

import pytest

from sightline.errors import SightlineError
from sightline.models import MODELS
from sightline.recipes import RECIPES, describe_fields, find_recipe


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
