"""Damaged input ends in a message or a result, whatever the damage."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz import TARGETS, Fuzzer

pytestmark = pytest.mark.slow

CASES = 10_000


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory) -> Iterator[Fuzzer]:
    """Make the whole inputs once."""
    yield Fuzzer(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("first", range(0, CASES, 1000))
def test_damage_ends_in_a_message_or_a_result(fuzzer, first):
    problems = [fuzzer.case(number) for number in range(first, first + 1000)]
    assert not [problem for problem in problems if problem]


def hang(*_: object) -> None:
    """Wait for longer than a case may take."""
    time.sleep(60)


def fail(*_: object) -> None:
    """Raise what no user should see."""
    raise KeyError("x")


def spoil(folder: Path, _: object) -> None:
    """Write into the input."""
    (folder / "a.jpg").write_text("mine", encoding="utf-8")


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (hang, "not over after 0.2 s"),
        (fail, "KeyError"),
        (spoil, "the input was changed"),
    ],
)
def test_what_is_looked_for_is_noticed(fuzzer, monkeypatch, read, words):
    target = replace(TARGETS["folder"], read=read)
    monkeypatch.setattr("fuzz.TARGETS", {"folder": target})
    monkeypatch.setattr("fuzz.LIMIT", 0.2)
    assert words in fuzzer.case(0)
