"""Batches: from a split that stays on the device, or from worker processes."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sightline.data.augment import (
    apply_augmentation,
    draw_augmentation,
    normalise_uint8,
)
from sightline.data.augmentation import Augmentation
from sightline.data.split import Split
from sightline.data.transforms import TransformedDataset, seed_worker
from sightline.errors import SightlineError

__all__ = ["BatchLoader", "albumentations_loader"]


class BatchLoader:
    """Normalised batches of a split whose uint8 pictures stay on the device.

    Pictures that stay in a file are read batch by batch instead: the same batches.
    Nothing runs per picture in Python: a batch is picked, augmented and
    normalised by a handful of tensor operations. Order and augmentation come
    from torch's global generator, one draw per iteration, as with `DataLoader`:
    after `torch.manual_seed` the same epoch comes again.

    Of `world_size` processes that iterate together each gets its rows of every batch:
    what is drawn is drawn for the whole batch, so together they see the same epoch.

    Raises:
        SightlineError: if the last batch has fewer images than there are processes.
    """

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        augmentation: Augmentation | None = None,
        shuffle: bool = False,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world_size: int = 1,
    ):
        self.dataset = split
        self.images = split.images.to(device)  # (N, H, W, 3) uint8, or in a file
        self.labels = split.labels.to(device)  # (N,)
        self.batch_size = batch_size
        self.mean, self.std = mean, std
        self.augmentation = augmentation
        self.draw = partial(draw_augmentation, augmentation) if augmentation else None
        self.shuffle = shuffle
        self.rows = slice(rank, None, world_size)  # of each batch
        last = len(split) % batch_size or batch_size
        if last < world_size:
            raise SightlineError(
                f"the last of the batches of {batch_size} has {last} images for "
                f"{world_size} processes; choose another batch_size or fewer processes"
            )

    def __len__(self) -> int:
        """Return the number of batches of one pass; the last may be short."""
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (B, 3, H, W), float32, channels-last, and labels (B,)."""
        generator = torch.Generator()
        if self.shuffle or self.augmentation:
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        order = torch.arange(len(self.dataset))
        if self.shuffle:
            order = torch.randperm(len(self.dataset), generator=generator)
        whole = order.to(self.images.device).split(self.batch_size)
        batches = [index[self.rows] for index in whole]
        rows = zip(batches, self._pick(batches), whole, strict=True)
        for index, pictures, batch in rows:
            if self.draw:
                size = min(pictures.shape[1:3])
                draw = self.draw(len(batch), size, generator)
                images = apply_augmentation(
                    pictures, draw.take(self.rows), mean=self.mean, std=self.std
                )
            else:
                images = normalise_uint8(pictures, self.mean, self.std)
            yield images, self.labels[index]

    def _pick(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the pictures of each batch; from a file, while the last one trains."""
        if isinstance(self.images, Tensor):
            yield from (self.images.index_select(0, index) for index in batches)
            return
        with ThreadPoolExecutor(1) as reader:
            coming: deque[Future[Tensor]] = deque()
            for index in batches:
                coming.append(reader.submit(self.images.__getitem__, index))
                if len(coming) == 2:
                    yield coming.popleft().result().to(self.labels.device)
            yield coming.popleft().result().to(self.labels.device)


def albumentations_loader(
    split: Split, transform: Callable, *, batch_size: int, shuffle: bool, workers: int
) -> DataLoader:
    """Build torch's loader over albumentations, each worker with its own stream.

    Without `seed_worker` all workers of albumentations 2.0.8 draw the same
    augmentations, and every epoch draws them again.
    """
    return DataLoader(
        TransformedDataset(split, transform),
        batch_size=batch_size,
        shuffle=shuffle,
        num_workers=workers,
        worker_init_fn=seed_worker,
        pin_memory=torch.cuda.is_available(),
    )
