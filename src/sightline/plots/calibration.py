"""Figures of how often a model is right: by class, by confidence, by damage."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from sightline.measures.calibration import Reliability, RiskCoverage
from sightline.measures.inference import wilson_interval
from sightline.measures.metrics import class_intervals
from sightline.plots import style

__all__ = [
    "class_accuracy",
    "corruption_curves",
    "reliability_diagram",
    "risk_coverage",
]

MARKERS = "osD^"  # of the models: colour alone tells no two apart
NARROW = 4.6  # inches: words of 9 points are still read on a phone


def class_accuracy(matrix: Tensor, classes: Sequence[str]) -> Figure:
    """Show the accuracy of every class with its interval, the best on top.

    The intervals hold together with 95 %, see `class_intervals`. The matrix is (K, K)
    counts, rows actual, as `confusion_matrix` makes them.
    """
    right, images = matrix.diagonal(), matrix.sum(1)
    low, high = (100 * end for end in class_intervals(matrix))
    share = 100 * right.double() / images.clamp_min(1)
    order = [i for i in share.argsort(descending=True).tolist() if images[i]]
    order += [i for i in range(len(classes)) if not images[i]]
    figure = _narrow_figure(0.24 * len(classes) + 0.8)
    axes = figure.subplots()
    for row, i in enumerate(order):
        if not images[i]:
            style.write_beside(axes, row, "no image")
            continue
        axes.plot((low[i], high[i]), (row, row), color=style.BLUE, lw=2, alpha=0.5)
        axes.plot(share[i], row, "o", color=style.BLUE, ms=5)
        style.write_beside(axes, row, f"{share[i]:.1f}   {low[i]:.1f} to {high[i]:.1f}")
    total = (100 * right.sum() / images.sum().clamp_min(1)).item()
    axes.axvline(total, color=style.INK, lw=0.8, alpha=0.6, ls="--")
    title = "Accuracy of each class, %, with joint 95 % intervals"
    style.apply(axes, title, f"dashed: all images, {total:.1f} %")
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=style.INK, alpha=0.12, lw=0.6)
    axes.set_yticks(range(len(order)), [style.cut_middle(classes[i]) for i in order])
    axes.set_ylim(len(order) - 0.5, -0.5)
    return figure


def reliability_diagram(models: Mapping[str, Reliability]) -> Figure:
    """Show accuracy against confidence of up to four models, and below it their images.

    Points on the diagonal keep their word; below it the model is too sure. Bars are
    95 % intervals: a bin of few images says little.
    """
    figure = _narrow_figure(4.6)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3.2, 1))
    upper.plot((0, 100), (0, 100), color=style.INK, lw=0.8, alpha=0.6, ls="--")
    words = "dashed: right as often as it says"
    style.write_note(upper, words, (0.99, 0.04), (0, 0), ha="right")
    for i, (name, bins) in enumerate(models.items()):
        colour = style.COLOURS[i]
        _bins_with_intervals(upper, bins, colour, MARKERS[i])
        x, y = 0.03, 0.95 - 0.08 * i
        upper.plot(x, y, MARKERS[i], color=colour, ms=5, transform=upper.transAxes)
        words = f"{name}: ECE {100 * bins.error:.1f} points"
        style.write_note(upper, words, (x, y), (8, 0), va="center")
        shares = 100 * bins.counts / bins.counts.sum().clamp_min(1)
        lower.stairs(shares, 100 * bins.edges, color=colour, lw=1.6)
    upper.set(xlim=(0, 100), ylim=(-3, 122), yticks=range(0, 101, 20))
    style.apply(upper, "Accuracy, %")
    style.apply(lower, "Images, %", "confidence, %")
    return figure


def _bins_with_intervals(
    axes: Axes, bins: Reliability, colour: str, marker: str
) -> None:
    """Draw one point for each bin that has images, with its interval."""
    filled = bins.counts > 0
    counts, share = bins.counts[filled], bins.accuracy[filled]
    low, high = wilson_interval((share * counts).round(), counts)
    x = 100 * bins.confidence[filled]
    axes.vlines(x, 100 * low, 100 * high, color=colour, lw=2, alpha=0.5)
    axes.plot(x, 100 * share, marker, color=colour, ms=5)


def risk_coverage(models: Mapping[str, RiskCoverage]) -> Figure:
    """Plot the share of wrong answers over the share of images that are answered.

    Dotted, for each, what it would be if all mistakes were declined first.
    """
    height = 3.0
    figure = _narrow_figure(height + 0.7)
    axes = figure.subplots()
    ends = []
    for i, (name, curve) in enumerate(models.items()):
        colour, dash = style.look(i)
        share, risk, best = (
            100 * each for each in (curve.coverage, curve.risk, curve.best_risk)
        )
        axes.plot(share, risk, color=colour, ls=dash, lw=1.8)
        axes.plot(share, best, color=colour, ls=":", lw=1)
        words = f"{name}, area {100 * curve.area:.1f}"
        ends.append((risk[-1].item(), words, colour, dash))
    axes.set(xlim=(0, 100))
    axes.set_ylim(bottom=0)
    style.apply(axes, "Wrong answers, %", "answered, the surest first, %")
    style.label_ends(axes, ends, height)
    return figure


def corruption_curves(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Plot quantities over the severity of several kinds of damage.

    A panel has a title and for each kind the values at severity 0 (the pictures as
    they are), 1, 2, ...
    """
    height = 2.4
    figure = _narrow_figure((height + 0.3) * len(panels) + 0.3)
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, curves) in zip(rows, panels.items(), strict=True):
        ends = []
        for i, (name, values) in enumerate(curves.items()):
            colour, dash = style.look(i)
            axes.plot(values, "o", ls=dash, color=colour, lw=1.6, ms=3)
            ends.append((values[-1], f"{name} {values[-1]:.0f}", colour, dash))
        axes.set_ylim(bottom=0)
        style.apply(axes, title)
        style.label_ends(axes, ends, height)
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    rows[-1].set_xlabel(
        "severity; 0 is the picture as it is", color=style.INK, fontsize=style.TEXT
    )
    return figure


def _narrow_figure(height: float) -> Figure:
    """Make an empty figure that a phone need not shrink much."""
    figure = style.new_figure(height)
    figure.set_figwidth(NARROW)
    return figure
