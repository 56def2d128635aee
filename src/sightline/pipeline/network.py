"""The choice of the network and the size of pictures, by a budget of minutes."""

import warnings

from sightline.data.listing import Listing, list_folder
from sightline.data.pictures import open_picture
from sightline.errors import SightlineError
from sightline.pipeline.state import Pipeline
from sightline.training import budget
from sightline.training.choices import (
    ENOUGH,
    LEAST_EPOCHS,
    Choice,
    choose_epochs,
    choose_start,
)
from sightline.training.recipe import Recipe

__all__ = ["choose_length", "choose_network"]

CHOSEN = {"image_size", "model"}  # fields of the recipe
SPEEDS = "speed.json"
SEEN = 200  # pictures whose size is looked at
TRAINED = 0.72  # of a folder's pictures: 0.8 are not the test part, of these 0.9 train


def choose_network(pipeline: Pipeline) -> None:
    """Choose the size of the pictures and the network, before pictures are decoded.

    That is the largest size that the small network has time for, and the large network
    if there is time for enough epochs of it. A pipeline of a version that did not
    choose stays as it was.
    """
    begun = (pipeline.out / "pipeline.json").exists()
    if not begun and "model" not in pipeline.choices:
        size, model = largest(pipeline)
        pipeline.choose("image_size", lambda: size)
        pipeline.choose("model", lambda: model)
    for name in ("image_size", "model"):
        if choice := pipeline.choices.get(name):
            pipeline.say(f"  {name} {choice.value}: {choice.why}")


def largest(pipeline: Pipeline) -> tuple[Choice, Choice]:
    """Return the size of the pictures, and the network."""
    listing = list_folder(pipeline.folder.expanduser())
    side = median_side(listing, pipeline.recipe.framing)
    images = int(TRAINED * len(listing.names)) or 1
    many = images > budget.MANY * len(listing.classes)
    chosen, why, fixed = pipeline.recipe, "it was given", frozenset(pipeline.fixed)
    options = budget.candidates(chosen, side=side, many=many, fixed=fixed)
    most = 0.0
    for recipe in options if fixed < fixed | CHOSEN else ():
        speed = measured_speed(pipeline, recipe, len(listing.classes))
        epochs = 60 * pipeline.minutes * speed / images
        enough = ENOUGH if recipe.model == budget.LARGE else LEAST_EPOCHS
        if epochs >= min(enough, most):
            chosen, most = recipe, epochs
            why = (
                f"{pipeline.minutes:g} min are about {epochs:,.0f} epochs of "
                f"{recipe.model} at {recipe.image_size} pixels"
            )
        if epochs >= enough:
            break
    size = Choice(chosen.image_size, f"half of the pictures have {side:,} or more")
    return size, Choice(chosen.model, why)


def measured_speed(pipeline: Pipeline, recipe: Recipe, num_classes: int) -> float:
    """Return how fast a network is trained here, measured once."""
    known = (pipeline.out / SPEEDS).exists()
    speeds = pipeline.read(SPEEDS) if known else {}
    name = f"{recipe.model} at {recipe.image_size} pixels"
    if name not in speeds:
        speeds[name] = budget.speed_of(recipe, num_classes, pipeline.runtime)
        pipeline.write_json(SPEEDS, speeds)
    return speeds[name]


def median_side(listing: Listing, framing: str) -> int:
    """Return the median side, in pixels, of what becomes the square."""
    step = max(len(listing.names) // SEEN, 1)
    sides = []
    with warnings.catch_warnings(action="ignore"):  # of odd metadata, and many pixels
        for name in listing.names[::step]:
            try:
                with open_picture(listing.folder / name) as picture:
                    sides.append(picture.size)
            except Exception:  # decoders of broken files raise nearly anything
                continue
    shorter = min if framing == "crop" else max
    return sorted(map(shorter, sides))[len(sides) // 2] if sides else 0


def choose_length(pipeline: Pipeline) -> None:
    """Choose the epochs by the minutes, and a batch that fits the memory; say both.

    Raises:
        SightlineError: if no batch fits.
    """
    splits, recipe = pipeline.splits, pipeline.chosen_recipe

    def epochs() -> Choice:
        speed = measured_speed(pipeline, recipe, len(splits.classes))
        return choose_epochs(len(splits.train), speed, pipeline.minutes)

    def start() -> Choice:
        return choose_start(recipe, len(splits.train), len(splits.classes))

    if "epochs" not in pipeline.choices:  # else of a version that did not choose it
        pipeline.choose("start", start)
    pipeline.choose("epochs", epochs)
    for name in ("start", "epochs"):
        if choice := pipeline.choices.get(name):
            pipeline.say(f"  {name} {choice.value}: {choice.why}")
    if pipeline.runtime.device.type == "cpu":
        fit_memory(pipeline)


def fit_memory(pipeline: Pipeline) -> None:
    """Say how much memory a training needs; choose a smaller batch where that helps.

    Raises:
        SightlineError: if no batch fits, or not the one that was given.
    """
    splits, recipe = pipeline.splits, pipeline.chosen_recipe
    pictures = sum(map(len, (splits.train, splits.validation, splits.test)))
    fitting = budget.affordable_batch(recipe, pictures, len(splits.classes))
    if fitting < recipe.batch_size:
        if "batch_size" in pipeline.fixed:
            memory = budget.memory_of(recipe, pictures, len(splits.classes))
            raise SightlineError(
                f"--batch-size {recipe.batch_size} needs {memory}; --batch-size "
                f"{fitting} fits"
            )
        why = f"{recipe.batch_size} would fill the memory"
        pipeline.choose("batch_size", lambda: Choice(fitting, why))
        pipeline.say(f"  batch_size {fitting}: {why}")
    recipe = pipeline.chosen_recipe
    memory = budget.memory_of(recipe, pictures, len(splits.classes))
    pipeline.say(f"  memory: {memory}")
