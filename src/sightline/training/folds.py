"""Answers about every picture of a data set by networks that never saw its label.

The network of a run has learnt the labels of its training pictures, wrong ones too, and
so have its features: a new head on these would still agree with them. So each fold is a
training of its own, a short one.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from torch import Tensor

from sightline.data.label_errors import out_of_fold
from sightline.data.split import Split, Splits, digest_of
from sightline.measures.numbers import duration
from sightline.training.budget import speed_of
from sightline.training.recipe import Recipe
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

__all__ = ["FOLDS", "ask_out_of_fold", "everything", "shortened"]

FOLDS = 5  #: trainings, each on four fifths of all pictures
SHORTER = 4  # one epoch of how many: five such trainings take as long as the run's one
# pictures shown to a network, at least, unless the run itself saw fewer: of 2,000
# photographs of hands 97 % were then recognised
SHOWN = 16_000


def shortened(recipe: Recipe, splits: Splits) -> Recipe:
    """Return the recipe of a fold: with fewer epochs.

    Nothing is chosen by looking at the fold: the weights of the last epoch count.
    """
    enough = SHOWN // _training_images(splits)
    epochs = max(recipe.epochs // SHORTER, min(recipe.epochs, enough), 1)
    return replace(recipe, epochs=epochs, keep="last", watch="validation", target=None)


def everything(splits: Splits) -> Split:
    """Return the pictures of all parts: training, validation, then test."""
    return splits.train.join(splits.validation).join(splits.test)


def ask_out_of_fold(
    recipe: Recipe,
    splits: Splits,
    out: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    say: Callable[[str], None] = print,
) -> Tensor:
    """Return probabilities of all pictures, (N, K), in the order of `everything`.

    Each fold is a run in `out`, so what was cut off goes on. `say` hears what it will
    cost before the first one starts.

    Raises:
        RunError: if `out` holds trainings on other pictures or labels.
        SightlineError: if there are fewer pictures than folds.
    """
    numbers, whole = count(1), everything(splits)
    _say_cost(recipe, splits, out, choose_runtime(device, precision), say)

    def ask(rest: Split, fold: Split) -> Tensor:
        number = next(numbers)
        digest = digest_of(rest, fold)
        parts = replace(splits, train=rest, validation=fold, test=fold, digest=digest)
        run = train(
            recipe,
            parts,
            out=out / f"fold-{number}",
            resume=True,
            device=device,
            precision=precision,
            progress=False,
        )
        say(f"  fold {number} of {FOLDS}: {run.test.accuracy:.1%} agree with the label")
        return run.test.probabilities

    return out_of_fold(whole, ask, folds=FOLDS, seed=recipe.seed)


def _training_images(splits: Splits) -> int:
    """Return how many pictures train the network of a fold."""
    parts = (splits.train, splits.validation, splits.test)
    return sum(map(len, parts)) * (FOLDS - 1) // FOLDS


def _say_cost(
    recipe: Recipe,
    splits: Splits,
    out: Path,
    runtime: Runtime,
    say: Callable[[str], None],
) -> None:
    """Say what the trainings that are left will cost, if any are."""
    folds = range(1, FOLDS + 1)
    left = sum(not Run(out / f"fold-{number}").finished for number in folds)
    if left:
        images = _training_images(splits)
        speed = speed_of(recipe, len(splits.classes), runtime)
        say(
            f"{left} trainings of {recipe.model}, {recipe.epochs} epochs of "
            f"{images:,} pictures each, about "
            f"{duration(left * recipe.epochs * images / speed)}"
        )
