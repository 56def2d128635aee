"""Picture files: whatever Pillow reads, as RGB squares of one size."""

import multiprocessing
import os
import sys
import warnings
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from sightline.errors import DataError

__all__ = ["Pictures", "picture_suffixes", "read_picture", "read_pictures"]

CHUNK = 128  # pictures that a worker takes at once
CHUNK_BYTES = 2**24  # decoded, at most: bounds the memory where pictures are large


@dataclass(frozen=True)
class Pictures:
    """The readable ones of some picture files."""

    images: NDArray[np.uint8]  #: (n, size, size, 3)
    places: list[int]  #: of these n among all paths, ascending
    changes: Counter[str]  #: what had to be done, and to how many
    unreadable: dict[int, str]  #: place among all paths → reason


def picture_suffixes() -> set[str]:
    """Return the file name endings, in lower case, of all formats Pillow reads."""
    endings = Image.registered_extensions()  # this also fills Image.OPEN
    return {ending for ending, name in endings.items() if name in Image.OPEN}


def read_picture(
    path: str | Path, image_size: int
) -> tuple[NDArray[np.uint8], list[str]]:
    """Read one picture as a square of `image_size` pixels.

    EXIF rotation is applied, 16 bits become 8, transparent pixels become white and
    any other kind RGB; then the shorter side is scaled, antialiased, and the middle
    cut out. Of an animation the first picture is taken.

    Returns:
        Pixels (size, size, 3) and what was done to them, in words.

    Raises:
        DataError: if the file is missing, broken or no picture.
    """
    try:
        with Image.open(path) as file:
            # JPEG decodes much faster at a fraction of its size; twice the final side
            # leaves enough for antialiasing
            file.draft(None, (2 * image_size, 2 * image_size))
            picture: Image.Image = file
            changes = []
            if file.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                picture = ImageOps.exif_transpose(file)
                changes.append("turned upright (EXIF)")
            picture, conversions = _to_rgb(picture)
            changes += conversions
            if picture.size != (image_size, image_size):
                picture = ImageOps.fit(picture, (image_size, image_size))
                changes.append(f"resized to {image_size}x{image_size}")
            return np.asarray(picture), changes
    except Exception as error:  # decoders of broken files raise nearly anything
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


def _to_rgb(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Convert any kind of pixel to RGB; return also what was done, in words."""
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        flat = Image.alpha_composite(white, layer).convert("RGB")
        return flat, ["with an alpha channel put on white"]
    if picture.mode == "RGB":
        return picture, []
    if picture.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if picture.mode.startswith("I"):  # Pillow's own conversion would clip at 255
        levels = np.asarray(picture).clip(0, 65535) >> 8
        grey = Image.fromarray(levels.astype(np.uint8))
        return grey.convert("RGB"), ["reduced from 16 bits to 8"]
    names = {"L": "grey", "1": "black and white", "P": "palette"}
    kind = names.get(picture.mode, picture.mode)
    return picture.convert("RGB"), [f"converted from {kind} to RGB"]


def read_pictures(
    paths: Sequence[str], image_size: int, *, progress: bool = True
) -> Generator[Pictures]:
    """Read many pictures on all cores, as `read_picture` does, in their order.

    What has been read waits in memory only until the caller takes it.
    """
    count = max(1, min(CHUNK, CHUNK_BYTES // (3 * image_size**2)))
    cores = _cores()
    waiting: deque[Future[Pictures]] = deque()
    title = {"desc": "decoding", "unit": " pictures", "disable": not progress}
    with (
        warnings.catch_warnings(),
        _workers(cores) as pool,
        tqdm(total=len(paths), **title) as bar,
    ):
        warnings.simplefilter("ignore")  # odd metadata; what is broken gets named
        for start in range(0, len(paths), count):
            chunk = paths[start : start + count]
            waiting.append(pool.submit(_read_chunk, chunk, start, image_size))
            if len(waiting) > 2 * cores:  # one in work and one in reserve each
                yield waiting.popleft().result()
                bar.update(count)
        while waiting:
            yield waiting.popleft().result()
            bar.update(min(count, len(paths) - bar.n))


def _cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _workers(count: int) -> Executor:
    """Return one worker per core: forked processes on Linux, elsewhere threads.

    Small pictures are mostly Python's work, for which threads only take turns:
    60,000 JPEGs of 32x32 took 4 s in two processes, 7 s in one, 11 s in two threads.
    """
    if sys.platform == "linux":
        return ProcessPoolExecutor(count, multiprocessing.get_context("fork"))
    return ThreadPoolExecutor(count)


def _read_chunk(paths: Sequence[str], start: int, image_size: int) -> Pictures:
    """Read some pictures, the first of which has the place `start`."""
    images, places, unreadable = [], [], {}
    changes: Counter[str] = Counter()
    for place, path in enumerate(paths, start):
        try:
            image, changes_of_one = read_picture(path, image_size)
        except DataError as error:
            unreadable[place] = str(error)
            continue
        images.append(image)
        places.append(place)
        changes.update(changes_of_one)
    shape = (len(images), image_size, image_size, 3)
    pixels = np.array(images, np.uint8).reshape(shape)  # also when there are none
    return Pictures(pixels, places, changes, unreadable)
