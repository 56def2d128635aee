"""The training loop: straight lines, no callbacks."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils.data import DataLoader
from tqdm import tqdm

from sightline.data.loaders import BatchLoader
from sightline.errors import NonFiniteLossError
from sightline.measures.evaluation import Evaluation
from sightline.models.lend import evaluating
from sightline.training.runtime import Runtime

__all__ = ["Epoch", "evaluate", "fit", "train_one_epoch"]

Loader = BatchLoader | DataLoader
SYNC_EVERY = 20  # steps between looks at the loss: each look waits for the device
REMEDY = "lower max_lr (lr-find suggests one), or train with --precision fp32"


@dataclass(frozen=True)
class Epoch:
    """One line of the history."""

    epoch: int  # 1-based
    train_loss: float  # per image, with label smoothing, under augmentation
    train_accuracy: float  # 0..1, under augmentation, while the weights move
    validation_loss: float  # cross-entropy per image
    validation_accuracy: float  # 0..1
    lr: float  # used by the first update
    last_lr: float  # used by the last update
    seconds: float  # of training, without validation
    images_per_second: float  # of training

    def __str__(self) -> str:
        """Return the line that a person watches."""
        return (
            f"training {self.train_loss:.4f} {self.train_accuracy:.2%}  validation "
            f"{self.validation_loss:.4f} {self.validation_accuracy:.2%}  "
            f"lr {self.lr:.3g}→{self.last_lr:.3g}  {self.seconds:.0f} s  "
            f"{self.images_per_second:.0f} img/s"
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
) -> tuple[float, float, list[float]]:
    """Update the weights once per batch.

    Returns:
        Loss per image, accuracy in 0..1, and the learning rate each update used.

    Raises:
        NonFiniteLossError: if the loss became NaN or infinite.
    """
    runtime.activate()
    model.train()
    totals = torch.zeros(3, device=runtime.device)  # summed loss, correct, images
    lrs = []
    for images, labels in loader:
        images, labels = runtime.move(images, labels)
        lrs.append(optimizer.param_groups[0]["lr"])
        with runtime.autocast():
            logits = model(images)
        loss = loss_fn(logits.float(), labels)
        optimizer.zero_grad()
        (loss * share(loader, len(lrs) - 1, len(labels), runtime)).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        correct = (logits.argmax(1) == labels).sum()
        count = torch.full_like(correct, len(labels))
        totals += torch.stack([loss.detach() * len(labels), correct, count])
        if len(lrs) % SYNC_EVERY == 0:
            report(progress, runtime.sum(totals), lrs)
    loss_sum, correct, seen = report(progress, runtime.sum(totals), lrs)
    return loss_sum / seen, correct / seen, lrs


def share(loader: Loader, step: int, images: int, runtime: Runtime) -> float:
    """Return the weight of this process's mean loss in the mean over the batch.

    It is 1 unless a batch cannot be divided evenly between several processes.
    """
    if runtime.world_size == 1:
        return 1.0
    rest = len(loader.dataset) - step * loader.batch_size
    return images * runtime.world_size / min(loader.batch_size, rest)


def report(progress: tqdm | None, totals: Tensor, lrs: list[float]) -> list[float]:
    """Stop on a loss that is not finite; show the sums so far, and return them."""
    loss_sum, correct, seen = totals.tolist()
    if not math.isfinite(loss_sum):
        raise NonFiniteLossError(
            f"the loss was {loss_sum} by update {len(lrs)} of this epoch, at learning "
            f"rate {lrs[-1]:.3g}; {REMEDY}"
        )
    if progress is not None:
        progress.set_postfix_str(
            f"loss {loss_sum / seen:.4f}, accuracy {correct / seen:.2%}, "
            f"lr {lrs[-1]:.3g}",
            refresh=False,
        )
        progress.update(int(seen) - progress.n)
    return [loss_sum, correct, seen]


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


def fit(
    model: nn.Module,
    train_loader: Loader,
    validation_loader: Loader,
    optimizer: torch.optim.Optimizer,
    scheduler: LRScheduler | ReduceLROnPlateau | None,
    *,
    epochs: int,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    runtime: Runtime,
    step: str = "batch",
    seed: int = 0,
    first_epoch: int = 1,
    progress: bool = True,
) -> Iterator[Epoch]:
    """Train, and yield one `Epoch` after each pass: the caller saves in between.

    `step` "epoch" advances the schedule after each epoch only, as a plateau schedule
    always is. The randomness of an epoch depends on `seed` and its number alone, so a
    run that was cut off repeats the cut epoch exactly.

    Raises:
        NonFiniteLossError: if the training or the validation loss is not finite.
    """
    plateau = isinstance(scheduler, ReduceLROnPlateau)
    per_batch = scheduler if step == "batch" and not plateau else None
    for epoch in range(first_epoch, epochs + 1):
        torch.manual_seed(seed * 100_003 + epoch)
        started = time.perf_counter()
        total = len(train_loader.dataset)
        title = f"epoch {epoch}/{epochs}"
        quiet = None if progress else True  # None: a bar on terminals only
        with tqdm(
            total=total, desc=title, unit="img", leave=False, disable=quiet
        ) as bar:
            loss, accuracy, lrs = train_one_epoch(
                model,
                train_loader,
                optimizer,
                per_batch,
                loss_fn=loss_fn,
                runtime=runtime,
                progress=bar,
            )
        seconds = time.perf_counter() - started
        whole = getattr(model, "module", model)  # of a model shared by processes
        runtime.share_buffers(whole)
        with torch.compiler.set_stance("force_eager"):  # compiling would take longer
            validation = evaluate(whole, validation_loader, runtime=runtime)
        if not math.isfinite(validation.loss):  # the last update broke the weights
            raise NonFiniteLossError(
                f"the validation loss is {validation.loss} after the last update, at "
                f"learning rate {lrs[-1]:.3g}; {REMEDY}"
            )
        if plateau:
            scheduler.step(validation.loss)
        elif scheduler is not None and per_batch is None:
            scheduler.step()
        done = Epoch(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            lr=lrs[0],
            last_lr=lrs[-1],
            seconds=seconds,
            images_per_second=total / seconds,
        )
        if progress:
            tqdm.write(f"{title}  {done}", file=sys.stderr)
        yield done
