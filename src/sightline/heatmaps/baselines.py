"""Maps that never saw the network: what a heatmap must beat, and the best it can be."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.heatmaps.scaling import enlarge

__all__ = [
    "BASELINES",
    "ceiling",
    "centre",
    "coarsened",
    "edges",
    "random",
    "uniform",
]

SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
SMALLEST_EDGE = 1e-6  # a smaller step between pixels is rounding


def uniform(images: Tensor) -> Tensor:
    """Make maps (B, H, W) that are 1 everywhere."""
    return images.new_ones(len(images), *images.shape[2:], dtype=torch.float32)


def centre(images: Tensor, *, width: float = 0.25) -> Tensor:
    """Make Gaussians (B, H, W) around the middle, `width` of the side wide, top 1."""
    sides = [torch.arange(n) - (n - 1) / 2 for n in images.shape[2:]]
    down, right = (torch.exp(-((x / (width * len(x))) ** 2) / 2) for x in sides)
    bell = down[:, None] * right
    return (bell / bell.max()).expand(len(images), -1, -1).to(images.device)


def edges(images: Tensor) -> Tensor:
    """Make maps (B, H, W) of Sobel's gradient, 0..1; zero for a picture without one."""
    # border repeated: zeros around a picture would be edges of their own
    grey = F.pad(images.float().mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    kernels = torch.stack([SOBEL, SOBEL.T])[:, None].to(images.device)
    steps = F.conv2d(grey, kernels).norm(dim=1)
    top = steps.amax((1, 2), keepdim=True)
    return torch.where(top > SMALLEST_EDGE, steps / top.clamp_min(SMALLEST_EDGE), 0)


def random(images: Tensor, *, cells: int | None = None, seed: int = 0) -> Tensor:
    """Make maps (B, H, W) of uniform noise in 0..1.

    Args:
        images: (B, C, H, W).
        cells: rows and columns of the noise, which is then enlarged as heatmaps
            are; None: one number for each pixel.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    size = images.shape[2:] if cells is None else (cells, cells)
    noise = torch.rand(len(images), *size, generator=generator)
    return enlarge(noise, images.shape[2:]).to(images.device)


#: by name; each takes images (B, C, H, W), and returns maps (B, H, W)
BASELINES: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": uniform,
    "centre": centre,
    "edges": edges,
    "random": random,
}


def coarsened(maps: Tensor, cells: int) -> Tensor:
    """Average maps (B, H, W) over cells², and enlarge them again.

    Of a mask that is what a map of so few cells that knew the whole object would look
    like. It is no upper bound: one that keeps to the inside has more of itself there.
    """
    return enlarge(F.adaptive_avg_pool2d(maps.float(), cells), maps.shape[1:])


def ceiling(masks: Tensor, cells: int) -> Tensor:
    """Make the maps (B, H, W) of cells² that have most of themselves inside the mask.

    A map is a sum of enlarged cells with weights that are not negative, and its share
    inside is a weighted mean of theirs. So the best map is the best single cell.
    """
    area = masks.shape[1:]
    each = torch.eye(cells**2, device=masks.device).view(-1, cells, cells)
    prints = enlarge(each, area).flatten(1)  # (cells², H·W), one enlarged cell each
    inside = masks.float().flatten(1) @ prints.T / prints.sum(1)
    best = prints[inside.argmax(1)].view(-1, *area)
    return best / best.amax((1, 2), keepdim=True)
