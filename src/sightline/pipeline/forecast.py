"""What twice as many pictures would bring, from trainings that are each kept."""

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

__all__ = ["forecast", "forecast_sentence"]

FILE = "learning_curve.json"
TRAININGS = [(part, draw) for part in PARTS for draw in range(DRAWS)]


def forecast(pipeline: Pipeline) -> None:
    """Say what twice as many pictures would bring; draw the curve behind it."""
    known = recorded(pipeline)
    if "result" in known:
        pipeline.say(f"  done before: {FILE}")
        return
    try:
        splits = divide(pipeline.splits)
    except DataError as error:
        pipeline.say(f"  left out: {error}")
        return
    sizes = {part: len(part_of(splits.train, part, 0)) for part in PARTS}
    left = [pair for pair in TRAININGS if title(*pair, sizes[pair[0]]) not in known]
    say_cost(pipeline, splits, len(left))
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
    pipeline.write_json(FILE, recorded(pipeline) | {"result": result})


def recorded(pipeline: Pipeline) -> dict[str, Any]:
    """Return what was measured so far."""
    return pipeline.read(FILE) if (pipeline.out / FILE).exists() else {}


def forecast_sentence(pipeline: Pipeline) -> str:
    """Return what was forecast, "" if that was left out."""
    return recorded(pipeline).get("result", {}).get("sentence", "")


def say_cost(pipeline: Pipeline, splits: Splits, count: int) -> None:
    """Say how many trainings are to come, and how long they will take."""
    epochs = shorter(pipeline.chosen_recipe).epochs
    speed = pipeline.run.history[-1]["images_per_second"]
    seconds = count * epochs * len(splits.train) / speed
    pipeline.say(
        f"  {count} short trainings of {len(splits.train):,} pictures an epoch, about "
        f"{duration(seconds)}; {len(splits.validation):,} pictures are held out"
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
