"""Calibration, against simulated classifiers whose calibration is known."""

import math

import pytest
import torch
from sklearn import metrics

from sightline.errors import SightlineError
from sightline.measures.calibration import (
    apply_temperature,
    brier_score,
    calibration_error,
    fit_temperature,
    log_loss,
    reliability,
)


def honest(count: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, 10), and labels drawn from exactly their probabilities."""
    generator = torch.Generator().manual_seed(count)
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
