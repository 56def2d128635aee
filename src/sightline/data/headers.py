"""What the first bytes of picture files say, and what their sizes will cost."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import get_args

from PIL import ExifTags, Image
from tqdm import tqdm

from sightline.data.findings import Finding, count_pictures
from sightline.data.listing import Listing
from sightline.data.options import Framing, ImageSize
from sightline.data.pictures import open_picture

__all__ = ["Header", "find_shapes", "find_sizes", "read_headers"]

LONG = 2  # times the shorter side: more than half of the picture is cut away
CUT = 0.2  # of half of the pictures, or more, is outside of the middle square


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture file say."""

    shorter: int  #: side, in pixels
    longer: int
    kind: str  #: of file and pixels
    taken: float | None = None  #: when, in seconds; by the camera's clock


def read_headers(listing: Listing, progress: bool) -> Iterator[Header | None]:
    """Read the first bytes of all files; None where they are of no picture."""
    bar = {"desc": "looking", "unit": " pictures", "disable": not progress}
    for name in tqdm(listing.names, **bar):
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                open_picture(listing.folder / name) as picture,
            ):
                kind = f"{picture.format} {picture.mode}"
                sides = min(picture.size), max(picture.size)
                header = Header(*sides, kind, _taken(picture))
        except Exception:  # decoders of broken files raise nearly anything
            header = None
        yield header


def _taken(picture: Image.Image) -> float | None:
    """Return when a photograph was taken, if EXIF tells."""
    with suppress(Exception):  # of broken metadata
        exif = picture.getexif().get_ifd(ExifTags.IFD.Exif)
        moment = str(exif[ExifTags.Base.DateTimeOriginal]).strip("\0 ")
        fraction = str(exif.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")
        time = datetime.strptime(moment, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
        return time.timestamp() + float(f"0.{fraction or 0}")
    return None


def find_sizes(
    listing: Listing,
    headers: Sequence[Header | None],
    image_size: int,
    framing: Framing,
) -> Iterator[Finding]:
    """Find pictures that must be enlarged, or from which much is thrown away."""
    sides = {  # those that become `image_size` pixels
        name: header.shorter if framing == "crop" else header.longer
        for name, header in zip(listing.names, headers, strict=True)
        if header
    }
    tiny = tuple(name for name, side in sides.items() if side < image_size)
    if tiny:
        yield Finding(
            "tiny",
            f"{count_pictures(len(tiny))} will be enlarged to {image_size} pixels",
            "Find larger originals, or choose a smaller image size.",
            tiny,
        )
    median = sorted(sides.values())[len(sides) // 2] if sides else 0
    larger = 2 * image_size
    if median >= larger and larger in get_args(ImageSize):
        yield Finding(
            "much is thrown away",
            f"half of the pictures have {median:,} pixels a side or more, of which "
            f"{image_size} will be left",
            f"--image-size {larger} shows the network more, at about the same cost a "
            "picture.",
            image_size=larger,
        )


def find_shapes(
    listing: Listing, headers: Sequence[Header | None], framing: Framing
) -> Iterator[Finding]:
    """Say what pictures lose that are no squares."""
    every = zip(listing.names, headers, strict=True)
    known = [(name, header) for name, header in every if header]
    lost = sorted(1 - header.shorter / header.longer for _, header in known)
    if framing == "crop" and lost and lost[len(lost) // 2] >= CUT:
        yield Finding(
            "cut to squares",
            "of each picture only the middle square will be seen: half of them lose "
            f"{lost[len(lost) // 2]:.0%} or more",
            "If what matters may lie outside, --framing pad shows all of each picture, "
            "smaller, on grey.",
        )
    long = tuple(name for name, h in known if h.longer > LONG * h.shorter)
    if long:
        loss = {
            "crop": "only the middle square will be seen",
            "pad": "more than half of what the network sees will be grey",
        }
        yield Finding(
            "odd shapes",
            f"{count_pictures(len(long))} with one side more than {LONG} times the "
            f"other: {loss[framing]}",
            "Cut out by hand what matters.",
            long,
        )
