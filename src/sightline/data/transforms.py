"""Augmentations for one picture at a time, by albumentations; normalising and back.

albumentations 2 ignores arguments it does not know, with no more than a warning:
cutout written for version 1 then makes holes of 5 pixels instead of 16. Importing
this module turns that warning into an error. (Its look for newer versions, which would
need a network, is turned off in sightline/__init__.py, before any import.)
"""

import warnings
from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from sightline.data.augment import fill_values
from sightline.data.augmentation import Augmentation
from sightline.data.split import Split
from sightline.errors import SightlineError

__all__ = [
    "TransformedDataset",
    "denormalise",
    "normalise",
    "seed_worker",
    "train_transform",
]

#: OpenCV's names of the ways to fold a border
FOLDS = {"reflect": cv2.BORDER_REFLECT_101, "symmetric": cv2.BORDER_REFLECT}

warnings.filterwarnings("error", message=r"Argument\(s\)", category=UserWarning)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Subtract the mean of each channel of (..., C, H, W), 0 to 1; divide by std."""
    return (images - _per_channel(mean, images)) / _per_channel(std, images)


def denormalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Undo `normalise`: back to (..., C, H, W), 0 to 1."""
    return images * _per_channel(std, images) + _per_channel(mean, images)


def _per_channel(values: Sequence[float], images: Tensor) -> Tensor:
    """Shape one number per channel so that it meets (..., C, H, W)."""
    return images.new_tensor(values)[:, None, None]


def train_transform(
    augmentation: Augmentation,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    image_size: int = 32,
    seed: int | None = None,
) -> A.Compose:
    """Build affine, shift, flip, normalise and cutout: uint8 (H, W, C) to (C, H, W).

    Everything that is filled is filled after normalising, where 0 is the mean. The
    `seed` is that of this pipeline: numpy's and Python's global ones have no effect.

    Raises:
        SightlineError: for holes of albumentations 1, which version 2 does not have.
    """
    mean, std = tuple(mean), tuple(std)
    steps: list[A.BasicTransform] = [A.HorizontalFlip(p=augmentation.flip)]
    if augmentation.affine_probability:
        steps.append(_affine(augmentation))
    steps.append(A.Normalize(mean, std))
    if augmentation.crop_padding:
        steps.append(_padding(augmentation, mean, std))
    crop = A.RandomCrop(image_size, image_size)
    holes = _holes(augmentation, mean, std, image_size) if augmentation.cutout else []
    crop_last = augmentation.cutout_place == "canvas"
    steps += [*holes, crop] if crop_last else [crop, *holes]
    return A.Compose([*steps, A.ToTensorV2()], seed=seed)


def _holes(
    augmentation: Augmentation, mean: tuple, std: tuple, image_size: int
) -> list[A.BasicTransform]:
    """Cut one square hole into a normalised picture.

    albumentations draws whole holes: one that the border clips is drawn in a picture
    that is wider by half a hole on each side.
    """
    if augmentation.cutout_place == "asymmetric":
        raise SightlineError(
            "cutout_place asymmetric needs workers 0: albumentations 2 draws no such "
            "holes; choose clipped, or augment whole batches"
        )
    side = augmentation.cutout
    hole = A.CoarseDropout(
        num_holes_range=(1, 1),
        hole_height_range=(side, side),
        hole_width_range=(side, side),
        fill=fill_values(augmentation.cutout_fill, mean, std),
        p=augmentation.cutout_probability,
    )
    if augmentation.cutout_place != "clipped":
        return [hole]
    before, after = side // 2, (side - 1) // 2  # so that every pixel is a centre
    inner = (before, before, before + image_size, before + image_size)
    return [A.Pad((before, before, after, after)), hole, A.Crop(*inner)]


def _affine(augmentation: Augmentation) -> A.Affine:
    """Rotate, scale and shift, borders reflected without repeating the edge."""
    shift, angle, scale = augmentation.shift, augmentation.rotate, augmentation.scale
    return A.Affine(
        rotate=(-angle, angle),
        scale=(1 - scale, 1 + scale),
        keep_ratio=True,
        translate_percent={"x": (-shift, shift), "y": (-shift, shift)},
        border_mode=cv2.BORDER_REFLECT_101,
        p=augmentation.affine_probability,
    )


def _padding(augmentation: Augmentation, mean: tuple, std: tuple) -> A.Pad:
    """Widen a normalised picture on all sides, by reflection or with one colour."""
    if augmentation.border in FOLDS:
        return A.Pad(augmentation.crop_padding, border_mode=FOLDS[augmentation.border])
    return A.Pad(
        augmentation.crop_padding,
        border_mode=cv2.BORDER_CONSTANT,
        fill=fill_values(augmentation.border, mean, std),
    )


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
    worker: Any = get_worker_info()  # None in the main process, which calls no worker
    # torch's seed differs between workers and epochs already
    worker.dataset.transform.set_random_seed(torch.initial_seed() % 2**32)
