"""The protocol: what it asks, what it counts, and when it says that a map passes."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from sightline.data.split import Split
from sightline.errors import SightlineError
from sightline.heatmaps.protocol import Scored, score_maps
from sightline.heatmaps.trust import TESTS, judge, stacked, trust
from sightline.reports.heatmap_trust import card_tables, sentences
from sightline.training.classifier import Classifier
from sightline.training.runtime import choose_runtime

SIDE = 16


class Place(nn.Module):
    """Its classes are where a bright square is: four logits, one for each quarter."""

    stages = ("features",)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 1, 2, stride=2, bias=False), nn.ReLU()
        )
        self.head = nn.Linear(4, 4)
        with torch.no_grad():
            self.features[0].weight.fill_(1 / 12)
            self.head.weight.copy_(8 * torch.eye(4))
            self.head.bias.zero_()

    def forward(self, images):
        maps = self.features(images)
        return self.head(nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1))


@pytest.fixture(scope="module")
def classifier():
    colours = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return Classifier(
        Place().eval(), tuple("abcd"), *colours, SIDE, choose_runtime("cpu", "fp32")
    )


@pytest.fixture(scope="module")
def split():
    """Dark pictures with a bright square in the quarter that is the class."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 30, (12, SIDE, SIDE, 3), generator=generator)
    masks = torch.zeros(12, SIDE, SIDE, dtype=torch.bool)
    labels = torch.arange(12) % 4
    for mask, label in zip(masks, labels.tolist(), strict=True):
        i, j = divmod(label, 2)
        mask[8 * i + 2 : 8 * i + 6, 8 * j + 2 : 8 * j + 6] = True
    images[masks] = 250
    return Split(images.to(torch.uint8), labels, masks)


@pytest.fixture(scope="module")
def scored(classifier, split):
    return score_maps(classifier, split, methods=["hires_cam", "eigen_cam"], draws=2)


def test_every_map_is_asked_everything_that_can_be_asked(scored):
    methods = [name for name, kind in scored.kinds.items() if kind == "method"]
    assert methods == ["hires_cam features", "eigen_cam features"]
    assert set(scored.scores) == set(TESTS) and not scored.left_out
    for test, row in scored.scores.items():
        shape = {"grid": (3,), "DiFull": (3,)}.get(test, (12,))
        shape = (2, 12) if test.startswith("random") else shape
        for name, values in row.items():
            assert values.shape == shape and values.isfinite().all(), (test, name)
        assert set(methods) <= set(row)
    for test in ("deletion", "insertion", "insertion, blurred", "ROAD", "grid"):
        for floor in ("centre", "edges", "uniform", "random"):
            assert f"{floor} 8×8" in scored.scores[test]


def test_a_map_that_is_right_scores_better_than_one_that_is_known_to_be_wrong(scored):
    for test in ("deletion", "insertion", "ROAD", "on the object", "in its hull"):
        row, sign = scored.scores[test], -1 if TESTS[test].lower else 1
        right, wrong = row["hires_cam features"], row["occlusion, inverted"]
        assert (sign * (right - wrong) > 0).all(), test
    assert scored.scores["DiFull"]["hires_cam features"].min() > 0.95
    assert scored.scores["class"]["eigen_cam features"].min() > 0.999


def test_maps_that_ignore_the_class_have_a_quarter_of_a_grid(scored):
    for name in ("uniform 8×8", "centre 8×8", "edges 8×8"):
        row = scored.scores["grid"]
        torch.testing.assert_close(row[name], torch.full((3,), 0.25))


def test_without_masks_their_tests_are_left_out_and_named(classifier, split):
    bare = replace(split, masks=None)
    found = score_maps(classifier, bare, methods=["hires_cam"], draws=1)
    assert "on the object" not in found.scores and "best possible" not in found.kinds
    assert found.left_out == ("on the object, in its hull, rank: there are no masks",)


def test_two_pictures_are_too_few_for_a_grid_and_one_for_anything(classifier, split):
    two = split.take(torch.arange(2))
    found = score_maps(classifier, two, methods=["hires_cam"], draws=1)
    assert found.left_out[0].startswith("grid, DiFull: correct pictures of 2 classes")
    with pytest.raises(SightlineError, match="give at least 2"):
        score_maps(classifier, split.take(torch.arange(1)))


def test_the_card_is_drawn_from_recognised_pictures_and_can_be_written(
    classifier, split
):
    labels = split.labels.clone()
    labels[:3] = (labels[:3] + 1) % 4  # not recognised
    card = trust(classifier, replace(split, labels=labels), methods=["hires_cam"])
    assert card.pictures == 9
    json.dumps(card.as_json(), allow_nan=False)
    text = " ".join(sentences(card))
    assert "9 correctly classified pictures" in text
    tables = card_tables(card)
    assert sum(len(header) - 1 for header, _ in tables) == len(card.means)
    for header, rows in tables:
        assert all(len(row) == len(header) for row in rows)


# --- verdicts, from scores that are made up ----------------------------------------


def made_up(methods, *, passing=0.9, failing=0.1, images=60) -> Scored:
    """Scores of one test, "insertion", around a mean for each map."""
    generator = torch.Generator().manual_seed(0)
    difficulty = 0.1 * torch.rand(images, generator=generator)
    means = {"centre 4×4": 0.5, "random 4×4": 0.3, **methods}
    means |= {"occlusion": passing, "occlusion, inverted": failing}
    row = {
        name: mean - difficulty + 0.02 * torch.rand(images, generator=generator)
        for name, mean in means.items()
    }
    kinds = {name: "method" for name in methods}
    kinds |= {"centre 4×4": "floor", "random 4×4": "floor"}
    kinds |= {"occlusion": "control", "occlusion, inverted": "control"}
    blank = {name: torch.zeros(images, dtype=torch.bool) for name in kinds}
    cells = dict.fromkeys(kinds, 4)
    return Scored({"insertion": row}, {}, blank, kinds, cells, ())


def test_a_map_has_to_beat_the_best_of_the_maps_that_know_nothing():
    card = judge(made_up({"good": 0.6, "between": 0.4, "same": 0.5}))
    row = card.judgements["insertion"]
    words = {name: row[name].word for name in card.methods}
    assert words == {"good": "passes", "between": "fails", "same": "open"}
    assert row["between"].rival == "centre 4×4"  # although it beats the random map
    assert card.tells["insertion"] and card.passed("good") == ["insertion"]
    assert card.failed("between") == ["insertion"]


def test_a_test_whose_controls_come_out_wrong_counts_for_nothing():
    for wrong in ({"passing": 0.45}, {"failing": 0.8}):
        card = judge(made_up({"good": 0.6, "bad": 0.2}, **wrong))
        assert not card.tells["insertion"]
        assert not card.passed("good") and not card.failed("bad")


def test_many_rows_of_nothing_pass_no_more_often_than_one():
    names = {f"map {i}": 0.5 for i in range(30)}
    card = judge(made_up(names))
    p = [card.judgements["insertion"][name].effect.p for name in names]
    assert not card.failed("map 0") and min(p) > 0.05


def test_a_likeness_is_judged_by_that_of_other_pictures():
    generator = torch.Generator().manual_seed(1)

    def around(mean):
        return mean + 0.1 * (torch.rand(3, 80, generator=generator) - 0.5)

    row = {"same": 0.9, "other": 0.1, "near": 0.32, "edges 4×4": 1 - 0.05}
    row |= {"occlusion": 0.0}
    scored = Scored(
        scores={"random head": {name: around(mean) for name, mean in row.items()}},
        strangers={name: around(0.3) for name in row},
        blank={name: torch.zeros(80, dtype=torch.bool) for name in row},
        kinds={name: "method" for name in ("same", "other", "near")}
        | {"edges 4×4": "floor", "occlusion": "control"},
        cells=dict.fromkeys(row, 4),
        left_out=(),
    )
    found = judge(scored).judgements["random head"]
    assert {name: found[name].word for name in ("same", "other")} == {
        "same": "fails",
        "other": "passes",
    }
    # told apart from 0.3, or not: no more alike than by the margin in any case
    assert found["near"].effect.difference < 0.1
    assert judge(scored).tells["random head"]


def test_several_networks_are_judged_together(scored):
    both = stacked([scored, scored])
    assert both.scores["deletion"]["occlusion"].shape == (2, 12)
    assert both.scores["random head"]["occlusion"].shape == (2, 12)
    assert torch.equal(
        both.scores["random head"]["occlusion"][0],
        scored.scores["random head"]["occlusion"].mean(0),
    )
    card = judge(both)
    effect = card.judgements["deletion"]["hires_cam features"].effect
    assert (effect.seeds, effect.images) == (2, 12)
