"""Picture files as RGB squares of one size."""

import multiprocessing
import os
import signal
import sys
import warnings
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from sightline.data.options import Framing
from sightline.errors import DataError

__all__ = [
    "CUT",
    "Pictures",
    "open_picture",
    "picture_suffixes",
    "read_picture",
    "read_pictures",
    "read_whole",
]

# that are read, whatever a file is called. Pillow knows more, most of them rare, and
# hands some to another program: a stranger's EPS to Ghostscript
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"),
    *("JPEG2000", "PPM", "TGA", "ICO"),
)
CUT = "cut to the middle square"  #: what `read_picture` says of one it has cut
PAD = (128, 128, 128)  # grey, near the mean of photographs: little is seen at its edge
CHUNK = 128  # pictures that a worker takes at once
CHUNK_BYTES = 2**24  # decoded, at most: bounds the memory where pictures are large


@dataclass(frozen=True)
class Pictures:
    """The readable ones of some picture files."""

    images: NDArray[np.uint8]  #: (n, size, size, 3)
    places: list[int]  #: of these n among all paths, ascending
    changes: Counter[str]  #: what had to be done, and to how many
    unreadable: dict[int, str]  #: place among all paths → reason


class _Chunk(NamedTuple):
    """Pictures that are read by one process, one after the other."""

    paths: Sequence[str]
    start: int  # place of the first one among all
    image_size: int
    framing: Framing


@cache
def _formats() -> list[str]:
    """Return those of FORMATS that this Pillow can read."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def picture_suffixes() -> set[str]:
    """Return the file name endings, in lower case, of the formats that are read."""
    names = {*_formats(), "MPO"}  # a JPEG with a second one behind it, of telephones
    return {end for end, name in Image.registered_extensions().items() if name in names}


def open_picture(file: str | Path | BinaryIO) -> Image.Image:
    """Open a picture file of one of FORMATS; pixels are decoded when they are used."""
    return Image.open(file, formats=_formats())


def read_picture(
    path: str | Path, image_size: int, framing: Framing = "crop"
) -> tuple[NDArray[np.uint8], list[str]]:
    """Read one picture as a square of `image_size` pixels.

    EXIF rotation is applied, 16 bits become 8, transparent pixels become white and
    any other kind RGB. To "crop" scales the shorter side, antialiased, and cuts out
    the middle; to "pad" scales the longer side and fills up with grey. Of an animation
    the first picture is taken.

    Returns:
        Pixels (size, size, 3) and what was done to them, in words.

    Raises:
        DataError: if the file is missing, broken or no picture.
    """
    with warnings.catch_warnings(action="ignore"):  # of odd metadata, and many pixels
        return _read(path, image_size, framing)


def _read(
    path: str | Path, image_size: int, framing: Framing
) -> tuple[NDArray[np.uint8], list[str]]:
    """Do what `read_picture` says, with Pillow's warnings."""
    with _readable(path) as file:
        # JPEG decodes much faster at a fraction of its size; twice the final side
        # leaves enough for antialiasing
        file.draft(None, (2 * image_size, 2 * image_size))
        picture, changes = _upright(file)
        picture, scalings = _to_square(picture, image_size, framing)
        return np.asarray(picture), changes + scalings


def read_whole(
    path: str | Path, longest: int
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Read one picture as `read_picture` does, but neither cut nor filled up.

    Returns:
        Pixels (H, W, 3), `longest` at most on either side, and the picture's own width
        and height.

    Raises:
        DataError: if the file is missing, broken or no picture.
    """
    with warnings.catch_warnings(action="ignore"), _readable(path) as file:
        picture, _ = _upright(file)
        size = picture.size
        picture.thumbnail((longest, longest))
        return np.asarray(picture), size


@contextmanager
def _readable(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture; whatever goes wrong with it is told in one sentence."""
    try:
        with open_picture(path) as file:
            yield file
    except UnidentifiedImageError as error:
        kinds = f"it is none of {', '.join(_formats())}, or damaged"
        raise DataError(f"{path} cannot be read as a picture: {kinds}") from error
    except Exception as error:  # decoders of broken files raise nearly anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read as a picture: {reason}") from error


def _upright(file: Image.Image) -> tuple[Image.Image, list[str]]:
    """Apply the EXIF rotation, and convert to RGB; return also what was done."""
    picture, changes = file, []
    if file.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        picture = ImageOps.exif_transpose(file)
        changes = ["turned upright (EXIF)"]
    picture, conversions = _to_rgb(picture)
    return picture, changes + conversions


def _to_square(
    picture: Image.Image, size: int, framing: Framing
) -> tuple[Image.Image, list[str]]:
    """Scale a picture, and cut it or fill it up; return also that, in words."""
    if picture.size == (size, size):
        return picture, []
    resized = f"resized to {size}x{size}"
    even = picture.width == picture.height
    if even or framing == "crop":
        cuts = [CUT] * (not even)
        return ImageOps.fit(picture, (size, size)), [*cuts, resized]
    longer = max(picture.size)
    # rounded half up, as on the page of `export`
    width, height = (
        max(1, (2 * side * size + longer) // (2 * longer)) for side in picture.size
    )
    square = Image.new("RGB", (size, size), PAD)
    corner = (size - width) // 2, (size - height) // 2
    square.paste(picture.resize((width, height)), corner)
    return square, ["padded to a square", resized]


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
    paths: Sequence[str],
    image_size: int,
    framing: Framing = "crop",
    *,
    progress: bool = True,
) -> Generator[Pictures]:
    """Read many pictures on all cores, as `read_picture` does, in their order.

    What has been read waits in memory only until the caller takes it. A picture whose
    decoding ends a process, for lack of memory or by a fault of a decoder, is one that
    cannot be read.
    """
    count = max(1, min(CHUNK, CHUNK_BYTES // (3 * image_size**2)))
    chunks = [
        _Chunk(paths[start : start + count], start, image_size, framing)
        for start in range(0, len(paths), count)
    ]
    title = {"desc": "decoding", "unit": " pictures", "disable": not progress}
    with (
        warnings.catch_warnings(action="ignore"),  # of odd metadata, and many pixels
        tqdm(total=len(paths), **title) as bar,
    ):
        for part in _in_order(chunks):
            yield part
            bar.update(len(part.places) + len(part.unreadable))


def _in_order(chunks: Sequence[_Chunk]) -> Iterator[Pictures]:
    """Read chunks at the same time; one picture at a time, where a process dies."""
    cores, done = _cores(), 0
    while done < len(chunks):
        waiting: deque[Future[Pictures]] = deque()
        rest = iter(chunks[done:])
        try:
            with _workers(cores) as pool:
                # one in work and one in reserve each, and the one that is waited for
                waiting.extend(
                    pool.submit(_read_chunk, c) for c in islice(rest, 2 * cores + 1)
                )
                while waiting:
                    yield waiting.popleft().result()
                    done += 1
                    waiting.extend(pool.submit(_read_chunk, c) for c in islice(rest, 1))
        except BrokenExecutor:  # by this chunk, or by one of those after it
            yield from _one_by_one(chunks[done])
            done += 1


def _one_by_one(chunk: _Chunk) -> Iterator[Pictures]:
    """Read each picture of a chunk in a process of its own."""
    for place, path in enumerate(chunk.paths, chunk.start):
        one = chunk._replace(paths=[path], start=place)
        with _workers(1) as pool:
            try:
                yield pool.submit(_read_chunk, one).result()
            except BrokenExecutor:
                reason = "decoding it ended the process, for lack of memory perhaps"
                words = f"{path} cannot be read as a picture: {reason}"
                nothing = _read_chunk(one._replace(paths=[]))
                yield replace(nothing, unreadable={place: words})


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
        fork = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(count, fork, initializer=_leave_ending_to_parent)
    return ThreadPoolExecutor(count)


def _leave_ending_to_parent() -> None:
    """Ignore Ctrl-C, which reaches all processes of a terminal, in a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the executor's own way to end it


def _read_chunk(chunk: _Chunk) -> Pictures:
    """Read the pictures of a chunk."""
    images, places, unreadable = [], [], {}
    changes: Counter[str] = Counter()
    for place, path in enumerate(chunk.paths, chunk.start):
        try:
            image, changes_of_one = _read(path, chunk.image_size, chunk.framing)
        except DataError as error:
            unreadable[place] = str(error)
            continue
        images.append(image)
        places.append(place)
        changes.update(changes_of_one)
    shape = (len(images), chunk.image_size, chunk.image_size, 3)
    pixels = np.array(images, np.uint8).reshape(shape)  # also when there are none
    return Pictures(pixels, places, changes, unreadable)
