"""The sweep against its law, what it leaves untouched, and what the rules read."""

import copy
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from sightline.errors import SightlineError
from sightline.training.lr_finder import (
    RULES,
    RangeTest,
    range_test,
    suggest,
    suggest_range,
)
from sightline.training.optim import make_optimizer
from sightline.training.parts import build
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime

with warnings.catch_warnings():  # its progress bar's
    warnings.simplefilter("ignore")
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

FP32 = Runtime(torch.device("cpu"), "fp32", channels_last=True)
BF16 = Runtime(torch.device("cpu"), "bf16", channels_last=True)
POINTS = 100
RATES = np.logspace(-5, 1, POINTS)


class Noise:
    """Batches whose order comes from torch's generator, as a shuffled loader's."""

    def __init__(self, batches: int = 8):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randn(batches, 4, 3, 8, 8, generator=generator)
        self.labels = torch.randint(4, (batches, 4), generator=generator)

    def __iter__(self):
        """Yield images (4, 3, 8, 8) and labels."""
        for i in torch.randperm(len(self.images)):
            yield self.images[i], self.labels[i]


def small_model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4)
    )


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)


def swept(model=None, loader=None, **changes) -> RangeTest:
    arguments = {"loss_fn": F.cross_entropy, "runtime": FP32, "num_iter": 30}
    return range_test(
        model or small_model(), sgd, loader or Noise(), **(arguments | changes)
    )


def curve(smoothed) -> RangeTest:
    values = [float(value) for value in smoothed]
    return RangeTest(list(RATES[: len(values)]), values, values, "end")


def bowl(bottom: int, width: float = 12.0) -> np.ndarray:
    """Loss with its minimum at point `bottom`, falling fastest a `width` before it."""
    return 2 - np.exp(-(((np.arange(POINTS) - bottom) / width) ** 2) / 2)


# --- the sweep ----------------------------------------------------------------


def test_rates_grow_by_one_constant_factor_from_start_to_end():
    test = swept(start_lr=1e-4, end_lr=1e-1)
    law = [1e-4 * 1000 ** (k / 29) for k in range(30)]
    assert test.lrs == pytest.approx(law, rel=1e-12)
    assert test.stopped == "end"


def package_sweep(model, loader, **options) -> LRFinder:
    """Sweep as torch-lr-finder does it, with the seed of `swept`."""
    finder = LRFinder(model, sgd(model), F.cross_entropy)
    torch.manual_seed(0)
    finder.range_test(TrainDataLoaderIter(loader), **options)
    return finder


def test_rates_and_losses_are_those_of_torch_lr_finder():
    span = {"start_lr": 1e-4, "end_lr": 1e-2, "num_iter": 40}
    ours = swept(**span)
    package = package_sweep(small_model(), Noise(), smooth_f=0.05, **span).history
    assert ours.lrs == pytest.approx(package["lr"], rel=1e-9)
    assert ours.smoothed == pytest.approx(package["loss"], rel=1e-5)
    raw = package_sweep(small_model(), Noise(), smooth_f=0.0, **span).history
    assert ours.losses == pytest.approx(raw["loss"], rel=1e-5)


def test_smoothing_is_a_running_mean_without_correction_of_its_start():
    test = swept(end_lr=0.1)
    mean = test.losses[0]
    for loss, smoothed in zip(test.losses, test.smoothed, strict=True):
        mean = 0.05 * loss + 0.95 * mean
        assert smoothed == pytest.approx(mean)


def test_the_same_seed_gives_the_same_curve_and_another_seed_another():
    """Bit for bit, on one machine."""
    first, again, other = swept(seed=3), swept(seed=3), swept(seed=4)
    assert first == again
    assert first.losses != other.losses


def test_a_loader_shorter_than_the_sweep_is_repeated():
    assert len(swept(loader=Noise(batches=2), end_lr=0.1).losses) == 30


def test_model_mode_gradients_and_generator_are_left_as_they_were():
    model = small_model().eval()
    F.cross_entropy(model(torch.randn(2, 3, 8, 8)), torch.tensor([0, 1])).backward()
    state = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    generator = torch.get_rng_state()
    swept(model)
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert all(map(torch.equal, gradients, [p.grad for p in model.parameters()]))
    assert not any(module.training for module in model.modules())
    assert torch.equal(generator, torch.get_rng_state())


def test_an_optimizer_and_its_schedule_that_are_there_already_are_left_alone():
    model = small_model()
    optimizer = sgd(model)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)
    before = copy.deepcopy(optimizer.state_dict())
    swept(model)
    assert optimizer.state_dict() == before


def test_every_parameter_group_keeps_the_ratio_of_its_rate_to_the_first_ones():
    used = []

    def three_groups(model):
        convolution, norm, _, head = model
        optimizer = torch.optim.SGD(
            [
                {"params": convolution.parameters()},
                {"params": norm.parameters(), "lr": 0.05},
                {"params": head.parameters(), "lr": 3.0},
            ],
            lr=0.1,
        )
        optimizer.register_step_pre_hook(
            lambda *_: used.append([group["lr"] for group in optimizer.param_groups])
        )
        return optimizer

    arguments = {"loss_fn": F.cross_entropy, "runtime": FP32}
    test = range_test(small_model(), three_groups, Noise(), **arguments)
    assert [first for first, _, _ in used] == pytest.approx(test.lrs[: len(used)])
    for first, second, third in used:
        assert (second, third) == pytest.approx((0.5 * first, 30 * first))


def test_muon_is_swept_with_the_rates_of_its_recipe():
    recipe = replace(RECIPES["speedrun"], batch_size=24, epochs=1)
    rates = []

    def muon(model):
        optimizer = make_optimizer(recipe, model)
        optimizer.register_step_pre_hook(
            lambda *_: rates.append([group["lr"] for group in optimizer.param_groups])
        )
        return optimizer

    parts = build(recipe, tiny.splits(), FP32)
    test = range_test(
        parts.model,
        muon,
        parts.train_loader,
        loss_fn=parts.loss_fn,
        runtime=FP32,
        start_lr=1e-3,
        end_lr=0.12,
        num_iter=6,
    )
    assert test.stopped == "end"
    assert rates[-1] == pytest.approx([0.12, 26.5, 335.0])


def test_bf16_runs_and_gives_the_loss_in_full_precision():
    seen = []

    def loss_fn(logits, labels):
        seen.append(logits.dtype)
        return F.cross_entropy(logits, labels)

    test = swept(runtime=BF16, loss_fn=loss_fn, end_lr=0.1)
    assert set(seen) == {torch.float32}
    reference = swept(end_lr=0.1)
    assert test.losses[0] == pytest.approx(reference.losses[0], rel=0.02)
    assert test.losses[0] != reference.losses[0]


def test_nothing_is_printed_and_nothing_written_to_the_terminal(capsys):
    swept()
    assert capsys.readouterr() == ("", "")


# --- where it stops -----------------------------------------------------------


def nan_after(count: int):
    calls = []

    def loss_fn(logits, labels):
        calls.append(1)
        loss = F.cross_entropy(logits, labels)
        return loss * math.nan if len(calls) > count else loss

    return loss_fn


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_loss_that_is_not_finite_ends_the_sweep_and_is_not_recorded(bad):
    calls = []

    def loss_fn(logits, labels):
        calls.append(1)
        loss = F.cross_entropy(logits, labels)
        return loss if len(calls) <= 12 else loss * bad

    test = swept(loss_fn=loss_fn, end_lr=0.1)
    assert test.stopped == "not finite"
    assert len(calls) == 13
    assert len(test.lrs) == len(test.losses) == len(test.smoothed) == 12
    assert np.isfinite(test.losses + test.smoothed).all()


def test_a_loss_that_explodes_ends_the_sweep_where_torch_lr_finder_ends():
    def model():
        torch.manual_seed(1)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 64), nn.Linear(64, 4))

    span = {"start_lr": 1e-5, "end_lr": 1e4, "num_iter": 60}
    ours = swept(model(), **span)
    package = package_sweep(model(), Noise(), smooth_f=0.05, **span).history
    assert ours.stopped == "diverged"
    assert len(ours.lrs) == len(package["lr"]) < 60
    assert ours.smoothed[-1] > 5 * min(ours.smoothed)


def test_a_loss_that_is_never_finite_says_what_to_check():
    with pytest.raises(SightlineError, match="not finite from learning rate 1e-05"):
        swept(loss_fn=nan_after(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_lr": 0.0},
        {"start_lr": 1.0, "end_lr": 0.1},
        {"num_iter": 1},
    ],
)
def test_a_range_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(SightlineError, match="0 < start_lr < end_lr"):
        swept(**wrong)


# --- the rules ----------------------------------------------------------------


def test_minimum_is_a_tenth_of_the_rate_with_the_smallest_loss():
    assert RULES["minimum"](curve(bowl(70))) == pytest.approx(RATES[70] / 10)


def test_steepest_is_where_the_loss_falls_fastest():
    assert RULES["steepest"](curve(bowl(70, width=12))) == pytest.approx(RATES[58])


def test_steepest_ignores_a_cliff_after_the_minimum():
    losses = bowl(60)
    losses[75:80] = [4, 6, 8, 2.5, 2.4]  # jumps up, and falls faster than ever
    assert RULES["steepest"](curve(losses)) == pytest.approx(RATES[48])


def test_steepest_is_torch_lr_finders_where_the_curve_ends_at_its_minimum():
    model = small_model()
    finder = LRFinder(model, sgd(model), F.cross_entropy)
    finder.history = {"lr": list(RATES), "loss": list(bowl(94))}
    _, suggestion = finder.plot(ax=Figure().subplots())
    assert RULES["steepest"](curve(bowl(94))) == suggestion


def test_valley_is_the_middle_of_the_longest_descent():
    losses = np.concatenate(
        [np.full(30, 2.0), np.linspace(1.99, 1, 40), np.full(30, 3)]
    )
    assert RULES["valley"](curve(losses)) == pytest.approx(RATES[49], rel=0.2)


def test_valley_skips_over_small_bumps_in_the_descent():
    losses = np.concatenate(
        [np.full(30, 2.0), np.linspace(1.99, 1, 40), np.full(30, 3)]
    )
    losses[40:60:7] += 0.2
    assert RULES["valley"](curve(losses)) == pytest.approx(RATES[49], rel=0.2)


def test_slide_stands_left_of_the_explosion():
    losses = np.full(POINTS, 1.0)
    losses[80:] += np.linspace(0.1, 1, 20) ** 2 * 50
    lr = RULES["slide"](curve(losses))
    assert RATES[55] < lr < RATES[80]


def test_slide_does_not_move_where_nothing_explodes():
    last = POINTS - 5 - 1
    assert RULES["slide"](curve(np.full(POINTS, 2.0))) == RATES[last - 15]


def test_slide_gives_the_lowest_rate_when_the_slopes_never_agree():
    losses = np.cumsum(np.arange(POINTS) ** 2.0)
    assert RULES["slide"](curve(losses)) == RATES[10]


def test_no_rule_reads_the_first_ten_and_the_last_five_points():
    plain, disturbed = bowl(60), bowl(60)
    disturbed[:10], disturbed[-5:] = -50, -50
    assert suggest(curve(plain)) == suggest(curve(disturbed))


@pytest.mark.parametrize("rule", RULES)
def test_a_curve_of_too_few_points_gives_a_clear_message(rule):
    with pytest.raises(SightlineError, match="only 16 points.*needs 17: start lower"):
        RULES[rule](curve(bowl(60)[:16]))


@pytest.mark.parametrize("rule", RULES)
def test_seventeen_points_are_enough_for_every_rule(rule):
    assert RULES[rule](curve(bowl(8)[:17])) > 0


def test_suggest_asks_every_rule():
    assert set(suggest(curve(bowl(60)))) == set(RULES)


def test_suggest_range_gives_lowest_median_and_highest_over_seeds():
    ranges = suggest_range([curve(bowl(bottom)) for bottom in (50, 70, 60)])
    expected = [RATES[bottom] / 10 for bottom in (50, 60, 70)]
    assert list(ranges["minimum"]) == pytest.approx(expected)
