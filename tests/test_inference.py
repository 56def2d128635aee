"""The one rule for what is real, against scipy, closed forms and simulated worlds."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import stats
from torch import Tensor

from sightline.errors import SightlineError
from sightline.measures.inference import (
    LEVEL,
    Verdict,
    apart_by,
    effect,
    effects,
    estimate,
    power,
    seeds_needed,
    wilson_interval,
)

UNBOUNDED = (-1e6, 1e6)  # so wide that an interval is mean ± quantile · error


def generator(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def answers(
    seeds: int, images: int, *, gap=0.0, sd=0.01, reps=1, seed=0
) -> tuple[Tensor, Tensor]:
    """Answers (reps, seeds, images) of two conditions in a world with a known truth.

    A network is right where difficulty, luck of the seed and noise add up to more than
    nothing. Images are as hard for both conditions, but for a part of their own. In
    accuracy, `gap` and the `sd` over seeds are roughly what their names say.
    """
    draw = generator(seed)
    slope = 0.4  # of accuracy by what is added here, at 85 % right answers
    total = math.sqrt(1 + 0.5**2 + 0.2**2)
    hard = torch.randn(reps, 1, images, generator=draw)
    pair = []
    for sign in (1, -1):
        own = 0.2 * torch.randn(reps, 1, images, generator=draw)
        noise = 0.5 * torch.randn(reps, seeds, images, generator=draw)
        luck = torch.randn(reps, seeds, 1, generator=draw) * sd / math.sqrt(2) / slope
        shift = 1.04 * total + sign * gap / 2 / slope
        pair.append(hard + own + noise + luck + shift > 0)
    return pair[0], pair[1]


# --- against scipy and closed forms -----------------------------------------------


def test_scores_without_images_are_students_paired_test():
    first, second = torch.randn(2, 5, 1, generator=generator()).double()
    expected = stats.ttest_rel(first[:, 0], second[:, 0])
    result = effect(first, second, bounds=UNBOUNDED)
    assert result.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((low, high))
    assert (result.seeds, result.images) == (5, 1)
    assert result.seed_sd == pytest.approx((first - second).std().item())
    assert result.image_error == 0


def test_scores_of_one_seed_are_students_paired_test_over_the_images():
    first, second = torch.rand(2, 80, generator=generator()).double()
    expected = stats.ttest_rel(first, second)
    result = effect(first, second, bounds=UNBOUNDED)
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(expected.confidence_interval())
    assert (result.seeds, result.images) == (1, 80)
    assert math.isnan(result.seed_sd)


def test_answers_of_one_seed_are_mcnemars_test():
    only_first, only_second, images = 290, 240, 10_000
    first = torch.arange(images) < 8000
    second = first.clone()
    second[:only_first], second[-only_second:] = False, True
    squared = (only_first - only_second) ** 2 / (only_first + only_second)
    result = effect(first, second)
    assert result.difference == pytest.approx(0.005)
    assert result.p == pytest.approx(stats.chi2.sf(squared, 1), rel=0.02)
    # Agresti, Categorical Data Analysis (2013), 11.1
    error = math.sqrt((530 / images - 0.005**2) / images)
    assert (result.low, result.high) == pytest.approx(
        (0.005 - 1.96 * error, 0.005 + 1.96 * error), abs=error / 100
    )


def test_the_variance_is_that_of_two_crossed_factors():
    seeds, images = 4, 60
    table = torch.randn(seeds, images, generator=generator()).double() + 0.1
    table += torch.randn(seeds, 1, generator=generator(1)) / 5
    table += torch.randn(images, generator=generator(2)) / 3
    rows, columns = table.mean(1), table.mean(0)
    inner = table - rows[:, None] - columns + table.mean()
    by_seeds = images * rows.var()
    by_images = seeds * columns.var()
    both = inner.square().sum() / (seeds - 1) / (images - 1)
    variance = (by_seeds + by_images - both) / (seeds * images)
    share = by_seeds / (seeds * images) / variance
    errors = table.mean() / variance.sqrt()
    expected = share * 2 * stats.t.sf(abs(errors), seeds - 1)
    expected += (1 - share) * 2 * stats.t.sf(abs(errors), images - 1)
    result = effect(table, torch.zeros_like(table), bounds=UNBOUNDED)
    assert result.p == pytest.approx(expected.item())
    planned = result.seed_sd**2 / seeds + result.image_error**2
    assert planned == pytest.approx(variance.item())


def test_a_value_is_in_the_interval_just_where_its_p_is_above_the_level():
    first, second = (pair[0].double() for pair in answers(3, 200, gap=0.05))
    result = effect(first, second)
    for end in (result.low, result.high):
        # the same table about a world that is shifted by the end of the interval
        moved = effect(first - end, second, bounds=(-1 - end, 1 - end))
        assert moved.p == pytest.approx(LEVEL)


def test_the_answers_of_one_network_have_wilsons_interval():
    right = torch.arange(60) < 56
    result = estimate(right)
    expected = stats.binomtest(56, 60).proportion_ci(method="wilson")
    assert (result.low, result.high) == pytest.approx(expected, abs=1e-4)
    assert result.mean == pytest.approx(56 / 60)


def test_wilsons_interval_ends_where_the_share_is_z_standard_errors_away():
    low, high = wilson_interval(torch.tensor([80, 3]), torch.tensor([100, 4]))
    for i, (share, n) in enumerate([(0.8, 100), (0.75, 4)]):
        for end in (low[i].item(), high[i].item()):
            assert abs(share - end) == pytest.approx(
                1.96 * math.sqrt(end * (1 - end) / n)
            )
        assert low[i] < share < high[i]


def test_wilsons_interval_has_a_width_when_all_or_none_is_right():
    low, high = wilson_interval(torch.tensor([0, 50, 0]), torch.tensor([50, 50, 0]))
    z2 = 1.96**2
    assert low.tolist() == pytest.approx([0, 50 / (50 + z2), 0], abs=1e-12)
    assert high.tolist() == pytest.approx([z2 / (50 + z2), 1, 1])


def test_wilsons_interval_holds_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    right = (torch.rand(20_000, 60, generator=generator) < 0.93).sum(1)
    low, high = wilson_interval(right, torch.full((20_000,), 60))
    inside = ((low <= 0.93) & (high >= 0.93)).double().mean().item()
    assert inside == pytest.approx(0.95, abs=0.02)


def test_holm_multiplies_the_smallest_p_by_the_number_of_rows():
    scores = torch.randn(4, 300, generator=generator())
    scores += torch.tensor([[0.2], [0.0], [0.13], [0.12]]) - scores.mean(
        1, keepdim=True
    )
    rows = {
        name: (row, torch.zeros(300)) for name, row in zip("abcd", scores, strict=True)
    }
    alone = {name: effect(*row, bounds=UNBOUNDED).p for name, row in rows.items()}
    table = effects(rows, bounds=UNBOUNDED)
    assert list(table) == list("abcd")
    p, by_p = 0.0, sorted(alone, key=alone.__getitem__)
    for name, factor in zip(by_p, (4, 3, 2, 1), strict=True):
        p = max(p, min(1, factor * alone[name]))
        assert table[name].p == pytest.approx(p)
    assert any(alone[name] < LEVEL < table[name].p for name in rows)


# --- what an interval may be ------------------------------------------------------


@pytest.mark.parametrize("seeds", [1, 2, 3, 10])
def test_intervals_stay_within_what_is_possible(seeds):
    right = torch.ones(seeds, 500, dtype=torch.bool)
    assert 0.98 < estimate(right).low < estimate(right).high == 1
    best = effect(right, ~right)
    assert 0.98 < best.low < best.high == 1
    assert best.verdict() == Verdict.LARGER
    costs = torch.tensor([[-0.178], [-0.109], [-0.403]])  # of a bug, in three seeds
    bug = effect(costs, torch.zeros(3, 1), bounds=(-0.482, 0.518))
    assert -0.482 < bug.low < bug.high < 0.518


def test_three_seeds_that_happen_to_agree_leave_the_doubt_of_their_images():
    first, second = answers(1, 1000, gap=0.02)
    same = effect(first[0].expand(3, -1), second[0].expand(3, -1))
    one = effect(first[0], second[0])
    assert same.seed_sd == pytest.approx(0)
    assert (same.low, same.high) == pytest.approx((one.low, one.high))
    assert one.high - one.low > 0.03


def test_seeds_that_agree_by_luck_are_not_surer_than_half_of_what_images_leave():
    # each seed is right about other images, but equally often
    first = torch.zeros(3, 900, dtype=torch.bool)
    for seed in range(3):
        first[seed, 100 * seed : 100 * seed + 60] = True
    result = effect(first, torch.zeros_like(first))
    error = first.double().std().item() / math.sqrt(3 * 900)
    assert result.seed_sd == pytest.approx(0)
    assert result.high - result.low > 2 * 1.96 * error / 2


@pytest.mark.parametrize("seeds", [1, 3])
def test_networks_that_never_differ_may_differ_about_the_next_images(seeds):
    right = torch.arange(1000).expand(seeds, -1) < 900
    same = effect(right, right)
    assert same.difference == 0 and same.p == 1
    # without a case in n, the share is below 3.7 / n: Clopper and Pearson (1934)
    assert 1 / 1000 < same.high < 3.7 / 1000
    assert same.verdict(0.005) == Verdict.NO_LARGER
    assert same.verdict(0.001) == Verdict.OPEN


def test_one_score_without_images_has_no_interval():
    result = effect(torch.tensor([[0.9]]), torch.tensor([[0.1]]))
    assert (result.low, result.high, result.p) == (-1, 1, 1)
    assert result.difference == pytest.approx(0.8)
    assert result.verdict(0.99) == Verdict.OPEN
    alone = estimate(torch.tensor([0.9]))
    assert (alone.low, alone.high, alone.seeds) == (0, 1, 1)


def test_scores_that_are_the_same_everywhere_have_no_width():
    quarter = torch.full((3, 20), 0.25)
    result = estimate(quarter)
    assert (result.mean, result.low, result.high) == (0.25, 0.25, 0.25)


def test_verdicts_follow_the_sign_and_the_margin():
    first, second = answers(5, 2000, gap=0.1)
    larger = effect(first[0], second[0])
    assert larger.verdict() == larger.verdict(0.5) == Verdict.LARGER
    assert effect(second[0], first[0]).verdict() == Verdict.SMALLER
    first, second = answers(5, 2000, gap=0.0, sd=0.003)
    none = effect(first[0], second[0])
    assert none.verdict() == Verdict.OPEN
    assert none.verdict(0.05) == Verdict.NO_LARGER == "no larger than"
    assert none.verdict(max(-none.low, none.high)) == Verdict.OPEN


# --- NaN --------------------------------------------------------------------------


def test_blank_scores_are_left_out_and_counted():
    first, second = torch.rand(2, 3, 50, generator=generator())
    whole = effect(first[:, :40], second[:, :40])
    first[:, 40:] = math.nan
    assert effect(first, second).left_out == 30
    assert effect(first, second).low == pytest.approx(whole.low)
    assert effect(first, second).images == 40
    first[0, 0] = second[2, 1] = math.nan
    some = effect(first, second)
    assert some.left_out == 32 and some.images == 40
    assert some.difference == pytest.approx((first - second).nanmean().item())
    assert whole.low < some.difference < whole.high


def test_scores_that_are_all_blank_say_nothing():
    blank = torch.full((3, 5), math.nan)
    result = effect(blank, torch.zeros(3, 5))
    assert math.isnan(result.difference) and result.p == 1
    assert (result.low, result.high, result.left_out) == (-1, 1, 15)
    assert result.verdict(0.9) == Verdict.OPEN


# --- simulated worlds -------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "sd"), [(3, 0.003), (3, 0.03), (5, 0.01)])
def test_nothing_is_called_real_in_one_of_twenty_worlds_without_an_effect(seeds, sd):
    worlds = 300
    pairs = zip(*answers(seeds, 1000, sd=sd, reps=worlds, seed=seeds), strict=True)
    results = [effect(*pair) for pair in pairs]
    wrong = sum(result.verdict() != Verdict.OPEN for result in results) / worlds
    covered = sum(result.low <= 0 <= result.high for result in results) / worlds
    luck = 3 * math.sqrt(LEVEL * (1 - LEVEL) / worlds)  # 1 in 700 goes beyond
    assert wrong <= LEVEL + luck
    assert 1 - LEVEL - luck <= covered <= 0.97 + luck


def test_power_without_images_is_that_of_the_noncentral_t_distribution():
    for seeds, difference in ((2, 2.0), (3, 1.0), (5, 1.0), (34, 0.5)):
        limit = stats.t.ppf(1 - LEVEL / 2, seeds - 1)
        shift = difference * math.sqrt(seeds)
        expected = stats.nct.sf(limit, seeds - 1, shift)
        expected += stats.nct.cdf(-limit, seeds - 1, shift)
        assert power(difference, seeds, sd=1) == pytest.approx(expected, abs=1e-3)


def test_power_with_images_is_how_often_an_effect_is_told_apart():
    seeds, images, worlds = 3, 400, 400
    draw, sd, image_sd, difference = generator(), 0.02, 0.4, 0.06
    tables = difference + sd * torch.randn(worlds, seeds, 1, generator=draw)
    tables = tables + image_sd * torch.randn(worlds, 1, images, generator=draw)
    tables = tables + 1e-3 * torch.randn(worlds, seeds, images, generator=draw)
    nothing = torch.zeros(seeds, images)
    told = [effect(t, nothing, bounds=UNBOUNDED).p <= LEVEL for t in tables]
    expected = power(difference, seeds, sd=sd, image_error=image_sd / math.sqrt(images))
    luck = 3 * math.sqrt(expected * (1 - expected) / worlds)
    assert 0.3 < expected < 0.9
    assert sum(told) / worlds == pytest.approx(expected, abs=luck)


def test_seeds_needed_are_the_fewest_with_the_power():
    count = seeds_needed(0.01, sd=0.01, image_error=0.002)
    assert power(0.01, count, sd=0.01, image_error=0.002) >= 0.8
    assert power(0.01, count - 1, sd=0.01, image_error=0.002) < 0.8
    assert seeds_needed(0.5, sd=1) == 34


def test_no_seeds_replace_images_that_are_too_few():
    with pytest.raises(SightlineError, match="ask about more images"):
        seeds_needed(0.01, sd=0.01, image_error=0.02)


def test_effects_are_written_in_points_and_estimates_in_percent():
    first, second = (
        torch.tensor([True, True, False]),
        torch.tensor([True, False, False]),
    )
    one = effect(first, second)
    ends = f"{100 * one.low:.1f}".replace("-", "−"), f"{100 * one.high:+.1f}"
    assert one.written() == f"+33.3 ({ends[0]} to {ends[1]})"
    assert estimate(first).written(2, scale=1) == "0.67 (0.21 to 0.94)"


# --- what is refused --------------------------------------------------------------


def test_answers_about_different_images_cannot_be_paired():
    right = torch.ones(3, 7, dtype=torch.bool)
    for first, second in ((right, right[:, :2]), (right[:, :0], right[:, :0])):
        with pytest.raises(SightlineError, match="cannot be paired"):
            effect(first, second)
    with pytest.raises(SightlineError, match="cannot be paired"):
        effect(right[None], right[None])


def test_values_outside_their_bounds_are_named():
    with pytest.raises(SightlineError, match="3 is not within 0 to 1: give values"):
        estimate(torch.tensor([0.5, 3]))
    with pytest.raises(SightlineError, match="there is no value within"):
        estimate(torch.tensor([]))


def test_two_groups_of_images_are_compared_as_newcombe_does():
    """His table II, first row: 56 of 70 against 48 of 80, method 10."""
    first, second = (
        estimate((torch.arange(n) < k)[None]) for k, n in ((56, 70), (48, 80))
    )
    low, high = apart_by(first, second)
    assert low == pytest.approx(0.0524, abs=5e-5)  # as printed
    assert high == pytest.approx(0.3339, abs=5e-5)


def test_a_row_that_is_clear_alone_says_so():
    row = effect((torch.arange(100) < 60)[None], (torch.arange(100) < 40)[None])
    assert row.words() == "larger"
    assert replace(row, p=0.2).words() == "clear alone, not told apart among all rows"
    assert replace(row, p=0.2, low=-0.1).words() == "not told apart"
