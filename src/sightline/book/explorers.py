"""Explorers: what a chapter has recorded, as an element that a script brings to life.

Each function returns what a cell displays: the data as JSON, and a sentence. On the
book's own pages the scripts in `book/_static/explorers/` put controls in place of the
sentence. Everywhere else the sentence remains, and points at the figure above.
"""

import base64
import json
import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from IPython.display import HTML
from torch import Tensor, nn

from sightline.data.augment import fill_values, normalise_uint8
from sightline.errors import SightlineError
from sightline.export.page import png
from sightline.heatmaps.explain import Explanation
from sightline.models.lend import evaluating
from sightline.models.summary import receptive_fields
from sightline.training.lr_finder import REACH, SKIP_END, RangeTest

__all__ = ["augmentation", "grad_cam", "lr_finder", "one_cycle", "receptive_field"]

ELSEWHERE = (
    "On the book’s own page, and with JavaScript, controls stand here. "
    "The figures above show the same at rest."
)
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LARGEST_MAP = 32  # cells a side; a finer map would make the page heavy
DECADES = 3.0  # powers of ten between the strongest influence shown and none


def augmentation(
    picture: Tensor, *, mean: tuple[float, ...], std: tuple[float, ...], reach: int = 4
) -> HTML:
    """Let the reader shift and mirror one picture and punch a hole into it.

    Args:
        picture: (H, H, 3) uint8.
        mean: per channel, of pixels in 0..1.
        std: per channel, of pixels in 0..1.
        reach: pixels: largest shift of the recipe; twice as much can be tried.
    """
    fills = ("mean", "raw_mean", "black")
    data = {
        "size": len(picture),
        "pixels": encoded(picture.numpy().tobytes()),
        "mean": rounded(mean),
        "std": rounded(std),
        "fills": {name: rounded(fill_values(name, mean, std)) for name in fills},
        "reach": reach,
    }
    return element("augmentation", data)


def receptive_field(
    model: nn.Module,
    picture: Tensor,
    influence: Mapping[str, Tensor],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> HTML:
    """Let the reader choose a unit of a map and see which pixels reach it.

    Args:
        model: a network whose convolutions are padded by half of their kernels, so
            that unit i is centred on pixel i · stride.
        picture: (H, H, 3) uint8.
        influence: for each layer, (S, S): how strongly each pixel of a canvas reaches
            one unit, whose field lies around pixel S // 2.
        mean: per channel, of pixels in 0..1.
        std: per channel, of pixels in 0..1.
    """
    layers = []
    place = next(model.parameters())
    x = normalise_uint8(picture[None], mean, std).to(place)
    with evaluating(model):
        for name, (field, jump) in receptive_fields(model).items():
            x = getattr(model, name)(x)
            layers.append(
                {
                    "name": name,
                    "field": field,
                    "jump": jump,
                    "side": x.shape[-1],
                    "map": digits(stretched(x[0].mean(0).cpu())),
                    "influence": digits(field_of(influence[name], field)),
                }
            )
    pixels = encoded(picture.numpy().tobytes())
    data = {"side": len(picture), "pixels": pixels, "layers": layers}
    return element("receptive-field", data)


def lr_finder(
    tests: Sequence[RangeTest],
    trained: Mapping[float, float],
    *,
    guess: float,
) -> HTML:
    """Let the reader smooth, trim and read recorded range tests.

    Args:
        tests: one for each seed.
        trained: the accuracy, 0..1, after a short training with each rate; NaN where
            it diverged.
        guess: loss of guessing.
    """
    rates = sorted(trained)
    data = {
        "tests": [
            {"lrs": rounded(t.lrs), "losses": rounded(t.losses, 9)} for t in tests
        ],
        "trained": {
            "rates": rounded(rates),
            "accuracies": [
                None if math.isnan(trained[rate]) else round(trained[rate], 5)
                for rate in rates
            ],
        },
        "guess": round(guess, 4),
        "bandwidth": tests[0].bandwidth,
        "reach": REACH,
        "skip": SKIP_END,
    }
    return element("lr-finder", data)


def one_cycle(
    *,
    max_lr: float,
    total_steps: int,
    pct_start: float,
    div_factor: float,
    final_div_factor: float,
) -> HTML:
    """Let the reader bend one cycle, beginning with these arguments of OneCycleLR."""
    data = {
        "max_lr": max_lr,
        "total_steps": total_steps,
        "pct_start": pct_start,
        "div_factor": div_factor,
        "final_div_factor": final_div_factor,
        "base_momentum": 0.85,
        "max_momentum": 0.95,
        "anneal_strategy": "cos",
    }
    return element("one-cycle", data)


def grad_cam(
    pictures: Tensor,
    answers: Sequence[Mapping[str, Explanation]],
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[str],
) -> HTML:
    """Let the reader choose picture, layer and class among recorded maps.

    Args:
        pictures: (N, H, H, 3) uint8.
        answers: what `explain` returned for each question; its targets are the
            classes that were asked. Maps finer than 32 × 32 are left out.
        probabilities: (N, K).
        labels: (N,), the actual classes.
        classes: their K names.
    """
    layers = coarse_layers(answers[0])
    names = [layer["name"] for layer in layers]
    data = {
        "size": pictures.shape[1],
        "classes": list(classes),
        "colours": inferno(),
        "layers": layers,
        "pictures": [
            {
                "png": encoded(png(picture)),
                "label": int(labels[i]),
                "asked": questions(i, answers, probabilities[i], names),
            }
            for i, picture in enumerate(pictures)
        ],
    }
    return element("grad-cam", data)


def coarse_layers(answer: Mapping[str, Explanation]) -> list[dict]:
    """Return name and side of the layers whose maps are coarse enough to record."""
    layers = [
        {"name": name, "side": side}
        for name, explanation in answer.items()
        if (side := explanation.evidence.shape[-1]) <= LARGEST_MAP
    ]
    if not layers:
        raise SightlineError(
            f"no layer has maps of at most {LARGEST_MAP} × {LARGEST_MAP} cells: "
            "explain a later one"
        )
    return layers


def questions(
    i: int,
    answers: Sequence[Mapping[str, Explanation]],
    probabilities: Tensor,
    layers: Sequence[str],
) -> list[dict]:
    """List the classes that were asked of picture `i`, the most probable first."""
    by_class = {int(answer[layers[0]].targets[i]): answer for answer in answers}
    return [
        {
            "label": k,
            "share": round(probabilities[k].item(), 5),
            "maps": [recorded(by_class[k][layer], i) for layer in layers],
        }
        for k in sorted(by_class, key=lambda k: -probabilities[k].item())
    ]


def recorded(explanation: Explanation, i: int) -> list | None:
    """Return the strongest evidence and the map in digits; None: no evidence."""
    if explanation.status[i] in ("blank", "not finite"):
        return None
    evidence = explanation.evidence[i]
    most = evidence.max()
    return [float(f"{most.item():.3g}"), digits(evidence / most)]


def element(name: str, data: dict) -> HTML:
    """Wrap data for the script called `name`; nothing in it can end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    text = text.replace("<", "\\u003c")
    return HTML(
        f'<div class="explorer" data-explorer="{name}">\n'
        f'<script type="application/json">{text}</script>\n'
        f"<p>{ELSEWHERE}</p>\n</div>"
    )


def field_of(influence: Tensor, field: int) -> Tensor:
    """Cut the field of one unit out of the canvas, on a logarithmic scale of 0..1.

    1 is the strongest influence and 0 is weaker by `DECADES` powers of ten, or more.
    On a linear scale the pixels far from the centre would all look like none.
    """
    middle, half = influence.shape[-1] // 2, field // 2
    rows = slice(middle - half, middle + half + 1)
    relative = influence[rows, rows] / influence.max()
    return (1 + relative.clamp(min=1e-12).log10() / DECADES).clamp(min=0)


def stretched(values: Tensor) -> Tensor:
    """Stretch values to 0..1."""
    span = (values.max() - values.min()).clamp(min=1e-12)
    return (values - values.min()) / span


def digits(values: Tensor) -> str:
    """Write values of 0..1 in 64 steps, one digit of base64 each, row by row."""
    return "".join(BASE64[v] for v in (values * 63).round().int().flatten())


def rounded(values: Sequence[float], figures: int = 6) -> list[float]:
    """Keep so many significant figures."""
    return [float(f"{value:.{figures}g}") for value in values]


def encoded(data: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(data).decode()


def inferno() -> str:
    """Return the 256 colours of `sightline.plots.overlay.overlay`, in base64."""
    table = mpl.colormaps["inferno"](np.arange(256))[:, :3]
    return encoded((255 * table).round().astype(np.uint8).tobytes())
