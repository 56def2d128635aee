"""The first updates of every recipe give the losses that losses.json records.

They show that code which was moved or rewritten trains as before. Write the file anew
(`python tests/test_losses.py`) only for a change that is meant to train differently,
in its own commit, which names the recipes that differ and says why.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from sightline.data.datasets import draw_split
from sightline.data.shapes import CLASSES
from sightline.data.split import Splits
from sightline.training.engine import fit
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

pytestmark = pytest.mark.slow
RECORD = Path(__file__).with_name("losses.json")
TOLERANCE = 1e-4  # relative, of losses and distance


def first_updates(recipe: Recipe) -> dict:
    """Train 4 updates: the only function here that knows how the library is called.

    Network, loss and Muon's bfloat16 compute in float64. In float32 the last bits of
    one and of two threads differ, and 4 updates at these rates amplify that to 2 % of
    the loss (S0: 20 %).
    """
    splits = Splits(
        name="shapes",
        # batches of 4 and 2; of 4 and 4 with the validation images
        train=draw_split(6, 0),
        validation=draw_split(2, 1),
        test=draw_split(2, 2),
        classes=CLASSES,
        mean=(0.5, 0.45, 0.4),
        std=(0.25, 0.24, 0.23),
        digest="losses",
    )
    recipe = replace(recipe, batch_size=4, epochs=2)
    runtime = choose_runtime("cpu", "fp32")
    parts = build(recipe, chosen_splits(recipe, splits), runtime)
    parts.model.double().register_forward_pre_hook(lambda _, args: args[0].double())
    start = [p.detach().clone() for p in parts.model.parameters()]
    losses, rates, smoothed = [], [], parts.loss_fn

    def loss_fn(logits: Tensor, labels: Tensor) -> Tensor:
        loss = smoothed(logits.double(), labels)
        losses.append(loss.item())
        rates.append([group["lr"] for group in parts.optimizer.param_groups])
        return loss

    parts.loss_fn = loss_fn
    epochs = fit(parts, recipe, runtime, progress=False)
    with patch.object(Tensor, "bfloat16", Tensor.double):
        validation_losses = [epoch.validation_loss for epoch in epochs]
    moves = zip(parts.model.parameters(), start, strict=True)
    return {
        "losses": losses,  # of each update, before it
        "validation_losses": validation_losses,  # after each epoch
        "rates": rates,  # of each update, one per parameter group
        "distance": sum((p - s).square().sum().item() for p, s in moves) ** 0.5,
    }


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_updates_of_a_recipe_are_those_recorded(name):
    with one_thread():
        updates = first_updates(RECIPES[name])
    recorded = json.loads(RECORD.read_bytes())[name]
    assert len(updates["losses"]) == 4
    for step, rates in enumerate(updates["rates"]):
        assert rates == pytest.approx(recorded["rates"][step], rel=1e-9, abs=0)
    for key in ("losses", "validation_losses", "distance"):
        assert updates[key] == pytest.approx(recorded[key], rel=TOLERANCE, abs=0), key


def test_every_recipe_is_recorded():
    assert list(json.loads(RECORD.read_bytes())) == list(RECIPES)


def record() -> None:
    """Write losses.json anew: read at the top when one may."""
    with one_thread():
        updates = {name: first_updates(recipe) for name, recipe in RECIPES.items()}
    RECORD.write_text(json.dumps(updates, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
