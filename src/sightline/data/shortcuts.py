"""What tells a class and should not: a corner, the border, the kind of file.

A network learns whatever tells the classes apart: the watermark of the one photographer
of all horses (Lapuschkin et al., 2019), the metal token in the corner of the X-rays of
one hospital (Zech et al., 2018). Much of a background tells the class honestly, as
grass does of cows. A planted mark differs from that in two ways: it picks out pictures
of *one* class with near certainty, and only where it lies. So the question is which
share of a class a place picks out when at most 1 % of the other pictures are picked
with it, and by how much that exceeds what is picked out beside it.

Scores are those of a linear classifier (ridge regression on the classes, as in
Fisher's discriminant; of facts, the shares of the classes among files of that kind), of
pictures that it was not fitted on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.data.cues import (
    FACTS,
    HONEST,
    PLACES,
    FileFacts,
    categories,
    collect_facts,
    shrink,
)
from sightline.data.findings import Finding, count_pictures
from sightline.data.folders import Decoded
from sightline.data.listing import Listing
from sightline.data.split import Split
from sightline.measures.inference import LEVEL, Effect, effects

__all__ = ["LEAST", "MARGIN", "Alarm", "Audit", "audit", "audit_listing"]

#: by so much of a class a place must exceed those beside it, at the lower end of the
#: interval; in 60 folders without a mark one place did (studies/audit.py)
MARGIN = 0.2
LEAST = 10  #: pictures of a class, and of all others, below which nothing can be told
MOST = 10_000  # pictures that are looked at, chosen by chance: more tell hardly more
FALSE = 0.01  # of the other pictures that may be picked out, too
FOLDS = 5
RIDGE = 0.1  # added to the variance of every number, which is 1
SHOWN = 6  # pictures for an alarm
REMEDY = (
    "Look at these pictures. If what they share is not what makes the class, crop it "
    "away, or get pictures of all classes from the same sources: a network may learn "
    "nothing else, and the test pictures will not show it."
)


@dataclass(frozen=True)
class Alarm:
    """A class that something tells, and should not."""

    cue: str  #: what tells it
    class_name: str
    pictures: int  #: of the class
    share: float  #: of them that are picked out, 0..1
    beside: float  #: the same, by the best of the places beside it; 0 for facts
    excess: Effect  #: of the first over the second
    shown: Tensor  #: (n,) places of the pictures that are picked out most clearly

    def words(self) -> str:
        """Say what was measured, in a sentence without its full stop."""
        place = PLACES.get(self.cue)
        others = f"; by {place.called} {self.beside:.0%}" if place else ""
        return (
            f"by the {self.cue} alone {self.share:.0%} of "
            f"{count_pictures(self.pictures)} of {self.class_name} can be told, with "
            f"at most {FALSE:.0%} of all others{others}: "
            f"{self.excess.written(0)} points"
        )


@dataclass(frozen=True)
class Audit:
    """What places and facts tell about the classes."""

    pictures: int  #: that were looked at
    #: by cue, the share of right answers above that of naming the largest class
    told: Mapping[str, Effect]
    alarms: tuple[Alarm, ...]  #: class by class, that with the largest excess first
    few: tuple[str, ...]  #: classes about which nothing can be told

    def findings(self, names: Sequence[str]) -> list[Finding]:
        """Return a finding for each alarm, from the names of all pictures."""
        return [
            Finding(
                "shortcut",
                alarm.words(),
                REMEDY,
                tuple(names[place] for place in alarm.shown.tolist()),
            )
            for alarm in self.alarms
        ]


def audit_listing(listing: Listing, decoded: Decoded) -> list[Finding]:
    """Audit a decoded folder; an alarm is a finding."""
    names = [listing.names[place] for place in decoded.places.tolist()]
    pictures = Split(decoded.images, listing.labels[decoded.readable])
    facts = collect_facts(listing.folder, names)
    return audit(pictures, listing.classes, facts).findings(names)


def audit(
    pictures: Split, classes: Sequence[str], facts: Sequence[FileFacts] = ()
) -> Audit:
    """Ask what the places of pictures, and facts about their files, tell.

    Alarms are corrected for all questions. Pictures are seen as a network sees them: a
    mark outside of the middle square, where only that is kept, is none.

    Args:
        pictures: of all parts of a data set.
        classes: names, in the order of the labels.
        facts: one per picture, or none.
    """
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(pictures), generator=generator)[:MOST].sort().values
    labels = pictures.labels[chosen]
    counts = labels.bincount(minlength=len(classes))
    enough = (counts >= LEAST) & (len(labels) - counts >= LEAST)
    few = tuple(name for name, many in zip(classes, enough, strict=True) if not many)
    if not enough.any():
        return Audit(0, {}, (), few)
    folds = _folds(labels, generator)
    answers = _ask_places(shrink(pictures.take(chosen).images), labels, folds)
    if facts:
        answers |= _ask_facts([facts[i] for i in chosen.tolist()], labels, folds)
    largest = labels == counts.argmax()
    told = {cue: (a.scores.argmax(1) == labels, largest) for cue, a in answers.items()}
    asked = enough.nonzero()[:, 0].tolist()
    alarms = _alarms(
        answers, labels, chosen, {label: classes[label] for label in asked}
    )
    return Audit(len(labels), effects(told), alarms, few)


@dataclass(frozen=True)
class _Answers:
    """What one cue says about every picture, and what those beside it say."""

    scores: Tensor  # (N, K)
    beside: tuple[Tensor, ...]  # (N, K) each


def _folds(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Divide every class evenly into FOLDS, (N,)."""
    folds = torch.empty_like(labels)
    for label in labels.unique():
        count = int((labels == label).sum())
        folds[labels == label] = torch.randperm(count, generator=generator) % FOLDS
    return folds


def _ask_places(small: Tensor, labels: Tensor, folds: Tensor) -> dict[str, _Answers]:
    """Fit a classifier to every place, and to those beside it."""
    every = [d for p in PLACES.values() for d in (p.describe, *p.beside)]
    scores = {
        describe: _cross_validate(describe(small), labels, folds)
        for describe in dict.fromkeys(every)
    }
    return {
        name: _Answers(scores[p.describe], tuple(scores[d] for d in p.beside))
        for name, p in PLACES.items()
    }


def _cross_validate(numbers: Tensor, labels: Tensor, folds: Tensor) -> Tensor:
    """Score pictures for every class, (N, K), by those of the other folds."""
    classes = F.one_hot(labels).double()
    scores = torch.empty_like(classes)
    for fold in range(FOLDS):
        fitted = folds != fold
        known = numbers[fitted].double()
        mean, spread = known.mean(0), known.std(0).clamp_min(1e-9)
        known, prior = (known - mean) / spread, classes[fitted].mean(0)
        square = known.T @ known / len(known)
        square.diagonal().add_(RIDGE)
        product = known.T @ (classes[fitted] - prior) / len(known)
        weights = torch.linalg.solve(square, product)
        scores[~fitted] = (numbers[~fitted] - mean) / spread @ weights + prior
    return scores


def _ask_facts(
    facts: Sequence[FileFacts], labels: Tensor, folds: Tensor
) -> dict[str, _Answers]:
    """Score pictures by the classes of other files that are alike in a fact."""
    classes = F.one_hot(labels).double()
    answers = {}
    for field, name in FACTS.items():
        kinds = categories([getattr(fact, field) for fact in facts])
        scores = torch.empty_like(classes)
        # of an honest fact nearly nothing is expected: it picks out no picture
        beside = () if field in HONEST else (torch.zeros_like(classes),)
        for fold in range(FOLDS):
            fitted = folds != fold
            counts = torch.zeros(int(kinds.max()) + 1, classes.shape[1]).double()
            counts.index_add_(0, kinds[fitted], classes[fitted])
            counts += classes[fitted].mean(0)  # one more picture, of all classes
            shares = counts / counts.sum(1, keepdim=True)
            scores[~fitted] = shares[kinds[~fitted]]
        answers[name] = _Answers(scores, beside)
    return answers


def _alarms(
    answers: Mapping[str, _Answers],
    labels: Tensor,
    places: Tensor,
    classes: Mapping[int, str],
) -> tuple[Alarm, ...]:
    """Compare what every cue picks out of each class with what is beside it."""
    keys = {
        f"{label} {cue}": (label, cue)
        for label in classes
        for cue, answer in answers.items()
        if answer.beside
    }
    pairs = {}
    for key, (label, cue) in keys.items():
        picked = _pick_out(answers[cue].scores, labels, label)
        others = [_pick_out(scores, labels, label) for scores in answers[cue].beside]
        pairs[key] = picked, max(others, key=lambda other: int(other.sum()))
    alarms = []
    for key, excess in effects(pairs).items():
        if excess.p > LEVEL or excess.low <= MARGIN:
            continue
        (label, cue), (picked, beside) = keys[key], pairs[key]
        own = (labels == label).nonzero()[:, 0]
        order = answers[cue].scores[own, label].argsort(descending=True, stable=True)
        shown = places[own[order[: min(SHOWN, int(picked.sum()))]]]
        share, expected = (each.double().mean().item() for each in (picked, beside))
        alarms.append(
            Alarm(cue, classes[label], len(own), share, expected, excess, shown)
        )
    worst = {a.class_name: a.excess.low for a in sorted(alarms, key=_sureness)}
    return tuple(sorted(alarms, key=lambda a: -worst[a.class_name]))


def _sureness(alarm: Alarm) -> float:
    """Return by how much a place exceeds those beside it, at least."""
    return alarm.excess.low


def _pick_out(scores: Tensor, labels: Tensor, label: int) -> Tensor:
    """Tell which pictures of a class, (n,) bool, score above nearly all others."""
    others = scores[labels != label, label].sort(descending=True).values
    return scores[labels == label, label] > others[int(FALSE * len(others))]
