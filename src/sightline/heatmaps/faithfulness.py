"""Heatmaps against the network itself: it is asked, where no mask is known.

All take a classifier that returns logits (B, K), images (B, C, H, W), normalised, a
class for each (B,), and heatmaps (B, H, W) or the function that makes them. As in
`localisation`, every score is one number per image, and NaN where a map is blank.
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explainer
from sightline.heatmaps.localisation import (
    check_same_shape,
    energy_in_mask,
    nan_where_blank,
)
from sightline.models.lend import evaluating

__all__ = [
    "Areas",
    "Grids",
    "deletion_insertion",
    "grid_pointing_game",
    "picture_grids",
    "road",
]

BATCH = 256  # images per forward pass


class Areas(NamedTuple):
    """Mean probability of a class while pixels go or come, one number per image."""

    deletion: Tensor  #: (B,) brightest pixels removed first; low is good
    insertion: Tensor  #: (B,) brightest pixels added first; high is good


class Grids(NamedTuple):
    """Grids of 2×2 pictures, each grid four times: once for each of its cells."""

    images: Tensor  #: (4G, C, 2H, 2W)
    targets: Tensor  #: (4G,) the class to explain
    masks: Tensor  #: (4G, 2H, 2W) bool, the cell where its picture is


def picture_grids(
    model: nn.Module, images: Tensor, labels: Tensor, *, count: int = 50, seed: int = 0
) -> Grids:
    """Lay confidently correct pictures of four different classes into 2×2 grids.

    Of each class the most confident pictures come first, and none comes twice.
    Source: Böhle et al. (2021), "Convolutional Dynamic Alignment Networks".

    Args:
        model: takes pictures of twice the size, too.
        images: as above.
        labels: (B,) actual classes.
        count: grids; fewer if the pictures do not suffice.
        seed: which classes meet, and where.

    Raises:
        SightlineError: if no four classes have a correct picture, or the model takes
            pictures of one size only.
    """
    pictures = _most_confident(model, images, labels)
    generator = torch.Generator().manual_seed(seed)
    places: list[list[int]] = []
    targets: list[list[int]] = []
    while len(targets) < count and len(pictures) >= 4:
        classes = torch.tensor(sorted(pictures))
        four = classes[torch.randperm(len(classes), generator=generator)[:4]].tolist()
        places.append([pictures[label].pop(0) for label in four])
        targets.append(four)
        pictures = {label: rest for label, rest in pictures.items() if rest}
    if not targets:
        raise SightlineError(
            f"correct pictures of {len(pictures)} classes make no grid: give pictures "
            "of at least 4 classes that the model recognises"
        )
    grids = _lay_out(images, places)
    _check_size(model, grids[:1])
    cells = torch.eye(4, dtype=torch.bool)[:, None].repeat(len(targets), 1, 1)
    masks = F.interpolate(cells.view(-1, 1, 2, 2).float(), grids.shape[2:])[:, 0].bool()
    return Grids(grids.repeat_interleave(4, 0), torch.tensor(targets).flatten(), masks)


def grid_pointing_game(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    explainer: Explainer,
    *,
    count: int = 50,
    seed: int = 0,
) -> Tensor:
    """Return the share of a grid's map that lies in the cell of the explained class.

    Chance is a quarter, whatever the map looks like. No masks are needed.
    `explainer` makes the maps; the other arguments are those of `picture_grids`.
    Source: Böhle et al. (2021), "Convolutional Dynamic Alignment Networks".

    Returns:
        (G, 4): one number for each cell of each grid; NaN where the map is blank.
    """
    grids = picture_grids(model, images, labels, count=count, seed=seed)
    maps = explainer(model, grids.images, grids.targets)
    return energy_in_mask(maps.cpu(), grids.masks).view(-1, 4)


def deletion_insertion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    heatmaps: Tensor,
    *,
    steps: int = 16,
    fill: float | Tensor = 0.0,
    seed: int = 0,
) -> Areas:
    """Remove the brightest pixels first, and add them first; record the probability.

    The areas under both curves are mean probabilities in [0, 1], by the trapezoidal
    rule over `steps` equal parts of the pixels. Equally bright ones come in random
    order. Removed ones become `fill`: 0, the mean colour, or a tensor that fits
    `images`, such as blurred pictures.
    Source: Petsiuk et al. (2018), "RISE", section 4.2.
    """
    check_same_shape(heatmaps, images[:, 0])
    ranks = _ranks(-heatmaps.cpu(), seed).view_as(heatmaps).to(images.device)
    fill = torch.as_tensor(fill, dtype=images.dtype, device=images.device)
    curves: tuple[list[Tensor], list[Tensor]] = ([], [])  # removed, added
    for step in range(steps + 1):
        first = (ranks < round(step / steps * ranks[0].numel()))[:, None]
        for curve, mask in zip(curves, (first, ~first), strict=True):
            pictures = torch.where(mask, fill, images)
            curve.append(_probability(model, pictures, targets))
    areas = (torch.trapezoid(torch.stack(curve), dim=0) for curve in curves)
    return Areas(*(nan_where_blank(area / steps, heatmaps) for area in areas))


def road(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    heatmaps: Tensor,
    *,
    percentiles: Sequence[int] = (20, 40, 60, 80),
    seed: int = 0,
) -> Tensor:
    """Replace the dimmest pixels, and the brightest; compare the probabilities.

    The score is half of their difference, as in grad-cam's `ROADCombined`, whose
    imputation it uses: -1..1, about 0 for maps without knowledge. It is the mean over
    `percentiles`, the shares of the picture that stay. Equal pixels are ranked at
    random: ranked by value, a map with many zeros would lose all its pixels at once.
    Source: Rong et al. (2022), "A Consistent and Efficient Evaluation Strategy for
    Attribution Methods".
    """
    check_same_shape(heatmaps, images[:, 0])
    heatmaps = heatmaps.cpu()
    ranks = _ranks(heatmaps, seed).view_as(heatmaps)
    last, change = ranks[0].numel() - 1, torch.zeros(len(images))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for percentile in percentiles:
            for order, sign in ((ranks, -1), (last - ranks, 1)):
                pictures = _impute(images, order < percentile / 100 * last)
                change += sign * _probability(model, pictures, targets)
    return nan_where_blank(change / (2 * len(percentiles)), heatmaps)


def _impute(images: Tensor, masks: Tensor) -> Tensor:
    """Fill in the pixels of images (B, C, H, W) that masks (B, H, W) leave out."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    impute, pairs = NoisyLinearImputer(), zip(images.detach().cpu(), masks, strict=True)
    with warnings.catch_warnings():
        # NumPy's advice to the package, which calls it on tensors
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.stack([impute(image, mask.float()) for image, mask in pairs])


def _check_size(model: nn.Module, grid: Tensor) -> None:
    """Refuse a model that takes pictures of one size only."""
    try:
        _probabilities(model, grid)
    except RuntimeError as error:
        size = "×".join(map(str, grid.shape[2:]))
        raise SightlineError(
            f"the model does not take pictures of {size}: the grid game needs one that "
            f"pools over any size ({error})"
        ) from error


def _ranks(maps: Tensor, seed: int) -> Tensor:
    """Number the pixels of (B, H, W) from 0, the lowest first, equal ones at random.

    Returns:
        (B, H·W) int64.
    """
    values = maps.flatten(1)
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.rand(values.shape, generator=generator).argsort(1)
    order = mixed.gather(1, values.gather(1, mixed).argsort(dim=1, stable=True))
    places = torch.arange(values.shape[1]).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def _lay_out(images: Tensor, places: list[list[int]]) -> Tensor:
    """Join four images of (B, C, H, W) to one, row by row, for each four places."""
    rows = images[torch.tensor(places).to(images.device)].unflatten(1, (2, 2))
    rows = rows.permute(0, 3, 1, 4, 2, 5)  # (G, C, 2, H, 2, W)
    return rows.flatten(4, 5).flatten(2, 3)


def _most_confident(
    model: nn.Module, images: Tensor, labels: Tensor
) -> dict[int, list[int]]:
    """List the correct pictures of each class by number, the most confident first."""
    confidences, predictions = _probabilities(model, images).max(1)
    places: dict[int, list[int]] = {}
    for i in confidences.argsort(descending=True, stable=True).tolist():
        if predictions[i] == labels[i]:
            places.setdefault(int(labels[i]), []).append(i)
    return places


def _probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Return the softmax of the logits, (B, K) in float32 on the CPU."""
    device = next(model.parameters()).device
    with evaluating(model), torch.autocast(device.type, enabled=False):
        parts = [model(part.to(device)).softmax(1) for part in images.split(BATCH)]
        return torch.cat(parts).cpu()


def _probability(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Return the probability of one class for each image, (B,) on the CPU."""
    return _probabilities(model, images).gather(1, targets.cpu()[:, None])[:, 0]
