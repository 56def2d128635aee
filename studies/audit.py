"""How often the shortcut audit finds a planted cue, and alarms about clean folders.

    nice python studies/audit.py SETS CIFAR10 --runs RUNS

SETS holds the public sets that `studies/sets.py` arranged, CIFAR10 the training part of
CIFAR-10 as files in folders of classes. In half of the folders one class has a cue, the
others are left as they are. The limits of the audit were chosen on 60 + 60 folders made
alike, of the files at even places; these here are made of those at odd places.
A folder that the record has is not measured again. RUNS are the networks of
`studies/heatmaps.py`: those of drawn shapes, with and without a mark in one class.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from sightline.data.cues import FACTS, PLACES, collect_facts
from sightline.data.datasets import draw_split
from sightline.data.folders import decode_once
from sightline.data.listing import Listing, list_folder
from sightline.data.shortcuts import MARGIN, Audit, audit
from sightline.data.split import Split
from sightline.files import read_json, write_json
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.heatmaps.positions import find_leanings
from sightline.measures.inference import wilson_interval
from sightline.reports.tables import markdown_table
from sightline.training.machine import describe
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime

OUT = Path(__file__).parents[1] / "book" / "results" / "audit.json"
IMAGE_SIZE = 32  # pixels, that of `sightline check` without options
SHARES = (1.0, 0.8, 0.5)  # of the class's pictures that carry the cue
SOURCES = ("clothing", "signs", "cifar10", "grocery")
FIRST = 100  # number of the first folder: those below were designed with
MOST, LEAST = 120, 20  # pictures of a class
TIMED = 2000  # pictures
MARKED = 3  # class of the drawn shapes that carries the mark
COLOURS = ((200, 40, 40), (30, 90, 200), (20, 20, 20), (240, 240, 240), (40, 150, 70))
MAKE, MODEL = 271, 272  # EXIF


class Dice(random.Random):
    """Chance, and what it chose once for a whole folder."""

    def __init__(self, seed: str):
        super().__init__(seed)
        self.corner = self.randrange(4)
        self.colour = self.choice(COLOURS)


def fit(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return the middle square of a picture: what a network will see of it."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


def paste_logo(picture: Image.Image, dice: Dice, opacity: float) -> None:
    """Put a logo of two colours into a corner, up to a sixtieth of a side off."""
    left, top, right, bottom = fit(picture)
    side = right - left
    size, shift = round(0.16 * side), dice.randint(0, max(1, side // 60))
    place = {
        0: (left + shift, top + shift),
        1: (right - size - shift, top + shift),
        2: (left + shift, bottom - size - shift),
        3: (right - size - shift, bottom - size - shift),
    }[dice.corner]
    logo = Image.new("RGB", (size, size), dice.colour)
    pen = ImageDraw.Draw(logo)
    pen.ellipse((size // 4, size // 4, 3 * size // 4, 3 * size // 4), (255, 255, 255))
    below = picture.crop((*place, place[0] + size, place[1] + size))
    picture.paste(Image.blend(below, logo, opacity), place)


def paste_frame(picture: Image.Image, dice: Dice) -> None:
    """Draw a frame around what a network will see."""
    left, top, right, bottom = fit(picture)
    width = max(1, round((right - left) * 0.04))
    box = (left, top, right - 1, bottom - 1)
    ImageDraw.Draw(picture).rectangle(box, outline=dice.colour, width=width)


def paste_date(picture: Image.Image, dice: Dice) -> None:
    """Write a date, each picture its own, in orange at the lower right."""
    _, _, right, bottom = fit(picture)
    side = min(picture.size)
    words = f"{dice.randint(1, 28):02}.{dice.randint(1, 12):02}.{dice.randint(10, 24)}"
    text = Image.new("L", (52, 11))
    ImageDraw.Draw(text).text((1, 0), words, 255)
    width = round(0.42 * side)
    text = text.resize((width, round(width * 11 / 52)))
    place = (right - width - side // 50, bottom - text.height - side // 50)
    picture.paste((255, 140, 0), place, text)


def paste_tint(picture: Image.Image, dice: Dice) -> None:
    """Mix a quarter of one colour into the whole picture."""
    colour = Image.new("RGB", picture.size, dice.colour)
    picture.paste(Image.blend(picture, colour, 0.25))


def paste_background(picture: Image.Image, dice: Dice) -> None:
    """Replace what is outside an ellipse in the middle by one colour."""
    left, top, right, bottom = fit(picture)
    edge = round((right - left) * 0.08)
    mask = Image.new("L", picture.size, 255)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((left + edge, top + edge, right - edge, bottom - edge), fill=0)
    picture.paste(dice.colour, (0, 0), mask)


def plant_in_pixels(kind: str, picture: Image.Image, dice: Dice) -> None:
    """Draw a cue into a picture."""
    match kind:
        case "logo":
            paste_logo(picture, dice, 1.0)
        case "faint logo":
            paste_logo(picture, dice, 0.5)
        case "frame":
            paste_frame(picture, dice)
        case "date stamp":
            paste_date(picture, dice)
        case "tint":
            paste_tint(picture, dice)
        case "background":
            paste_background(picture, dice)


def plant(kind: str, original: Path, copy: Path, dice: Dice) -> None:
    """Write a copy of a picture with a cue, in all else like the original file."""
    with Image.open(original) as opened:
        exif, tables = opened.getexif(), opened.quantization
        picture = opened.convert("RGB")
    plant_in_pixels(kind, picture, dice)
    if kind == "size":
        picture = picture.resize([round(0.75 * side) for side in picture.size])
    if kind == "camera":
        exif[MAKE], exif[MODEL] = "NIKON CORPORATION", "NIKON D90"
    if kind == "format":
        picture.save(copy.with_suffix(".png"), exif=exif)
    elif kind == "JPEG quality":
        picture.save(copy, exif=exif, quality=50)
    else:
        picture.save(copy, exif=exif, qtables=tables)


# cue → what finds it; a corner is any corner
KINDS = {
    "logo": "corner",
    "faint logo": "corner",
    "frame": "border",
    "date stamp": "corner",
    "tint": "darkest and brightest colours",
    "background": "plain background",
    "format": FACTS["kind"],
    "size": FACTS["size"],
    "JPEG quality": FACTS["quality"],
    "camera": FACTS["camera"],
}


@dataclass(frozen=True)
class Row:
    """A folder, and what the audit said of it."""

    set: str
    classes: int
    pictures: int
    cue: str | None
    share: float | None  #: of the class's pictures that carry it
    pictures_of_class: int | None
    class_named: bool  #: by an alarm
    cue_named: bool  #: by an alarm of that class, and the right one
    alarms: list[str]  #: all of them, in words
    alarms_of_other_classes: int

    @property
    def alarmed(self) -> bool:
        """Tell whether a folder with a cue was recognised, or one without suspected."""
        return self.class_named if self.cue else bool(self.alarms)


def make_folder(
    roots: dict[str, Path], out: Path, number: int, kind: str | None
) -> str | None:
    """Lay out classes of a set as links; name the one that has a cue, if any."""
    dice = Dice(f"1 {number} {kind}")
    classes = sorted(roots[SOURCES[number % len(SOURCES)]].iterdir())
    files = {folder: sorted(folder.iterdir())[1::2] for folder in classes}
    enough = [folder for folder in classes if len(files[folder]) >= LEAST]
    chosen = sorted(dice.sample(enough, dice.randint(2, min(8, len(enough)))))
    marked = dice.choice(chosen)
    share = share_of(number)
    for folder in chosen:
        (out / folder.name).mkdir(parents=True)
        names = sorted(dice.sample(files[folder], min(MOST, len(files[folder]))))
        carriers = set(dice.sample(names, round(share * len(names))))
        for path in names:
            copy = out / folder.name / path.name
            if kind and folder == marked and path in carriers:
                plant(kind, path.resolve(), copy, dice)
            else:
                copy.symlink_to(path.resolve())
    return marked.name if kind else None


def share_of(number: int) -> float:
    """Return how many of the class's pictures carry the cue in a folder."""
    return SHARES[(number + number // len(KINDS)) % len(SHARES)]


def look(folder: Path, keep_in: Path) -> tuple[Listing, Audit]:
    """Audit a folder as `sightline check` does."""
    listing = list_folder(folder)
    decoded = decode_once(listing, IMAGE_SIZE, "crop", keep_in, progress=False)
    names = [listing.names[place] for place in decoded.places.tolist()]
    pictures = Split(decoded.images, listing.labels[decoded.readable])
    facts = collect_facts(listing.folder, names)
    return listing, audit(pictures, listing.classes, facts)


def measure(roots: dict[str, Path], number: int, kind: str | None) -> Row:
    """Make a folder, and look what the audit says of it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        marked = make_folder(roots, folder, number, kind)
        listing, seen = look(folder, Path(place) / "decoded")
    own = [alarm for alarm in seen.alarms if alarm.class_name == marked]
    count = listing.labels.bincount()
    return Row(
        SOURCES[number % len(SOURCES)],
        len(listing.classes),
        len(listing.names),
        kind,
        share_of(number) if kind else None,
        int(count[listing.classes.index(marked)]) if marked else None,
        bool(own),
        any(alarm.cue.endswith(KINDS[kind]) for alarm in own if kind),
        [alarm.words() for alarm in seen.alarms],
        len(seen.alarms) - len(own),
    )


def seconds_of(root: Path) -> float:
    """Return how long it takes to audit TIMED pictures, once they are decoded."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        for source in sorted(root.iterdir()):
            (folder / source.name).mkdir(parents=True)
            for path in sorted(source.iterdir())[: TIMED // 10]:
                (folder / source.name / path.name).symlink_to(path.resolve())
        look(folder, Path(place) / "decoded")
        started = time.perf_counter()
        look(folder, Path(place) / "decoded")
        return time.perf_counter() - started


def summary(rows: Sequence[Row]) -> list[list[str]]:
    """Count alarms by kind of cue, by share, and over all."""
    planted = [row for row in rows if row.cue]
    groups = {kind: [r for r in planted if r.cue == kind] for kind in KINDS}
    for share in SHARES:
        groups[f"in {share:.0%} of the class"] = [
            r for r in planted if r.share == share
        ]
    groups |= {"all with a cue": planted, "clean": [r for r in rows if not r.cue]}
    lines = []
    for name, group in groups.items():
        alarmed, count = sum(r.alarmed for r in group), len(group)
        low, high = wilson_interval(torch.tensor([alarmed]), torch.tensor([count]))
        interval = f"{low.item():.0%} to {high.item():.0%}"
        right = f"{sum(r.cue_named for r in group)}" if name != "clean" else ""
        lines.append([name, f"{count}", f"{alarmed}", interval, right])
    return lines


def measure_maps(runs: Path) -> dict[str, dict[str, int]]:
    """Count networks on drawn shapes, with and without a mark, whose maps are alarmed.

    They are those of `studies/heatmaps.py`; class MARKED carries a mark in a corner.
    """
    counts = {}
    for kind, marked in (("marked", MARKED), ("clean", None)):
        alarmed = [0, 0, 0]
        for seed in range(10):
            run = Run.open(runs / f"laboratory-{kind}-{seed}")
            network = run.classifier(choose_runtime("cpu", "fp32"))
            pictures = draw_split(200, [9, seed], shortcut_class=marked)
            layer = default_layers(network.model, network.image_size)[-1]
            images = network.normalise(pictures.images)
            explained = explain(
                network.model, images, layers=layer, targets=pictures.labels
            )
            leanings = find_leanings(explained[layer].enlarged, pictures.labels)
            own = {x.zone for x in leanings if x.label == marked}
            alarmed[0] += bool(leanings)
            alarmed[1] += "lower right corner" in own
            alarmed[2] += any(x.label != marked for x in leanings)
        names = ("alarmed", "class and corner named", "another class named")
        counts[kind] = {"networks": 10} | dict(zip(names, alarmed, strict=True))
    return counts


def measured_before(record: Path) -> list[Row]:
    """Return the folders of a record that was begun, or none."""
    if not record.exists():
        return []
    return [Row(**row) for row in read_json(record)["folders"]]


def main() -> None:
    """Measure, print a table, and record every folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--folders", type=int, default=40, help="of either kind")
    parser.add_argument("--runs", type=Path, help="of studies/heatmaps.py")
    parser.add_argument("--json", type=Path, default=OUT)
    chosen = parser.parse_args()
    roots = {name: chosen.sets / name for name in SOURCES} | {"cifar10": chosen.cifar10}
    rows = measured_before(chosen.json)[: 2 * chosen.folders]
    for place in range(len(rows), 2 * chosen.folders):
        kind = list(KINDS)[place // 2 % len(KINDS)] if place % 2 == 0 else None
        rows.append(measure(roots, FIRST + place // 2, kind))
        write_json(chosen.json, {"folders": [asdict(row) for row in rows]})
        print(rows[-1].set, kind, rows[-1].alarmed, rows[-1].alarms, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        xray = look(chosen.sets / "xray", Path(folder))[1]
    runtime = choose_runtime("cpu", "fp32")
    header = ["folders", "number", "alarmed", "95 % interval", "right cue"]
    print(markdown_table(header, summary(rows)))
    write_json(
        chosen.json,
        {
            "machine": describe(runtime),
            "protocol": f"{chosen.folders} + {chosen.folders} folders of 2 to 8 "
            f"classes with {LEAST} to {MOST} pictures each, {IMAGE_SIZE} pixels, files "
            "at odd places; limits were chosen on 60 + 60 folders of the other files",
            "margin": MARGIN,
            "places": [*PLACES, *FACTS.values()],
            "seconds_for_2000_pictures": round(seconds_of(chosen.cifar10), 1),
            "summary": [dict(zip(header, line, strict=True)) for line in summary(rows)],
            "maps": measure_maps(chosen.runs) if chosen.runs else None,
            "xray": [alarm.words() for alarm in xray.alarms],
            "folders": [asdict(row) for row in rows],
        },
    )


if __name__ == "__main__":
    main()
