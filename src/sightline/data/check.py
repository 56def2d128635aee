"""What may be wrong with a folder of pictures, before it costs a training."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.companions import find_cut_series
from sightline.data.duplicates import (
    Pair,
    equal_files,
    equal_pairs,
    near_duplicates_within,
)
from sightline.data.findings import Finding, count_pictures
from sightline.data.folders import Decoded, decode_once, find_lacking
from sightline.data.groups import FOLDER
from sightline.data.headers import find_shapes, find_sizes, read_headers
from sightline.data.listing import Listing, list_folder
from sightline.data.options import Framing
from sightline.data.shortcuts import audit_listing
from sightline.data.split import Split
from sightline.measures.inference import wilson_interval

__all__ = ["FolderCheck", "check_folder"]

# stricter than `duplicates.THRESHOLD`: among photographs of hands on white paper pairs
# above 0.85 still showed different signs, above 0.9 one hand twice
SIMILAR = 0.9
MOST = 50_000  # pictures among which near duplicates are searched: every pair counts
UNEVEN = 3  # times as many pictures in the largest class as in the smallest
FEW = 20  # test pictures of a class, below which its accuracy says little
LACKING = 3  # classes that are too small, named
COPIES = {  # kind of finding → remedy; the first one that fits a picture lists it
    "copies in two classes": "Decide which class is right, delete the other copy.",
    "copies in train and test": "Delete them from train/: the network must not have "
    "seen what it is judged on.",
    "copies": "Delete them: one copy may train the network and the other judge it.",
}


@dataclass(frozen=True)
class FolderCheck:
    """What a look at all files of a folder has shown."""

    folder: str
    image_size: int  #: pixels, to which pictures will be brought
    framing: Framing  #: how they become squares
    group: str  #: how pictures stay together
    classes: dict[str, dict[str, int]]  #: → pictures (or train, test) and unreadable
    kinds: dict[str, int]  #: of file and pixels, such as "JPEG RGB" → pictures
    sides: tuple[int, ...]  #: least, median, largest shorter side, in pixels
    findings: tuple[Finding, ...]

    @property
    def trainable(self) -> bool:
        """Tell whether training makes sense."""
        return not any(finding.grave for finding in self.findings)

    @property
    def advised_size(self) -> int:
        """Return the image size that a remedy names, or that of the check."""
        advised = [f.image_size for f in self.findings if f.image_size]
        return advised[0] if advised else self.image_size

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
    folder: str | Path,
    *,
    image_size: int = 32,
    framing: Framing = "crop",
    group: str = "",
    series_file: Path | None = None,
    keep_in: Path,
    progress: bool = True,
) -> FolderCheck:
    """Look at every picture of a folder that `load_folder` would load.

    Decoded pictures are kept in `keep_in`, for `load_folder` to take, and the series
    that are proposed in `series_file`, for people to edit.

    Raises:
        DataError: if the folder is missing or laid out in another way, or has fewer
            than two classes, or has pictures that are not in a `group`.
    """
    listing = list_folder(Path(folder).expanduser(), deeper=group == FOLDER)
    headers = list(read_headers(listing, progress))
    decoded = decode_once(listing, image_size, framing, keep_in, progress)
    sides = sorted(header.shorter for header in headers if header)
    counts = _count(listing, decoded)
    return FolderCheck(
        str(folder),
        image_size,
        framing,
        group,
        counts,
        dict(Counter(h.kind for h in headers if h).most_common()),
        tuple(sides[place] for place in (0, len(sides) // 2, -1)) if sides else (),
        (
            *_readable(listing, decoded),
            *_balance(counts),
            *find_sizes(listing, headers, image_size, framing),
            *find_shapes(listing, headers, framing),
            *_copies(listing, decoded, progress),
            *audit_listing(listing, decoded),
            *find_cut_series(listing, decoded, headers, group, series_file),
            *listing.findings,
        ),
    )


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
    if lacking := find_lacking(listing, decoded):
        more = [f"{len(lacking) - LACKING:,} more"] * (len(lacking) > LACKING)
        words = "; ".join([*lacking[:LACKING], *more])
        remedy = "Add pictures, or remove the class."
        yield Finding("too few", words, remedy, grave=True)
    if decoded.unreadable:
        names = tuple(listing.names[place] for place in decoded.unreadable)
        reason = next(iter(decoded.unreadable.values()))
        yield Finding(
            "unreadable",
            f"{count_pictures(len(names))} cannot be read and will be left out, the "
            f"first one because {reason.replace(f'{listing.folder}/', '')}",
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
            f"{most} has {count_pictures(sizes[most])}, {least} only {sizes[least]:,}: "
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
            f"{smallest} will be judged on {count_pictures(tested[smallest], 'test')}: "
            f"if 90 % are right, the accuracy lies between {float(low):.0%} and "
            f"{float(high):.0%}",
            "Do not rank classes, or choices, by differences smaller than that.",
        )


def _copies(listing: Listing, decoded: Decoded, progress: bool) -> Iterator[Finding]:
    """Find pictures that are in the folder twice, above all where that does harm."""
    places = decoded.places.tolist()  # what cannot be read is no copy of anything
    paths = [listing.folder / listing.names[place] for place in places]
    groups = equal_files(paths, progress=progress)
    equal = [[places[i] for i in group] for group in groups]
    distinct = torch.ones(len(places), dtype=torch.bool)
    distinct[[i for group in groups for i in group[1:]]] = False
    near = _near_pairs(listing, decoded, distinct, progress)
    if near is None:
        yield Finding(
            "not searched",
            f"of {count_pictures(int(distinct.sum()))}, more than {MOST:,}, only equal "
            "files were searched, not near duplicates",
            "",
        )
    listed: set[int] = set()
    by = (listing.labels, listing.in_test, None)
    for kind, group, similar in zip(COPIES, by, near or [[]] * len(by), strict=True):
        exact = [pair for pair in equal_pairs(equal, group) if pair[0] not in listed]
        pairs = exact + [pair for pair in similar if pair[0] not in listed]
        listed |= {later for later, _ in pairs}
        if pairs:
            yield Finding(
                kind,
                f"{count_pictures(len(pairs))} that repeat{'s' * (len(pairs) == 1)} an "
                f"earlier one, {len(exact):,} of them byte by byte, "
                f"{len(pairs) - len(exact):,} nearly",
                COPIES[kind],
                pairs=tuple((listing.names[n], listing.names[m]) for n, m in pairs),
            )


def _near_pairs(
    listing: Listing, decoded: Decoded, distinct: Tensor, progress: bool
) -> list[list[Pair]] | None:
    """Return near duplicates among the `distinct` pictures, for each kind of COPIES.

    None: there are too many to compare each with each.
    """
    if distinct.sum() > MOST:
        return None
    if distinct.sum() < 2:
        return [[]] * len(COPIES)
    places = decoded.places[distinct]
    labels, in_test = listing.labels[places], listing.in_test[places]
    images = Split(decoded.images, decoded.places).take(distinct).images
    everywhere, *across = near_duplicates_within(
        images, labels, in_test, threshold=SIMILAR, progress=progress
    )
    return [
        list(
            zip(places[r.pictures].tolist(), places[r.originals].tolist(), strict=True)
        )
        for r in (*across, everywhere)
    ]
