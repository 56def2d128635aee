"""A page on which labels, copies and unreadable files are looked at and decided about.

`review.html` needs nothing else and asks nobody for anything. What is decided on it is
downloaded as `corrections.json`, which `sightline.data.corrections` applies.
`review.json` keeps what the networks answered, so that a later review can say what the
corrections have brought.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

import torch
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from sightline.data.check import FolderCheck
from sightline.data.corrections import digest
from sightline.data.findings import as_text
from sightline.data.label_errors import least_self_confident
from sightline.data.pictures import read_picture, read_whole
from sightline.data.split import Split
from sightline.errors import DataError
from sightline.files import Shape, read_json, shell_line, write_json, write_text
from sightline.measures.inference import effect
from sightline.reports.report import fill

__all__ = ["Doubts", "agreements", "before_and_after", "write_review"]

GROUPS, LONGEST = 100, 12  # groups of copies on a page, and pictures of each, at most
SIDE = 240  # pixels of the longer side of a picture on the page
GUESSES, LEAST = 3, 0.01  # classes with a button, and the probability they need
ANSWERS: Shape = {"classes": [str], "files": [str], "predicted": [int]}


@dataclass(frozen=True)
class Doubts:
    """What is known about a folder before somebody looks."""

    folder: Path
    whole: Split  #: its readable pictures, with file names
    classes: tuple[str, ...]
    probabilities: Tensor  #: (N, K), out of fold
    check: FolderCheck

    @property
    def suspects(self) -> Tensor:
        """Return the pictures that are called something else, the worst first."""
        order = least_self_confident(self.probabilities, self.whole.labels)
        return order[(self.probabilities.argmax(1) != self.whole.labels)[order]]

    @property
    def copies(self) -> list[list[str]]:
        """Return the groups of files that repeat one another, across classes first."""
        groups: dict[str, list[str]] = {}
        for finding in self.check.findings:
            for pair in finding.pairs if finding.kind.startswith("copies") else ():
                first, second = (groups.setdefault(name, [name]) for name in pair)
                if first is not second:
                    second += first
                    groups.update(dict.fromkeys(first, second))
        return list({id(group): group for group in groups.values()}.values())

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Return the files that are no pictures, whatever they are called."""
        kinds = {finding.kind: finding for finding in self.check.findings}
        return kinds["unreadable"].files if "unreadable" in kinds else ()


def write_review(doubts: Doubts, out: Path, *, shown: int) -> Path:
    """Write `review.html` and `review.json` into the folder `out`; return the page.

    At most `shown` suspects are on it. Raises `RunError` if `out` cannot be written.
    """
    names = folder_names(doubts)
    script = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    checksum = hashlib.sha256(script.encode()).digest()
    command = shell_line("sightline", "apply", doubts.folder)
    suspects, copies = doubts.suspects, doubts.copies
    page = fill(
        "review.html",
        title=as_text(doubts.folder.name),
        about=about(doubts),
        lists=lists_of(doubts, shown, names),
        classes=doubts.classes,
        review={
            "key": f"sightline-review-{state_of(doubts)}",
            "folder": doubts.folder.name,
            "classes": names,
            "names": doubts.classes,
        },
        command=f"{command} corrections.json",
        undo=f"{command} --undo",
        script=Markup(script),
        digest=f"sha256-{base64.b64encode(checksum).decode()}",
    )
    write_json(
        out / "review.json",
        {
            "classes": names,
            "files": doubts.whole.files,
            "predicted": doubts.probabilities.argmax(1).tolist(),
            "suspects": [doubts.whole.files[place] for place in suspects.tolist()],
            "copies": copies,
            "unreadable": doubts.unreadable,
        },
    )
    write_text(out / "review.html", page)
    return out / "review.html"


def folder_names(doubts: Doubts) -> list[str]:
    """Return the names of the classes as those of their folders are, byte by byte."""
    names = list(doubts.classes)
    rows = zip(doubts.whole.files, doubts.whole.labels.tolist(), strict=True)
    for file, label in rows:
        names[label] = PurePosixPath(file).parent.name
    return names


def state_of(doubts: Doubts) -> str:
    """Return a digest of the folder and the names of its files."""
    words = [str(doubts.folder), *doubts.whole.files, *doubts.unreadable]
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()


def about(doubts: Doubts) -> str:
    """Say in a sentence who doubts the labels."""
    agree = (doubts.probabilities.argmax(1) == doubts.whole.labels).double().mean()
    return (
        f"{len(doubts.whole):,} pictures were each looked at by a network that was "
        f"trained without them. It agrees with the label of {agree:.1%}; of the others "
        "either the label is wrong or the network, and only a look can tell which."
    )


def lists_of(doubts: Doubts, shown: int, names: Sequence[str]) -> list[dict]:
    """Return what the page shows: three lists of rows of one or more pictures."""
    places = {file: place for place, file in enumerate(doubts.whole.files)}
    suspects = doubts.suspects
    first = [doubts.whole.files[place] for place in suspects[:shown].tolist()]
    groups = doubts.copies
    copies = [name for group in groups[:GROUPS] for name in group[:LONGEST]]
    units = {
        name: unit(doubts, name, places.get(name), names)
        for name in dict.fromkeys((*first, *copies, *doubts.unreadable))
    }
    return [
        {
            "name": "labels",
            "title": "Suspected labels",
            "one": "suspect",
            "words": "The network calls these something else; shown are "
            f"{counted(len(suspects), shown)}, the least probable label first. Once "
            "you keep one after the other, stop: the rest are less doubtful.",
            "rows": rows([[name] for name in first], units),
        },
        {
            "name": "copies",
            "title": "Copies",
            "one": "copy",
            "words": "Equal files, and pictures that look nearly alike; shown are "
            f"{counted(len(groups), GROUPS)} groups. With two labels one of them is "
            "wrong; with one label the second picture adds little.",
            "rows": rows(groups[:GROUPS], units),
        },
        {
            "name": "unreadable",
            "title": "Unreadable files",
            "one": "file",
            "words": "No training ever sees these.",
            "rows": rows([[name] for name in doubts.unreadable], units),
        },
    ]


def counted(total: int, shown: int) -> str:
    """Say how many of how many are on the page."""
    return f"all {total:,}" if total <= shown else f"the first {shown:,} of {total:,}"


def rows(groups: Iterable[Sequence[str]], units: Mapping[str, dict]) -> list[dict]:
    """Return rows of one or more pictures, each with the number of its first one."""
    result, number = [], 1
    for group in groups:
        classes = sorted({as_text(PurePosixPath(name).parent.name) for name in group})
        words, total = "", len(group)
        if total > 1:
            several = f"in {len(classes)} classes: {', '.join(classes)}"
            where = several if len(classes) > 1 else f"all in {classes[0]}"
            first = f", the first {LONGEST} here" * (total > LONGEST)
            words = f"{total} pictures that repeat one another, {where}{first}"
        group = group[:LONGEST]
        result.append(
            {"words": words, "number": number, "units": [units[n] for n in group]}
        )
        number += len(group)
    return result


def unit(
    doubts: Doubts, name: str, place: int | None, names: Sequence[str]
) -> dict[str, object]:
    """Return what the page says of one file; `place` is None if it has no picture."""
    own = PurePosixPath(name).parent.name
    words, guesses = f"label: {as_text(own)}", []
    if place is None:
        words = f"{words}. {reason(doubts, name)}"
    else:
        shares, order = doubts.probabilities[place].sort(descending=True, stable=True)
        best = [
            (label, share)
            for label, share in zip(order.tolist(), shares.tolist(), strict=True)
            if share >= LEAST
        ]
        says = [
            f"{doubts.classes[label]} ({share:.0%})" for label, share in best[:GUESSES]
        ]
        label = int(doubts.whole.labels[place])
        trust = float(doubts.probabilities[place, label])
        words += f" ({trust:.0%}). The network says {', '.join(says)}"
        guesses = [
            {"class": names[label], "words": f"→ {doubts.classes[label]}"}
            for label, share in best
            if names[label] != own
        ][:GUESSES]
    path = doubts.folder / name
    return {
        "name": as_text(name),
        "words": words,
        "guesses": guesses,
        "picture": thumbnail(path),
        "machine": {
            "file": name,
            "sha256": digest(path),
            "class": own,
            "name": as_text(name),
        },
    }


def reason(doubts: Doubts, name: str) -> str:
    """Say why a file cannot be read as a picture."""
    try:
        read_picture(doubts.folder / name, doubts.check.image_size)
    except DataError as error:
        return as_text(str(error)).replace(f"{doubts.folder}/", "")
    return "It can be read again"


def thumbnail(path: Path) -> str:
    """Return a small picture as an address that holds it, "" if there is none."""
    memory = BytesIO()
    with suppress(DataError):
        pixels, _ = read_whole(path, SIDE)
        Image.fromarray(pixels).save(memory, "JPEG", quality=80)
    data = base64.b64encode(memory.getvalue()).decode()
    return f"data:image/jpeg;base64,{data}" if data else ""


def agreements(review: Path) -> dict[str, bool]:
    """Return for each picture of a review whether its network agrees with the label.

    Raises `RunError` if the folder holds no review.
    """
    answers = read_json(review / "review.json", ANSWERS, remedy="name a review")
    classes, rows = answers["classes"], (answers["files"], answers["predicted"])
    return {
        file: classes[predicted] == PurePosixPath(file).parent.name
        for file, predicted in zip(*rows, strict=True)
    }


def before_and_after(before: Path, after: Path) -> str:
    """Say what corrections have brought, from the folders of two reviews.

    Compared are the pictures whose file kept its name, so its label: both networks are
    judged by the same labels, which nobody changed after looking at their answers.

    Raises:
        RunError: if a folder holds no review.
        DataError: if the two have no picture in common.
    """
    right = [agreements(folder) for folder in (before, after)]
    common = sorted(right[0].keys() & right[1].keys())
    if not common:
        raise DataError(f"{before} and {after} are reviews without a common picture")
    old, new = (torch.tensor([each[file] for file in common]) for each in right)
    change = effect(new, old)
    verdict = change.verdict()
    return (
        f"of {len(common):,} pictures whose label did not change, networks that were "
        f"trained without them agree with {old.double().mean():.1%} before and "
        f"{new.double().mean():.1%} after: {change.written()} points with the 95% "
        f"interval, {verdict}. Short trainings with one seed: what the corrected "
        "pictures themselves gain, and other seeds, are not in it"
    )
