"""The section of a report that scores heatmaps, beside maps that know nothing."""

from collections.abc import Callable
from dataclasses import asdict

from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.baselines import BASELINES
from sightline.heatmaps.explain import Explainer, cam
from sightline.heatmaps.faithfulness import Grids, picture_grids, road
from sightline.heatmaps.localisation import energy_in_mask
from sightline.heatmaps.sanity import cascading_randomisation, class_sensitivity
from sightline.measures.inference import Estimate, estimate
from sightline.measures.numbers import signed
from sightline.reports.subject import Section, Subject
from sightline.reports.tables import markdown_table

__all__ = ["heatmap_trust"]

TRUSTED, GRIDS = 40, 20  # images, and grids of four, that heatmaps are scored on
SCORED = ("grad_cam", "hires_cam", "layer_cam", "eigen_cam")
MEANINGS = {
    "in grid cell": "of four pictures in a grid, the share of the map in the one whose "
    "class was asked for; 0.25 by chance.",
    "ROAD": "how much further the probability falls when the brightest pixels are "
    "filled in than when the dimmest are; 0 by chance.",
    "same for runner-up": "correlation with the map of the second class; a map that "
    "explains a class is far from 1.",
    "same with random head": "correlation with the map after the last layer got random "
    "weights; a map that explains this network is far from 1.",
    "on the object": "the share of the map on the object; the area of the objects by "
    "chance.",
}
BOUNDS = {column: (-1, 1) for column in MEANINGS} | {
    column: (0, 1) for column in ("in grid cell", "on the object")
}


def heatmap_trust(subject: Subject) -> Section:
    """Score heatmaps on this network beside maps that never saw it."""
    title, right = "Can the heatmaps be believed?", subject.test.right
    index = subject.sample()
    index = index[right[index]][:TRUSTED]
    if len(index) < 2:
        return Section(title, ["Too few images are recognised to tell."])
    grids = grids_of(subject)
    explainers = {
        f"{method} {layer}": cam(method, layer)
        for method in SCORED
        for layer in subject.layers
    }
    explainers |= {name: ignorant(make) for name, make in BASELINES.items()}
    rows = {
        name: scores(subject, index, grids, explainer)
        for name, explainer in explainers.items()
    }
    columns = list(next(iter(rows.values())))
    among = f" and {len(grids.images) // 4} grids of four" if grids else ""
    estimates = {
        name: {
            column: estimate(values, bounds=BOUNDS[column])
            for column, values in row.items()
        }
        for name, row in rows.items()
    }
    cells = [[name, *map(written, row.values())] for name, row in estimates.items()]
    parts = [
        f"Mean over {len(index)} correctly classified test images{among}, with its "
        "95 % interval. Trust a method where it is better than maps that have "
        f"never seen the network: {', '.join(BASELINES)}.",
        markdown_table(["maps", *columns], cells),
        "".join(f"- *{column}*: {MEANINGS[column]}\n" for column in columns),
    ]
    numbers: dict[str, object] = {
        name: {column: asdict(value) for column, value in row.items()}
        for name, row in estimates.items()
    }
    return Section(title, parts, numbers)


def ignorant(make: Callable[[Tensor], Tensor]) -> Explainer:
    """Turn a baseline into an explainer that looks at neither network nor class."""

    def explainer(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        return make(images.cpu())

    return explainer


def scores(
    subject: Subject, index: Tensor, grids: Grids | None, explainer: Explainer
) -> dict[str, Tensor]:
    """Return one number per image for each way to doubt a heatmap."""
    model, test, images = subject.model, subject.test, subject.images(index)
    targets = test.labels[index]
    others = test.logits[index].topk(2).indices[:, 1]
    heatmaps = explainer(model, images, targets)
    head = list(model.named_children())[-1][0]
    columns = {}
    if grids:
        maps = explainer(model, grids.images, grids.targets)
        shares = energy_in_mask(maps, grids.masks)
        columns["in grid cell"] = shares.view(-1, 4).nanmean(1)  # one value per grid
    columns |= {
        "ROAD": road(model, images, targets, heatmaps),
        "same for runner-up": class_sensitivity(
            model, images, targets, others, explainer
        ),
        "same with random head": cascading_randomisation(
            model, images, targets, explainer, stages=[head]
        )[head],
    }
    masks = subject.splits.test.masks
    if masks is not None:
        columns["on the object"] = energy_in_mask(heatmaps, masks[index])
    return columns


def grids_of(subject: Subject) -> Grids | None:
    """Lay pictures into grids; None where these pictures or this model cannot."""
    index = subject.sample(GRIDS * 20)
    labels = subject.test.labels[index]
    try:
        return picture_grids(subject.model, subject.images(index), labels, count=GRIDS)
    except SightlineError:  # fewer than four classes, or one size of pictures only
        return None


def written(value: Estimate) -> str:
    """Write a mean with its 95 % interval, and how many maps were blank."""
    if not value.images:
        return "–"
    mean, low, high = (
        signed(number, 2, plus=False) for number in (value.mean, value.low, value.high)
    )
    blank = f", {value.left_out} blank" * bool(value.left_out)
    return f"{mean} ({low} to {high}){blank}"
