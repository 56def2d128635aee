"""Crop, flip, rotation and cutout for a whole batch at once, on its own device.

The same augmentations as `sightline.data.transforms` makes picture by picture: with
equal offsets both give the same pixels (a test asserts it). What is random is
drawn first, as plain tensors; applying a draw is a pure function.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sightline.data.augmentation import Augmentation
from sightline.errors import SightlineError

__all__ = [
    "Draw",
    "apply_augmentation",
    "draw_augmentation",
    "fill_values",
    "normalise_uint8",
]


Triple = tuple[float, ...]  # one number per channel


def fill_values(fill: str, mean: Triple, std: Triple) -> Triple:
    """Return what `fill` is in normalised units: one number per channel.

    "mean" is 0. The others are slips that published recipes made: "raw_mean" puts the
    mean of 0..1 where normalised numbers are expected, and "black" puts it where
    pixels of 0..255 are, whole numbers, of which it becomes 0.
    """
    if fill == "mean":
        return (0.0,) * len(mean)
    if fill == "raw_mean":
        return tuple(mean)
    if fill == "black":
        return tuple(-m / s for m, s in zip(mean, std, strict=True))
    raise SightlineError(f"unknown fill {fill!r}; choose from: mean, raw_mean, black")


@dataclass(frozen=True)
class Draw:
    """One random choice for each of B pictures."""

    shifts: Tensor  #: (B, 2) int64, rows and columns in −padding … +padding
    flips: Tensor  #: (B,) bool, mirrored left to right
    holes: Tensor | None = None  #: (B, 2) int64, top-left corner of the hole
    cutout: int = 0  #: side of the hole in pixels
    affine: Tensor | None = None  #: (B, 2, 3), where in −1..1 each pixel comes from
    border: str = "reflect"  #: what lies beyond the border, one of FOLDS or a fill
    fill: str = "mean"  #: of the hole

    def to(self, device: torch.device) -> "Draw":
        """Return the same draw with its tensors on `device`."""
        # without waiting: each wait would let a GPU run dry
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def take(self, rows: slice) -> "Draw":
        """Return what was drawn for some of the pictures."""
        return self._map(lambda tensor: tensor[rows])

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Draw":
        """Return a draw with `function` applied to each tensor."""
        tensors = {
            n: value for n, value in vars(self).items() if torch.is_tensor(value)
        }
        changes: dict[str, Any] = {n: function(tensor) for n, tensor in tensors.items()}
        return replace(self, **changes)


def draw_augmentation(
    augmentation: Augmentation, count: int, size: int, generator: Generator
) -> Draw:
    """Draw for `count` pictures of side `size`, lengths in their pixels, on the CPU.

    Raises:
        SightlineError: if padding or hole do not fit into the picture.
    """
    reach, cutout = augmentation.crop_padding, augmentation.cutout
    if reach >= size or cutout > size:
        raise SightlineError(
            f"crop_padding {reach} must be below the picture's side {size}, and cutout "
            f"{cutout} at most {size}"
        )
    shifts = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
    flips = torch.rand(count, generator=generator) < augmentation.flip
    holes = matrices = None
    if cutout:
        holes = draw_holes(augmentation, shifts, size, generator)
    if augmentation.affine_probability:
        matrices = draw_matrices(augmentation, count, size, generator)
    fills = augmentation.border, augmentation.cutout_fill
    return Draw(shifts, flips, holes, cutout, matrices, *fills)


def draw_holes(
    augmentation: Augmentation, shifts: Tensor, size: int, generator: Generator
) -> Tensor:
    """Draw the corners of the holes, (B, 2); one beyond the border is no hole.

    Places: "clipped": the centre is any pixel, and what lies outside is lost, on all
    sides (DeVries & Taylor, 2017, section 3.2); "inside": the hole is whole, which they
    recommend for half of the pictures; "asymmetric": the centre is any pixel or one
    beyond, holes that begin outside are moved in, those that end outside are clipped
    (`Cutout` of albumentations 1); "canvas": whole, but in the padded picture, of which
    the crop is a part.
    """
    shape, side = shifts.shape, augmentation.cutout
    if augmentation.cutout_place == "clipped":
        corners = torch.randint(0, size, shape, generator=generator) - side // 2
    elif augmentation.cutout_place == "inside":
        corners = torch.randint(0, size - side + 1, shape, generator=generator)
    elif augmentation.cutout_place == "asymmetric":
        centres = torch.randint(0, size + 1, shape, generator=generator)
        corners = (centres - side // 2).clamp(min=0)
    else:
        room = size + 2 * augmentation.crop_padding - side + 1
        corners = torch.randint(0, room, shape, generator=generator)
        corners = corners - augmentation.crop_padding - shifts
    if augmentation.cutout_probability < 1:
        drawn = torch.rand(len(shifts), 1, generator=generator)
        corners = torch.where(drawn < augmentation.cutout_probability, corners, size)
    return corners


def draw_matrices(
    augmentation: Augmentation, count: int, size: int, generator: Generator
) -> Tensor:
    """Draw matrices (B, 2, 3) from output to input coordinates, both in −1..1."""
    rotate, scale, shift = augmentation.rotate, augmentation.scale, augmentation.shift
    largest = torch.tensor([rotate, scale, shift, shift])[:, None]
    numbers = torch.rand(4, count, generator=generator) * 2 - 1
    angle, scale, down, right = numbers * largest
    drawn = torch.rand(count, generator=generator) < augmentation.affine_probability
    radians = torch.deg2rad(angle)
    cosine, sine = radians.cos() / (1 + scale), radians.sin() / (1 + scale)
    side = 2 * size / (size - 1)  # −1 and 1 are the centres of the outer pixels
    x, y = side * right, side * down
    rows = [
        torch.stack([cosine, sine, -cosine * x - sine * y], 1),
        torch.stack([-sine, cosine, sine * x - cosine * y], 1),
    ]
    still = torch.eye(2, 3).expand(count, 2, 3)
    return torch.where(drawn[:, None, None], torch.stack(rows, 1), still)


def reflect(index: Tensor, size: int) -> Tensor:
    """Fold indices beyond the border back inside, without repeating the edge."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def symmetric(index: Tensor, size: int) -> Tensor:
    """Fold indices beyond the border back inside; the edge comes twice."""
    index = torch.where(index < 0, -1 - index, index)
    return torch.where(index < size, index, 2 * size - 1 - index)


#: how indices beyond the border are folded back, by numpy's names of paddings
FOLDS = {"reflect": reflect, "symmetric": symmetric}


def normalise_uint8(images: Tensor, mean: Triple, std: Triple) -> Tensor:
    """Turn uint8 pictures (B, H, W, 3) into normalised floats (B, 3, H, W).

    `mean` and `std` are of pixels in 0..1; the memory format is channels-last.
    """
    scale = 1.0 / (255.0 * torch.tensor(std))
    offset = torch.tensor(mean) / torch.tensor(std)
    lines = images.flatten(2).float()  # (B, H, 3W): long rows make fast arithmetic
    lines = (lines * along(scale, images)).sub_(along(offset, images))
    return lines.view(images.shape).permute(0, 3, 1, 2)


def along(values: Tensor, images: Tensor) -> Tensor:
    """Repeat one number per channel for each pixel of a row of (B, H, W, 3), (3W,)."""
    return values.repeat(images.shape[2]).to(images.device, non_blocking=True)


def transform_affine(images: Tensor, matrices: Tensor) -> Tensor:
    """Rotate, scale and shift (B, H, W, 3) uint8 pictures; borders are reflected.

    The matrices, (B, 2, 3), are those of `draw_matrices`. What comes out is float32, 0
    to 255, interpolated linearly.
    """
    planes = images.permute(0, 3, 1, 2).float()
    grid = F.affine_grid(matrices, list(planes.shape), align_corners=True)
    sampled = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=True)
    return sampled.permute(0, 2, 3, 1)


def within(starts: Tensor, length: int, size: int) -> Tensor:
    """Tell for `length` pixels from each start whether they lie in 0 … size − 1."""
    places = torch.arange(length, device=starts.device) + starts[:, None]
    return (places >= 0) & (places < size)


def pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images[b, rows[b, i], columns[b, j]] for every b, i and j.

    Whole rows first, then numbers within them: indexing pixel by pixel takes eight
    times as long.
    """
    count, height, width, channels = images.shape
    first = height * torch.arange(count, device=images.device)[:, None]
    lines = images.flatten(2).flatten(0, 1)  # (B·H, 3W)
    lines = lines.index_select(0, (first + rows).flatten()).view(count, height, -1)
    channel = torch.arange(channels, device=images.device)
    numbers = (channels * columns[:, :, None] + channel).flatten(1)  # (B, 3W)
    picked = lines.gather(2, numbers[:, None].expand(lines.shape))
    return picked.view(images.shape)


def cover(rows: Tensor, columns: Tensor) -> Tensor:
    """Return 1.0 where row (B, H) and column (B, W) are both chosen, (B, H, 3W)."""
    return rows.float()[:, :, None] * columns.float().repeat_interleave(3, 1)[:, None]


def beyond_border(draw: Draw, height: int, width: int) -> Tensor:
    """Return 1.0 where a shifted and mirrored picture shows what is beyond it."""
    rows = within(draw.shifts[:, 0], height, height)
    columns = within(draw.shifts[:, 1], width, width)
    columns = torch.where(draw.flips[:, None], columns.flip(1), columns)
    return 1 - cover(rows, columns)


def inside_hole(corners: Tensor, side: int, height: int, width: int) -> Tensor:
    """Return 1.0 where the holes are, as far as they lie inside the picture."""
    rows = within(-corners[:, 0], height, side)
    columns = within(-corners[:, 1], width, side)
    return cover(rows, columns)


def paint(images: Tensor, where: Tensor, values: Triple) -> Tensor:
    """Set (B, 3, H, W) to one value per channel where (B, H, 3W) is 1.0, not 0.0."""
    pixels = images.permute(0, 2, 3, 1)
    colours = along(torch.tensor(values), pixels)
    painted = torch.lerp(pixels.flatten(2), colours, where)  # exact at both ends
    return painted.view(pixels.shape).permute(0, 3, 1, 2)


def apply_augmentation(
    images: Tensor, draw: Draw, *, mean: Triple, std: Triple
) -> Tensor:
    """Shift, mirror, normalise and punch holes, for the whole batch at once.

    Turns uint8 pictures (B, H, W, 3) into images (B, 3, H, W), float32, channels-last;
    `mean` and `std` are of pixels in 0..1.
    """
    _, height, width, _ = images.shape
    device = images.device
    draw = draw.to(device)
    if draw.affine is not None:
        images = transform_affine(images, draw.affine)
    fold = FOLDS.get(draw.border, reflect)  # any will do where a fill covers it
    rows = fold(torch.arange(height, device=device) + draw.shifts[:, :1], height)
    columns = fold(torch.arange(width, device=device) + draw.shifts[:, 1:], width)
    columns = torch.where(draw.flips[:, None], columns.flip(1), columns)
    batch = normalise_uint8(pick(images, rows, columns), mean, std)
    if draw.border not in FOLDS:
        beyond = beyond_border(draw, height, width)
        batch = paint(batch, beyond, fill_values(draw.border, mean, std))
    if draw.holes is not None:
        hole = inside_hole(draw.holes, draw.cutout, height, width)
        batch = paint(batch, hole, fill_values(draw.fill, mean, std))
    return batch
