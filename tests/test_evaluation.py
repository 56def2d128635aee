"""Evaluations: who is right, who is not, and how that is written."""

import math

import pytest
import torch
import torch.nn.functional as F

from sightline.errors import SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.measures.numbers import signed, with_interval

CLASSES = ("cat", "dog", "ship")


def evaluation(labels, predictions, confidences) -> Evaluation:
    """Logits whose softmax gives the predicted class a probability, others the rest."""
    sure = torch.tensor(confidences)[:, None]
    shares = ((1 - sure) / 2).expand(-1, 3).clone()
    shares.scatter_(1, torch.tensor(predictions)[:, None], sure)
    return Evaluation(shares.log(), torch.tensor(labels))


SEVEN = evaluation(
    labels=[0, 1, 0, 1, 0, 1, 0],
    predictions=[0, 0, 1, 1, 0, 2, 1],  # wrong: 1, 2, 5, 6
    confidences=[0.9, 0.5, 0.8, 0.7, 0.6, 0.8, 0.99],
)


def test_properties_follow_from_logits_and_labels():
    assert SEVEN.predictions.tolist() == [0, 0, 1, 1, 0, 2, 1]
    assert SEVEN.right.tolist() == [True, False, False, True, True, False, False]
    assert SEVEN.accuracy == pytest.approx(3 / 7)
    assert SEVEN.confidences.tolist() == pytest.approx(
        [0.9, 0.5, 0.8, 0.7, 0.6, 0.8, 0.99]
    )
    assert SEVEN.loss == pytest.approx(
        F.nll_loss(SEVEN.probabilities.log(), SEVEN.labels).item()
    )


def test_mistakes_are_in_test_order_or_the_most_confident_first():
    assert SEVEN.mistakes().tolist() == [1, 2, 5, 6]
    assert SEVEN.mistakes(2).tolist() == [1, 2]
    # 2 and 5 are equally confident: the order of the images decides
    assert SEVEN.mistakes(order="confident").tolist() == [6, 2, 5, 1]
    assert SEVEN.correct().tolist() == [0, 3, 4]
    assert SEVEN.correct(1, order="confident").tolist() == [0]


def test_fewer_mistakes_than_the_count_are_no_error():
    assert len(SEVEN.mistakes(50)) == 4
    flawless = Evaluation(SEVEN.logits, SEVEN.predictions)
    assert flawless.mistakes(50).tolist() == []
    assert flawless.captions(flawless.mistakes(), CLASSES) == []


def test_an_unknown_order_is_refused():
    with pytest.raises(SightlineError, match="unknown order 'random'; choose from"):
        SEVEN.mistakes(order="random")


def test_captions_give_actual_and_predicted_class_with_confidence():
    captions = SEVEN.captions(torch.tensor([6, 0]), CLASSES)
    assert captions == ["cat\n→ dog 99%", "cat\n→ cat 90%"]


@pytest.mark.parametrize(
    ("value", "decimals", "written"),
    [
        (1.25, 2, "+1.25"),
        (-1.25, 2, "−1.25"),
        (-0.04, 1, "0.0"),  # no minus before what is written as zero
        (0.04, 1, "0.0"),
        (-1196, 0, "−1,196"),
    ],
)
def test_a_number_is_written_with_its_sign_unless_it_is_zero(value, decimals, written):
    assert signed(value, decimals) == written
    assert signed(value, decimals, plus=False) == written.removeprefix("+")


def test_an_interval_has_true_minus_signs_and_a_dash_without_a_number():
    assert with_interval((1.24, -0.31, 2.79)) == "+1.2 (−0.3 to +2.8)"
    assert with_interval((0.5, 0, 1), 2, plus=False) == "0.50 (0.00 to 1.00)"
    assert with_interval((math.nan, -1, 1)) == "–"
