"""Heatmaps laid over pictures."""

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

__all__ = ["overlay"]

LUMA = torch.tensor((0.299, 0.587, 0.114))  # weights of red, green, blue: ITU-R BT.601


def overlay(
    images: Tensor | np.ndarray, heatmaps: Tensor | np.ndarray, *, opacity: float = 0.6
) -> Tensor:
    """Lay heatmaps over pictures turned grey, so that all colour is evidence.

    The lightness of the colour map (inferno) rises evenly with the evidence.

    Args:
        images: (..., H, W, 3) uint8.
        heatmaps: (..., H, W) in [0, 1], as many as `images`.
        opacity: share of the colour; 0 leaves the grey picture, 1 hides it.

    Returns:
        (..., H, W, 3) uint8.
    """
    grey = torch.as_tensor(images).float() @ LUMA
    colours = mpl.colormaps["inferno"](np.asarray(heatmaps))[..., :3]
    colours = torch.from_numpy(colours).float() * 255
    mixed = torch.lerp(grey[..., None].expand_as(colours), colours, opacity)
    return mixed.round().to(torch.uint8)
