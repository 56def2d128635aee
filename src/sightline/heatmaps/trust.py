"""Which heatmaps of a network can be believed: the protocol's scores, judged.

A map passes a test if it is better than each of the maps that know nothing, on the same
pictures, by the one rule of `measures.inference`: against the best of them, with the
p-values of all rows of a test adjusted. No limit is set on any score. A test whose own
controls come out wrong tells nothing about this network, and does not count.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from sightline.data.split import Split
from sightline.heatmaps.explain import Against
from sightline.heatmaps.methods import METHODS
from sightline.heatmaps.protocol import Scored, score_maps
from sightline.measures.inference import (
    Effect,
    Estimate,
    Verdict,
    effect,
    effects,
    estimate,
)
from sightline.training.classifier import Classifier

__all__ = [
    "MARGIN",
    "TESTS",
    "Card",
    "Judgement",
    "Test",
    "judge",
    "stacked",
    "trust",
]

#: a correlation below which Cohen (1988) speaks of less than a small one; maps that are
#: alike by no more than that beyond maps of other pictures count as different
MARGIN = 0.1

Word = Literal["passes", "fails", "open"]


@dataclass(frozen=True)
class Test:
    """One way to doubt a heatmap."""

    meaning: str  #: a sentence
    lower: bool = False  #: is better
    #: what a map is compared with, on the same pictures; the best of the maps that know
    #: nothing, or its own likeness with the maps of other pictures
    rival: Literal["floors", "other pictures"] = "floors"
    least: float = 0.0  #: the smallest score that is possible; the largest is 1
    #: maps that must pass it; none where a true map need not, since a random network
    #: may have its evidence on the same object
    passing: str | None = "occlusion"
    failing: str = "occlusion, inverted"  #: maps that must not


#: by name, in the order of a table
TESTS = {
    "deletion": Test(
        "mean probability while the brightest pixels become grey; low is good", True
    ),
    "insertion": Test("mean probability while they return to a grey picture"),
    "insertion, blurred": Test("mean probability while they return to a blurred one"),
    "ROAD": Test(
        "how much further it falls if the brightest go than if the dimmest", least=-1.0
    ),
    "grid": Test("share of a map in the right one of four pictures"),
    "DiFull": Test(
        "the same where by construction the other three have no part in the answer",
        passing=None,
        failing="edges",
    ),
    "class": Test(
        "likeness with the map of the runner-up",
        True,
        "other pictures",
        least=-1.0,
        failing="edges",
    ),
    "random head": Test(
        "likeness with the map of a network whose last layer is random",
        True,
        "other pictures",
        least=-1.0,
        passing=None,
        failing="edges",
    ),
    "random network": Test(
        "likeness with the map of a network that is random everywhere",
        True,
        "other pictures",
        least=-1.0,
        passing=None,
        failing="edges",
    ),
    "on the object": Test(
        "share of a map on the object", passing="best possible", failing="outside"
    ),
    "in its hull": Test(
        "share of a map in the filled outline of the object, where classes differ",
        passing="best possible",
        failing="outside",
    ),
    "rank": Test(
        "share of the object among as many of the brightest pixels",
        passing="the object",
        failing="outside",
    ),
}


@dataclass(frozen=True)
class Judgement:
    """What became of one map in one test."""

    rival: str  #: what it was compared with
    effect: Effect  #: its score minus that of the rival
    word: Word  #: "open" if neither can be told


@dataclass(frozen=True)
class Card:
    """What became of all maps in all tests."""

    #: by test, then by map, methods and controls; controls are not adjusted for
    judgements: dict[str, dict[str, Judgement]]
    #: by test, then by map, those that know nothing and the best possible among them
    means: dict[str, dict[str, Estimate]]
    tells: dict[str, bool]  #: by test, whether its controls came out as they must
    blank: dict[str, int]  #: by map, how many showed nothing
    methods: tuple[str, ...]  #: maps that are judged, each a method at a layer
    pictures: int
    left_out: tuple[str, ...]  #: tests that were not possible, and why

    def passed(self, name: str) -> list[str]:
        """Name the tests that a map passes, of those that tell anything."""
        return self._with(name, "passes")

    def failed(self, name: str) -> list[str]:
        """Name the tests that a map fails, of those that tell anything."""
        return self._with(name, "fails")

    def _with(self, name: str, word: Word) -> list[str]:
        rows = self.judgements.items()
        return [t for t, row in rows if self.tells[t] and row[name].word == word]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "pictures": self.pictures,
            "left_out": list(self.left_out),
            "blank": self.blank,
            "tests": {
                test: {
                    "meaning": TESTS[test].meaning,
                    "tells": self.tells[test],
                    "maps": {
                        name: _plain(value, self.judgements[test].get(name))
                        for name, value in row.items()
                    },
                }
                for test, row in self.means.items()
            },
        }


def trust(
    classifier: Classifier,
    split: Split,
    *,
    pictures: int = 100,
    layers: Sequence[str] | None = None,
    methods: Sequence[str] = tuple(METHODS),
    against: Against = "rest",
) -> Card:
    """Judge every method at every layer on pictures that the network recognises.

    They are drawn at random, always the same. See `explain` for the other arguments.

    Raises:
        SightlineError: if the network recognises fewer than two.
    """
    right = classifier.ask(split).right.nonzero().flatten()
    generator = torch.Generator().manual_seed(0)
    drawn = right[torch.randperm(len(right), generator=generator)[:pictures]]
    asked: dict[str, Any] = {"methods": methods, "against": against}
    return judge(score_maps(classifier, split.take(drawn), layers=layers, **asked))


def stacked(several: Sequence[Scored]) -> Scored:
    """Join the scores of several networks on the same pictures, (networks, pictures).

    Draws of random weights are averaged: a network is one observation.
    """

    def rows(tables: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {
            name: torch.stack(
                [torch.atleast_2d(t[name]).float().mean(0) for t in tables]
            )
            for name in tables[0]
        }

    return replace(
        several[0],
        scores={
            test: rows([one.scores[test] for one in several])
            for test in several[0].scores
        },
        strangers=rows([one.strangers for one in several]),
        blank={
            name: torch.stack([one.blank[name] for one in several])
            for name in several[0].blank
        },
    )


def judge(scored: Scored) -> Card:
    """Compare every map with what it has to beat, test by test."""
    names = [name for name in TESTS if name in scored.scores]
    judgements = {name: _judgements(name, scored) for name in names}
    return Card(
        judgements=judgements,
        means={
            name: {
                each: estimate(values, bounds=(TESTS[name].least, 1))
                for each, values in scored.scores[name].items()
            }
            for name in names
        },
        tells={name: _tells(name, judgements[name]) for name in names},
        blank={name: int(values.sum()) for name, values in scored.blank.items()},
        methods=tuple(n for n, kind in scored.kinds.items() if kind == "method"),
        pictures=next(iter(scored.blank.values())).shape[-1],
        left_out=scored.left_out,
    )


def _judgements(name: str, scored: Scored) -> dict[str, Judgement]:
    """Judge the rows of one test; those of methods are one table."""
    test, row, kinds = TESTS[name], scored.scores[name], scored.kinds
    bounds = (test.least - 1, 1 - test.least)
    rivals = {
        each: _rival(each, name, scored) for each in row if kinds[each] != "floor"
    }
    failing = _named(test.failing, row)
    rivals[failing] = _rival(failing, name, scored)
    pairs = {each: (row[each], values) for each, (_, values) in rivals.items()}
    methods = {each: pair for each, pair in pairs.items() if kinds[each] == "method"}
    table = effects(methods, bounds=bounds)
    for each in pairs.keys() - methods.keys():
        table[each] = effect(*pairs[each], bounds=bounds)
    return {
        each: Judgement(rivals[each][0], table[each], _word(name, table[each]))
        for each in pairs
    }


def _rival(each: str, name: str, scored: Scored) -> tuple[str, Tensor]:
    """Return what a map has to beat in a test: the best map that knows nothing."""
    test, row = TESTS[name], scored.scores[name]
    if test.rival == "other pictures":
        strangers = scored.strangers[each]
        return test.rival, strangers if strangers.shape == row[each].shape else (
            strangers.mean(0)
        )
    floors = {
        other: values.mean().item()
        for other, values in row.items()
        if scored.kinds[other] == "floor"
        and scored.cells[other] == scored.cells[each]
        and other != each
    }
    best = (min if test.lower else max)(floors, key=lambda other: floors[other])
    return best, row[best]


def _word(name: str, apart: Effect) -> Word:
    """Say what a difference means in a test."""
    test = TESTS[name]
    if test.rival == "other pictures":
        if apart.high < MARGIN:
            return "passes"
        return "fails" if apart.low > MARGIN else "open"
    verdict = apart.verdict()
    if verdict == Verdict.OPEN:
        return "open"
    return "passes" if (verdict == Verdict.SMALLER) == test.lower else "fails"


def _tells(name: str, judgements: Mapping[str, Judgement]) -> bool:
    """Tell whether the maps of known worth come out as they must."""
    test = TESTS[name]
    if judgements[_named(test.failing, judgements)].word == "passes":
        return False
    if test.passing is None:
        return True
    return judgements[_named(test.passing, judgements)].word == "passes"


def _named(prefix: str, names: Iterable[str]) -> str:
    """Return the map of this name, that of the most cells."""
    return [name for name in names if f"{name} ".startswith(f"{prefix} ")][-1]


def _plain(mean: Estimate, judgement: Judgement | None) -> dict[str, Any]:
    """Return what JSON can hold."""
    numbers = {"mean": mean.mean, "low": mean.low, "high": mean.high}
    if judgement is None:
        return numbers
    apart = judgement.effect
    return numbers | {
        "rival": judgement.rival,
        "difference": apart.difference,
        "from": apart.low,
        "to": apart.high,
        "p": apart.p,
        "verdict": judgement.word,
    }
