"""What a recipe becomes for one data set on one machine."""

import os
from collections.abc import Callable, Sized
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from sightline.data.augment import normalise_uint8
from sightline.data.loaders import BatchLoader, albumentations_loader
from sightline.data.split import Colour, Split, Splits
from sightline.data.transforms import train_transform
from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.models.fast_net import FastNet
from sightline.models.pretrained import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIGHTLINE_MEAN,
    SIGHTLINE_STD,
    load_imagenet,
    load_sightline,
)
from sightline.training.optim import make_optimizer
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime, seed_everything
from sightline.training.schedules import build_scheduler

__all__ = [
    "LOADERS",
    "STATISTICS",
    "Parts",
    "build",
    "evaluation_loader",
    "training_loader",
]

Loader = BatchLoader | DataLoader
Loss = Callable[[Tensor, Tensor], Tensor]  # of logits (B, K) and labels (B,), a scalar
#: mean and std of pixels in 0..1 that a recipe may name, besides "training"
STATISTICS: dict[str, tuple[Colour, Colour]] = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "sightline": (SIGHTLINE_MEAN, SIGHTLINE_STD),
    # CIFAR-10's, with the digits that the authors of S0, S1 and S4 typed
    "cifar10-s0": ((0.4915, 0.4823, 0.4468), (0.2470, 0.2435, 0.2616)),
    "cifar10-s1": (
        (0.49139968, 0.48215841, 0.44653091),
        (0.24703223, 0.24348513, 0.26158784),
    ),
    "cifar10-s4": ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
}
#: what loads the weights of a start, into all but the head
LOADERS: dict[str, Callable[[nn.Module], None]] = {
    "imagenet": load_imagenet,
    "sightline": load_sightline,
}
WHITENING_IMAGES = 5000
EVALUATION_BATCH = 500  # images; larger gains nothing on a CPU


@dataclass
class Parts:
    """What a recipe becomes for one data set on one machine."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    train_loader: Loader
    validation_loader: Loader
    loss_fn: Loss  #: that is trained; validation is measured by cross-entropy


def chosen_splits(recipe: Recipe, splits: Splits) -> Splits:
    """Return the splits as the recipe uses them.

    A recipe that watches the test images trains on the validation images, too, as
    published systems do. Statistics that it names replace those of the training images;
    weights to start from expect those of their own training.

    Raises:
        SightlineError: if the pictures have another size, framing or group than the
            recipe.
    """
    size = splits.train.images.shape[1]
    if size != recipe.image_size:
        raise SightlineError(
            f"{splits.name} has pictures of {size}x{size} pixels, but the recipe has "
            f"image_size {recipe.image_size}; load them at that size, or change it"
        )
    if splits.framing not in (None, recipe.framing):
        raise SightlineError(
            f"{splits.name} has pictures loaded with framing {splits.framing}, but the "
            f"recipe has {recipe.framing}; load them with that, or change it"
        )
    if splits.group not in (None, recipe.group):
        raise SightlineError(
            f"{splits.name} was divided with group {splits.group!r}, but the recipe "
            f"has {recipe.group!r}; load it with that, or change it"
        )
    if recipe.watch == "test":
        everything = splits.train.join(splits.validation)
        splits = replace(splits, train=everything, validation=splits.test)
    name = recipe.statistics if recipe.start == "scratch" else recipe.start
    if name != "training":
        mean, std = STATISTICS[name]
        splits = replace(splits, mean=mean, std=std)
    return splits


def training_loader(recipe: Recipe, splits: Splits, runtime: Runtime) -> Loader:
    """Build shuffled, augmented training batches."""
    augmentation = recipe.augmentation.scaled(recipe.image_size)
    mean, std, size = splits.mean, splits.std, recipe.image_size
    if not recipe.workers:
        return BatchLoader(
            splits.train,
            batch_size=recipe.batch_size,
            mean=mean,
            std=std,
            augmentation=augmentation,
            shuffle=True,
            device=runtime.device,
            rank=runtime.rank,
            world_size=runtime.world_size,
        )
    if runtime.world_size > 1:
        raise SightlineError(
            f"workers {recipe.workers} with {runtime.world_size} processes: choose "
            "workers 0, which augments whole batches"
        )
    if recipe.workers > (most := max(8, 2 * (os.cpu_count() or 1))):
        raise SightlineError(
            f"workers {recipe.workers}: each is a process, and this machine has "
            f"{os.cpu_count()} processors; choose at most {most}"
        )
    return albumentations_loader(
        splits.train,
        train_transform(augmentation, mean=mean, std=std, image_size=size),
        batch_size=recipe.batch_size,
        shuffle=True,
        workers=recipe.workers,
    )


def evaluation_loader(
    split: Split, mean: Colour, std: Colour, runtime: Runtime
) -> BatchLoader:
    """Build plain batches in the order of the split: no shuffling, no augmentation.

    With several processes, each gets its part of the split.
    """
    if runtime.world_size > 1:
        split = split.take(runtime.part(len(split)))
    return BatchLoader(
        split, batch_size=EVALUATION_BATCH, mean=mean, std=std, device=runtime.device
    )


def count_images(loader: Loader) -> int:
    """Return how many images one pass over `loader` gives."""
    assert isinstance(loader.dataset, Sized)  # torch's need not be, both of ours are
    return len(loader.dataset)


def make_scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, loader: Loader
) -> LRScheduler:
    """Build the recipe's schedule, sized as the recipe says."""
    by_images = recipe.schedule_length == "images"
    steps = count_images(loader) if by_images else len(loader)
    return build_scheduler(recipe, optimizer, recipe.epochs * steps)


def make_loss(recipe: Recipe) -> Callable[[Tensor, Tensor], Tensor]:
    """Build the recipe's loss of logits (B, K) and labels (B,)."""
    loss_fn = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    if not recipe.log_softmax:
        return loss_fn
    return lambda logits, labels: loss_fn(logits.log_softmax(1), labels)


def make_model(recipe: Recipe, splits: Splits, *, blank: bool = False) -> nn.Module:
    """Build the recipe's network; one that whitens its input sees the first images."""
    model = build_model(num_classes=len(splits.classes), **recipe.network)
    if recipe.start != "scratch" and not blank:
        LOADERS[recipe.start](model)
    if isinstance(model, FastNet):
        first = splits.train.images[:WHITENING_IMAGES]
        model.whiten(normalise_uint8(first, splits.mean, splits.std))
    return model


def build(
    recipe: Recipe,
    splits: Splits,
    runtime: Runtime,
    *,
    model: nn.Module | None = None,
    loss_fn: Loss | None = None,
    blank: bool = False,
) -> Parts:
    """Build network, optimizer, schedule, loaders and loss from a seeded start.

    `model` and `loss_fn` are trained in place of the recipe's own; `blank` leaves the
    weights to start from out, because others will be loaded.
    """
    seed_everything(recipe.seed)
    if model is None:
        model = make_model(recipe, splits, blank=blank)
    model = runtime.place(model)
    optimizer = make_optimizer(recipe, model)
    train_loader = training_loader(recipe, splits, runtime)
    return Parts(
        model=model,
        optimizer=optimizer,
        scheduler=make_scheduler(recipe, optimizer, train_loader),
        train_loader=train_loader,
        validation_loader=evaluation_loader(
            splits.validation, splits.mean, splits.std, runtime
        ),
        loss_fn=loss_fn or make_loss(recipe),
    )
