"""Six methods that turn activations and gradients into maps, each in a few lines.

Each takes the output of a layer, `activations`, and the derivatives of a score with
respect to it, `gradients`, both (B, C, h, w). Each returns maps (B, h, w). Positive
numbers speak for the class; whoever calls drops the negative ones.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "METHODS",
    "SLOW",
    "eigen_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "x_grad_cam",
]


def grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by the mean of its gradients.

    Source: Selvaraju et al. (2017), "Grad-CAM", equations 1 and 2.
    """
    weights = gradients.mean((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def hires_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each position of each channel by its own gradient.

    Source: Draelos and Carin (2020), "Use HiResCAM instead of Grad-CAM".
    """
    return (gradients * activations).sum(1)


def layer_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each position of each channel by its own gradient, if that is positive.

    Source: Jiang et al. (2021), "LayerCAM".
    """
    return (gradients.relu() * activations).sum(1)


def grad_cam_plus_plus(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by its positive gradients, those of few positions more.

    Source: Chattopadhay et al. (2018), "Grad-CAM++", equation 19.
    """
    squares = gradients**2
    totals = activations.sum((2, 3), keepdim=True)
    divisors = 2 * squares + totals * gradients**3 + 1e-6
    shares = torch.where(gradients != 0, squares / divisors, 0)
    weights = (shares * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def x_grad_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Weigh each channel by the mean of its gradients, weighted by its activations.

    Source: Fu et al. (2020), "Axiom-Based Grad-CAM".
    """
    totals = activations.sum((2, 3), keepdim=True)
    shares = activations / (totals + 1e-7)
    weights = (shares * gradients).sum((2, 3), keepdim=True)
    return (weights * activations).sum(1)


def eigen_cam(activations: Tensor, gradients: Tensor) -> Tensor:
    """Project each position on the first principal component of all positions.

    The gradients have no part in it, so the map knows no class. Its sign is arbitrary:
    it is the one that NumPy returns, as in the package grad-cam.
    Source: Muhammad and Yeasin (2020), "Eigen-CAM".
    """
    positions = activations.flatten(2).nan_to_num().transpose(1, 2).cpu().numpy()
    positions = positions - positions.mean(1, keepdims=True)  # (B, h·w, C)
    _, _, components = np.linalg.svd(positions, full_matrices=False)
    maps = torch.from_numpy(positions @ components[:, 0, :, None])
    return maps.view(len(maps), *activations.shape[2:]).to(activations)


#: by name; each takes activations and gradients, and returns maps
METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grad_cam": grad_cam,
    "hires_cam": hires_cam,
    "layer_cam": layer_cam,
    "grad_cam_plus_plus": grad_cam_plus_plus,
    "x_grad_cam": x_grad_cam,
    "eigen_cam": eigen_cam,
}
#: functions of `slow`, which need one forward pass for each channel of the layer
SLOW = ("score_cam", "ablation_cam")
