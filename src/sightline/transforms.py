"""Augmentations for one picture at a time, by albumentations; normalising and back.

albumentations 2 ignores arguments it does not know, with no more than a warning:
cutout written for version 1 then makes holes of 5 pixels instead of 16. Importing
this module turns that warning into an error. (Its look for newer versions, which would
need a network, is turned off in sightline/__init__.py, before any import.)
"""

import warnings
from collections.abc import Sequence

import albumentations as A
import cv2
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from sightline.datasets import Split

__all__ = [
    "TransformedDataset",
    "denormalise",
    "normalise",
    "seed_worker",
    "test_transform",
    "train_transform",
]

warnings.filterwarnings("error", message=r"Argument\(s\)", category=UserWarning)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract the mean and divide by the standard deviation of each channel.

    Args:
        images: (..., C, H, W), float, 0 to 1.
        mean: one number per channel, 0 to 1.
        std: one number per channel.
    """
    return (images - _per_channel(mean, images)) / _per_channel(std, images)


def denormalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Undo `normalise`: back to (..., C, H, W), 0 to 1."""
    return images * _per_channel(std, images) + _per_channel(mean, images)


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    """Shape one number per channel so that it meets (..., C, H, W)."""
    return torch.as_tensor(values, dtype=images.dtype, device=images.device)[
        :, None, None
    ]


def train_transform(
    *,
    crop_padding: int = 4,
    flip: float = 0.5,
    cutout: int = 0,
    image_size: int = 32,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int | None = None,
) -> A.Compose:
    """Build shift, flip, normalise and cutout: uint8 (H, W, C) to float (C, H, W).

    Args:
        crop_padding: largest shift in pixels; the border is filled by reflection.
        flip: probability of a horizontal flip.
        cutout: side of the square hole in pixels, 0 for none. It is cut after
            normalising, where its fill value 0 is the mean colour.
        image_size: side of the pictures in pixels.
        mean: of each channel, 0 to 1.
        std: of each channel.
        seed: of this pipeline; numpy's and Python's global seeds have no effect.
    """
    steps: list[A.BasicTransform] = []
    if crop_padding:
        padding = A.Pad(crop_padding, border_mode=cv2.BORDER_REFLECT_101)
        steps += [padding, A.RandomCrop(image_size, image_size)]
    steps += [A.HorizontalFlip(p=flip), A.Normalize(mean, std)]
    if cutout:
        hole = {
            "hole_height_range": (cutout, cutout),
            "hole_width_range": (cutout,) * 2,
        }
        steps.append(A.CoarseDropout(num_holes_range=(1, 1), **hole, fill=0, p=1))
    return A.Compose([*steps, A.ToTensorV2()], seed=seed)


def test_transform(*, mean: Sequence[float], std: Sequence[float]) -> A.Compose:
    """Build what validation and test pictures get: normalising, nothing random."""
    return A.Compose([A.Normalize(mean, std), A.ToTensorV2()])


class TransformedDataset(Dataset[tuple[Tensor, int]]):
    """Pictures of a split, each put through a transform when it is asked for."""

    def __init__(self, split: Split, transform: A.Compose):
        self.split = split
        self.transform = transform

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return the transformed picture (C, H, W) and its label."""
        image = self.transform(image=self.split.images[index].numpy())["image"]
        return image, int(self.split.labels[index])


def seed_worker(worker_id: int) -> None:
    """Give a worker of a `DataLoader` a random stream of its own.

    Use it as `worker_init_fn`. Workers start as copies of the main process, and
    albumentations 2.0.8 lets all of them, in every epoch, repeat one stream.
    """
    del worker_id  # torch's seed differs between workers and epochs already
    transform = get_worker_info().dataset.transform
    transform.set_random_seed(torch.initial_seed() % 2**32)
