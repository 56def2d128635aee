"""Figures from plain data.

===========  ====================================================================
style        the look that all figures share
sheet        figures measured in inches, with pictures and words in places
curves       learning rates, schedules, histories, learning curves
galleries    pictures: grids, galleries, heatmaps
matrices     confusion matrices
network      the diagram of a network
calibration  how often a model is right: by class, by confidence, by damage
overlay      heatmaps laid over pictures
output       figures as files: SVG that follows the page, PNG, PDF
===========  ====================================================================

Every function that draws returns a `Figure` that pyplot knows nothing about: a notebook
shows it when it ends a cell, nothing is left open, and nothing is shown by surprise.
`svg` and `save` write one.
Backgrounds are transparent and words are in `INK`, so that one picture can follow a
light or a dark page.
"""

from sightline.plots.calibration import (
    class_accuracy,
    corruption_curves,
    reliability_diagram,
    risk_coverage,
)
from sightline.plots.curves import (
    compare_histories,
    history,
    learning_curve,
    lr_curve,
    lr_curves,
    schedule,
)
from sightline.plots.galleries import (
    before_after,
    class_grid,
    gallery,
    heatmaps,
    rgb_channels,
    sample_grid,
)
from sightline.plots.matrices import confusion, confusion_difference
from sightline.plots.network import network
from sightline.plots.output import save, svg
from sightline.plots.style import COLOURS, DARK_INK, DARK_PAPER, INK, PAPER

__all__ = [
    "COLOURS",
    "DARK_INK",
    "DARK_PAPER",
    "INK",
    "PAPER",
    "before_after",
    "class_accuracy",
    "class_grid",
    "compare_histories",
    "confusion",
    "confusion_difference",
    "corruption_curves",
    "gallery",
    "heatmaps",
    "history",
    "learning_curve",
    "lr_curve",
    "lr_curves",
    "network",
    "reliability_diagram",
    "rgb_channels",
    "risk_coverage",
    "sample_grid",
    "save",
    "schedule",
    "svg",
]
