"""Are heatmaps true? Where no mask tells, the network is asked.

As in `localisation`, every score is one number per image, and NaN where a map is blank.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import explain
from sightline.heatmaps.localisation import check_pairs, energy_in_mask, only_said
from sightline.models.lend import evaluating

__all__ = [
    "Areas",
    "Explainer",
    "Grids",
    "cam",
    "cascading_randomisation",
    "class_sensitivity",
    "deletion_insertion",
    "grid_pointing_game",
    "max_sensitivity",
    "picture_grids",
    "rank_correlation",
    "road",
]

# (model, images (B, C, H, W), targets (B,)) -> heatmaps (B, H, W)
Explainer = Callable[[nn.Module, Tensor, Tensor], Tensor]
BATCH = 256  # images per forward pass


class Areas(NamedTuple):
    """Mean probability of a class while pixels go or come, one number per image."""

    deletion: Tensor  # (B,) brightest pixels removed first: low is good
    insertion: Tensor  # (B,) brightest pixels added first: high is good


class Grids(NamedTuple):
    """Grids of 2×2 pictures, each grid four times: once for each of its cells."""

    images: Tensor  # (4G, C, 2H, 2W)
    targets: Tensor  # (4G,) the class in the cell that is asked for
    masks: Tensor  # (4G, 2H, 2W) bool, that cell


def cam(method: str, layer: str) -> Explainer:
    """Return an explainer that makes the heatmaps of `explain` at one layer."""

    def explainer(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        found = explain(model, images, layers=layer, targets=targets, method=method)
        return found[layer].heatmaps

    return explainer


# --- against a grid of pictures ---------------------------------------------------


def picture_grids(
    model: nn.Module, images: Tensor, labels: Tensor, *, count: int = 50, seed: int = 0
) -> Grids:
    """Lay confidently correct pictures of four different classes into 2×2 grids.

    Of each class the most confident pictures come first, and none comes twice.
    Source: Böhle et al. (2021), "Convolutional Dynamic Alignment Networks".

    Args:
        model: a classifier that takes pictures of twice the size, too.
        images: (B, C, H, W), normalised.
        labels: (B,) actual classes.
        count: grids; fewer if the pictures do not suffice.
        seed: which classes meet, and where.

    Raises:
        SightlineError: if no four classes have a correct picture, or the model takes
            pictures of one size only.
    """
    left = _most_confident(model, images, labels)
    generator = torch.Generator().manual_seed(seed)
    places, targets = [], []
    while len(targets) < count and len(left) >= 4:
        names = torch.tensor(sorted(left))
        four = names[torch.randperm(len(names), generator=generator)[:4]].tolist()
        places.append([left[name].pop(0) for name in four])
        targets.append(four)
        left = {name: rest for name, rest in left.items() if rest}
    if not targets:
        raise SightlineError(
            f"correct pictures of {len(left)} classes make no grid: give pictures of "
            "at least 4 classes that the model recognises"
        )
    whole = _lay_out(images, places)
    try:
        _probabilities(model, whole[:1])
    except RuntimeError as error:
        size = "×".join(map(str, whole.shape[2:]))
        raise SightlineError(
            f"the model does not take pictures of {size}: the grid game needs one that "
            f"pools over any size ({error})"
        ) from error
    cells = torch.eye(4, dtype=torch.bool)[:, None].repeat(len(targets), 1, 1)
    masks = F.interpolate(cells.view(-1, 1, 2, 2).float(), whole.shape[2:])[:, 0].bool()
    return Grids(whole.repeat_interleave(4, 0), torch.tensor(targets).flatten(), masks)


def grid_pointing_game(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    explainer: Explainer,
    *,
    count: int = 50,
    seed: int = 0,
) -> Tensor:
    """Return which share of a grid's map lies in the cell of the class asked for.

    Chance is a quarter, whatever the map looks like. No masks are needed.
    Source: Böhle et al. (2021), "Convolutional Dynamic Alignment Networks".

    Args:
        model: as in `picture_grids`, as are the next two and the last two.
        images: (B, C, H, W), normalised.
        labels: (B,) actual classes.
        explainer: makes the maps.
        count: grids.
        seed: of the grids.

    Returns:
        (G, 4): one number for each cell of each grid; NaN where the map is blank.
    """
    grids = picture_grids(model, images, labels, count=count, seed=seed)
    maps = explainer(model, grids.images, grids.targets)
    return energy_in_mask(maps.cpu(), grids.masks).view(-1, 4)


# --- against the network ----------------------------------------------------------


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
    """Remove the brightest pixels first, add them first; watch the probability.

    The areas under both curves are mean probabilities, by the trapezoidal rule.
    Source: Petsiuk et al. (2018), "RISE", section 4.2.

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised.
        targets: (B,) whose probability is watched.
        heatmaps: (B, H, W).
        steps: equal parts in which the pixels go.
        fill: what takes their place; 0 is the mean colour. A tensor, such as blurred
            pictures, must fit `images`.
        seed: of the order of pixels that are equally bright.

    Returns:
        Areas in [0, 1]; NaN where the map is blank.
    """
    check_pairs(heatmaps, images[:, 0])
    ranks = _ranks(-heatmaps.cpu(), seed).view_as(heatmaps).to(images.device)
    fill = torch.as_tensor(fill, dtype=images.dtype, device=images.device)
    removed, added = [], []
    for step in range(steps + 1):
        gone = (ranks < round(step / steps * ranks[0].numel()))[:, None]
        for curve, mask in ((removed, gone), (added, ~gone)):
            pictures = torch.where(mask, fill, images)
            curve.append(_probability(model, pictures, targets))
    areas = (torch.trapezoid(torch.stack(curve), dim=0) for curve in (removed, added))
    return Areas(*(only_said(area / steps, heatmaps) for area in areas))


def road(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    heatmaps: Tensor,
    *,
    percentiles: Sequence[int] = (20, 40, 60, 80),
    seed: int = 0,
) -> Tensor:
    """Fill in the dimmest pixels first, and the brightest first; compare.

    Half the difference of the two probabilities, as grad-cam's `ROADCombined`, whose
    imputation is used. Equal pixels are ranked at random: taken by value, a map with
    many zeros would lose all its pixels at once.
    Source: Rong et al. (2022), "A Consistent and Efficient Evaluation Strategy for
    Attribution Methods".

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised; `heatmaps` are (B, H, W), `targets` (B,).
        targets: whose probability is watched.
        heatmaps: one for each image.
        percentiles: how much of the picture stays, in percent; averaged over.
        seed: of ties and of the noise in what is filled in.

    Returns:
        (B,) in [-1, 1], about 0 for maps that know nothing; NaN where a map is blank.
    """
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer

    check_pairs(heatmaps, images[:, 0])
    heatmaps, pictures = heatmaps.cpu(), images.detach().cpu()
    ranks = _ranks(heatmaps, seed).view_as(heatmaps)
    fill, last = NoisyLinearImputer(), ranks[0].numel() - 1
    change = torch.zeros(len(images))
    with torch.random.fork_rng(), warnings.catch_warnings():
        # NumPy's advice to the package, which calls it on tensors
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.manual_seed(seed)
        for percentile in percentiles:
            for order, sign in ((ranks, -1), (last - ranks, 1)):
                kept = (order < percentile / 100 * last).float()
                filled = [fill(*pair) for pair in zip(pictures, kept, strict=True)]
                filled = torch.stack(filled).to(images.device)
                change += sign * _probability(model, filled, targets)
    return only_said(change / (2 * len(percentiles)), heatmaps)


# --- against nonsense -------------------------------------------------------------


def cascading_randomisation(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    explainer: Explainer,
    *,
    stages: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Re-initialise a copy of the model stage by stage, from the head downwards.

    A map that still looks like the original one does not depend on what was learned.
    Source: Adebayo et al. (2018), "Sanity Checks for Saliency Maps", section 3.

    Args:
        model: stays as it is.
        images: (B, C, H, W), normalised.
        targets: (B,) classes to explain.
        explainer: makes the maps.
        stages: names of submodules, in order; by default the children that have
            weights, the last one first.
        seed: of the new weights.

    Returns:
        For each stage (B,) Spearman correlations with the original maps, when it and
        all before it are random; NaN where one of the two maps is flat.
    """
    original = explainer(model, images, targets)
    changed, found = copy.deepcopy(model), {}
    if stages is None:
        parts = list(model.named_children())[::-1]
        stages = [name for name, part in parts if list(part.parameters())]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name in stages:
            _initialise(changed.get_submodule(name), name)
            maps = explainer(changed, images, targets)
            found[name] = rank_correlation(original, maps)
    return found


def class_sensitivity(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    others: Tensor,
    explainer: Explainer,
) -> Tensor:
    """Correlate the maps of two classes: 1 if the class makes no difference.

    Source: Sixt et al. (2020), "When Explanations Lie", the random logit test.

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised.
        targets: (B,) classes, the predicted ones for instance.
        others: (B,) other classes.
        explainer: makes the maps.

    Returns:
        (B,) Spearman correlations, -1..1; NaN where one of the two maps is flat.
    """
    one, other = (explainer(model, images, classes) for classes in (targets, others))
    return rank_correlation(one, other)


def max_sensitivity(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    explainer: Explainer,
    *,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
) -> Tensor:
    """Return the largest relative change of each map under noise too small to see.

    Source: Yeh et al. (2019), "On the (In)fidelity and Sensitivity of Explanations".

    Args:
        model: a classifier that returns logits (B, K).
        images: (B, C, H, W), normalised.
        targets: (B,) classes to explain.
        explainer: makes the maps.
        radius: the noise is uniform in ± this, in units of the normalised pixels.
        draws: how often it is drawn.
        seed: of the noise.

    Returns:
        (B,) at least 0, the norm of the change over that of the map; NaN where the
        map is blank.
    """
    generator = torch.Generator().manual_seed(seed)
    original = explainer(model, images, targets)
    largest = original.new_zeros(len(original))
    for _ in range(draws):
        noise = torch.rand(images.shape, generator=generator).to(images.device)
        maps = explainer(model, images + radius * (2 * noise - 1), targets)
        largest = torch.maximum(largest, (maps - original).flatten(1).norm(dim=1))
    return only_said(largest / original.flatten(1).norm(dim=1), original)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Correlate the ranks of pixels (Spearman); equal ones share their mean rank.

    Args:
        one: (B, H, W).
        other: (B, H, W).

    Returns:
        (B,) in [-1, 1]; NaN where one of the two maps is flat.
    """
    check_pairs(one, other)
    ranked = []
    for maps in (one, other):
        values = maps.flatten(1).double()
        rising = values.sort(1).values
        below, upto = (
            torch.searchsorted(rising, values, right=right) for right in (False, True)
        )
        ranks = (below + upto).double()
        ranked.append(ranks - ranks.mean(1, keepdim=True))
    lengths = ranked[0].norm(dim=1) * ranked[1].norm(dim=1)
    return ((ranked[0] * ranked[1]).sum(1) / lengths).float()  # 0 / 0 is NaN


# --- helpers ----------------------------------------------------------------------


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
    """List the correct pictures of every class, the most confident first."""
    confidences, predictions = _probabilities(model, images).max(1)
    found: dict[int, list[int]] = {}
    for i in confidences.argsort(descending=True, stable=True).tolist():
        if predictions[i] == labels[i]:
            found.setdefault(int(labels[i]), []).append(i)
    return found


def _probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Return the softmax of the logits, (B, K) in float32 on the CPU."""
    device = next(model.parameters()).device
    with evaluating(model), torch.autocast(device.type, enabled=False):
        parts = [model(part.to(device)).softmax(1) for part in images.split(BATCH)]
        return torch.cat(parts).cpu()


def _probability(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Return the probability of one class for each image, (B,) on the CPU."""
    found = _probabilities(model, images)
    return found.gather(1, targets.cpu()[:, None])[:, 0]


def _initialise(part: nn.Module, name: str) -> None:
    """Give every layer of `part` new weights, as at its making."""
    for module in part.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        elif list(module.parameters(recurse=False)):
            raise SightlineError(
                f"{type(module).__name__} in {name!r} has weights of its own and no "
                "reset_parameters: leave it out of the stages"
            )
