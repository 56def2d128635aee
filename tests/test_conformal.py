"""Prediction sets: against brute force, and against what they promise."""

import math
from fractions import Fraction

import pytest
import torch

from sightline.measures.conformal import (
    COVERAGES,
    Thresholds,
    exact_probabilities,
    fewest,
    nonconformity,
    prediction_sets,
    score_quantile,
)
from sightline.measures.evaluation import Evaluation

DEVIATIONS = 4  # of a simulated share: beyond them lies one simulation in 16,000


def drawn(count: int, classes: int, seed: int = 0) -> Evaluation:
    """Draw answers whose labels are drawn by chance, too."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, classes, generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    return Evaluation(logits, labels)


@pytest.mark.parametrize("coverage", [1, 50, 90, 95, 99])
def test_the_quantile_is_the_score_of_that_rank_at_every_number_of_scores(coverage):
    for count in range(1, 250):
        scores = torch.rand(count, generator=torch.Generator().manual_seed(count))
        rank = math.ceil(Fraction(coverage, 100) * (count + 1))
        ranked = sorted(scores.tolist())
        expected = ranked[rank - 1] if rank <= count else 1.0
        assert score_quantile(scores, coverage) == expected


@pytest.mark.parametrize("coverage", [50, 67, 90, 95, 99])
def test_as_many_as_are_called_fewest_are_needed_and_suffice(coverage):
    enough = fewest(coverage)
    assert score_quantile(torch.full((enough,), 0.5), coverage) == 0.5
    assert score_quantile(torch.full((enough - 1,), 0.5), coverage) == 1.0


def test_too_few_pictures_leave_no_class_out_not_even_an_impossible_one():
    answers = drawn(8, 5)
    threshold = Thresholds.of(answers).scores["90"]
    impossible = torch.tensor([[1.0, 0, 0, 0, 0]])
    assert prediction_sets(impossible, threshold).all()
    assert Thresholds.of(drawn(9, 5)).scores["90"] < 1


def test_sets_are_those_of_a_loop_over_pictures_and_classes():
    answers = drawn(60, 7)
    shares = exact_probabilities(answers)
    for threshold in (0.0, 0.2, 0.8, 0.99):
        sets = prediction_sets(shares, threshold)
        for row, members in zip(shares.tolist(), sets.tolist(), strict=True):
            assert members == [1 - share <= threshold for share in row]


def test_classes_of_equal_probability_are_in_a_set_together_or_not_at_all():
    shares = torch.tensor([[0.4, 0.4, 0.2]])
    assert prediction_sets(shares, 0.7).tolist() == [[True, True, False]]
    assert not prediction_sets(shares, 0.5).any()  # none of these


def test_so_many_of_the_pictures_that_set_a_threshold_are_covered_as_its_rank_says():
    answers = drawn(400, 7)
    thresholds = Thresholds.of(answers)
    assert thresholds.pictures == 400
    for coverage in COVERAGES:
        score = thresholds.scores[str(coverage)]
        sets = prediction_sets(exact_probabilities(answers), score)
        covered = sets.gather(1, answers.labels[:, None]).sum()
        assert covered == math.ceil(401 * coverage / 100)


@pytest.mark.parametrize("coverage", COVERAGES)
@pytest.mark.parametrize("count", [19, 30, 100])
def test_new_exchangeable_scores_are_covered_as_promised(coverage, count):
    """Without ties: exactly ceil((n + 1) c) of n + 1, on average over draws."""
    repeats = 20_000
    scores = torch.rand(repeats, count + 1, generator=torch.Generator().manual_seed(1))
    rank = math.ceil((count + 1) * coverage / 100)
    thresholds = scores[:, :-1].kthvalue(rank).values
    assert score_quantile(scores[0, :-1], coverage) == thresholds[0].item()
    share = (scores[:, -1] <= thresholds).double().mean().item()
    exact = rank / (count + 1)
    sd = math.sqrt(exact * (1 - exact) / repeats)
    assert abs(share - exact) <= DEVIATIONS * sd
    assert coverage / 100 <= exact < coverage / 100 + 1 / (count + 1)


def test_ties_cover_more_than_promised_and_never_less():
    repeats, count = 20_000, 30
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(4, (repeats, count + 1), generator=generator) / 4
    thresholds = scores[:, :-1].kthvalue(math.ceil(31 * 0.9)).values
    share = (scores[:, -1] <= thresholds).double().mean().item()
    assert share >= 0.9 - DEVIATIONS * math.sqrt(0.09 / repeats)
    assert share > 28 / 31  # what it is without ties


def test_what_is_sure_beyond_seven_digits_is_told_apart():
    logits = torch.tensor([[20.0, 0.0], [30.0, 0.0]])
    answers = Evaluation(logits, torch.tensor([0, 0]))
    assert len(answers.probabilities[:, 0].unique()) == 1  # in float32
    surer = nonconformity(exact_probabilities(answers), answers.labels)
    assert surer[1] < surer[0]
    sets = prediction_sets(exact_probabilities(answers), surer[1].item())
    assert sets.tolist() == [[False, False], [True, False]]
