"""The loop that the published systems share, rebuilt from what it does.

One picture at a time through albumentations in worker processes, single precision, the
memory format that torch starts with, an optimizer that is not fused, and a progress bar
that asks for the loss after every step. Sources: systems S0 and S4 of chapter 07.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import albumentations as A
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from tqdm import tqdm

from sightline.data.split import Splits
from sightline.data.transforms import FOLDS, TransformedDataset
from sightline.training.recipe import Recipe

__all__ = ["evaluate", "test_loader", "train", "train_loader"]

WORKERS = 2


def train_loader(splits: Splits, recipe: Recipe) -> DataLoader:
    """Normalise, pad by 2 as the recipe does, crop, cut a hole of 16 pixels."""
    border_mode = FOLDS[recipe.augmentation.border]
    steps = [
        A.Normalize(splits.mean, splits.std),
        A.PadIfNeeded(36, 36, border_mode=border_mode),  # else: a colour, black
        A.RandomCrop(32, 32),
        A.CoarseDropout(
            num_holes_range=(1, 1),
            hole_height_range=(16, 16),
            hole_width_range=(16, 16),
            p=recipe.augmentation.cutout_probability,
        ),
        A.ToTensorV2(),
    ]
    data = TransformedDataset(splits.train, A.Compose(steps))
    return DataLoader(data, recipe.batch_size, shuffle=True, num_workers=WORKERS)


def test_loader(splits: Splits, batch_size: int) -> DataLoader:
    """Normalise only; shuffled, as they have it."""
    steps = [A.Normalize(splits.mean, splits.std), A.ToTensorV2()]
    data = TransformedDataset(splits.test, A.Compose(steps))
    return DataLoader(data, batch_size, shuffle=True, num_workers=WORKERS)


@contextmanager
def bar(batches: Iterable) -> Iterator[tqdm]:
    """Show a progress bar to nobody: its work is part of the loop."""
    with tqdm(batches, file=io.StringIO()) as shown:
        yield shown


def train(
    model: nn.Module,
    batches: Iterable,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None = None,
) -> None:
    """Train on all batches."""
    model.train()
    correct = seen = 0
    with bar(batches) as shown:
        for index, (images, labels) in enumerate(shown):
            optimizer.zero_grad()
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            correct += logits.argmax(1).eq(labels).sum().item()
            seen += len(images)
            accuracy = 100 * correct / seen
            shown.set_description(
                f"batch {index} loss {loss.item():.4f} accuracy {accuracy:.2f}"
            )


def evaluate(model: nn.Module, batches: Iterable) -> tuple[float, float]:
    """Return the loss per image and the accuracy, 0..1."""
    model.eval()
    loss, correct, seen = 0.0, 0, 0
    with torch.no_grad(), bar(batches) as shown:
        for images, labels in shown:
            logits = model(images)
            loss += F.cross_entropy(logits, labels, reduction="sum").item()
            correct += logits.argmax(1).eq(labels).sum().item()
            seen += len(images)
    return loss / seen, correct / seen
