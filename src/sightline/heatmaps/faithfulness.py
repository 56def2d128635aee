"""Heatmaps against the network itself: it is asked, where no mask is known.

All take a classifier that returns logits (B, K), images (B, C, H, W), normalised, a
class for each (B,), and heatmaps (B, H, W) or the function that makes them. As in
`localisation`, every score is one number per image, and NaN where a map is blank.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Against, Explainer, cam
from sightline.heatmaps.imputation import impute
from sightline.heatmaps.layers import find_layer
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
    "disconnected_maps",
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
    """Lay correctly classified pictures of four different classes into 2×2 grids.

    Of each class the pictures come in their order, and none comes twice. The paper
    takes the most confident ones instead: its grids say nothing about the others.
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
    pictures = _correct_ones(model, images, labels)
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
    grids = _joined(images[torch.tensor(places).flatten().to(images.device)])
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

    The four shares of a map that ignores the class add up to one: its mean is a quarter
    by algebra, and the four of one grid are one observation. No masks are needed.
    `explainer` makes the maps; the other arguments are those of `picture_grids`.
    Source: Böhle et al. (2021), "Convolutional Dynamic Alignment Networks".

    Returns:
        (G, 4): one number for each cell of each grid; NaN where the map is blank.
    """
    grids = picture_grids(model, images, labels, count=count, seed=seed)
    maps = explainer(model, grids.images, grids.targets)
    return energy_in_mask(maps.cpu(), grids.masks).view(-1, 4)


def disconnected_maps(
    model: nn.Module,
    grids: Grids,
    layer: str,
    *,
    method: str = "grad_cam",
    against: Against = None,
) -> Tensor:
    """Make maps of grids whose answer depends on one cell alone, and provably so.

    The network sees each cell apart, and answers for the one that is asked for; only
    the output of `layer` is laid out as a grid, where the method reads it. What a map,
    (4G, 2H, 2W), has in other cells is wrong by construction.
    Source: Rao et al. (2022), "Towards Better Understanding Attribution Methods",
    DiFull; two of their four pictures are of one class, ours are of four.
    """
    maps = cam(method, "grid", against)
    return maps(_Disconnected(model, layer), grids.images, grids.targets)


class _Disconnected(nn.Module):
    """A network for the images of `Grids`: of image i it sees cell i % 4.

    Batches hold whole grids.
    """

    def __init__(self, model: nn.Module, layer: str):
        super().__init__()
        self.model, self.layer, self.grid = model, layer, nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, K) of one cell of each image."""

        def lay_out(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            return _cut_up(self.grid(_joined(output)))

        hook = find_layer(self.model, self.layer).register_forward_hook(lay_out)
        try:
            logits = self.model(_cut_up(images))
        finally:
            hook.remove()
        image = torch.arange(len(images), device=logits.device)
        return logits.view(len(images), 4, -1)[image, image % 4]


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
    `images`. RISE deletes to grey, and inserts into `imputation.blurred` pictures.
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
    percentiles: Sequence[int] = (10, 30, 50, 70, 90),
    seed: int = 0,
) -> Tensor:
    """Replace the dimmest pixels, and the brightest; compare the probabilities.

    The score is half of their difference, as in grad-cam's `ROADCombined`, in -1..1.
    It is about 0 for a random order, but not for every map that knows nothing: a bright
    centre scores high where objects lie there. It is the mean over `percentiles`, the
    shares of the picture that go; the paper has every tenth, and accuracies instead of
    probabilities. Equal pixels are ranked at random: ranked by value, a map with many
    zeros would lose all its pixels at once.
    Source: Rong et al. (2022), "A Consistent and Efficient Evaluation Strategy for
    Attribution Methods".
    """
    check_same_shape(heatmaps, images[:, 0])
    ranks = _ranks(heatmaps.cpu(), seed).view_as(heatmaps).to(images.device)
    last, change = ranks[0].numel() - 1, torch.zeros(len(images))
    for percentile in percentiles:
        for order, sign in (
            (ranks, 1),
            (last - ranks, -1),
        ):  # the dimmest go, the others
            pictures = impute(images, order >= percentile / 100 * last, seed=seed)
            change += sign * _probability(model, pictures, targets)
    return nan_where_blank(change / (2 * len(percentiles)), heatmaps)


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


def _joined(cells: Tensor) -> Tensor:
    """Join each four of (4B, C, H, W) to one (B, C, 2H, 2W), row by row."""
    rows = cells.unflatten(0, (-1, 2, 2)).permute(0, 3, 1, 4, 2, 5)
    return rows.flatten(4, 5).flatten(2, 3)  # of (B, C, 2, H, 2, W)


def _cut_up(grids: Tensor) -> Tensor:
    """Cut each of (B, C, 2H, 2W) into its four cells (4B, C, H, W), row by row."""
    rows = grids.unflatten(3, (2, -1)).unflatten(2, (2, -1))
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _correct_ones(
    model: nn.Module, images: Tensor, labels: Tensor
) -> dict[int, list[int]]:
    """List the correct pictures of each class by number, in their order."""
    predictions = _probabilities(model, images).argmax(1)
    places: dict[int, list[int]] = {}
    for i in (predictions == labels.cpu()).nonzero().flatten().tolist():
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
