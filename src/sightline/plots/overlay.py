"""Heatmaps laid over pictures."""

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

__all__ = ["framed", "overlay"]

FADED = 110  # opacity, of 255, of what a network does not see
FRAME = (213, 94, 0, 255)  # vermilion
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


def framed(picture: np.ndarray) -> np.ndarray:
    """Mark the middle square of a picture (H, W, 3) uint8; the rest is faded.

    Returns:
        (L, L, 4) uint8 with L the longer side, transparent beside the picture.
    """
    height, width = picture.shape[:2]
    long, short = max(height, width), min(height, width)
    whole = np.zeros((long, long, 4), np.uint8)
    top, left = (long - height) // 2, (long - width) // 2
    whole[top : top + height, left : left + width, :3] = picture
    whole[top : top + height, left : left + width, 3] = FADED
    start, line = (long - short) // 2, max(long // 100, 1)
    square = whole[start : start + short, start : start + short]
    edge = np.ones((short, short), bool)
    edge[line:-line, line:-line] = False
    square[edge] = FRAME
    square[..., 3] = 255
    return whole
