"""How many pictures are needed, from short trainings that are each kept."""

from typing import Any

import torch

from sightline import plots
from sightline.data.split import Splits
from sightline.errors import DataError
from sightline.measures.numbers import duration
from sightline.pipeline.state import Pipeline
from sightline.training.learning_curve import (
    DRAWS,
    PARTS,
    LearningCurve,
    divide,
    doubling,
    measure_part,
    part_of,
    shorter,
)

__all__ = ["find_curve"]

FILE = "learning_curve.json"
TRAININGS = [(part, draw) for part in PARTS for draw in range(DRAWS)]


def find_curve(pipeline: Pipeline) -> None:
    """Say what twice as many pictures would bring; draw the curve behind it."""
    try:
        splits = divide(pipeline.splits)
    except DataError as error:
        pipeline.say(f"  left out: {error}")
        return
    sizes = {part: len(part_of(splits.train, part, 0)) for part in PARTS}
    say_cost(pipeline, splits, sizes)
    rows = [
        measure(pipeline, splits, part, draw, sizes[part]) for part, draw in TRAININGS
    ]
    curve = LearningCurve(
        tuple(sizes.values()),
        torch.tensor(rows, dtype=torch.bool).view(len(PARTS), DRAWS, -1),
        splits.validation.labels,
        tuple(splits.train.labels.bincount(minlength=len(splits.classes)).tolist()),
    )
    figure = plots.learning_curve(curve.sizes, curve.right, doubling(curve.right))
    plots.save(figure, pipeline.out / "learning_curve.svg")
    sentence = curve.sentence(splits.classes)
    pipeline.say(f"  {sentence}")
    result = {"sentence": sentence, "points": list(doubling(curve.right))}
    pipeline.write_json(FILE, pipeline.read(FILE) | {"result": result})


def say_cost(pipeline: Pipeline, splits: Splits, sizes: dict[int, int]) -> None:
    """Say how many trainings are to come, and how long they will take."""
    known = pipeline.read(FILE) if (pipeline.out / FILE).exists() else {}
    left = [pair for pair in TRAININGS if title(*pair, sizes[pair[0]]) not in known]
    recipe = shorter(pipeline.chosen_recipe)
    speed = pipeline.run.history[-1]["images_per_second"]
    seconds = len(left) * recipe.epochs * len(splits.train) / speed
    if left:
        pipeline.say(
            f"  {len(left)} short trainings on {sizes[4]:,} to {sizes[1]:,} pictures, "
            f"about {duration(seconds)}; {len(splits.validation):,} are held out"
        )


def title(part: int, draw: int, size: int) -> str:
    """Name one of the trainings, in the file and for people."""
    return f"{size:,} pictures, draw {draw + 1} of {DRAWS}"


def measure(
    pipeline: Pipeline, splits: Splits, part: int, draw: int, size: int
) -> list[bool]:
    """Return the answers of one training, which is trained unless it is known."""

    def train() -> dict[str, Any]:
        recipe = shorter(pipeline.chosen_recipe)
        right = measure_part(recipe, splits, pipeline.runtime, part, draw)
        return {"right": "".join("01"[answer] for answer in right.tolist())}

    answers = pipeline.measured(FILE, title(part, draw, size), train)["right"]
    return [answer == "1" for answer in answers]
