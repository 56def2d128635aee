"""What stands in the place of a pixel that was taken away: neighbours, or a blur."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["NOISE", "blurred", "impute"]

NOISE = 0.01  #: standard deviation that ROAD adds to what it fills in
RESIDUAL = 1e-4  # of the equations: pixels are then off by a tenth of the noise at most
WEIGHTS = torch.tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]) / 12
STEPS = 1000  # far more than pictures of 224×224 need


def impute(images: Tensor, present: Tensor, *, seed: int = 0) -> Tensor:
    """Fill in pixels of images (B, C, H, W) that are not `present`, (B, H, W) bool.

    Each becomes the weighted mean of its eight neighbours, those that are filled in as
    well among them, and a little noise: one linear equation for each. All images are
    solved at once, by conjugate gradients.
    Source: Rong et al. (2022), "A Consistent and Efficient Evaluation Strategy for
    Attribution Methods", section 4.2; the weights are those of their code.
    """
    images = images.contiguous(memory_format=torch.channels_last)  # fast convolutions
    absent = (~present[:, None]).to(images)
    degrees = _sum_neighbours(torch.ones_like(images[:1]))  # fewer at the border
    residual = absent * _sum_neighbours(images * (1 - absent))
    filled, step = torch.zeros_like(images), residual
    power = residual.square().sum((2, 3), keepdim=True)
    for _ in range(STEPS):
        if residual.abs().max() < RESIDUAL:
            break
        change = absent * (degrees * step - _sum_neighbours(step))
        length = power / (step * change).sum((2, 3), keepdim=True).clamp_min(1e-30)
        filled, residual = filled + length * step, residual - length * change
        before, power = power, residual.square().sum((2, 3), keepdim=True)
        step = residual + power / before.clamp_min(1e-30) * step
    generator = torch.Generator().manual_seed(seed)
    noise = NOISE * torch.randn(images.shape, generator=generator).to(images)
    return images * (1 - absent) + absent * (filled + noise)


def blurred(images: Tensor) -> Tensor:
    """Blur images (B, C, H, W) so far that no class is left.

    A Gaussian whose standard deviation is an eighth of the side: a cell of 4×4. RISE
    blurs 224 pixels by 5, which at 32 pixels would leave the picture as it is.
    """
    for axis, side in enumerate(images.shape[2:], 2):
        places = torch.arange(side, dtype=torch.float32, device=images.device)
        apart = (places[:, None] - places) / (side / 8)
        weights = torch.exp(-(apart**2) / 2)
        weights = weights / weights.sum(1, keepdim=True)  # what lies outside counts not
        images = (images.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return images


def _sum_neighbours(values: Tensor) -> Tensor:
    """Add up the eight neighbours of each pixel with their weights."""
    weights = WEIGHTS.to(values).expand(values.shape[1], 1, 3, 3)
    return F.conv2d(values, weights, padding=1, groups=values.shape[1])
