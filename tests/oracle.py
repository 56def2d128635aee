"""Heatmaps of the package grad-cam, which those of the library must equal."""

import numpy as np
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from sightline.heatmaps.explain import SLOW_BATCH
from sightline.heatmaps.methods import SLOW
from sightline.heatmaps.slow import CHANNELS_AT_ONCE


class AblationCAM(pytorch_grad_cam.AblationCAM):
    """The package's own divides by the score: maps of negative ones are upside down."""

    def get_cam_weights(self, images, layer, targets, activations, grads):
        """Divide by the size of the score instead."""
        arguments = images, layer, targets, activations, grads
        weights = super().get_cam_weights(*arguments)
        with torch.no_grad():
            pairs = zip(targets, self.model(images), strict=True)
            scores = [target(logits).item() for target, logits in pairs]
        return weights * np.sign(np.float32(scores))[:, None]


PACKAGE = {
    "grad_cam": pytorch_grad_cam.GradCAM,
    "hires_cam": pytorch_grad_cam.HiResCAM,
    "layer_cam": pytorch_grad_cam.LayerCAM,
    "grad_cam_plus_plus": pytorch_grad_cam.GradCAMPlusPlus,
    "x_grad_cam": pytorch_grad_cam.XGradCAM,
    "eigen_cam": pytorch_grad_cam.EigenCAM,
    "score_cam": pytorch_grad_cam.ScoreCAM,
    "ablation_cam": AblationCAM,
}


def formula(method: str, activations: Tensor, gradients: Tensor) -> Tensor:
    """Return the package's map of activations and gradients, before it is scaled."""
    cam = PACKAGE[method](nn.Conv2d(1, 1, 1), [])
    arrays = activations.numpy(), gradients.numpy()
    return torch.from_numpy(cam.get_cam_image(None, None, None, *arrays, False))


def heatmaps(
    method: str, model: nn.Module, images: Tensor, layer: nn.Module, targets: list[int]
) -> Tensor:
    """Ask the package in the batches of `explain`: others are summed by other kernels.

    What is left to differ is the order of a method's own sums, and the scaling.
    """
    wanted = [ClassifierOutputTarget(target) for target in targets]
    cam = PACKAGE[method](model, [layer])
    cam.batch_size = CHANNELS_AT_ONCE
    step = SLOW_BATCH if method in SLOW else len(images)
    parts = [slice(start, start + step) for start in range(0, len(images), step)]
    return torch.from_numpy(np.concatenate([cam(images[p], wanted[p]) for p in parts]))
