"""What to set by looking at the pictures: start, epochs and learning rate."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sightline.data.split import Splits
from sightline.errors import NonFiniteLossError, SightlineError
from sightline.training.budget import MANY
from sightline.training.engine import fit
from sightline.training.lr_finder import RangeTest, recommended, spread
from sightline.training.parts import build, chosen_splits
from sightline.training.recipe import STARTED, Recipe
from sightline.training.runtime import Runtime

__all__ = [
    "ENOUGH",
    "LEAST_EPOCHS",
    "Choice",
    "choose_epochs",
    "choose_rate",
    "choose_start",
    "trial_epochs",
    "try_rate",
]

MOST_EPOCHS = 200
#: of 2,700 photographs of clothes in 2 min, 22 epochs at 128 pixels were not told apart
#: from 40 at 64; below so few the pictures are made smaller
LEAST_EPOCHS = 10
ENOUGH = 40  #: epochs; with fewer, a smaller network learns more in the same time
FAR_APART = 3  # times: rates that differ by less train alike
CLEARLY = 0.95  # of the validation loss with the recipe's rate, to leave that one


@dataclass(frozen=True)
class Choice:
    """What a field of a recipe is set to, and why."""

    value: float | str
    why: str
    images_per_second: float | None = None  #: of training, where it was measured


def choose_start(recipe: Recipe, images: int, classes: int) -> Choice:
    """Choose the weights to start from for a number of training pictures.

    With 5 to 50 of a class, our own were 10 to 16 points ahead of random ones on
    photographs of clothes, and not told apart from these on hands (`studies/few.py`).
    """
    each = f"{images / classes:.0f} pictures of a class to train on"
    if (recipe.model, recipe.norm) != (STARTED["sightline"], "batch"):
        return Choice(recipe.start, f"no others fit {recipe.model}")
    if recipe.start == "scratch" and images <= MANY * classes:
        return Choice("sightline", f"{each}, few enough to begin with what is known")
    return Choice(recipe.start, f"the recipe's own; {each}")


def choose_epochs(images: int, speed: float, minutes: float) -> Choice:
    """Choose the epochs for a number of training pictures and a budget of minutes.

    Args:
        images: in an epoch.
        speed: images per second of a training.
        minutes: that the training may take.
    """
    time = 60 * minutes * speed / images
    epochs = min(max(int(time), LEAST_EPOCHS), MOST_EPOCHS)
    words = f"{minutes:g} min at {speed:,.0f} pictures a second allow {time:,.0f}"
    if epochs != int(time):
        words += f"; {'fewer' if epochs > time else 'more'} would teach little"
    return Choice(epochs, words)


def choose_rate(
    recipe: Recipe, tests: Sequence[RangeTest], trial: Callable[[float], float]
) -> Choice:
    """Choose the rate that range tests suggest, unless the recipe's does as well.

    In a small folder a hundred updates hardly move the loss, and range tests can point
    far too low: on 270 drawn shapes *valley* said 0.003, which ended at 61 %, where
    0.05 reached 92 %. So where suggestion and recipe are far apart, short trainings
    decide; the recipe's has the benefit of the doubt. A `trial` is one of these: it
    takes a rate and returns the validation loss, as `try_rate` does.
    """
    own = recipe.max_lr
    try:
        low, rate, high = spread(recommended, tests)
    except SightlineError as error:
        return Choice(own, f"the recipe's own, because {error}")
    why = f"median of {len(tests)} range tests, {low:.2g} to {high:.2g}"
    if max(rate / own, own / rate) <= FAR_APART:
        return Choice(rate, why)
    losses = {lr: trial(lr) for lr in (rate, own)}
    better = losses[rate] < CLEARLY * losses[own]
    return Choice(
        rate if better else own,
        f"{'better' if better else 'not clearly worse'} than "
        f"{own if better else rate:.2g}, after short trainings at {rate:.2g} "
        f"({why}) and at {own:.2g} (the recipe's) with a validation loss of "
        f"{losses[rate]:.2f} and {losses[own]:.2f}",
    )


def trial_epochs(recipe: Recipe) -> int:
    """Return the epochs of a short training: a fifth."""
    return max(recipe.epochs // 5, 2)


def try_rate(recipe: Recipe, splits: Splits, runtime: Runtime, max_lr: float) -> float:
    """Return the validation loss after a fifth of the epochs at another rate."""
    recipe = replace(recipe, max_lr=max_lr, epochs=trial_epochs(recipe))
    parts = build(recipe, chosen_splits(recipe, splits), runtime)
    try:
        *_, last = fit(parts, recipe, runtime, progress=False)
    except NonFiniteLossError:
        return math.inf
    return last.validation_loss
