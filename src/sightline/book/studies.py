"""What studies recorded: long experiments, as `studies/` made them and chapters quote.

A record is `book/results/NAME.json`. It holds, for every arm and seed, which test
images were classified correctly, so that any comparison can be made again without
training anything.
"""

import base64
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.errors import SightlineError
from sightline.measures.inference import Effect, effects
from sightline.training.recipe import Recipe

__all__ = ["StudyRecord", "pack", "unpack"]


def pack(right: Tensor) -> str:
    """Write answers (N,) bool as text, eight in a byte."""
    return base64.b64encode(np.packbits(right.numpy()).tobytes()).decode()


def unpack(text: str, count: int) -> Tensor:
    """Read what `pack` wrote of `count` answers, (N,) bool."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return torch.from_numpy(bits[:count].astype(bool))


@dataclass
class StudyRecord:
    """The trainings of one study; each arm's are one dict a seed, in order of seeds."""

    question: str = ""  #: what it was made to answer
    protocol: dict[str, Any] = field(default_factory=dict)  #: pictures and their digest
    arms: dict[str, dict[str, Any]] = field(default_factory=dict)  #: recipe, trainings

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "StudyRecord":
        """Read what a JSON file holds; {} is a study that has not begun."""
        names = ("question", "protocol", "arms")
        return cls(**{name: content[name] for name in names if name in content})

    def recipe(self, arm: str) -> Recipe:
        """Return how the networks of an arm were trained, but for the seed."""
        return Recipe.from_json(self.arms[arm]["recipe"])

    def trainings(self, arm: str) -> list[dict[str, Any]]:
        """Return one dict a seed, in the order of the seeds."""
        return sorted(self.arms[arm]["trainings"], key=lambda row: row["seed"])

    def seeds(self, *arms: str) -> list[int]:
        """Return the seeds with which all these arms were trained."""
        each = [{row["seed"] for row in self.trainings(arm)} for arm in arms]
        return sorted(set.intersection(*each))

    def values(self, arm: str, name: str, seeds: list[int] | None = None) -> Tensor:
        """Return one number of every training, (seeds,), the last of those per epoch.

        Of what a diverged training lacks it is NaN.

        Raises:
            SightlineError: if the trainings record no such number.
        """
        chosen = self.chosen(arm, seeds)
        if chosen and name not in chosen[0]:
            raise SightlineError(
                f"trainings record no {name!r}; choose from: {', '.join(chosen[0])}"
            )
        numbers = [row[name] for row in chosen]
        last = [([math.nan] + n)[-1] if isinstance(n, list) else n for n in numbers]
        return torch.tensor(last, dtype=torch.float64)

    def answers(self, arm: str, seeds: list[int] | None = None) -> Tensor:
        """Return which test images each network classifies correctly, (seeds, N)."""
        count = self.protocol["images"]["test"]
        return torch.stack(
            [unpack(row["right"], count) for row in self.chosen(arm, seeds)]
        )

    def compare(self, controls: Mapping[str, str]) -> dict[str, Effect]:
        """Compare arms with their controls, arm to control, on the test images.

        As one table: its p-values are adjusted for all rows. Each pair has the seeds
        that both were trained with.
        """
        rows = {}
        for arm, control in controls.items():
            seeds = self.seeds(arm, control)
            rows[arm] = self.answers(arm, seeds), self.answers(control, seeds)
        return effects(rows)

    def best(self, arms: Iterable[str]) -> str:
        """Return the arm with the best mean validation accuracy."""
        means = {arm: self.values(arm, "validation_accuracy").mean() for arm in arms}
        return max(means, key=lambda arm: float(means[arm]))

    def between(self, arms: Mapping[float, str], rates: Sequence[float]) -> Tensor:
        """Return what each network would have answered at a rate, (seeds, N), 0..1.

        Of the arms by their learning rate, the two around the rate of each seed answer,
        weighted by their distance on a logarithmic scale; NaN outside of all of them.
        """
        grid = sorted(arms)
        seeds = self.seeds(*arms.values())[: len(rates)]
        answers = torch.stack([self.answers(arms[r], seeds) for r in grid]).double()
        rows = []
        for seed, rate in enumerate(rates[: len(seeds)]):
            above = bisect_left(grid, rate)
            if not 0 < above < len(grid):
                rows.append(torch.full_like(answers[0, seed], math.nan))
                continue
            low, high = grid[above - 1], grid[above]
            share = math.log(rate / low) / math.log(high / low)
            rows.append(
                torch.lerp(answers[above - 1, seed], answers[above, seed], share)
            )
        return torch.stack(rows)

    def chosen(self, arm: str, seeds: list[int] | None) -> list[dict[str, Any]]:
        """Return the trainings of some seeds, all of them by default."""
        rows = self.trainings(arm)
        return [row for row in rows if seeds is None or row["seed"] in seeds]
