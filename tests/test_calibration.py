"""Calibration, against simulated classifiers whose calibration is known."""

import math

import pytest
import torch
from sklearn import metrics
from sklearn.calibration import calibration_curve
from tolerance import rounding

from sightline.errors import SightlineError
from sightline.measures.calibration import (
    apply_temperature,
    brier_score,
    calibration_error,
    calibration_test,
    classwise_error,
    debiased_error,
    equal_mass_error,
    fit_temperature,
    log_loss,
    reliability,
    risk_coverage,
)

DOUBLE = torch.double
each_measure = pytest.mark.parametrize(
    "measure", [calibration_error, equal_mass_error, debiased_error, classwise_error]
)


def honest(
    count: int, scale: float = 2.0, seed: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, 10), and labels drawn from exactly their probabilities."""
    generator = torch.Generator().manual_seed(count if seed is None else seed)
    logits = scale * torch.randn(count, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return logits, labels


def test_the_error_of_an_honest_classifier_goes_to_zero_with_more_images():
    errors = []
    for count in (500, 5_000, 200_000):
        logits, labels = honest(count)
        errors.append(calibration_error(logits.softmax(1), labels))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.005 and errors[0] > 0.015


def test_the_error_of_one_that_is_always_sure_is_its_share_of_mistakes():
    labels = torch.arange(10)
    sure = torch.nn.functional.one_hot(labels.clamp_min(3), 10).double()
    assert calibration_error(sure, labels) == pytest.approx(0.3)
    assert brier_score(sure, labels) == pytest.approx(2 * 0.3)


def test_bins_hold_confidence_and_accuracy_of_their_images():
    shares = [[0.62, 0.38], [0.58, 0.42], [0.4, 0.6], [0.05, 0.95]]
    shares = torch.tensor(shares, dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 0])
    found = reliability(shares, labels, bins=5)
    assert found.counts.tolist() == [0, 0, 2, 1, 1]  # 0.6 is in the bin that it ends
    assert found.confidence.tolist() == pytest.approx([0, 0, 0.59, 0.62, 0.95])
    assert found.accuracy.tolist() == [0, 0, 0.5, 1, 0]
    expected = (2 * abs(0.5 - 0.59) + 0.38 + 0.95) / 4
    assert found.error == pytest.approx(expected)


def test_a_confidence_of_one_or_of_zero_has_a_bin():
    shares = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    found = reliability(shares, torch.tensor([0, 0]), bins=15)
    assert found.counts[-1] == 2 and found.error == 0


def test_guessing_has_the_closed_forms_of_log_loss_and_brier():
    uniform, labels = torch.full((8, 4), 0.25), torch.arange(8) % 4
    assert log_loss(uniform, labels) == pytest.approx(math.log(4))
    assert brier_score(uniform, labels) == pytest.approx(0.75**2 + 3 * 0.25**2)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_of_logits_times_k_is_k_times_as_high(factor):
    logits, labels = honest(4_000)
    base = fit_temperature(logits, labels)
    assert base == pytest.approx(1, abs=0.05)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * base)


def test_no_temperature_beside_the_fitted_one_has_a_smaller_log_loss():
    logits, labels = honest(2_000)
    logits = 3 * logits + 1  # a common shift of the logits changes nothing
    best = fit_temperature(logits, labels)
    lowest = log_loss(apply_temperature(logits, best), labels)
    for factor in (0.9, 0.99, 1.01, 1.1):
        other = apply_temperature(logits, factor * best)
        assert log_loss(other, labels) > lowest


def test_a_temperature_repairs_calibration_and_changes_no_prediction():
    logits, labels = honest(20_000)
    sure = 4 * logits
    there = slice(0, 10_000)  # fitted on other images than it is judged on
    repaired = apply_temperature(sure, fit_temperature(sure[there], labels[there]))
    assert torch.equal(repaired.argmax(1), sure.argmax(1))
    before = calibration_error(sure.softmax(1)[10_000:], labels[10_000:])
    after = calibration_error(repaired[10_000:], labels[10_000:])
    assert before > 0.15 and after < 0.02


def test_a_classifier_that_is_never_wrong_has_no_best_temperature():
    logits, labels = torch.eye(5), torch.arange(5)
    for hopeless in (labels, (labels + 1) % 5):  # and one that is never right
        with pytest.raises(SightlineError, match="give more validation images"):
            fit_temperature(logits, hopeless)


def test_log_loss_and_brier_are_those_of_scikit_learn():
    logits, labels = honest(500)
    probabilities = logits.double().softmax(1)
    expected = metrics.log_loss(labels, probabilities, labels=range(10))
    assert log_loss(probabilities, labels) == pytest.approx(expected, rel=1e-12)
    targets = torch.nn.functional.one_hot(labels, 10)
    # theirs is the mean over classes, too
    expected = 10 * metrics.mean_squared_error(targets, probabilities)
    assert brier_score(probabilities, labels) == pytest.approx(expected, rel=1e-12)
    expected = metrics.brier_score_loss(labels, probabilities, scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(expected, rel=1e-12)


# --- other bins, and what is left when bins scatter -----------------------------------


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_bins_are_those_of_scikit_learn(strategy):
    logits, labels = honest(702)  # 701 is prime: no quantile falls onto an image
    probabilities = logits.double().softmax(1)
    found = reliability(probabilities, labels, equal_mass=strategy == "quantile")
    confidences, predictions = probabilities.max(1)
    accuracy, confidence = calibration_curve(
        predictions == labels, confidences, n_bins=15, strategy=strategy
    )
    filled = found.counts > 0
    close = {"rel": rounding(702, dtype=DOUBLE)}
    assert found.accuracy[filled].tolist() == pytest.approx(accuracy, **close)
    assert found.confidence[filled].tolist() == pytest.approx(confidence, **close)


def test_bins_of_equal_mass_have_equally_many_images_and_share_no_confidence():
    logits, labels = honest(1_500)
    found = reliability(logits.softmax(1), labels, equal_mass=True)
    assert set(found.counts.tolist()) <= {99, 100, 101}
    assert found.confidence.diff().min() > 0
    sure = torch.tensor([[1.0, 0.0]] * 7 + [[0.6, 0.4]] * 3)
    found = reliability(sure, torch.zeros(10).long(), bins=5, equal_mass=True)
    assert sorted(found.counts.tolist()) == [0, 0, 0, 3, 7]  # equals stay together


def test_equal_mass_sees_what_a_wide_bin_hides():
    # in one bin of equal width half boasts by 4 points, half is 4 points too modest
    confidences = torch.tensor([0.94, 0.99]).repeat_interleave(1_000)
    probabilities = torch.stack((confidences, 1 - confidences), 1)
    wrong = torch.zeros(2_000).long()
    wrong[:20] = 1  # 98 % right where it says 94 %
    wrong[1_000:1_050] = 1  # 95 % right where it says 99 %
    assert calibration_error(probabilities, wrong) < 1e-6
    assert equal_mass_error(probabilities, wrong) == pytest.approx(0.04, abs=1e-6)


def test_the_debiased_square_is_zero_on_average_for_an_honest_classifier():
    # one bin: the square of the distance, less the variance of the accuracy
    confidence, images = 0.8, 40
    rate = torch.distributions.Binomial(images, torch.tensor(confidence).double())
    counts = torch.arange(images + 1).double()
    share = rate.log_prob(counts).exp()
    mean = 0.0
    for right in range(images + 1):
        labels = (torch.arange(images) >= right).long()
        two = torch.tensor([[confidence, 1 - confidence]] * images, dtype=DOUBLE)
        accuracy = right / images
        variance = accuracy * (1 - accuracy) / (images - 1)
        square = (accuracy - confidence) ** 2 - variance
        expected = math.sqrt(max(square, 0))
        assert debiased_error(two, labels) == pytest.approx(expected, abs=1e-9)
        mean += share[right].item() * square
    assert mean == pytest.approx(0, abs=1e-12)


def test_the_debiased_error_of_many_images_is_the_distance():
    confidence = torch.full((50_000,), 0.9, dtype=DOUBLE)
    two = torch.stack((confidence, 1 - confidence), 1)
    labels = (torch.arange(50_000) % 5 == 0).long()  # right in 80 %
    assert debiased_error(two, labels) == pytest.approx(0.1, abs=1e-4)


def test_classes_may_be_off_where_confidences_are_not():
    # says 80 % for either class; right in 90 % for one and in 70 % for the other
    confident = torch.tensor([[0.8, 0.2], [0.2, 0.8]]).repeat_interleave(100, 0)
    labels = torch.tensor([0] * 90 + [1] * 10 + [1] * 70 + [0] * 30)
    assert calibration_error(confident, labels) < 1e-6
    assert classwise_error(confident, labels) == pytest.approx(0.1, abs=1e-6)


@each_measure
def test_an_honest_classifier_is_rarely_called_miscalibrated(measure):
    p_values = []
    for seed in range(40):
        logits, labels = honest(200, seed=seed)
        test = calibration_test(logits.softmax(1), labels, measure=measure, draws=19)
        p_values.append(test.p)
    alarms = sum(p <= 0.05 for p in p_values)
    assert alarms <= 8  # of 40: with a share of 0.05 more come once in 7,000 times


@each_measure
def test_one_that_boasts_is_called_miscalibrated_with_the_floor_of_its_own_words(
    measure,
):
    logits, labels = honest(2_000)
    boast = (2 * logits).softmax(1)
    test = calibration_test(boast, labels, measure=measure, draws=99)
    assert test.error == measure(boast, labels)
    assert test.p == 0.01 and test.error > 3 * test.floor


def test_the_floor_is_the_error_of_honest_classifiers_with_as_many_images():
    logits, _ = honest(500)
    probabilities = logits.softmax(1)
    errors = []
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.multinomial(probabilities, 1, generator=generator)[:, 0]
        errors.append(calibration_error(probabilities, labels))
    test = calibration_test(probabilities, labels)
    spread = torch.tensor(errors).std().item()
    # means of 100 and of 200 such errors, four standard errors apart at most
    assert test.floor == pytest.approx(
        sum(errors) / 100, abs=4 * spread * math.sqrt(1 / 100 + 1 / 200)
    )
    again = calibration_test(probabilities, labels)
    assert again == test  # the same draws every time


# --- when to decline ------------------------------------------------------------------


def test_the_area_under_risk_and_coverage_is_that_of_scikit_learn():
    logits, labels = honest(400)
    confidences, predictions = logits.double().softmax(1).max(1)
    found = risk_coverage(confidences, predictions == labels)
    # theirs has trapezia between 400 points, ours 400 columns
    ends = (found.risk[0] + found.risk[-1]).item() / 800
    expected = metrics.auc(found.coverage, found.risk) + ends
    assert found.area == pytest.approx(expected, rel=rounding(400, dtype=DOUBLE))


def test_risk_at_a_coverage_is_the_share_of_mistakes_among_the_surest():
    sure = torch.tensor([0.9, 0.4, 0.8, 0.6])
    right = torch.tensor([True, False, False, True])
    found = risk_coverage(sure, right)
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert found.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert found.best_risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_equal_confidences_give_the_risk_of_any_order():
    right = torch.tensor([True] * 3 + [False])
    found = risk_coverage(torch.full((4,), 0.7), right)
    assert found.risk.tolist() == pytest.approx([0.25] * 4)
    assert found.area == pytest.approx(0.25)  # as useful as chance


def test_no_order_has_less_area_than_mistakes_last():
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(200, generator=generator) < 0.8
    best = risk_coverage(right.double() + torch.rand(200), right)
    assert best.area == pytest.approx(best.best_risk.mean().item())
    other = risk_coverage(torch.rand(200, generator=generator), right)
    assert (other.risk >= other.best_risk - 1e-12).all() and other.area > best.area
