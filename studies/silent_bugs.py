"""What does each mistake cost that raises no error, against a correct control?

Every mistake differs in one thing from its control, which the same rule, the same
pictures and the same seed made. All are judged on the same test images.

    python studies/silent_bugs.py [--plan]
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from study import SMALL, Arm, Outcome, Study, main
from torch import Tensor, nn

from sightline.data.split import Splits
from sightline.measures.evaluation import Evaluation
from sightline.training.engine import evaluate, fit
from sightline.training.lr_finder import recommended
from sightline.training.parts import Parts, build, evaluation_loader
from sightline.training.recipe import Recipe, variant
from sightline.training.runtime import Runtime
from sightline.training.train import range_tests

Colour = tuple[float, float, float]


def outcome(
    parts: Parts, recipe: Recipe, splits: Splits, runtime: Runtime, **extra: Any
) -> Outcome:
    """Train what was built, and read the test images with the last weights."""
    history = [asdict(epoch) for epoch in fit(parts, recipe, runtime, progress=False)]
    loader = evaluation_loader(splits.test, splits.mean, splits.std, runtime)
    return Outcome(history, evaluate(parts.model, loader, runtime=runtime), extra)


def stay_in_eval(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Never go back to training mode after the first validation."""
    parts = build(recipe, splits, runtime)
    switch, validated = parts.model.train, []

    def train_mode(mode: bool = True) -> nn.Module:
        if not mode:
            validated.append(True)
        return switch(mode and not validated)

    parts.model.train = train_mode
    return outcome(parts, recipe, splits, runtime)


def never_eval(
    recipe: Recipe, splits: Splits, runtime: Runtime, order: Tensor | None = None
) -> Outcome:
    """Judge in training mode: each batch is normalised by its own statistics.

    The test images come in a random order, or in one that is passed.
    """
    if order is None:
        drawn = torch.Generator().manual_seed(0)
        order = torch.randperm(len(splits.test), generator=drawn)
    parts = build(recipe, splits, runtime)
    switch = parts.model.train
    parts.model.train = lambda mode=True: switch(True)
    judged = replace(splits, test=splits.test.take(order))
    result = outcome(parts, recipe, judged, runtime)
    back = order.argsort()  # answers are compared image by image
    test = Evaluation(result.test.logits[back], result.test.labels[back])
    return replace(result, test=test)


def never_eval_by_class(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Judge in training mode batches of one class each, as files of folders lie."""
    order = splits.test.labels.argsort(stable=True)
    return never_eval(recipe, splits, runtime, order)


def never_shuffle(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Train on the images in the order of the files: class after class."""
    order = splits.train.labels.argsort(stable=True)
    splits = replace(splits, train=splits.train.take(order))
    parts = build(recipe, splits, runtime)
    parts.train_loader.shuffle = False
    return outcome(parts, recipe, splits, runtime)


def normalise_twice(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Normalise what is normalised already, in training and everywhere else."""
    mean, std = twice(splits.mean, splits.std)
    splits = replace(splits, mean=mean, std=std)
    return outcome(build(recipe, splits, runtime), recipe, splits, runtime)


def normalise_twice_in_training(
    recipe: Recipe, splits: Splits, runtime: Runtime
) -> Outcome:
    """Normalise the training images twice, the others once."""
    mean, std = twice(splits.mean, splits.std)
    parts = build(recipe, replace(splits, mean=mean, std=std), runtime)
    loader = evaluation_loader(splits.validation, splits.mean, splits.std, runtime)
    parts.validation_loader = loader
    return outcome(parts, recipe, splits, runtime)


def twice(mean: Colour, std: Colour) -> tuple[Colour, Colour]:
    """Return constants that do in one step what these do when applied two times."""
    pairs = list(zip(mean, std, strict=True))
    first, second, third = (m + s * m for m, s in pairs)
    variances = [s * s for _, s in pairs]
    return (first, second, third), (variances[0], variances[1], variances[2])


class SameStream:
    """Draw as two workers that share one stream, in every epoch."""

    def __init__(self, draw: Callable[..., Any], batches: int):
        self.draw, self.batches = draw, batches
        self.calls = 0

    def __call__(self, count: int, size: int, generator: torch.Generator) -> Any:
        """Return what the wrapped function draws from the turn's stream."""
        turn = self.calls % self.batches // 2  # two workers take turns
        self.calls += 1
        return self.draw(count, size, torch.Generator().manual_seed(turn))


def share_stream(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Give all workers and epochs the same random numbers."""
    parts = build(recipe, splits, runtime)
    loader = parts.train_loader
    loader.draw = SameStream(loader.draw, len(loader))
    return outcome(parts, recipe, splits, runtime)


def train_at_suggestion(
    recipe: Recipe, splits: Splits, runtime: Runtime, **sweep: Any
) -> Outcome:
    """Train at the rate that a range test recommends, which is recorded."""
    tested = replace(recipe, optimizer=sweep.pop("optimizer", recipe.optimizer))
    (test,) = range_tests(
        tested, splits, runtime, seeds=[recipe.seed], progress=False, **sweep
    )
    rate = recommended(test)
    recipe = replace(recipe, max_lr=rate)
    parts = build(recipe, splits, runtime)
    return outcome(parts, recipe, splits, runtime, rate=rate)


def too_high(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Begin the range test where the loss only rises."""
    sweep = {"start_lr": 1.0, "end_lr": 30.0}
    return train_at_suggestion(recipe, splits, runtime, **sweep)


def other_optimizer(recipe: Recipe, splits: Splits, runtime: Runtime) -> Outcome:
    """Test with AdamW and train with SGD."""
    return train_at_suggestion(recipe, splits, runtime, optimizer="adamw")


RIGHT = replace(SMALL, epochs=10)
HOLED = variant(RIGHT, cutout=16)
#: what each arm is compared with; arms that are missing here are controls
CONTROLS = {
    "schedule stepped per epoch": "right",
    "schedule sized by images": "right",
    "left in evaluation mode": "right",
    "judged in training mode": "right",
    "judged in training mode, class after class": "right",
    "no shuffling, files in class order": "right",
    "normalised twice, everywhere": "right",
    "normalised twice, in training only": "right",
    "statistics of ImageNet": "right",
    "range test from too high": "range test",
    "range test with another optimizer": "range test",
    "fill in other units": "right, cutout",
    "same randomness everywhere": "right, cutout",
    "L1 of norm gains": "right, L1 of kernels",
}
STUDY = Study(
    name="silent_bugs",
    question="What does a mistake cost that raises no error?",
    arms=[
        Arm("right", RIGHT),
        Arm("right, cutout", HOLED),
        Arm("right, L1 of kernels", replace(RIGHT, l1=1e-5)),
        Arm("range test", RIGHT, train_at_suggestion),
        Arm("schedule stepped per epoch", replace(RIGHT, schedule_step="epoch")),
        Arm("schedule sized by images", replace(RIGHT, schedule_length="images")),
        Arm("left in evaluation mode", RIGHT, stay_in_eval),
        Arm("judged in training mode", RIGHT, never_eval),
        Arm("judged in training mode, class after class", RIGHT, never_eval_by_class),
        Arm("no shuffling, files in class order", RIGHT, never_shuffle),
        Arm("normalised twice, everywhere", RIGHT, normalise_twice),
        Arm("normalised twice, in training only", RIGHT, normalise_twice_in_training),
        Arm("statistics of ImageNet", replace(RIGHT, statistics="imagenet")),
        Arm("range test from too high", RIGHT, too_high),
        Arm("range test with another optimizer", RIGHT, other_optimizer),
        Arm("fill in other units", variant(HOLED, cutout_fill="raw_mean")),
        Arm("same randomness everywhere", HOLED, share_stream),
        Arm("L1 of norm gains", replace(RIGHT, l1=5e-4, l1_of="means")),
    ],
    controls=lambda record: CONTROLS,
)

if __name__ == "__main__":
    main(STUDY)
