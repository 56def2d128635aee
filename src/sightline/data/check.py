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
from sightline.measures.metrics import wilson_interval

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
        counts = {
            **self.classes,
            "all": {p: sum(c[p] for c in self.classes.values()) for p in parts},
        }
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
    folder: str | Path,
    *,
    image_size: int = 32,
    keep_in: Path,
    progress: bool = True,
) -> FolderCheck:
    """Look at every picture of a folder that `load_folder` would load.

    Args:
        folder: one sub-folder per class, or train/ and test/ with these.
        image_size: side in pixels to which pictures will be brought.
        keep_in: where decoded pictures are kept, for `load_folder` to take.
        progress: show bars.

    Raises:
        DataError: if the folder is missing or laid out in another way, or has fewer
            than two classes.
    """
    listing = list_folder(Path(folder).expanduser())
    headers = list(_headers(listing, progress))
    decoded = decode_once(listing, image_size, keep_in, progress)
    sides = sorted(min(h.width, h.height) for h in headers if h)
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

    width: int
    height: int
    kind: str  #: of file and pixels


def _headers(listing: Listing, progress: bool) -> Iterator[_Header | None]:
    """Read the first bytes of all files; None where they are of no picture."""
    bar = {"desc": "looking", "unit": " pictures", "disable": not progress}
    for name in tqdm(listing.names, **bar):
        try:
            with Image.open(listing.folder / name) as picture:
                kind = f"{picture.format} {picture.mode}"
                yield _Header(picture.width, picture.height, kind)
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
        reason = reason.replace(f"{listing.folder}/", "")
        yield Finding(
            "unreadable",
            f"{_pictures(names)} cannot be read and will be left out, the first one "
            f"because {reason}",
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
    known = [(n, h) for n, h in zip(listing.names, headers, strict=True) if h]
    tiny = tuple(n for n, h in known if min(h.width, h.height) < image_size)
    if tiny:
        yield Finding(
            "tiny",
            f"{_pictures(tiny)} will be enlarged to {image_size} pixels",
            "Find larger originals, or choose a smaller image size.",
            tiny,
        )
    sides = sorted(min(h.width, h.height) for _, h in known)
    if sides and sides[len(sides) // 2] >= 2 * image_size < 256:
        yield Finding(
            "much is thrown away",
            f"half of the pictures have {sides[len(sides) // 2]:,} pixels a side or "
            f"more, of which {image_size} will be left",
            f"--image-size {2 * image_size} shows the network more, at about the same "
            "cost a picture.",
        )
    long = tuple(
        n for n, h in known if max(h.width, h.height) > LONG * min(h.width, h.height)
    )
    if long:
        yield Finding(
            "odd shapes",
            f"{_pictures(long)} with one side more than {LONG} times the other: only "
            "the middle square will be seen",
            "Cut out by hand what matters.",
            long,
        )


@dataclass(frozen=True)
class _Pair:
    """Two pictures of a listing that look alike."""

    later: int  #: place in the listing
    earlier: int
    equal: bool  #: byte by byte


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
    for (kind, remedy), group in zip(COPIES.items(), groups, strict=True):
        pairs = [*_equal_pairs(equal, group), *near[kind]]
        if pairs:
            exact = sum(pair.equal for pair in pairs)
            yield Finding(
                kind,
                f"{_pictures(pairs)} that repeat{'s' * (len(pairs) == 1)} an earlier "
                f"one, {exact:,} of them byte by byte, {len(pairs) - exact:,} nearly",
                remedy,
                pairs=tuple(
                    (listing.names[pair.later], listing.names[pair.earlier])
                    for pair in pairs
                ),
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


def _equal_pairs(equal: list[list[int]], group: Tensor | None) -> Iterator[_Pair]:
    """Yield each file with its first copy, or the first one of another group."""
    for places in equal:
        for number, later in enumerate(places):
            for earlier in places[:number]:
                if group is None or group[later] != group[earlier]:
                    yield _Pair(later, earlier, equal=True)
                    break


def _near_pairs(
    listing: Listing, decoded: Decoded, equal: list[list[int]]
) -> dict[str, list[_Pair]]:
    """Return near duplicates that are no equal files, by the kinds of COPIES."""
    if not 2 <= len(decoded.images) <= MOST:
        return {kind: [] for kind in COPIES}
    places = decoded.places
    group = {place: number for number, same in enumerate(equal) for place in same}
    results = near_duplicates_within(
        decoded.images,
        listing.labels[places],
        listing.in_test[places],
        threshold=SIMILAR,
    )
    pairs = {}
    for kind, result in zip(COPIES, results, strict=True):
        later = places[result.pictures].tolist()
        earlier = places[result.originals].tolist()
        pairs[kind] = [
            _Pair(one, other, equal=False)
            for one, other in zip(later, earlier, strict=True)
            if one not in group or group[one] != group.get(other)
        ]
    return pairs


def _pictures(names: Sequence[object]) -> str:
    """Count pictures in words."""
    return "1 picture" if len(names) == 1 else f"{len(names):,} pictures"
