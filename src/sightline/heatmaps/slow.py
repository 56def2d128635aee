"""Score-CAM and Ablation-CAM, whose weights are computed by the package grad-cam.

Both take a model in evaluation mode, a layer, images (B, C, H, W), a question (B, K),
whose product with the logits adds up to the score, and the layer's activations
(B, C', h, w). Both return maps (B, h, w).

Import this file only to use it: with grad-cam come torch's compiler and scikit-learn,
which take longer to load than torch.
"""

import io
from contextlib import redirect_stderr

import numpy as np
import torch
from pytorch_grad_cam import AblationCAM, AblationLayer, ScoreCAM
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.find_layers import replace_layer_recursive
from torch import Tensor, nn

__all__ = ["ablation_cam", "score_cam"]

CHANNELS_AT_ONCE = 64


def score_cam(
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    question: Tensor,
    activations: Tensor,
) -> Tensor:
    """Weigh each channel by the score of the image where the channel is bright.

    Source: Wang et al. (2020), "Score-CAM".
    """
    package = _package(ScoreCAM, model, layer)
    # the package makes a picture for each channel: 300 MB for 512 of 224×224
    parts = zip(images.split(1), question.split(1), activations.split(1), strict=True)
    weights = [_weights(package, *part) for part in parts]
    return _weighted(torch.cat(weights), activations)


def ablation_cam(
    model: nn.Module,
    layer: nn.Module,
    images: Tensor,
    question: Tensor,
    activations: Tensor,
) -> Tensor:
    """Weigh each channel by how much the score falls without it.

    The weight is the fall over the size of the score: a score of 0 gives no finite map.
    The package divides by the score itself, which turns the map of a negative score
    upside down.
    Source: Desai and Ramaswamy (2020), "Ablation-CAM".
    """
    package = _package(AblationCAM, model, layer)
    package.ablation_layer = AblationLayer()  # the default one is shared by all objects
    hooks = layer._forward_hooks.copy()
    try:
        weights = _weights(package, images, question, activations)
    finally:  # an error leaves the package's own layer, or its hook, in the model
        replace_layer_recursive(model, package.ablation_layer, layer)
        layer._forward_hooks.clear()
        layer._forward_hooks.update(hooks)
    with torch.no_grad():
        scores = (model(images) * question).sum(1)
    return _weighted(weights.to(scores) * scores.sign()[:, None], activations)


def _package(kind: type[BaseCAM], model: nn.Module, layer: nn.Module) -> BaseCAM:
    """Make one of grad-cam's objects; it need not record, `explain` has done so."""
    package = kind(model, [layer])
    package.activations_and_grads.release()
    package.batch_size = CHANNELS_AT_ONCE
    return package


def _weights(
    package: BaseCAM, images: Tensor, question: Tensor, activations: Tensor
) -> Tensor:
    """Return the package's weight of each channel, (B, C')."""
    scores = [row.dot for row in question]  # of the logits (K,) of one image
    with (
        redirect_stderr(io.StringIO()),  # the package shows a bar for every image
        np.errstate(divide="ignore", invalid="ignore"),  # the status tells
    ):
        weights = package.get_cam_weights(
            images, package.target_layers[0], scores, activations.cpu().numpy(), None
        )
    return torch.from_numpy(weights)


def _weighted(weights: Tensor, activations: Tensor) -> Tensor:
    """Add up the channels (B, C', h, w) with their weights (B, C')."""
    return (weights.to(activations)[:, :, None, None] * activations).sum(1)
