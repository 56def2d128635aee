"""Figures of curves: learning rates, schedules, histories, learning curves."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

from sightline.errors import SightlineError
from sightline.measures.numbers import with_interval
from sightline.plots import style

__all__ = [
    "compare_histories",
    "history",
    "learning_curve",
    "lr_curve",
    "lr_curves",
    "schedule",
]


if TYPE_CHECKING:  # drawing needs no training loop, which is slow to import
    from sightline.training.engine import Epoch
    from sightline.training.lr_finder import RangeTest


def lr_curve(test: "RangeTest", suggestions: Mapping[str, float]) -> Figure:
    """Plot the loss against the learning rate, with what each rule suggests.

    The vertical range follows the smoothed loss down to its minimum: what diverges
    later leaves the frame.
    """
    figure = style.new_figure(3.4)
    axes = figure.subplots()
    axes.plot(test.lrs, test.losses, color=style.INK, alpha=0.3, lw=0.8)
    lrs, smoothed = test.curve()
    axes.plot(lrs, smoothed, color=style.BLUE, lw=1.8)
    style.log_axis(axes)
    style.apply(axes, "", "learning rate")
    axes.set_ylim(_loss_range([test]))
    ends = [
        (test.losses[-1], "each step", style.INK + "66"),
        (smoothed[-1], "smoothed", style.BLUE),
    ]
    style.label_ends(axes, ends, 2.2)
    _point_out(axes, test, suggestions)
    # over the numbers of the axis: the names of the rules need the room above it
    style.write_note(axes, "Loss", (0, 1), (-5, 9), fontsize=style.TITLE, ha="right")
    return figure


def lr_curves(
    tests: Sequence["RangeTest"], suggestions: Sequence[Mapping[str, float]]
) -> Figure:
    """Plot range tests of several seeds, and how far each rule's suggestions differ."""
    rules = list(suggestions[0])
    figure = style.new_figure(2.6 + 0.28 * len(rules) + 0.7)
    upper, lower = figure.subplots(
        2, sharex=True, height_ratios=(2.6, 0.28 * len(rules) + 0.1)
    )
    for test in tests:
        upper.plot(*test.curve(), color=style.BLUE, lw=1.2, alpha=0.8)
    upper.set_ylim(_loss_range(tests))
    style.apply(upper, f"Loss, smoothed, of {len(tests)} seeds")
    upper.tick_params(axis="x", which="both", length=0)
    for row, rule in enumerate(rules):
        lrs = sorted(suggestion[rule] for suggestion in suggestions)
        lower.plot(
            (lrs[0], lrs[-1]), (row, row), color=style.VERMILION, lw=1, alpha=0.6
        )
        lower.plot(lrs, [row] * len(lrs), "o", color=style.VERMILION, ms=5, alpha=0.8)
        style.write_beside(
            lower, row, f"{style.short_number(lrs[0])} to {style.short_number(lrs[-1])}"
        )
    style.log_axis(lower)
    style.apply(lower, "Suggestions", "learning rate")
    lower.set_yticks(range(len(rules)), rules)
    lower.set_ylim(len(rules) - 0.5, -0.5)
    return figure


def schedule(
    steps: Sequence[int],
    lrs: Sequence[float] | Mapping[str, Sequence[float]],
    momenta: Sequence[float] | None = None,
) -> Figure:
    """Plot the learning rate of every step, and the momentum, if any, below it.

    Several schedules of learning rates are a mapping from their names.
    """
    curves = lrs if isinstance(lrs, Mapping) else {"": lrs}
    heights = (2.4,) if momenta is None else (2.4, 1.2)
    figure = style.new_figure(sum(heights) + 0.7)
    panels = np.ravel(figure.subplots(len(heights), sharex=True, height_ratios=heights))
    ends = []
    for i, (name, values) in enumerate(curves.items()):
        colour = style.COLOURS[i % len(style.COLOURS)]
        panels[0].plot(steps, values, color=colour, lw=1.8)
        ends.append((values[-1], name, colour))
    panels[0].set_ylim(bottom=0)
    if isinstance(lrs, Mapping):
        style.apply(panels[0], "Learning rate")
        style.label_ends(panels[0], ends, heights[0])
    else:
        style.apply(panels[0], f"Learning rate: {_course(lrs)}")
    if momenta is not None:
        panels[1].plot(steps, momenta, color=style.PURPLE, lw=1.8)
        style.apply(panels[1], f"Momentum: {_course(momenta)}")
    panels[-1].set_xlabel("step", color=style.INK, fontsize=style.TEXT)
    return figure


def history(epochs: Sequence[Mapping[str, float]] | Sequence["Epoch"]) -> Figure:
    """Plot loss, accuracy and learning rate over the epochs of a run.

    They may be rows of `Run.history` or what `fit` yields.
    """
    rows = [epoch if isinstance(epoch, Mapping) else asdict(epoch) for epoch in epochs]
    if not rows:
        raise SightlineError("the history is empty: train at least one epoch")
    heights = (1.9, 1.9, 1.1)
    figure = style.new_figure(sum(heights) + 0.9)
    panels = figure.subplots(3, sharex=True, height_ratios=heights)
    _train_and_validation(panels[0], rows, "loss", "Loss", heights[0])
    _train_and_validation(panels[1], rows, "accuracy", "Accuracy, %", heights[1])
    # an epoch begins where the one before it ended
    begins = [row["epoch"] - 1 for row in rows] + [rows[-1]["epoch"]]
    lrs = [row["lr"] for row in rows] + [rows[-1]["last_lr"]]
    panels[2].plot(begins, lrs, color=style.GREEN, lw=1.6)
    panels[2].set_ylim(bottom=0)
    style.apply(panels[2], "Learning rate", "epoch")
    style.label_ends(
        panels[2], [(lrs[-1], style.short_number(lrs[-1]), style.GREEN)], heights[2]
    )
    panels[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def compare_histories(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
) -> Figure:
    """Plot validation accuracy and training loss of several runs over their epochs.

    Histories are as in `Run.history`; a run without an epoch is left out.
    """
    begun = {name: rows for name, rows in histories.items() if rows}
    if not begun:
        raise SightlineError("no run has an epoch to plot: train at least one")
    height = max(2.1, 0.19 * len(begun))
    figure = style.new_figure(2 * height + 1.5)  # titles and numbers of the axes
    panels = figure.subplots(2, sharex=True)
    quantities = (
        ("validation_accuracy", "Validation accuracy, %", 100, 1),
        ("train_loss", "Training loss", 1, 2),
    )
    for axes, (key, title, unit, digits) in zip(panels, quantities, strict=True):
        ends = []
        for i, (name, rows) in enumerate(begun.items()):
            colour, dash = style.look(i)
            values = [unit * row[key] for row in rows]
            epochs = [row["epoch"] for row in rows]
            axes.plot(epochs, values, "o", ls=dash, color=colour, lw=1.6, ms=3)
            words = f"{style.cut_middle(name)} {values[-1]:.{digits}f}"
            ends.append((values[-1], words, colour, dash))
        style.apply(axes, title)
        style.label_ends(axes, ends, height)
    panels[1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[1].set_xlabel("epoch", color=style.INK, fontsize=style.TEXT)
    return figure


def learning_curve(
    sizes: Sequence[int], right: Tensor, gain: tuple[float, float, float]
) -> Figure:
    """Plot accuracy against training pictures, and what twice as many would bring.

    Args:
        sizes: pictures, ascending.
        right: (sizes, draws, images) bool: whether each answer was right.
        gain: of the next doubling, its low and its high end, in 0..1.
    """
    figure = style.new_figure(3.2)
    axes = figure.subplots()
    percent = 100 * right.double().mean(2)  # (sizes, draws)
    means = percent.mean(1).tolist()
    for draw in percent.T.tolist():
        axes.plot(sizes, draw, "o", color=style.BLUE, ms=4, alpha=0.5, mew=0)
    axes.plot(sizes, means, color=style.BLUE, lw=1.8)
    doubled, (likely, low, high) = 2 * sizes[-1], (means[-1] + 100 * g for g in gain)
    axes.plot(
        (sizes[-1], doubled), (means[-1], likely), color=style.VERMILION, lw=1.2, ls=":"
    )
    axes.plot((doubled, doubled), (low, high), color=style.VERMILION, lw=1.8)
    axes.plot(doubled, likely, "o", color=style.VERMILION, ms=5)
    axes.set_xscale("log")
    ticks = [*sizes, doubled]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(sizes[0] / 1.35, doubled * 1.1)
    draws, images = right.shape[1:]
    title = f"Accuracy, %, on {images:,} pictures held out, of {draws} draws"
    style.apply(axes, title, "training pictures")
    for value, point in zip(means, sizes, strict=True):
        style.write_note(
            axes, f"{value:.1f}", (point, value), (-6, 7), xycoords="data", ha="right"
        )
    points = with_interval([100 * g for g in gain])
    style.write_beside(axes, likely, f"forecast, in points:\n{points}")
    return figure


def _loss_range(tests: Sequence["RangeTest"]) -> tuple[float, float]:
    """Return limits that show the descent and the beginning of the divergence."""
    curves = [test.curve()[1] for test in tests]
    lowest = min(losses.min() for losses in curves)
    highest = max(losses[: losses.argmin() + 1].max() for losses in curves)
    span = max(highest - lowest, 1e-3)
    return lowest - 0.15 * span, highest + 0.4 * span


def _train_and_validation(
    axes: Axes,
    rows: Sequence[Mapping[str, float]],
    key: str,
    title: str,
    height: float,
) -> None:
    """Plot one quantity of both parts over the epochs."""
    epochs, ends = [row["epoch"] for row in rows], []
    unit, digits = (100, 1) if "%" in title else (1, 2)
    for part, colour in (("train", style.BLUE), ("validation", style.VERMILION)):
        values = [unit * row[f"{part}_{key}"] for row in rows]
        axes.plot(epochs, values, "o-", color=colour, lw=1.6, ms=3)
        name = "training" if part == "train" else part
        ends.append((values[-1], f"{name} {values[-1]:.{digits}f}", colour))
    style.apply(axes, title)
    style.label_ends(axes, ends, height)


def _point_out(axes: Axes, test: "RangeTest", suggestions: Mapping[str, float]) -> None:
    """Mark suggestions on the curve, and name them above the axes.

    The leftmost has the highest row, so that no name meets another one's line.
    """
    row = style.LINE * 1.1 * 72  # points
    lrs, smoothed = test.curve()
    ordered = sorted(suggestions.items(), key=lambda item: item[1], reverse=True)
    for i, (name, lr) in enumerate(ordered):
        loss = np.interp(np.log(lr), np.log(lrs), smoothed)
        axes.plot(lr, loss, "o", color=style.VERMILION, ms=5, clip_on=False)
        top = ScaledTranslation(0, row * (i + 1) / 72, axes.figure.dpi_scale_trans)
        axes.annotate(
            "",
            xy=(lr, loss),
            xytext=(lr, 1),
            textcoords=("data", axes.transAxes + top),
            arrowprops=style.HAIR | {"arrowstyle": "-", "alpha": 0.5, "shrinkA": 0},
        )
        words, above = f"{name} {style.short_number(lr)}", ("data", "axes fraction")
        style.write_note(axes, words, (lr, 1), (4, row * i + 4), xycoords=above)


def _course(values: Sequence[float]) -> str:
    """Write where a curve begins, how far from there it gets, and where it ends."""
    farthest = int(np.argmax(np.abs(np.asarray(values) - values[0])))
    stations = map(style.short_number, (values[0], values[farthest], values[-1]))
    return " → ".join(station for station, _ in itertools.groupby(stations))
