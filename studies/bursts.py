"""Folders with planted bursts: real pictures, each taken several times in a row.

A shot is a real picture cut, moved, lit, blurred, made noisy and saved again, each a
little differently. Decoys are other pictures under the next numbers and times.
"""

import io
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageEnhance, ImageFilter

SIDE = 160  # pixels of the shorter side of a shot, at most
STARTED = datetime(2024, 5, 4, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Planted:
    """How a folder of bursts is made."""

    source: Path  #: a folder with one sub-folder per class
    classes: int
    bursts: int
    singles: int  #: pictures that are alone
    numbers: bool  #: files are numbered as they were taken, else named at random
    times: bool  #: EXIF tells when
    seed: int


def shot(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Return a picture as if the photographer had pressed the button once more."""
    width, height = picture.size
    zoom = rng.uniform(0.88, 1)
    wide, high = int(width * zoom), int(height * zoom)
    left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
    picture = picture.crop((left, top, left + wide, top + high))
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.8, 1.2))
    if rng.random() < 0.5:
        radius = rng.uniform(0, 0.015) * min(width, height)
        picture = picture.filter(ImageFilter.GaussianBlur(radius))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(
        0, rng.uniform(0, 8), (height, width, 3)
    )
    return Image.fromarray((np.asarray(picture) + noise).clip(0, 255).astype(np.uint8))


def read(path: Path) -> Image.Image:
    """Read a picture, no larger than need be."""
    with Image.open(path) as file:
        file.draft("RGB", (2 * SIDE, 2 * SIDE))
        picture = file.convert("RGB")
    scale = SIDE / min(picture.size)
    if scale < 1:
        picture = picture.resize([max(1, round(scale * side)) for side in picture.size])
    return picture


def choose(plan: Planted, rng: random.Random) -> list[tuple[str, Path]]:
    """Choose a picture for every burst and single, with its class."""
    folders = sorted(f for f in plan.source.iterdir() if f.is_dir())
    folders.sort(key=lambda folder: -len(list(folder.iterdir())))
    chosen = sorted(rng.sample(folders[: 2 * plan.classes], plan.classes))
    files = {folder.name: sorted(folder.iterdir()) for folder in chosen}
    for each in files.values():
        rng.shuffle(each)
    names = [chosen[i % plan.classes].name for i in range(plan.bursts + plan.singles)]
    return [(name, files[name].pop()) for name in names if files[name]]


def plant(plan: Planted, out: Path) -> dict[str, int]:
    """Write the folder; return the series of every file by its name below it."""
    rng = random.Random(plan.seed)
    takes = choose(plan, rng)
    sizes = [rng.randint(3, 10) if i < plan.bursts else 1 for i in range(len(takes))]
    order = list(range(len(takes)))
    rng.shuffle(order)
    series, number, clock = {}, 1000, STARTED
    for place in order:
        name, path = takes[place]
        picture = read(path)
        # decoys: two in three follow at once, numbered and timed as in a burst
        clock += timedelta(seconds=rng.choice([1, 2, 600]))
        for _ in range(sizes[place]):
            number, clock = number + 1, clock + timedelta(seconds=rng.uniform(0.2, 2))
            stem = f"IMG_{number}" if plan.numbers else f"{rng.getrandbits(64):016x}"
            file = out / name / f"{stem}.jpg"
            save(
                shot(picture, rng) if sizes[place] > 1 else picture,
                file,
                rng,
                clock if plan.times else None,
            )
            series[file.relative_to(out).as_posix()] = place
    return series


def save(
    picture: Image.Image, file: Path, rng: random.Random, clock: datetime | None
) -> None:
    """Write a JPEG of a random quality, with the time in its EXIF data if known."""
    exif = Image.Exif()
    if clock is not None:
        inner = exif.get_ifd(ExifTags.IFD.Exif)
        inner[ExifTags.Base.DateTimeOriginal] = f"{clock:%Y:%m:%d %H:%M:%S}"
        inner[ExifTags.Base.SubsecTimeOriginal] = f"{clock.microsecond // 1000:03}"
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=rng.randint(50, 95), exif=exif)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.getvalue())
