"""The sections of a report, in their order, by name."""

from collections.abc import Callable

from sightline.reports.answers import (
    accuracy_by_class,
    confidence,
    damage,
    mistakes,
    overview,
)
from sightline.reports.data_doubts import doubtful_labels, repeated_pictures
from sightline.reports.heatmap_trust import heatmap_trust
from sightline.reports.subject import Section, Subject

__all__ = ["SECTIONS"]

SECTIONS: dict[str, Callable[[Subject], Section]] = {
    "run": overview,
    "classes": accuracy_by_class,
    "mistakes": mistakes,
    "confidence": confidence,
    "damage": damage,
    "labels": doubtful_labels,
    "duplicates": repeated_pictures,
    "trust": heatmap_trust,
}
