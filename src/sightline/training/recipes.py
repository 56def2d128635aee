"""Our recipes, and all recipes by name.

A variant is `dataclasses.replace(RECIPES["resnet18"], max_lr=0.05)`.
"""

from sightline.errors import SightlineError
from sightline.training.recipe import Recipe, variant
from sightline.training.repairs import CORRECTED
from sightline.training.systems import PUBLISHED

__all__ = ["RECIPES", "find_recipe"]

RESNET18 = Recipe(name="resnet18")

OURS = (
    RESNET18,
    variant(RESNET18, name="resnet34", model="resnet34"),
    variant(
        RESNET18, name="resnet18-layer-norm", model="resnet18_layer_norm", norm="layer"
    ),
    # Muon in place of SGD: ahead of it when epochs are few; one rate for all
    variant(
        RESNET18,
        name="resnet18-muon",
        optimizer="muon",
        max_lr=0.05,
        bias_lr=0.05,
        head_lr=0.05,
        weight_decay=0.0,
    ),
    # small enough to train in seconds on a CPU: experiments, the fast profile
    variant(RESNET18, name="resnet10", model="resnet10", epochs=6, batch_size=64),
    # what `sightline all` trains; its epochs follow from the number of pictures
    variant(RESNET18, name="folder", model="resnet10", epochs=40, batch_size=64),
    # after airbench94_muon (Jordan, 2024), in sizes that a CPU likes; nothing is chosen
    # by looking, so all 50,000 images may train, as in all public speed runs
    variant(
        RESNET18,
        name="speedrun",
        model="fast_net",
        epochs=8,
        batch_size=500,
        optimizer="muon",
        max_lr=0.12,
        momentum=0.6,
        weight_decay=1e-3,
        label_smoothing=0.2,
        schedule="linear",
        crop_padding=2,
        watch="test",
        keep="last",
        flip_average=True,
        target=0.9,
    ),
)

SYSTEMS = [r for name in PUBLISHED for r in (PUBLISHED[name], CORRECTED[name])]

#: every recipe by name, as `sightline recipes` lists them
#:
#: :meta hide-value:
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*OURS, *SYSTEMS)}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        SightlineError: if there is none; the message lists those that exist.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise SightlineError(f"unknown recipe {name!r}; choose from: {known}")
    return RECIPES[name]
