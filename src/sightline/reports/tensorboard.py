"""The graph of a run's network and its pictures, beside the scalars in TensorBoard."""

import warnings

import torch
from torch import Tensor

from sightline.data.transforms import denormalise
from sightline.heatmaps.explain import explain
from sightline.plots.overlay import overlay
from sightline.reports.subject import Subject
from sightline.training.parts import chosen_splits, training_loader
from sightline.training.tensorboard import summary_writer

__all__ = ["add_pictures"]

SUFFIX = ".pictures"  # of the file, which a second call replaces
SHOWN, MISTAKES = 32, 16  # training pictures, mistakes with heatmaps


def add_pictures(subject: Subject) -> None:
    """Write graph, augmented training pictures and confident mistakes of a run.

    Each mistake is the test picture beside its heatmaps for the predicted and for the
    actual class. They stand at the last epoch in the folder of the run's scalars.

    Raises:
        RunError: if TensorBoard is not installed.
    """
    folder, step = subject.run.path / "tensorboard", len(subject.run.history)
    for file in folder.glob("*" + SUFFIX):
        file.unlink()
    wrong = subject.test.mistakes(order="confident")[:MISTAKES]
    with summary_writer()(folder, filename_suffix=SUFFIX) as writer:
        with warnings.catch_warnings():  # torch is to drop the tracing that this uses
            warnings.simplefilter("ignore", FutureWarning)
            writer.add_graph(subject.model, subject.images(torch.tensor([0])))
        pictures = training_pictures(subject)
        writer.add_images("training pictures", pictures, step, dataformats="NHWC")
        rows = zip(wrong.tolist(), heatmap_rows(subject, wrong), strict=True)
        for number, (index, row) in enumerate(rows, start=1):
            predicted = subject.classes[subject.test.predictions[index]]
            actual = subject.classes[subject.test.labels[index]]
            tag = f"mistakes/{number:02} {actual} taken for {predicted}"
            writer.add_image(tag, row, step, dataformats="HWC")


def training_pictures(subject: Subject) -> Tensor:
    """Return pictures (B, H, W, 3) uint8 as the recipe augments them."""
    recipe, runtime = subject.run.recipe, subject.classifier.runtime
    splits = chosen_splits(recipe, subject.splits)
    with torch.random.fork_rng([]):
        torch.manual_seed(recipe.seed)
        images, _ = next(iter(training_loader(recipe, splits, runtime)))
    values = denormalise(images[:SHOWN].cpu(), splits.mean, splits.std)
    return (255 * values).round().clamp(0, 255).byte().permute(0, 2, 3, 1)


def heatmap_rows(subject: Subject, index: Tensor) -> Tensor:
    """Return pictures beside both their overlays, (B, H, 3W, 3) uint8.

    The first is of the predicted class, the second of the actual one.
    """
    pictures, test, layer = subject.pictures(index), subject.test, subject.layers[-1]
    parts = [pictures]
    for targets in (test.predictions[index], test.labels[index]):
        maps = explain(
            subject.model, subject.images(index), layers=layer, targets=targets
        )
        parts.append(overlay(pictures, maps[layer].heatmaps))
    return torch.cat(parts, dim=2)
