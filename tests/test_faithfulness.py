"""Scores that ask the network, on networks whose answers are known."""

import copy

import pytest
import torch
from pytorch_grad_cam.metrics.road import ROADCombined
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from scipy.stats import spearmanr
from torch import nn

from sightline.errors import SightlineError
from sightline.heatmaps import imputation
from sightline.heatmaps.baselines import edges, random, uniform
from sightline.heatmaps.explain import cam
from sightline.heatmaps.faithfulness import (
    Grids,
    deletion_insertion,
    disconnected_maps,
    grid_pointing_game,
    picture_grids,
    road,
)
from sightline.heatmaps.localisation import energy_in_mask
from sightline.heatmaps.sanity import (
    cascading_randomisation,
    class_sensitivity,
    likeness,
    max_sensitivity,
    rank_correlation,
)
from sightline.models.resnet import resnet10

SIGNAL = torch.zeros(1, 16, 16, dtype=torch.bool)
SIGNAL[:, 4:12, 4:12] = True  # a quarter of the picture


class Share(nn.Module):
    """Its probability of class 1 is the mean of the picture, exactly."""

    def __init__(self, full):
        super().__init__()
        self.full = nn.Parameter(torch.tensor(full))  # what counts as a mean of 1

    def forward(self, images):
        share = (images.sum((1, 2, 3)) / self.full).clamp(0, 1)
        return torch.stack([1 - share, share], 1).log()


class Colours(nn.Module):
    """Logits are the means of the channels: the class is a colour."""

    def __init__(self, classes=5):
        super().__init__()
        self.mix = nn.Conv2d(classes, classes, 1, bias=False)
        with torch.no_grad():
            self.mix.weight.copy_(8 * torch.eye(classes)[:, :, None, None])

    def forward(self, images):
        return self.mix(images).mean((2, 3))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = resnet10(num_classes=10)
    with torch.no_grad():
        model(torch.randn(16, 3, 16, 16))  # gives the norms some statistics
    return model


@pytest.fixture
def images():
    return torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


TARGETS = torch.tensor([0, 3, 3, 7])
HIRES = cam("hires_cam", "layer2")


def coloured(labels, noise=0.1):
    """Pictures of 8 × 8 in which one channel is 1."""
    pictures = torch.eye(5)[labels][:, :, None, None].expand(-1, -1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    return pictures + noise * torch.rand(pictures.shape, generator=generator)


# --- deletion and insertion -------------------------------------------------------


def test_a_perfect_map_loses_everything_first_and_gains_it_first():
    pictures = SIGNAL.float()[:, None]
    model, target = Share(64.0), torch.tensor([1])
    areas = deletion_insertion(model, pictures, target, SIGNAL.float(), steps=16)
    assert areas.deletion.item() == pytest.approx(0.25 / 2)  # gone after a quarter
    assert areas.insertion.item() == pytest.approx(1 - 0.25 / 2)


def test_the_opposite_of_a_perfect_map_is_the_worst():
    pictures = SIGNAL.float()[:, None]
    wrong = (~SIGNAL).float()
    areas = deletion_insertion(Share(64.0), pictures, torch.tensor([1]), wrong)
    assert areas.deletion.item() == pytest.approx(1 - 0.25 / 2)
    assert areas.insertion.item() == pytest.approx(0.25 / 2)


def test_an_even_map_removes_at_random():
    pictures = SIGNAL.float()[:, None].expand(40, -1, -1, -1)
    targets, maps = torch.ones(40, dtype=torch.int64), uniform(pictures)
    areas = deletion_insertion(Share(64.0), pictures, targets, maps)
    assert areas.deletion.mean().item() == pytest.approx(0.5, abs=0.02)
    assert areas.deletion.std() > 0  # another order for each picture
    torch.testing.assert_close(areas.deletion + areas.insertion, torch.ones(40))


def test_pixels_can_be_replaced_by_other_pictures():
    pictures = SIGNAL.float()[:, None]
    areas = deletion_insertion(
        Share(64.0), pictures, torch.tensor([1]), SIGNAL.float(), fill=pictures
    )
    assert areas.deletion.item() == areas.insertion.item() == 1  # nothing changes


# --- road -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # its own
def test_road_equals_the_package_where_no_pixels_are_equal(model, images, monkeypatch):
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)  # its noise
    monkeypatch.setattr(imputation, "NOISE", 0)
    monkeypatch.setattr(imputation, "RESIDUAL", 1e-6)
    maps, model = random(images), model.eval()
    asked = [ClassifierOutputSoftmaxTarget(target) for target in TARGETS.tolist()]
    # ranks of its own: percentiles of values may fall on a pixel
    ranks = maps.flatten(1).argsort(1).argsort(1).view_as(maps) / 255
    package = ROADCombined([30, 70])(images, ranks.numpy(), asked, model)
    ours = road(model, images, TARGETS, maps, percentiles=(30, 70))
    assert ours.abs().max() > 1e-4
    torch.testing.assert_close(ours, torch.from_numpy(package), rtol=0, atol=1e-6)


def test_road_is_high_for_a_perfect_map_and_as_low_for_its_opposite():
    pictures = (SIGNAL.float() * 2 - 1)[:, None]
    pictures[:, :, ::2] *= -1  # stripes, whose sign no neighbour tells
    striped = Share(1.0)
    striped.forward = lambda x: torch.stack(
        [0 * x.sum((1, 2, 3)), 0.05 * (x * pictures * SIGNAL).sum((1, 2, 3))], 1
    )
    target = torch.tensor([1])
    good = road(striped, pictures, target, SIGNAL.float())
    bad = road(striped, pictures, target, (~SIGNAL).float())
    assert good.item() > 0.1
    assert bad.item() == pytest.approx(-good.item(), abs=0.02)


def test_road_ranks_a_map_with_many_zeros(model, images):
    maps = torch.zeros(4, 16, 16)
    maps[:, 3, 5] = 1
    assert road(model, images, TARGETS, maps).isfinite().all()


# --- the grid ---------------------------------------------------------------------


def test_a_map_of_the_class_lies_in_its_cell_of_the_grid():
    labels = torch.arange(5).repeat(4)
    pictures, model = coloured(labels, noise=0), Colours()
    shares = grid_pointing_game(
        model, pictures, labels, cam("hires_cam", "mix"), count=3
    )
    assert shares.shape == (3, 4)
    assert (shares == 1).all()


def test_maps_without_knowledge_share_a_grid_equally():
    labels = torch.arange(5).repeat(4)
    shares = grid_pointing_game(
        Colours(), coloured(labels), labels, lambda m, images, t: uniform(images)
    )
    assert (shares == 0.25).all()


def test_grids_hold_correct_pictures_of_four_classes_in_their_order():
    labels = torch.arange(5).repeat(4)
    pictures = coloured(labels)
    pictures[5:] *= 2  # surer than the first of each class
    wrong = labels.clone()
    wrong[2] = 0  # is taken for class 2, whose first correct picture is the seventh
    images, targets, masks = picture_grids(Colours(), pictures, wrong, count=2)
    assert images.shape == (8, 5, 16, 16) and targets[:4].unique().numel() == 4
    assert (masks[:4].sum(0) == 1).all()  # the four cells cover the grid
    first = {0: 0, 1: 1, 2: 7, 3: 3, 4: 4}
    for image, target, mask in list(zip(images, targets, masks, strict=True))[:4]:
        expected = pictures[first[target.item()]]
        assert torch.equal(image[:, mask].view(5, 8, 8), expected)


def test_no_picture_is_in_two_grids():
    labels = torch.arange(4).repeat(3)
    images, _, masks = picture_grids(Colours(), coloured(labels), labels, count=99)
    assert len(images) == 3 * 4
    pairs = zip(images, masks, strict=True)
    seen = {image[:, mask].numpy().tobytes() for image, mask in pairs}
    assert len(seen) == 12


def test_a_grid_needs_four_classes_and_a_network_of_any_size():
    labels = torch.arange(3)
    with pytest.raises(SightlineError, match="pictures of 3 classes make no grid"):
        picture_grids(Colours(), coloured(labels), labels)
    fixed, labels = nn.Sequential(nn.Flatten(), nn.Linear(320, 5)), torch.arange(5)
    pictures = coloured(labels)
    with torch.no_grad():
        fixed[1].weight.copy_(torch.eye(5).repeat_interleave(64, 1))
    with pytest.raises(SightlineError, match="does not take pictures of 16×16"):
        picture_grids(fixed, pictures, labels)


@pytest.mark.parametrize("against", [None, "rest"])
def test_a_map_place_by_place_knows_which_cells_have_no_part_in_the_answer(
    model, images, against
):
    with torch.no_grad():
        model.eval()
        targets = model(images).argmax(1)
    grids = grids_of(images, targets)
    shares = {
        method: energy_in_mask(
            disconnected_maps(model, grids, "layer3", method=method, against=against),
            grids.masks,
        )
        for method in ("hires_cam", "grad_cam", "eigen_cam")
    }
    own = shares["hires_cam"]
    # enlarged, the cells at a border reach into the neighbouring picture
    assert own[~own.isnan()].min() > 0.8
    assert shares["eigen_cam"].mean().item() == pytest.approx(0.25, abs=0.05)
    assert shares["grad_cam"].nanmean() < own.nanmean() - 0.1


def test_a_disconnected_network_answers_as_for_the_single_picture(model, images):
    model.eval()
    targets = torch.tensor([0, 3, 3, 7])
    grids = grids_of(images, targets)
    seen = []
    model.head.register_forward_hook(lambda module, inputs, logits: seen.append(logits))
    disconnected_maps(model, grids, "layer4")
    expected = model(images).detach()
    # the four cells of the first grid, then those of the other three copies
    torch.testing.assert_close(seen[0][:4].detach(), expected)
    assert not any(module._forward_hooks for module in model.layer4.modules())


def grids_of(images, targets) -> Grids:
    """One grid of the first four images, whatever the network takes them for."""
    top, bottom = (torch.cat(list(pair), 2) for pair in (images[:2], images[2:]))
    grid = torch.cat([top, bottom], 1)
    masks = torch.zeros(4, *grid.shape[1:], dtype=torch.bool)
    side = images.shape[-1]
    for k in range(4):
        i, j = divmod(k, 2)
        masks[k, i * side : (i + 1) * side, j * side : (j + 1) * side] = True
    return Grids(grid.expand(4, -1, -1, -1), targets, masks)


# --- sanity checks ----------------------------------------------------------------


def test_a_map_of_the_picture_alone_survives_every_randomisation(model, images):
    found = cascading_randomisation(
        model, images, TARGETS, lambda m, images, targets: edges(images)
    )
    assert list(found) == ["head", "layer4", "layer3", "layer2", "layer1", "stem"]
    for correlations in found.values():
        torch.testing.assert_close(correlations, torch.ones(4))


def test_randomising_reaches_down_to_the_stage_and_no_further(model, images):
    changed = []

    def explainer(other, images, targets):
        changed.append(
            {
                name.split(".")[0]
                for (name, new), old in zip(
                    other.named_parameters(), model.parameters(), strict=True
                )
                if name.endswith("weight") and not torch.equal(new, old)
            }
        )
        return torch.rand(4, 16, 16)

    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.5)  # as if trained: the norms, too, are changed
    cascading_randomisation(model, images, TARGETS, explainer)
    assert changed[:3] == [set(), {"head"}, {"head", "layer4"}]
    assert len(changed[-1]) == 6


def test_the_stages_can_be_chosen_and_the_seed_repeats_them(model, images):
    one, again = (
        cascading_randomisation(
            model, images, TARGETS, HIRES, stages={"layer2": ["layer2"]}, seed=5
        )
        for _ in range(2)
    )
    assert list(one) == ["layer2"]
    assert torch.equal(one["layer2"], again["layer2"])
    assert one["layer2"].max() < 0.9


def test_one_step_may_reach_the_whole_network(model, images):
    stages = {
        "head": ["head"],
        "rest": ["stem", "layer1", "layer2", "layer3", "layer4"],
    }
    found = cascading_randomisation(model, images, TARGETS, HIRES, stages=stages)
    assert list(found) == ["head", "rest"]
    whole = cascading_randomisation(
        model, images, TARGETS, HIRES, stages={"all": ["head", *stages["rest"]]}
    )
    torch.testing.assert_close(found["rest"], whole["all"])  # the same numbers drawn


def test_weights_that_cannot_be_made_anew_are_named(images):
    model = nn.Sequential(Share(1.0))
    with pytest.raises(SightlineError, match="Share in '0' has weights of its own"):
        cascading_randomisation(
            model, images, TARGETS, lambda m, images, t: edges(images)
        )


def test_class_sensitivity_is_one_for_maps_that_ignore_the_class(model, images):
    blind = class_sensitivity(
        model, images, TARGETS, TARGETS + 1, lambda m, images, t: edges(images)
    )
    torch.testing.assert_close(blind, torch.ones(4))
    seeing = class_sensitivity(model, images, TARGETS, TARGETS + 1, HIRES)
    assert seeing.max() < 0.99


def test_class_sensitivity_is_minus_one_for_opposite_maps(model, images):
    opposite = class_sensitivity(
        model,
        images,
        torch.ones(4),
        -torch.ones(4),
        lambda m, images, targets: images[:, 0] * targets[:, None, None],
    )
    torch.testing.assert_close(opposite, -torch.ones(4))


def test_max_sensitivity_of_the_picture_itself_is_the_noise(model):
    images = torch.full((3, 1, 64, 64), 0.5)
    found = max_sensitivity(
        model, images, TARGETS[:3], lambda m, images, t: images[:, 0], radius=0.1
    )
    # the root mean square of uniform noise in ± r is r / √3
    expected = torch.full((3,), 0.1 / 3**0.5 / 0.5)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0)


def test_max_sensitivity_of_a_map_that_never_changes_is_zero(model, images):
    found = max_sensitivity(
        model, images, TARGETS, lambda m, images, t: uniform(images)
    )
    assert found.tolist() == [0] * 4


def test_likeness_counts_maps_that_say_nothing():
    some, flat = torch.rand(3, 8, 8), torch.zeros(3, 8, 8)
    flat[1] = 1
    assert likeness(some, flat).tolist() == [0, 0, 0]
    assert likeness(flat, flat.flip(0)).tolist() == [1, 1, 1]
    torch.testing.assert_close(likeness(some, -some), -torch.ones(3))


def test_rank_correlation_is_that_of_scipy_with_equal_values():
    generator = torch.Generator().manual_seed(0)
    one = torch.randint(0, 6, (5, 8, 8), generator=generator).float()
    other = (one + torch.randint(0, 6, (5, 8, 8), generator=generator)).relu()
    expected = [
        spearmanr(a.flatten(), b.flatten()).statistic
        for a, b in zip(one, other, strict=True)
    ]
    torch.testing.assert_close(
        rank_correlation(one, other), torch.tensor(expected).float()
    )
    assert rank_correlation(one, torch.ones(5, 8, 8)).isnan().all()


# --- all of them ------------------------------------------------------------------


@pytest.fixture
def scores(model, images):
    """Every score that asks the network, as a function of the maps."""

    def explainer(maps):
        return lambda model, images, targets: maps

    return {
        "deletion": lambda maps: deletion_insertion(model, images, TARGETS, maps)[0],
        "insertion": lambda maps: deletion_insertion(model, images, TARGETS, maps)[1],
        "road": lambda maps: road(model, images, TARGETS, maps, percentiles=(50,)),
        "cascade": lambda maps: cascading_randomisation(
            model, images, TARGETS, explainer(maps), stages={"head": ["head"]}
        )["head"],
        "class": lambda maps: class_sensitivity(
            model, images, TARGETS, TARGETS, explainer(maps)
        ),
        "noise": lambda maps: max_sensitivity(
            model, images, TARGETS, explainer(maps), draws=1
        ),
    }


def test_a_blank_map_has_no_score_and_leaves_the_others_alone(scores, images):
    maps = random(images)
    maps[2] = 0
    for name, score in scores.items():
        expected = [False, False, name not in ("cascade", "class"), False]
        assert score(maps).isnan().tolist() == expected, name
    for name in ("cascade", "class"):  # of two maps, which are blank both
        assert scores[name](maps)[2] == 1


def test_nothing_is_left_on_the_network_or_on_the_random_state(model, scores, images):
    model.train()
    model.layer2.eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    torch.manual_seed(3)
    state = torch.get_rng_state()
    for score in scores.values():
        score(random(images))
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [module.training for module in model.modules()]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(weight.grad is None for weight in model.parameters())


def test_maps_of_another_size_are_refused(model, images):
    for score in (road, deletion_insertion):
        with pytest.raises(SightlineError, match="do not fit"):
            score(model, images, TARGETS, torch.ones(4, 8, 8))
