"""What minutes and memory allow: the network, the size of pictures, the batch."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import torch
from torch import nn

from sightline.data.folders import MEMORY_SHARE
from sightline.data.options import ImageSize
from sightline.data.stored import usable_memory
from sightline.errors import SightlineError
from sightline.measures.numbers import gigabytes
from sightline.models import build_model
from sightline.training.optim import make_optimizer
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime

__all__ = [
    "LARGE",
    "MANY",
    "Memory",
    "affordable_batch",
    "candidates",
    "memory_of",
    "speed_of",
]

#: training pictures a class; with fewer, a large network learns them by heart, and
#: weights to start from help more, which the small one has
MANY = 50
LARGE, SMALL = "resnet18", "resnet10"  #: networks that `all` chooses from
WATCHED = 1.0  # seconds of updates by which the speed is measured, after a first one
LEAST_BATCH = 8  # images, below which batch norm learns little
PROGRAM = 0.7e9  # bytes of Python with torch, before anything is loaded


def candidates(
    recipe: Recipe, *, side: int, many: bool, fixed: frozenset[str]
) -> Iterator[Recipe]:
    """Yield the recipes to choose from, the most ambitious first.

    Args:
        recipe: what may not be chosen is as it says.
        side: pixels that the pictures have; they are not enlarged.
        many: pictures enough for a large network.
        fixed: "image_size" and "model", if they are not to be chosen.
    """
    own = "image_size" in fixed
    sizes = [size for size in get_args(ImageSize) if size <= side] or [32]
    models = [LARGE, SMALL] if many else [SMALL]
    for size in [recipe.image_size] if own else sorted(sizes, reverse=True):
        for model in [recipe.model] if "model" in fixed else models:
            changed = None
            try:  # weights to start from fit some models and sizes only
                changed = replace(recipe, image_size=size, model=model)
                build_on_paper(changed, 2)
            except SightlineError:
                continue
            yield changed


def speed_of(recipe: Recipe, num_classes: int, runtime: Runtime) -> float:
    """Return the images per second of a training, from some updates on noise."""
    runtime.activate()
    shape = recipe.batch_size, 3, recipe.image_size, recipe.image_size
    with torch.random.fork_rng([]):
        model = build_model(num_classes=num_classes, **recipe.network)
        model = runtime.place(model).train()
        images, labels = runtime.move(
            torch.randn(shape), torch.randint(num_classes, shape[:1])
        )
    optimizer = make_optimizer(recipe, model)
    updates, started = -1, time.perf_counter()  # the first one is not counted
    while updates < 1 or time.perf_counter() - started < WATCHED:
        if updates == 0:
            started = time.perf_counter()
        with runtime.autocast():
            logits = model(images)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        updates += 1
    return updates * len(images) / (time.perf_counter() - started)


@dataclass(frozen=True)
class Memory:
    """The bytes that a training needs, estimated."""

    pictures: float  #: decoded, and the copies that the parts are
    network: float  #: weights, gradients and what the optimizer keeps
    batch: float  #: what backward needs of one batch

    @property
    def total(self) -> float:
        """Return all of it, the program included."""
        return self.pictures + self.network + self.batch + PROGRAM

    def __str__(self) -> str:
        """Return the line that a person reads before the memory is used."""
        return (
            f"{gigabytes(self.total)} of {gigabytes(usable_memory())} usable: pictures "
            f"{gigabytes(self.pictures)}, network {gigabytes(self.network)}, a batch "
            f"{gigabytes(self.batch)}"
        )


def memory_of(recipe: Recipe, pictures: int, num_classes: int) -> Memory:
    """Estimate the memory of a training on the CPU.

    The network is built without memory, and told two images: what it would keep for
    backward is counted.
    """
    model, kept = build_on_paper(recipe, num_classes)
    decoded = 3 * pictures * recipe.image_size**2
    if decoded > MEMORY_SHARE * usable_memory():  # then they stay on the disk
        decoded = 0
    weights = 4 * sum(weight.numel() for weight in model.parameters())
    return Memory(2 * decoded, 3 * weights, kept * recipe.batch_size)


def affordable_batch(recipe: Recipe, pictures: int, num_classes: int) -> int:
    """Return the recipe's batch size, or the largest half of it that fits the memory.

    Raises:
        SightlineError: if not even a small one fits.
    """
    size = recipe.batch_size
    memory = memory_of(recipe, pictures, num_classes)
    while memory.total > usable_memory():
        size //= 2
        if size < LEAST_BATCH:
            raise SightlineError(
                f"{recipe.model} and {pictures:,} pictures of {recipe.image_size}x"
                f"{recipe.image_size} pixels would fill {memory}; give a smaller "
                "--image-size or another --model"
            )
        memory = memory_of(replace(recipe, batch_size=size), pictures, num_classes)
    return size


def build_on_paper(recipe: Recipe, num_classes: int) -> tuple[nn.Module, float]:
    """Build a network that has shapes only.

    Returns:
        It, and the bytes of an image that it keeps for backward.
    """
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, nn.Parameter):
            kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    images = torch.empty(2, 3, recipe.image_size, recipe.image_size, device="meta")
    with torch.random.fork_rng([]), torch.device("meta"):
        model = build_model(num_classes=num_classes, **recipe.network).train()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logits = model(images)
    del logits
    return model, sum(kept.values()) / len(images)
