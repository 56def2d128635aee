"""The diagram of a network: its parts from top to bottom, as wide as their maps."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sightline.models.summary import Stage
from sightline.plots import style

__all__ = ["network"]

ROW = 0.36  # inches of a part, with the arrow to the next one
BOX = 0.62  # share of a row that is box


def network(stages: Sequence[Stage], image_size: int) -> Figure:
    """Draw one box a part, as wide as its map is beside the picture.

    What has no width any more, such as logits, is as wide as one pixel.
    """
    figure = style.new_figure(ROW * (len(stages) + 1))
    axes = figure.subplots()
    picture = Stage("picture", "pixels", (3, image_size, image_size), 0, None, None)
    for row, stage in enumerate([picture, *stages]):
        share = (stage.shape[-1] if len(stage.shape) == 3 else 1) / image_size
        colour, middle = style.BLUE if row else style.INK, row + BOX / 2
        axes.add_patch(Rectangle((-share / 2, row), share, BOX, fc=colour, alpha=0.7))
        name, words = (
            style.cut_middle(stage.name, 14),
            style.cut_words(_about(stage), 4),
        )
        style.write_note(
            axes,
            name,
            (-0.5, middle),
            (-8, 0),
            xycoords="data",
            va="center",
            ha="right",
        )
        style.write_note(
            axes, words, (0.5, middle), (8, 0), xycoords="data", va="center"
        )
        if row:
            arrow = {"arrowstyle": "-|>", "color": style.INK, "lw": 0.8}
            axes.annotate("", (0, row), (0, row - 1 + BOX), arrowprops=arrow)
    axes.set_xlim(-1.2, 3.4)
    axes.set_ylim(len(stages) + 1, -0.1)
    axes.axis("off")
    return figure


def _about(stage: Stage) -> str:
    """Say what a part is made of, what it gives, and how far it sees."""
    words = f"{stage.kind} → {'×'.join(map(str, stage.shape))}"
    if stage.parameters:
        words += f", {stage.parameters:,} parameters"
    if stage.field:
        words += f", sees {stage.field} px"
    return words
