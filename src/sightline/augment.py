"""Crop, flip and cutout for a whole batch at once, on the device of the batch.

The same augmentations as `sightline.transforms` makes picture by picture: with
equal offsets both give the same pixels (a test asserts it). What is random is
drawn first, as plain tensors; applying a draw is a pure function.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sightline.errors import SightlineError

__all__ = ["Augmentation", "Draw", "apply_augmentation", "normalise_uint8"]


@dataclass(frozen=True)
class Draw:
    """One random choice for each of B pictures."""

    shifts: Tensor  # (B, 2) int64: rows and columns in −padding … +padding
    flips: Tensor  # (B,) bool: mirrored left to right
    holes: Tensor | None  # (B, 2) int64: top-left corner of the hole; None: no hole
    cutout: int = 0  # pixels: side of the hole


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a training picture."""

    crop_padding: int = 4  # pixels: largest shift; borders are reflected
    flip: float = 0.5  # probability of a mirror image
    cutout: int = 0  # pixels: side of the square hole; 0: no hole

    def draw(self, count: int, size: int, generator: Generator) -> Draw:
        """Draw for `count` pictures of side `size`, on the CPU.

        Raises:
            SightlineError: if padding or hole do not fit into the picture.
        """
        if not 0 <= self.crop_padding < size or not 0 <= self.cutout <= size:
            raise SightlineError(
                f"crop_padding {self.crop_padding} must be below the picture's side "
                f"{size}, and cutout {self.cutout} at most {size}"
            )
        reach = self.crop_padding
        shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
        flips = torch.rand(count, generator=generator) < self.flip
        holes = None
        if self.cutout:
            corners = size - self.cutout + 1  # the hole lies inside the picture
            holes = torch.randint(0, corners, (count, 2), generator=generator)
        return Draw(shifts, flips, holes, self.cutout)


def reflect(index: Tensor, size: int) -> Tensor:
    """Fold indices beyond the border back inside, without repeating the edge."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def normalise_uint8(
    images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """Turn uint8 pictures into normalised floats.

    Args:
        images: (B, H, W, 3) uint8.
        mean: per channel, of pixels in 0..1.
        std: per channel, of pixels in 0..1.

    Returns:
        (B, 3, H, W) float32 in channels-last memory format.
    """
    scale = 1.0 / (255.0 * torch.tensor(std, device=images.device))
    offset = torch.tensor(mean, device=images.device) / torch.tensor(
        std, device=images.device
    )
    return (images.float() * scale - offset).permute(0, 3, 1, 2)


def apply_augmentation(
    images: Tensor, draw: Draw, *, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """Shift, mirror, normalise and punch holes: one gather for the whole batch.

    Args:
        images: (B, H, W, 3) uint8.
        draw: B choices, of `Augmentation.draw`.
        mean: per channel, of pixels in 0..1.
        std: per channel, of pixels in 0..1.

    Returns:
        (B, 3, H, W) float32, normalised, channels-last. A hole is 0: the mean.
    """
    count, height, width, _ = images.shape
    device = images.device
    shifts, flips = draw.shifts.to(device), draw.flips.to(device)
    rows = reflect(torch.arange(height, device=device) + shifts[:, :1], height)
    columns = reflect(torch.arange(width, device=device) + shifts[:, 1:], width)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    batch = torch.arange(count, device=device)[:, None, None]
    picked = images[batch, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    out = normalise_uint8(picked, mean, std)
    if draw.holes is not None:
        corners = draw.holes.to(device)
        down = torch.arange(height, device=device) - corners[:, :1]  # (B, H)
        right = torch.arange(width, device=device) - corners[:, 1:]  # (B, W)
        in_rows = (down >= 0) & (down < draw.cutout)
        in_columns = (right >= 0) & (right < draw.cutout)
        hole = in_rows[:, :, None] & in_columns[:, None, :]
        out = out.masked_fill(hole[:, None], 0.0)
    return out
