"""Heatmaps against nonsense: other classes, random weights, noise.

All take a classifier, images (B, C, H, W), normalised, and the classes to explain (B,);
`explainer` makes the maps. Every score is one number per image, and NaN where a map is
blank or flat.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explainer
from sightline.heatmaps.localisation import check_same_shape, nan_where_blank

__all__ = [
    "cascading_randomisation",
    "class_sensitivity",
    "max_sensitivity",
    "rank_correlation",
]


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
    random, correlations = copy.deepcopy(model), {}
    if stages is None:
        parts = list(model.named_children())[::-1]
        stages = [name for name, part in parts if list(part.parameters())]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name in stages:
            _initialise(random.get_submodule(name), name)
            maps = explainer(random, images, targets)
            correlations[name] = rank_correlation(original, maps)
    return correlations


def class_sensitivity(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    others: Tensor,
    explainer: Explainer,
) -> Tensor:
    """Correlate the maps of two classes: 1 if the class makes no difference.

    Returns Spearman correlations, -1..1, NaN where one of the two maps is flat.
    Source: Sixt et al. (2020), "When Explanations Lie", the random logit test.
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

    The change is that of the norm, over the norm of the map. The noise is drawn `draws`
    times, uniform in ± `radius`, in units of the normalised pixels.
    Source: Yeh et al. (2019), "On the (In)fidelity and Sensitivity of Explanations".
    """
    generator = torch.Generator().manual_seed(seed)
    original = explainer(model, images, targets)
    largest = original.new_zeros(len(original))
    for _ in range(draws):
        noise = torch.rand(images.shape, generator=generator).to(images.device)
        maps = explainer(model, images + radius * (2 * noise - 1), targets)
        largest = torch.maximum(largest, (maps - original).flatten(1).norm(dim=1))
    return nan_where_blank(largest / original.flatten(1).norm(dim=1), original)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Correlate the ranks of pixels (Spearman); equal ones share their mean rank.

    From two maps (B, H, W) to (B,) in [-1, 1]; NaN where one of the two is flat.
    """
    check_same_shape(one, other)
    first, second = _centred_ranks(one), _centred_ranks(other)
    lengths = first.norm(dim=1) * second.norm(dim=1)
    return ((first * second).sum(1) / lengths).float()  # 0 / 0 is NaN


def _centred_ranks(maps: Tensor) -> Tensor:
    """Rank the pixels of (B, H, W); the ranks (B, H·W) of an image add up to 0."""
    values = maps.flatten(1).double()
    rising = values.sort(1).values
    below = torch.searchsorted(rising, values)
    up_to = torch.searchsorted(rising, values, right=True)
    ranks = (below + up_to).double()
    return ranks - ranks.mean(1, keepdim=True)


def _initialise(part: nn.Module, name: str) -> None:
    """Draw new weights for every layer of `part`, as when it was built."""
    for module in part.modules():
        if reset := getattr(module, "reset_parameters", None):
            reset()
        elif list(module.parameters(recurse=False)):
            raise SightlineError(
                f"{type(module).__name__} in {name!r} has weights of its own and no "
                "reset_parameters: leave it out of the stages"
            )
