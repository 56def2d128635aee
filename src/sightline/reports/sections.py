"""The sections of a report, in their order, by name."""

from collections.abc import Callable

from sightline.reports import answers, data_doubts
from sightline.reports.attention import attention, forecast_attention
from sightline.reports.heatmap_trust import forecast_trust, heatmap_trust
from sightline.reports.simple_baselines import simple_baselines
from sightline.reports.subject import Section, Subject

__all__ = ["FORECASTS", "SECTIONS"]

#: functions that write a section, by name, in the order of the page
SECTIONS: dict[str, Callable[[Subject], Section]] = {
    "run": answers.overview,
    "classes": answers.accuracy_by_class,
    "simple": simple_baselines,
    "mistakes": answers.mistakes,
    "confidence": answers.confidence,
    "damage": answers.damage,
    "labels": data_doubts.doubtful_labels,
    "duplicates": data_doubts.repeated_pictures,
    "attention": attention,
    "trust": heatmap_trust,
}

#: functions that try out in a moment how many seconds a slow section will take
FORECASTS: dict[str, Callable[[Subject], float]] = {
    "confidence": answers.forecast_confidence,
    "damage": answers.forecast_damage,
    "attention": forecast_attention,
    "trust": forecast_trust,
}
