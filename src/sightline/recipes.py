"""Recipes: everything that decides how a network is trained, as one value.

A variant is `dataclasses.replace(RECIPES["resnet18"], max_lr=0.05)`.
"""

from dataclasses import dataclass, field, fields, replace

from sightline.errors import SightlineError

__all__ = ["RECIPES", "Recipe", "describe_fields", "find_recipe"]


def unit(default: str | int | float, meaning: str):
    """Declare a field with its default and its unit or meaning."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Recipe:
    """How to train one network. Every field can be set from the command line."""

    name: str
    model: str = unit("resnet18", "network, a key of MODELS")
    norm: str = unit("batch", "normalisation: batch, layer or group")
    epochs: int = unit(20, "passes over the training images")
    batch_size: int = unit(128, "images per update")
    optimizer: str = unit("sgd", "sgd, adam or adamw")
    max_lr: float = unit(0.1, "largest learning rate of the schedule")
    momentum: float = unit(0.9, "of SGD, or Adam's first beta; one_cycle cycles it")
    weight_decay: float = unit(5e-4, "on kernels and matrices only")
    label_smoothing: float = unit(0.1, "share of the target spread over all classes")
    schedule: str = unit("one_cycle", "one_cycle, cosine, constant or plateau")
    pct_start: float = unit(0.25, "one_cycle: share of the steps spent climbing")
    div_factor: float = unit(25.0, "one_cycle: max_lr / first learning rate")
    final_div_factor: float = unit(1e3, "one_cycle: first / last learning rate")
    crop_padding: int = unit(4, "pixels: largest random shift, borders reflected")
    flip: float = unit(0.5, "probability of a mirror image")
    cutout: int = unit(0, "pixels: side of the hole; 0: none")
    workers: int = unit(0, "0: augment whole batches; n: albumentations in n processes")
    seed: int = unit(0, "of weights, order and augmentation")

    def __post_init__(self):
        """Refuse what cannot be trained."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                value = getattr(self, name)
                raise SightlineError(f"{name} must be at least 1, not {value}")
        for name in ("max_lr", "div_factor", "final_div_factor"):
            if not getattr(self, name) > 0:
                value = getattr(self, name)
                raise SightlineError(f"{name} must be above 0, not {value}")
        for name in ("flip", "label_smoothing", "pct_start", "momentum"):
            if not 0 <= getattr(self, name) <= 1:
                value = getattr(self, name)
                raise SightlineError(f"{name} must lie in 0..1, not {value}")
        for name in ("weight_decay", "crop_padding", "cutout", "workers", "seed"):
            if getattr(self, name) < 0:
                value = getattr(self, name)
                raise SightlineError(f"{name} must not be negative, but is {value}")


RESNET18 = Recipe(name="resnet18")

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        RESNET18,
        replace(RESNET18, name="resnet34", model="resnet34"),
        replace(
            RESNET18,
            name="resnet18-layer-norm",
            model="resnet18_layer_norm",
            norm="layer",
        ),
        # small enough to train in seconds on a CPU: experiments, the fast profile
        replace(RESNET18, name="resnet10", model="resnet10", epochs=6, batch_size=64),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        SightlineError: if there is none; the message lists those that exist.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise SightlineError(f"unknown recipe {name!r}; choose from: {known}")
    return RECIPES[name]


def describe_fields() -> dict[str, tuple[type, str]]:
    """Return type and meaning of every field but the name, for the command line."""
    described = [f for f in fields(Recipe) if f.name != "name"]
    return {f.name: (f.type, f.metadata["help"]) for f in described}
