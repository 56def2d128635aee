"""What may be wrong with a folder of pictures, before it costs a training."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from sightline.data.duplicates import near_duplicates_within
from sightline.data.folders import Decoded, decode_once, find_lacking
from sightline.data.listing import Listing, list_folder
from sightline.measures.inference import wilson_interval

__all__ = ["Finding", "FolderCheck", "check_folder", "equal_files"]

# stricter than `duplicates.THRESHOLD`: among photographs of hands on white paper pairs
# above 0.85 still showed different signs, above 0.9 one hand twice
SIMILAR = 0.9
MOST = 50_000  # pictures among which near duplicates are searched: every pair counts
UNEVEN = 3  # times as many pictures in the largest class as in the smallest
FEW = 20  # test pictures of a class, below which its accuracy says little
NAMED = 5  # files shown
LONG = 2  # times the shorter side: more than half of the picture is cut away
COPIES = {  # kind of finding → remedy
    "copies": "Delete them: one copy may train the network and the other judge it.",
    "copies in two classes": "Decide which class is right, delete the other copy.",
    "copies in train and test": "Delete them from train/: the network must not have "
    "seen what it is judged on.",
}

Pair = tuple[int, int]  # places of a picture and of an earlier one in the listing


@dataclass(frozen=True)
class Finding:
    """One thing to know about a folder."""

    kind: str  #: one word or two, for machines
    words: str  #: a sentence without its full stop
    remedy: str
    files: tuple[str, ...] = ()  #: all of them, relative to the folder
    pairs: tuple[tuple[str, str], ...] = ()  #: a picture and an earlier one
    grave: bool = False  #: training makes no sense before it is put right

    def lines(self) -> list[str]:
        """Return the sentence, the first files and how many more, and the remedy."""
        names = [*self.files, *(f"{one} = {other}" for one, other in self.pairs)]
        more = [f"and {len(names) - NAMED:,} more"] * (len(names) > NAMED)
        remedy = [f"→ {self.remedy}"] * bool(self.remedy)
        return [f"{self.words}.", *names[:NAMED], *more, *remedy]


@dataclass(frozen=True)
class FolderCheck:
    """What a look at all files of a folder has shown."""

    folder: str
    image_size: int  #: pixels, to which pictures will be brought
    classes: dict[str, dict[str, int]]  #: → pictures (or train, test) and unreadable
    kinds: dict[str, int]  #: of file and pixels, such as "JPEG RGB" → pictures
    sides: tuple[int, ...]  #: least, median, largest shorter side, in pixels
    findings: tuple[Finding, ...]

    @property
    def trainable(self) -> bool:
        """Tell whether training makes sense."""
        return not any(finding.grave for finding in self.findings)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Lay out the counts: header, and a row for each class and for their sum."""
        parts = list(next(iter(self.classes.values())))
        total = {p: sum(c[p] for c in self.classes.values()) for p in parts}
        counts = {**self.classes, "all": total}
        rows = [[name, *(f"{c[p]:,}" for p in parts)] for name, c in counts.items()]
        return ["class", *parts], rows

    def summary(self) -> str:
        """Return the kinds of the files and the sizes of the pictures in one line."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items())
        if not self.sides:
            return "no file is a picture"
        least, median, largest = (f"{side:,}" for side in self.sides)
        return f"{kinds}; shorter side {least} to {largest} pixels, median {median}"


def check_folder(
    folder: str | Path, *, image_size: int = 32, keep_in: Path, progress: bool = True
) -> FolderCheck:
    """Look at every picture of a folder that `load_folder` would load.

    Decoded pictures are kept in `keep_in`, for `load_folder` to take.

    Raises:
        DataError: if the folder is missing or laid out in another way, or has fewer
            than two classes.
    """
    listing = list_folder(Path(folder).expanduser())
    headers = list(_headers(listing, progress))
    decoded = decode_once(listing, image_size, keep_in, progress)
    sides = sorted(header.shorter for header in headers if header)
    counts = _count(listing, decoded)
    return FolderCheck(
        str(folder),
        image_size,
        counts,
        dict(Counter(h.kind for h in headers if h).most_common()),
        tuple(sides[place] for place in (0, len(sides) // 2, -1)) if sides else (),
        (
            *_readable(listing, decoded),
            *_balance(counts),
            *_sizes(listing, headers, image_size),
            *_copies(listing, decoded),
            *(Finding("left out", n, "") for n in listing.notes),
        ),
    )


@dataclass(frozen=True)
class _Header:
    """What the first bytes of a picture file say."""

    shorter: int  #: side, in pixels
    longer: int
    kind: str  #: of file and pixels


def _headers(listing: Listing, progress: bool) -> Iterator[_Header | None]:
    """Read the first bytes of all files; None where they are of no picture."""
    bar = {"desc": "looking", "unit": " pictures", "disable": not progress}
    for name in tqdm(listing.names, **bar):
        try:
            with Image.open(listing.folder / name) as picture:
                kind = f"{picture.format} {picture.mode}"
                yield _Header(min(picture.size), max(picture.size), kind)
        except Exception:  # decoders of broken files raise nearly anything
            yield None


def _count(listing: Listing, decoded: Decoded) -> dict[str, dict[str, int]]:
    """Count the readable pictures of every class in every part, and the unreadable."""
    counts = {}
    for label, name in enumerate(listing.classes):
        own = listing.labels == label
        counts[name] = {
            part: int((own & inside & decoded.readable).sum())
            for part, inside in listing.parts().items()
        }
        counts[name]["unreadable"] = int((own & ~decoded.readable).sum())
    return counts


def _readable(listing: Listing, decoded: Decoded) -> Iterator[Finding]:
    """Find classes that are too small to be trained, and pictures nobody can read."""
    for lacking in find_lacking(listing, decoded):
        yield Finding(
            "too few", lacking, "Add pictures, or remove the class.", grave=True
        )
    if decoded.unreadable:
        names = tuple(listing.names[place] for place in decoded.unreadable)
        reason = next(iter(decoded.unreadable.values()))
        yield Finding(
            "unreadable",
            f"{_pictures(names)} cannot be read and will be left out, the first one "
            f"because {reason.replace(f'{listing.folder}/', '')}",
            "Copy them again from where they came from, or delete them.",
            names,
        )


def _balance(counts: dict[str, dict[str, int]]) -> Iterator[Finding]:
    """Find classes of very different sizes, and too few pictures to judge by."""
    part = next(iter(next(iter(counts.values()))))  # "pictures" or "train"
    sizes = {name: count[part] for name, count in counts.items()}
    least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[most] >= UNEVEN * sizes[least] > 0:
        yield Finding(
            "imbalance",
            f"{most} has {sizes[most]:,} pictures, {least} only {sizes[least]:,}: "
            f"{sizes[most] / sizes[least]:.0f} times fewer",
            "Read the balanced accuracy and that of each class, not the overall one; "
            f"more pictures of {least} help most.",
        )
    tested = {n: c.get("test", round(c[part] / 5)) for n, c in counts.items()}
    smallest = min(tested, key=tested.__getitem__)
    if 0 < tested[smallest] < FEW:
        count = torch.tensor([tested[smallest]])
        low, high = wilson_interval((0.9 * count).round().long(), count)
        yield Finding(
            "few to judge by",
            f"{smallest} will be judged on {int(count)} test pictures: if 90 % of them "
            f"are right, the accuracy lies between {float(low):.0%} and "
            f"{float(high):.0%}",
            "Do not rank classes, or choices, by differences smaller than that.",
        )


def _sizes(
    listing: Listing, headers: Sequence[_Header | None], image_size: int
) -> Iterator[Finding]:
    """Find pictures that must be enlarged, or lose much by being cut to a square."""
    every = zip(listing.names, headers, strict=True)
    known = [(name, header) for name, header in every if header]
    tiny = tuple(name for name, header in known if header.shorter < image_size)
    if tiny:
        yield Finding(
            "tiny",
            f"{_pictures(tiny)} will be enlarged to {image_size} pixels",
            "Find larger originals, or choose a smaller image size.",
            tiny,
        )
    sides = sorted(header.shorter for _, header in known)
    if sides and sides[len(sides) // 2] >= 2 * image_size < 256:
        yield Finding(
            "much is thrown away",
            f"half of the pictures have {sides[len(sides) // 2]:,} pixels a side or "
            f"more, of which {image_size} will be left",
            f"--image-size {2 * image_size} shows the network more, at about the same "
            "cost a picture.",
        )
    long = tuple(name for name, h in known if h.longer > LONG * h.shorter)
    if long:
        yield Finding(
            "odd shapes",
            f"{_pictures(long)} with one side more than {LONG} times the other: only "
            "the middle square will be seen",
            "Cut out by hand what matters.",
            long,
        )


def _copies(listing: Listing, decoded: Decoded) -> Iterator[Finding]:
    """Find pictures that are in the folder twice, above all where that does harm."""
    equal = equal_files([listing.folder / name for name in listing.names])
    near = _near_pairs(listing, decoded, equal)
    if len(decoded.images) > MOST:
        yield Finding(
            "not searched",
            f"of {len(decoded.images):,} pictures, more than {MOST:,}, only equal "
            "files were searched, not near duplicates",
            "",
        )
    groups = (None, listing.labels, listing.in_test)
    for kind, group, similar in zip(COPIES, groups, near, strict=True):
        exact = list(_equal_pairs(equal, group))
        pairs = [*exact, *similar]
        if pairs:
            yield Finding(
                kind,
                f"{_pictures(pairs)} that repeat{'s' * (len(pairs) == 1)} an earlier "
                f"one, {len(exact):,} of them byte by byte, {len(similar):,} nearly",
                COPIES[kind],
                pairs=tuple((listing.names[n], listing.names[m]) for n, m in pairs),
            )


def equal_files(paths: Sequence[Path]) -> list[list[int]]:
    """Find files with the same bytes; return their places, two or more a group.

    Only files of the same length are read.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for place, path in enumerate(paths):
        by_length[os.stat(path).st_size].append(place)
    by_bytes: dict[str, list[int]] = defaultdict(list)
    for places in by_length.values():
        for place in places if len(places) > 1 else ():
            with open(paths[place], "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            by_bytes[digest].append(place)
    return [places for places in by_bytes.values() if len(places) > 1]


def _equal_pairs(equal: list[list[int]], group: Tensor | None) -> Iterator[Pair]:
    """Yield each file with its first copy, or the first one of another group."""
    for places in equal:
        for number, later in enumerate(places):
            for earlier in places[:number]:
                if group is None or group[later] != group[earlier]:
                    yield later, earlier
                    break


def _near_pairs(
    listing: Listing, decoded: Decoded, equal: list[list[int]]
) -> Iterator[list[Pair]]:
    """Yield near duplicates that are no equal files, for each kind of COPIES."""
    if not 2 <= len(decoded.images) <= MOST:
        yield from ([] for _ in COPIES)
        return
    places = decoded.places
    group = {place: number for number, same in enumerate(equal) for place in same}
    groups = listing.labels[places], listing.in_test[places]
    for result in near_duplicates_within(decoded.images, *groups, threshold=SIMILAR):
        later = places[result.pictures].tolist()
        earlier = places[result.originals].tolist()
        yield [
            (one, other)
            for one, other in zip(later, earlier, strict=True)
            if one not in group or group[one] != group.get(other)
        ]


def _pictures(names: Sequence[object]) -> str:
    """Count pictures in words."""
    return "1 picture" if len(names) == 1 else f"{len(names):,} pictures"
