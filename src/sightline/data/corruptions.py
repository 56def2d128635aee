"""Worse pictures: five kinds of damage at five severities, the same every time.

Five kinds of CIFAR-10-C (Hendrycks and Dietterich, 2019) with its strengths, as
github.com/hendrycks/robustness, make_cifar_c.py, has them. At 32 pixels the pictures
differ from the published ones by the noise that was drawn, and by rounding to whole
levels where those cut the fraction off. Severities of two kinds are not equally hard.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sightline.data.pictures import open_picture
from sightline.errors import SightlineError

__all__ = ["CORRUPTIONS", "SEVERITIES", "corrupt"]

#: from slight to strong
SEVERITIES = (1, 2, 3, 4, 5)
CHUNK = 1000  # pictures in work at once: bounds the memory, and decides the noise
REFERENCE = 32  # pixels of a side, for which lengths are given

# strengths of severity 1 to 5
NOISE = (0.04, 0.06, 0.08, 0.09, 0.1)  # standard deviation, of a range of 1
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation, in pixels of a 32-pixel side
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)  # share that is left
PIXELS = (0.95, 0.9, 0.85, 0.75, 0.65)  # of a side that are left
QUALITY = (80, 65, 58, 50, 40)  # of JPEG


def corrupt(images: Tensor, kind: str, severity: int, *, seed: int = 0) -> Tensor:
    """Damage pictures; the same call gives the same pictures.

    Pictures are (N, H, W, 3) uint8, on the CPU. The `seed` is that of the noise: the
    severities of one seed differ in its strength alone.

    Raises:
        SightlineError: for an unknown kind or severity, or images of another type.
    """
    if kind not in CORRUPTIONS:
        raise SightlineError(
            f"unknown corruption {kind!r}; choose from: {', '.join(CORRUPTIONS)}"
        )
    if severity not in SEVERITIES:
        raise SightlineError(
            f"severity {severity!r} is not one of 1 to 5; for severity 0 take the "
            "pictures as they are"
        )
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise SightlineError(
            f"pictures of shape {tuple(images.shape)} and type {images.dtype}: "
            "expected (N, H, W, 3) uint8; corrupt before normalising"
        )
    generator = torch.Generator().manual_seed(seed)
    change = CORRUPTIONS[kind]
    return torch.cat([change(p, severity, generator) for p in images.split(CHUNK)])


def _noise(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise to every value."""
    noise = torch.randn(images.shape, generator=generator)
    return _to_uint8(images + 255 * NOISE[severity - 1] * noise)


def _blur(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur by a Gaussian, first along rows, then along columns."""
    sigma = BLUR[severity - 1] * images.shape[2] / REFERENCE
    radius = int(4 * sigma + 0.5)
    steps = torch.arange(-radius, radius + 1)
    kernel = torch.exp(-((steps / sigma) ** 2) / 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    pixels = images.permute(0, 3, 1, 2).float()
    for _ in range(2):
        padded = F.pad(pixels, (radius, radius, 0, 0), mode="replicate")
        pixels = F.conv2d(padded, kernel, groups=3).transpose(2, 3)
    return _to_uint8(pixels.permute(0, 2, 3, 1))


def _contrast(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Move every value towards the mean of its channel in its picture."""
    mean = images.float().mean((1, 2), keepdim=True)
    return _to_uint8(mean + CONTRAST[severity - 1] * (images - mean))


def _pixelate(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Average over larger pixels, and enlarge these again."""
    height, width = images.shape[1:3]
    share = PIXELS[severity - 1]
    few = max(int(share * width), 1), max(int(share * height), 1)

    def change(picture: Image.Image) -> Image.Image:
        small = picture.resize(few, Image.Resampling.BOX)
        return small.resize((width, height), Image.Resampling.BOX)

    return _one_by_one(images, change)


def _jpeg(images: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Write every picture as a JPEG of low quality, and read it again."""

    def change(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=QUALITY[severity - 1])
        return open_picture(file)

    return _one_by_one(images, change)


def _one_by_one(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Change pictures with Pillow."""
    pictures = np.empty(images.shape, np.uint8)
    for i, picture in enumerate(images.numpy()):
        pictures[i] = np.asarray(change(Image.fromarray(picture)))
    return torch.from_numpy(pictures)


def _to_uint8(pixels: Tensor) -> Tensor:
    """Round to whole levels."""
    return pixels.round().clamp(0, 255).to(torch.uint8)


#: by name; each takes pixels, a severity and a generator
CORRUPTIONS: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "pixelate": _pixelate,
    "jpeg": _jpeg,
}
