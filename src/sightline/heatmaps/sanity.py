"""Heatmaps against nonsense: other classes, random weights, noise.

All take a classifier, images (B, C, H, W), normalised, and the classes to explain (B,);
`explainer` makes the maps. Every score is one number per image.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explainer
from sightline.heatmaps.localisation import check_same_shape, nan_where_blank

__all__ = [
    "cascading_randomisation",
    "class_sensitivity",
    "likeness",
    "max_sensitivity",
    "parts_with_weights",
    "rank_correlation",
]


def cascading_randomisation(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    explainer: Explainer,
    *,
    stages: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Re-initialise a copy of the model step by step, from the head downwards.

    A map that still looks like the original one does not depend on what was learned
    there. One draw of the weights is an anecdote: repeat it with several seeds. Maps
    that are little more than activations keep their order (Binder et al., 2023).
    Source: Adebayo et al. (2018), "Sanity Checks for Saliency Maps", section 3.

    Args:
        model: stays as it is.
        images: (B, C, H, W), normalised.
        targets: (B,) classes to explain.
        explainer: makes the maps.
        stages: the submodules that become random in each step, by its name; by default
            one child that has weights after the other, the last one first.
        seed: of the new weights.

    Returns:
        For each step (B,) the `likeness` with the original maps after it.
    """
    original = explainer(model, images, targets)
    random, correlations = copy.deepcopy(model), {}
    if stages is None:
        stages = {name: [name] for name in parts_with_weights(model)[::-1]}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for step, names in stages.items():
            for name in names:
                _initialise(random.get_submodule(name), name)
            maps = explainer(random, images, targets)
            correlations[step] = likeness(original, maps)
    return correlations


def parts_with_weights(model: nn.Module) -> list[str]:
    """Name the children that hold weights, from the input to the output."""
    return [name for name, part in model.named_children() if list(part.parameters())]


def class_sensitivity(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    others: Tensor,
    explainer: Explainer,
) -> Tensor:
    """Return the `likeness` of the maps of two classes: 1 if nothing depends on them.

    The runner-up is the class that matters, and that a map finds hardest to tell from
    the target. Sixt et al. (2020), "When Explanations Lie", the random logit test,
    take any other class, and compare by SSIM.
    """
    one, other = (explainer(model, images, classes) for classes in (targets, others))
    return likeness(one, other)


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
    """Return how far each map changes, at least, under noise too small to see.

    The change is that of the norm, over the norm of the map; NaN where that is blank.
    The noise is drawn `draws` times, uniform in ± `radius`, in units of the normalised
    pixels. The largest change of all noise can only be larger than that of a few draws.
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


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """Return the rank correlation of maps (B, H, W), and a number for flat ones, too.

    A map that says nothing has nothing in common with one that does: 0. Two that say
    nothing are alike: 1. So none is left out of a mean.
    """
    flat = torch.stack([_is_constant(one), _is_constant(other)])
    correlation = rank_correlation(one, other)
    return torch.where(flat.any(0), flat.all(0).float(), correlation)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Correlate the ranks of pixels (Spearman); equal ones share their mean rank.

    From two maps (B, H, W) to (B,) in [-1, 1]; NaN where one of the two is flat.
    """
    check_same_shape(one, other)
    first, second = _centred_ranks(one), _centred_ranks(other)
    lengths = first.norm(dim=1) * second.norm(dim=1)
    return ((first * second).sum(1) / lengths).float()  # 0 / 0 is NaN


def _is_constant(maps: Tensor) -> Tensor:
    """Tell which maps (B, H, W) have the same number everywhere, (B,)."""
    return maps.amax((1, 2)) == maps.amin((1, 2))


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
