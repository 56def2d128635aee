"""Drawn shapes: pictures whose object, and whose shortcut, are known exactly.

Ten classes on 32x32 pixels. Colour, background and place say nothing about the
class; only the outline does. So a heatmap can be compared with the truth.

The pictures do not depend on the CPU: single precision only adds, multiplies, divides
and takes square roots, one array at a time, which every machine rounds alike; sines,
matrix products and means are computed in double precision and rounded once.
`export/web/shapes.mjs` draws the same pictures in a page, so both change together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES", "SIZE", "Shapes", "draw_shapes"]

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

SIZE = 32  #: pixels
#: names of the ten shapes, in the order of the labels
CLASSES = (
    *("disc", "ring", "square", "frame", "triangle"),
    *("cross", "star", "crescent", "bar_pair", "heart"),
)

CHUNK = 1000  # pictures drawn at once: bounds the working memory to about 100 MB
MARK = slice(SIZE - 6, SIZE - 1)  # rows and columns of the shortcut
CHECKER = np.where(np.indices((5, 5)).sum(0) % 2, 0.95, 0.05).astype(np.float32)
COS_36, SIN_36 = 0.80901699, 0.58778525
CENTRES = np.arange(SIZE, dtype=np.float32) + np.float32(0.5)  # of the pixels
ROWS, COLUMNS = CENTRES[:, None], CENTRES  # rows grow downwards


@dataclass(frozen=True)
class Shapes:
    """Drawn pictures with everything that is known about them."""

    images: NDArray[np.uint8]  #: (n, 32, 32, 3)
    labels: NDArray[np.int64]  #: (n,), indices into CLASSES
    masks: Bools  #: (n, 32, 32), where the object can be seen
    shortcuts: Bools  #: (n, 32, 32), where the planted mark is


def draw_shapes(
    n: int,
    *,
    seed: int | Sequence[int] = 0,
    shortcut_class: int | None = None,
    shortcut_probability: float = 1.0,
    other_probability: float = 0.0,
    shortcut_on: bool | Bools | None = None,
    noise: float = 0.06,
    contrast: tuple[float, float] = (0.25, 0.6),
    radius: tuple[float, float] = (5.5, 10.0),
) -> Shapes:
    """Draw `n` pictures, as many of each class as of any other.

    The shortcut is a 5x5 checker in the lower right corner. Asking for it changes
    nothing but the pixels under it: the same seed draws the same objects.

    Args:
        n: where it is no multiple of 10, the first classes get one more.
        seed: a number, or several (a seed and a part, say) for separate streams.
        shortcut_class: class that carries the mark; None plants none.
        shortcut_probability: how often a picture of that class carries it.
        other_probability: how often a picture of another class carries it.
        shortcut_on: (n,) which pictures carry it, or one bool for all; overrules
            the three above.
        noise: standard deviation of the pixel noise, of a range of 1.
        contrast: range of the colour difference between object and background.
        radius: range of the object's size, in pixels.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % len(CLASSES))
    numbers = rng.random(n)  # always: the same seed draws the same pictures
    if shortcut_on is None and shortcut_class is not None:
        own = labels == shortcut_class
        marked = numbers < np.where(own, shortcut_probability, other_probability)
    else:
        marked = np.broadcast_to(False if shortcut_on is None else shortcut_on, (n,))
    return _draw_pictures(rng, labels, marked, noise, contrast, radius)


def _draw_pictures(
    rng: np.random.Generator,
    labels: NDArray[np.int64],
    marked: Bools,
    noise: float,
    contrast: tuple[float, float],
    radius: tuple[float, float],
) -> Shapes:
    """Draw one picture for each label, with the shortcut where it is `marked`."""
    n = len(labels)
    images = np.empty((n, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((n, SIZE, SIZE), bool)
    shortcuts = np.zeros((n, SIZE, SIZE), bool)
    shortcuts[:, MARK, MARK] = marked[:, None, None]
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        cover = _draw_objects(rng, labels[part], radius)
        pixels = _paint(rng, cover, contrast)
        pixels[marked[part], :, MARK, MARK] = CHECKER
        pixels += noise * rng.standard_normal(pixels.shape, dtype=np.float32)
        levels = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
        images[part] = levels.transpose(0, 2, 3, 1)
        masks[part] = cover > 0.5
    return Shapes(images, labels, masks & ~shortcuts, shortcuts)


def _draw_objects(
    rng: np.random.Generator, labels: NDArray[np.int64], radius: tuple[float, float]
) -> Floats:
    """Place one object per picture; return its cover (n, 32, 32), 0 to 1."""
    n = len(labels)
    size: Floats = rng.uniform(*radius, n)
    angle: Floats = rng.uniform(-0.35, 0.35, n)  # radians
    room = np.maximum(SIZE / 2 - 0.95 * size, 0)  # keeps the object inside
    x, y = SIZE / 2 + rng.uniform(-1, 1, (2, n)) * room
    values = (size, np.cos(angle), np.sin(angle), x, y)
    size, cosine, sine, x, y = (_per_picture(each) for each in values)
    right, down = COLUMNS - x, ROWS - y
    u = (cosine * right + sine * down) / size
    v = (cosine * down - sine * right) / size
    distance = np.empty_like(u)
    for label, name in enumerate(CLASSES):
        chosen = labels == label
        distance[chosen] = _outline(name, u[chosen], v[chosen])
    return np.clip(0.5 - distance * size, 0, 1)  # the edge is one pixel soft


def _outline(name: str, u: Floats, v: Floats) -> Floats:
    """Return a function of the plane that is negative inside the shape.

    The shape fits into a circle of radius 1; v grows downwards.
    """
    r = _length(u, v)
    box = np.maximum(np.abs(u), np.abs(v))
    match name:
        case "disc":
            return r - 0.9
        case "ring":
            return np.abs(r - 0.72) - 0.24
        case "square":
            return box - 0.78
        case "frame":
            return np.abs(box - 0.66) - 0.2
        case "triangle":
            return np.maximum(np.abs(u) * 0.866 + v * 0.5, -v) - 0.52
        case "cross":
            return np.maximum(box - 0.95, np.minimum(np.abs(u), np.abs(v)) - 0.3)
        case "star":
            along, across = v, np.abs(u)
            for cosine in (COS_36, -COS_36):  # fold the five arms onto the lowest
                beyond = 2 * np.maximum(cosine * across - SIN_36 * along, 0)
                along = along + SIN_36 * beyond
                across = across - cosine * beyond
            return 0.662583 * along + 0.900013 * np.abs(across) - 0.56
        case "crescent":
            return np.maximum(r - 0.95, 0.62 - _length(u - 0.45, v))
        case "bar_pair":
            return np.maximum(np.abs(np.abs(u) - 0.55) - 0.25, np.abs(v) - 0.9)
        case _:  # heart
            lift = 1.15 * (0.25 - v) - 0.75 * np.sqrt(np.abs(u) + 1e-6)
            return u * u + lift * lift - 0.82


def _length(across: Floats, down: Floats) -> Floats:
    return np.sqrt(across * across + down * down)


def _paint(
    rng: np.random.Generator, cover: Floats, contrast: tuple[float, float]
) -> Floats:
    """Paint objects over backgrounds; return colours (n, 3, 32, 32), about 0 to 1."""
    n = len(cover)
    background = 0.5 + 0.14 * _clouds(rng, n, 4) + 0.10 * _clouds(rng, n, 9)
    background += _uniform(rng, -0.15, 0.15, (n, 3, 1, 1))
    background += _uniform(rng, 0, 0.12, (n, 1, 1, 1)) * _stripes(rng, n)
    # a random direction and size of the shift: colour alone says nothing
    direction = rng.standard_normal((n, 3, 1, 1), dtype=np.float32)
    direction /= np.abs(direction).max(1, keepdims=True)
    shift = direction * _uniform(rng, *contrast, (n, 1, 1, 1))
    mean = background.mean((2, 3), np.float64, keepdims=True).astype(np.float32)
    paint = mean + shift + 0.08 * _clouds(rng, n, 6)
    for _ in range(2):  # small dots behind the object, alike in every class
        blob = _blobs(rng, n)
        colour = _uniform(rng, 0.1, 0.9, (n, 3, 1, 1))
        background += blob * (colour - background)
    return background + cover[:, None] * (paint - background)


def _clouds(rng: np.random.Generator, n: int, cells: int) -> Floats:
    """Draw smooth colour noise (n, 3, 32, 32), interpolated between `cells`² knots."""
    knots = rng.standard_normal((n, 3, cells, cells), dtype=np.float32)
    place = np.linspace(0, cells - 1, SIZE, dtype=np.float32)
    weights = np.maximum(1 - np.abs(place[:, None] - np.arange(cells)), 0)
    # (32, cells), linear interpolation; the products are exact in double precision
    weights = weights.astype(np.float32).astype(np.float64)
    rows = (weights @ knots.astype(np.float64)).astype(np.float32)
    return (rows.astype(np.float64) @ weights.T).astype(np.float32)


def _stripes(rng: np.random.Generator, n: int) -> Floats:
    """Draw waves (n, 1, 32, 32) of random direction and length, -1 to 1."""
    angle = rng.uniform(0, np.pi, (n, 1))
    frequency = rng.uniform(0.5, 1.3, (n, 1))  # radians per pixel
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    across = frequency * np.cos(angle) * CENTRES + phase
    down = frequency * np.sin(angle) * CENTRES
    sin_across, cos_across, sin_down, cos_down = (
        wave.astype(np.float32)
        for wave in (np.sin(across), np.cos(across), np.sin(down), np.cos(down))
    )  # the sine of the sum of both
    waves = sin_across[:, None] * cos_down[:, :, None]
    waves += cos_across[:, None] * sin_down[:, :, None]
    return waves[:, None]


def _blobs(rng: np.random.Generator, n: int) -> Floats:
    """Draw the cover (n, 1, 32, 32) of one small dot per picture, 0 to 1."""
    x, y = (_per_picture(rng.uniform(2, SIZE - 2, n)) for _ in range(2))
    size = _per_picture(rng.uniform(1, 2.4, n))
    return np.clip(size - _length(COLUMNS - x, ROWS - y) + 0.5, 0, 1)[:, None]


def _uniform(
    rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]
) -> Floats:
    """Draw uniform numbers in single precision."""
    return rng.uniform(low, high, shape).astype(np.float32)


def _per_picture(values: Floats) -> Floats:
    """Shape one number per picture so that it meets (n, 32, 32)."""
    return values.astype(np.float32)[:, None, None]
