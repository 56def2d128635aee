"""The training loop: straight lines, no callbacks."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tqdm import tqdm

from sightline.errors import NonFiniteLossError, SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.measures.numbers import duration
from sightline.models.lend import evaluating
from sightline.training.parts import Loader, Parts, count_images
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime

__all__ = ["Epoch", "Pass", "best_row", "evaluate", "fit", "train_one_epoch"]

SYNC_EVERY = 20  # updates between two looks at the loss: each waits for the device
REMEDY = (
    "lower max_lr (lr-find suggests one) or, unless it is so already, train with "
    "--precision fp32"
)
Row = Mapping[str, Any]  # an `Epoch` as a dict, as `Run.history` holds it


@dataclass(frozen=True)
class Pass:
    """What training measured in one epoch, or in its part so far."""

    loss: float  #: per image
    accuracy: float  #: 0..1
    images: int
    lrs: list[float]  #: the learning rate that each update used
    seconds: float


@dataclass(frozen=True)
class Epoch:
    """One line of the history."""

    epoch: int  #: 1-based
    train_loss: float  #: per image, with label smoothing, under augmentation
    train_accuracy: float  #: 0..1, under augmentation, while the weights move
    validation_loss: float  #: cross-entropy per image
    validation_accuracy: float  #: 0..1
    lr: float  #: used by the first update
    last_lr: float  #: used by the last update
    seconds: float  #: of training, without validation
    images_per_second: float  #: of training

    @classmethod
    def of(cls, number: int, training: Pass, validation: Evaluation) -> "Epoch":
        """Return what training and validation measured in epoch `number`."""
        return cls(
            epoch=number,
            train_loss=training.loss,
            train_accuracy=training.accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            lr=training.lrs[0],
            last_lr=training.lrs[-1],
            seconds=training.seconds,
            images_per_second=training.images / training.seconds,
        )

    def __str__(self) -> str:
        """Return the line that a person watches."""
        return (
            f"training {self.train_loss:.4f} {self.train_accuracy:.2%}  validation "
            f"{self.validation_loss:.4f} {self.validation_accuracy:.2%}  "
            f"lr {self.lr:.3g}→{self.last_lr:.3g}  {self.seconds:.0f} s  "
            f"{self.images_per_second:.0f} img/s"
        )


def best_row(history: Sequence[Row]) -> Row:
    """Return the epoch of highest validation accuracy, the later one of equals."""
    if not history:
        raise SightlineError("the history is empty: train at least one epoch")
    return max(history, key=lambda row: (row["validation_accuracy"], row["epoch"]))


def fit(
    parts: Parts,
    recipe: Recipe,
    runtime: Runtime,
    *,
    first_epoch: int = 1,
    progress: bool = True,
) -> Iterator[Epoch]:
    """Train, and yield an `Epoch` after each pass: the caller saves in between.

    The randomness of an epoch depends on the recipe's seed and the epoch's number
    alone, so a run that was cut off repeats the cut epoch exactly.

    Raises:
        NonFiniteLossError: if the training or the validation loss is not finite.
    """
    model = runtime.distribute(parts.model)
    by_batch = recipe.schedule_step == "batch" and recipe.schedule != "plateau"
    after_batch = parts.scheduler if by_batch else None
    for number in range(first_epoch, recipe.epochs + 1):
        torch.manual_seed(recipe.seed * 100_003 + number)
        title = f"epoch {number}/{recipe.epochs}"
        with progress_bar(title, parts.train_loader, progress) as bar:
            training = train_one_epoch(
                model,
                parts.train_loader,
                parts.optimizer,
                after_batch,
                loss_fn=parts.loss_fn,
                runtime=runtime,
                progress=bar,
            )
        validation = validate(parts, runtime, training.lrs[-1])
        if not by_batch:
            advance(parts.scheduler, validation.loss)
        epoch = Epoch.of(number, training, validation)
        if progress:
            left = duration((recipe.epochs - number) * training.seconds)
            tqdm.write(f"{title}  {epoch}  {left} left", file=sys.stderr)
        yield epoch


def advance(scheduler: LRScheduler, validation_loss: float) -> None:
    """Advance a schedule after an epoch; a plateau schedule sees the loss."""
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(validation_loss)
    else:
        scheduler.step()


def progress_bar(title: str, loader: Loader, progress: bool) -> tqdm:
    """Open a bar that counts the images of one epoch, on terminals only."""
    return tqdm(
        total=count_images(loader),
        desc=title,
        unit="img",
        leave=False,
        disable=None if progress else True,  # None: unless it is a terminal
    )


def train_one_epoch(
    model: nn.Module,
    loader: Loader,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | None,
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    runtime: Runtime,
    progress: tqdm | None = None,
) -> Pass:
    """Update the weights once per batch; advance `scheduler`, if any, after each.

    Raises:
        NonFiniteLossError: if the loss became NaN or infinite.
    """
    runtime.activate()
    model.train()
    started = time.perf_counter()
    totals = torch.zeros(3, device=runtime.device)  # summed loss, correct, images
    lrs = []
    for images, labels in loader:
        images, labels = runtime.move(images, labels)
        lrs.append(optimizer.param_groups[0]["lr"])
        with runtime.autocast():
            logits = model(images)
        loss = loss_fn(logits.float(), labels)
        optimizer.zero_grad()
        (loss * loss_weight(loader, len(lrs) - 1, len(labels), runtime)).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        correct = (logits.argmax(1) == labels).sum()
        count = torch.full_like(correct, len(labels))
        totals += torch.stack([loss.detach() * len(labels), correct, count])
        if len(lrs) % SYNC_EVERY == 0:
            show(progress, measure(runtime.sum(totals), lrs, started))
    whole = measure(runtime.sum(totals), lrs, started)
    show(progress, whole)
    return whole


def loss_weight(loader: Loader, step: int, images: int, runtime: Runtime) -> float:
    """Return the weight of this process's mean loss in the mean over the batch.

    It is 1 unless a batch cannot be divided evenly between several processes.
    """
    if runtime.world_size == 1:
        return 1.0
    assert loader.batch_size is not None  # torch's may have none
    rest = count_images(loader) - step * loader.batch_size
    return images * runtime.world_size / min(loader.batch_size, rest)


def measure(totals: Tensor, lrs: list[float], started: float) -> Pass:
    """Read the sums of loss, correct answers and images; this waits for the device."""
    loss, correct, images = totals.tolist()
    require_finite(loss, f"loss was {loss} by update {len(lrs)} of this epoch", lrs[-1])
    seconds = time.perf_counter() - started
    return Pass(loss / images, correct / images, int(images), lrs, seconds)


def show(progress: tqdm | None, training: Pass) -> None:
    """Bring the bar, if any, to what has been measured."""
    if progress is not None:
        loss, accuracy, lr = training.loss, training.accuracy, training.lrs[-1]
        text = f"loss {loss:.4f}, accuracy {accuracy:.2%}, lr {lr:.3g}"
        progress.set_postfix_str(text, refresh=False)
        progress.update(training.images - progress.n)


def validate(parts: Parts, runtime: Runtime, last_lr: float) -> Evaluation:
    """Evaluate on the validation images, after a last update at rate `last_lr`."""
    runtime.share_buffers(parts.model)
    with torch.compiler.set_stance("force_eager"):  # compiling would take longer
        evaluation = evaluate(parts.model, parts.validation_loader, runtime=runtime)
    loss = evaluation.loss
    require_finite(loss, f"validation loss is {loss} after the last update", last_lr)
    return evaluation


def require_finite(loss: float, finding: str, lr: float) -> None:
    """Raise unless `loss` is finite; `finding` says which loss it is."""
    if not math.isfinite(loss):
        raise NonFiniteLossError(f"the {finding}, at learning rate {lr:.3g}; {REMEDY}")


def evaluate(
    model: nn.Module, loader: Loader, *, runtime: Runtime, flip_average: bool = False
) -> Evaluation:
    """Run `model` over `loader` in evaluation mode; every mode is restored.

    Several processes each run over their own part, and all get the whole. Sums run
    over images, not batches: a short last batch counts as much as it should. With
    `flip_average` the logits are the mean of image and mirror image.
    """
    runtime.activate()
    all_logits, all_labels = [], []
    with evaluating(model):
        for images, labels in loader:
            images, labels = runtime.move(images, labels)
            with runtime.autocast():
                logits = model(images).float()
                if flip_average:
                    logits = (logits + model(images.flip(-1)).float()) / 2
            all_logits.append(logits)
            all_labels.append(labels)
    logits = runtime.gather(torch.cat(all_logits))
    return Evaluation(logits.cpu(), runtime.gather(torch.cat(all_labels)).cpu())
