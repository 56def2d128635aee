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
    doubts,
    range_test,
    recommended,
    spread,
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


def curve(losses) -> RangeTest:
    """A test whose loss after an update with RATES[i] is losses[i], not smoothed."""
    lrs = [*RATES[: len(losses)], 2 * RATES[len(losses) - 1]]
    recorded = [2.3, *map(float, losses)]  # each before the update with its rate
    return RangeTest(list(map(float, lrs)), recorded, "end", bandwidth=1e-3)


def bowl(bottom: int, width: float = 12.0) -> np.ndarray:
    """Loss with its minimum at point `bottom`, falling fastest a `width` before it."""
    return 2 - np.exp(-(((np.arange(POINTS) - bottom) / width) ** 2) / 2)


def descent(middle: int) -> np.ndarray:
    """Loss that falls from 2 to 1 in 30 points around `middle`, and climbs again."""
    place = np.arange(POINTS) - middle
    return np.where(place < 15, 1.5 - place.clip(-15) / 30, 1 + (place - 15) / 100)


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
    # the last point of the flat part, then forty: number 20 of 0..40
    assert RULES["valley"](curve(losses)) == RATES[49]


def test_valley_skips_over_small_bumps_in_the_descent():
    losses = np.concatenate(
        [np.full(30, 2.0), np.linspace(1.99, 1, 40), np.full(30, 3)]
    )
    losses[[40, 47, 54]] += 0.2
    # number 18 of 0..37, and two of the three bumps are before it
    assert RULES["valley"](curve(losses)) == RATES[49]


def test_valley_stays_in_the_descent_when_a_noisy_bottom_ends_with_a_last_low():
    place = np.arange(60)
    noise = 0.1 + 0.05 * (place % 2) + 0.001 * place  # jumps, and falls nowhere far
    descent = np.linspace(2.0, 1.0, 20)
    losses = np.concatenate([descent, 1 + noise, [0.9], np.full(10, 3.0)])
    # the descent and the last low: number 10 of 0..20
    assert RULES["valley"](curve(losses)) == RATES[10]
    beside = 80 - 21 // 2  # where fastai's shortcut ends: in the noise
    assert losses[beside] > descent[-1]


def descends_to(losses: np.ndarray, last: int) -> int:
    """The length of a longest falling subsequence that ends at `last`, by its law."""
    before = [j for j in range(last) if losses[j] > losses[last]]
    return 1 + max((descends_to(losses, j) for j in before), default=0)


@pytest.mark.parametrize("seed", range(20))
def test_valley_lies_on_a_longest_falling_subsequence(seed):
    losses = np.random.default_rng(seed).normal(size=12)
    point = int(np.searchsorted(RATES, RULES["valley"](curve([*losses, *[9.0] * 5]))))
    before = descends_to(losses, point)
    after = descends_to(-losses[::-1], len(losses) - 1 - point)
    longest = max(descends_to(losses, last) for last in range(len(losses)))
    assert before + after - 1 == longest
    assert 0 <= after - before <= 1


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
    assert RULES["slide"](curve(losses)) == RATES[0]


def test_no_rule_reads_the_last_five_points():
    plain, disturbed = bowl(60), bowl(60)
    disturbed[-5:] = -50
    assert suggest(curve(plain)) == suggest(curve(disturbed))


@pytest.mark.parametrize("rule", RULES)
def test_a_curve_of_too_few_points_gives_a_clear_message(rule):
    short = RangeTest(RATES[:7].tolist(), bowl(8)[:7].tolist(), "diverged")
    with pytest.raises(SightlineError, match="only 7 points.*needs 8: start lower"):
        RULES[rule](short)


@pytest.mark.parametrize("rule", RULES)
def test_eight_points_are_enough_for_every_rule(rule):
    assert RULES[rule](RangeTest(RATES[:8].tolist(), bowl(8)[:8].tolist(), "end")) > 0


# --- the mean that they read --------------------------------------------------


def vee(points: int, turn: float = -2.0) -> RangeTest:
    """A loss that falls and climbs along straight lines; the turn is at 10 ** turn."""
    lrs = np.geomspace(1e-5, 10, points)
    losses = 1 + 0.3 * abs(np.log10(lrs) - turn)
    return RangeTest(lrs.tolist(), losses.tolist(), "end")


def test_the_mean_of_a_slope_is_the_loss_after_each_update():
    test = vee(200, turn=2.0)  # never reached
    rates, means = test.curve()
    assert list(rates) == test.lrs[:-1]
    whole = slice(40, -40)  # where no weight is cut off
    assert means[whole] == pytest.approx(test.losses[1:][whole], rel=1e-9)


def test_the_weights_are_gaussian_with_a_sigma_of_a_quarter_of_a_decade():
    lrs = np.geomspace(1e-5, 10, 241)  # a decade is 40 steps
    losses = np.zeros(241)
    losses[121] = 1.0  # the first after the update with lrs[120]
    rates, means = RangeTest(lrs.tolist(), losses.tolist(), "end").curve()
    apart = (np.log10(rates) - np.log10(lrs[120])) / 0.25
    law = np.exp(-(apart**2) / 2) / np.exp(-(apart**2) / 2).sum()
    assert means == pytest.approx(law, abs=1e-4 * law.max() + 1e-5)
    assert means[120 - 39] == pytest.approx(means[120 + 39])
    assert means[120 - 39] > 0
    assert means[120 - 41] == means[120 + 41] == 0


def test_at_the_ends_the_mean_is_that_of_the_losses_that_are_there():
    flat = RangeTest(RATES.tolist(), [2.0] * POINTS, "end")
    assert flat.curve()[1] == pytest.approx([2.0] * (POINTS - 1))


@pytest.mark.parametrize("points", [100, 101, 400])
def test_the_minimum_of_a_vee_is_found_where_the_running_mean_is_late(points):
    test = vee(points)
    turn = int(np.argmin(test.losses))
    rates, means = test.curve()
    assert abs(int(means.argmin()) + 1 - turn) <= 1
    assert int(np.argmin(test.smoothed)) - turn >= 5


def test_the_minimum_does_not_depend_on_the_number_of_steps():
    few, many = (RULES["minimum"](vee(points)) for points in (100, 400))
    assert abs(math.log10(few / many)) < 0.1


def test_steepest_finds_the_middle_of_a_descent():
    middle, points = 200, 400
    losses = 2.3 - 1 / (1 + np.exp(-(np.arange(points) - middle) / 25))
    lrs = np.geomspace(1e-5, 10, points)
    test = RangeTest(lrs.tolist(), losses.tolist(), "end")
    place = int(np.searchsorted(lrs, RULES["steepest"](test)))
    late = int(np.gradient(test.smoothed).argmin())
    assert abs(place + 1 - middle) <= 1 < 10 < late - middle


def test_an_explosion_at_the_end_is_seen_one_decade_before_it_and_no_farther():
    calm, exploded = vee(100), vee(100)
    exploded.losses[-1] = 1e9
    means, disturbed = calm.curve()[1], exploded.curve()[1]
    decade = math.ceil((POINTS - 1) / 6)
    assert list(means[: -decade - 1]) == list(disturbed[: -decade - 1])
    assert RULES["minimum"](calm) == RULES["minimum"](exploded)


def test_the_density_of_the_sweep_hardly_moves_what_is_read_from_it():
    def read(points: int) -> dict[str, float]:
        lrs = np.geomspace(1e-5, 10, points)
        place = np.log10(lrs)
        losses = 2.3 - 1 / (1 + np.exp(-3 * (place + 2))) + 10 ** (2 * place)
        return suggest(RangeTest(lrs.tolist(), losses.tolist(), "end"))

    coarse, fine = read(200), read(2000)
    for rule in ("steepest", "valley", "minimum"):
        assert abs(math.log10(coarse[rule] / fine[rule])) < 0.1, rule


def test_suggest_asks_every_rule():
    assert set(suggest(curve(bowl(60)))) == set(RULES)


def test_suggest_range_gives_lowest_median_and_highest_over_seeds():
    ranges = suggest_range([curve(bowl(bottom)) for bottom in (50, 70, 60)])
    expected = [RATES[bottom] / 10 for bottom in (50, 60, 70)]
    assert list(ranges["minimum"]) == pytest.approx(expected)


# --- what is made of it -------------------------------------------------------


def test_the_recommended_rate_is_above_the_one_of_the_smallest_loss():
    tests = [curve(bowl(bottom)) for bottom in (50, 70, 60)]
    assert recommended(tests[0]) == pytest.approx(10 * RATES[50])
    assert spread(recommended, tests)[1] == pytest.approx(10 * RATES[60])


def test_a_good_curve_raises_no_doubts_though_slide_is_decades_away():
    tests = [curve(descent(middle)) for middle in (40, 50, 60)]
    ranges = suggest_range(tests)
    assert ranges["slide"][1] > 10 * ranges["minimum"][1]
    assert doubts(tests, ranges, 10) == []


def test_a_curve_without_a_clear_descent_is_doubted():
    cliff = bowl(30)
    cliff[78:85] = [1.2, 0.9, 0.85, 0.9, 1.3, 1.5, 1.6]  # a plunge, far to the right
    cliff[60:78] = 1.9
    tests = [curve(cliff)]
    (doubt,) = doubts(tests, suggest_range(tests), 10)
    assert "no clear descent: its steepest point and its middle are at" in doubt


def test_a_loss_that_never_falls_below_guessing_is_doubted():
    tests = [curve(descent(50) + 1.3)]
    (doubt,) = doubts(tests, suggest_range(tests), 10)
    assert "never fell clearly below chance (2.30, ln 10 = 2.30)" in doubt
