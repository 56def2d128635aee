"""Which heatmaps of a network can be believed, as tables and as a section."""

import time
from collections.abc import Sequence

from sightline.heatmaps.explain import explain
from sightline.heatmaps.protocol import DRAWS
from sightline.heatmaps.trust import TESTS, Card, trust
from sightline.measures.numbers import signed
from sightline.reports.subject import Section, Subject
from sightline.reports.tables import markdown_table

__all__ = ["card_tables", "forecast_trust", "heatmap_trust", "sentences"]

TRUSTED = 40  # images of a report; the command asks about more
SCORED = ("grad_cam", "hires_cam", "layer_cam", "eigen_cam")
PASSES = 2000  # the section takes about as long as so many maps of its pictures
SIGNS = {"passes": "+", "fails": "−", "open": "·"}
COLUMNS = 6  # tests in a table, which then fits into a terminal


def heatmap_trust(subject: Subject) -> Section:
    """Score heatmaps on this network beside maps that never saw it."""
    title = "Can the heatmaps be believed?"
    if int(subject.test.right.sum()) < 2:
        return Section(title, ["Too few images are recognised to tell."])
    card = trust(
        subject.classifier, subject.splits.test, pictures=TRUSTED, methods=SCORED
    )
    tables = [markdown_table(*table) for table in card_tables(card)]
    notes = "".join(f"- {sentence}\n" for sentence in sentences(card))
    return Section(title, [*tables, notes], card.as_json())


def forecast_trust(subject: Subject) -> float:
    """Return the seconds that `heatmap_trust` will take, from the maps of a batch."""
    index = subject.sample(TRUSTED)
    images, started = subject.images(index), time.perf_counter()
    explain(subject.model, images, layers=subject.layers)
    return PASSES * (time.perf_counter() - started)


def card_tables(card: Card) -> list[tuple[list[str], list[list[str]]]]:
    """Lay out a card as tables of a header and rows, a few tests in each."""
    tables, every = [], list(card.means)
    for start in range(0, len(every), COLUMNS):
        tests = every[start : start + COLUMNS]
        names = dict.fromkeys(name for test in tests for name in card.means[test])
        rows = [[name, *(_cell(card, test, name) for test in tests)] for name in names]
        told = ["yes" if card.tells[test] else "no" for test in tests]
        tables.append((["maps", *tests], [*rows, ["does the test tell?", *told]]))
    return tables


def sentences(card: Card) -> list[str]:
    """Say how to read the tables, and which maps can be believed."""
    telling = [test for test in card.means if card.tells[test]]
    lines = [
        f"Means over {card.pictures} correctly classified pictures, what explains each "
        f"class against the rest; random networks over {DRAWS} draws.",
        "+ better than every map that knows nothing, of as few cells, on the same "
        "pictures; − worse; · not told apart (95 %, adjusted for the rows). For "
        "likenesses: + no more alike than maps of different pictures, give or take "
        "0.1; − more alike than that.",
        "A test tells something if maps of known worth come out right in it.",
        *(f"*{test}*: {TESTS[test].meaning}." for test in card.means),
        *(f"Left out: {reason}." for reason in card.left_out),
    ]
    if blank := {n: count for n, count in card.blank.items() if count}:
        counts = ", ".join(f"{count} of {name}" for name, count in blank.items())
        lines.append(f"Blank, and scored as even maps: {counts}.")
    whole = [name for name in card.methods if card.passed(name) == telling]
    lines.append(
        f"Pass every test that tells something: {_listed(whole)}. Fail none of them: "
        f"{_listed([name for name in card.methods if not card.failed(name)])}."
    )
    return lines


def _cell(card: Card, test: str, name: str) -> str:
    """Write the mean of a map in a test, and what became of it."""
    mean = card.means[test].get(name)
    if mean is None:
        return ""
    judgement = card.judgements[test].get(name)
    sign = f" {SIGNS[judgement.word]}" if judgement else ""
    return signed(mean.mean, 2, plus=False) + sign


def _listed(names: Sequence[str]) -> str:
    """Join names to a list in words."""
    return ", ".join(names) or "none"
