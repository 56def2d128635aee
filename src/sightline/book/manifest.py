"""What an edition was made of: the record on disk, and its words on the pages."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from sightline.book.chapters import text_of
from sightline.book.notebook import Edition
from sightline.errors import SightlineError
from sightline.files import read_json, write_text
from sightline.training.machine import describe, git_revision
from sightline.training.run import Run

__all__ = [
    "ChapterRecord",
    "DataRecord",
    "EditionRecord",
    "RunRecord",
    "edition_line",
    "edition_tables",
    "identify",
    "is_current",
    "library_sentence",
    "mixture",
    "read_edition",
    "record_edition",
    "result_sentence",
    "write_edition",
]

VERSIONS = ("torch", "torchvision", "numpy", "albumentations", "grad-cam", "matplotlib")
# what an edition itself writes: no change of what it is made from
RESULTS = ("edition.json", "cover.svg", "demo")
MADE = ("book/*.ipynb", *(f"book/results/{name}" for name in RESULTS))
SHOWN_DIGITS = 8  # of a digest, on a page


@dataclass(frozen=True)
class ChapterRecord:
    """One execution of one chapter: what it was made from, where, when."""

    source: str  #: digest of the text of its cells
    library: str  #: digest of every line of the package
    data: str  #: digest of pictures, labels and split
    device: str  #: kind and name of the processor
    revision: str  #: of the repository; ends in "-dirty" if something was uncommitted
    date: str  #: YYYY-MM-DD
    seconds: float = 0.0  #: that the execution took
    fast_seconds: float = (
        0.0  #: of the same code in the fast profile, 0 if not measured
    )


@dataclass(frozen=True)
class DataRecord:
    """The pictures of an edition."""

    name: str  #: of the data set
    label: str  #: the data set in words, such as "CIFAR-10, JPEG q75 copy"
    digest: str  #: of pictures, labels and split
    training: int  #: images
    validation: int  #: images
    test: int  #: images
    notes: tuple[str, ...]  #: what was left out or changed, in words


@dataclass(frozen=True)
class RunRecord:
    """The main run of an edition, as its own folder describes it."""

    recipe: Mapping[str, Any]  #: the run's `recipe.json`
    manifest: Mapping[str, Any]  #: the run's `manifest.json`


@dataclass(frozen=True)
class EditionRecord:
    """An edition: a set of executed chapters, and what they share."""

    chapters: Mapping[str, ChapterRecord]  #: by name, in order
    profile: str  #: "full" or "fast"
    date: str  #: YYYY-MM-DD of the last execution
    revision: str  #: of the repository at the last execution
    data: DataRecord  #: the pictures of all chapters
    machine: str  #: as `device` of a chapter
    precision: str  #: of the trainings
    versions: Mapping[str, str]  #: of Python and the packages that decide numbers
    run: RunRecord | None  #: None if the main run was not finished


def read_edition(path: Path) -> EditionRecord | None:
    """Read the record of an edition; None if there is none yet.

    Raises:
        SightlineError: if the file is damaged or of another version.
    """
    if not path.exists():
        return None
    try:
        fields = read_json(path, remedy="delete it and run the chapters again")
        chapters = fields["chapters"].items()
        data, run = fields["data"], fields["run"]
        fields["chapters"] = {
            name: ChapterRecord(**chapter) for name, chapter in chapters
        }
        fields["data"] = DataRecord(**{**data, "notes": tuple(data["notes"])})
        fields["run"] = RunRecord(**run) if run else None
        return EditionRecord(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise SightlineError(
            f"{path} is not the record of an edition ({error}): it is damaged, or an "
            "older version wrote it; delete it and run the chapters again"
        ) from error


def write_edition(record: EditionRecord, path: Path) -> None:
    """Write the record of an edition atomically."""
    text = json.dumps(asdict(record), indent=2, ensure_ascii=False)
    write_text(path, text + "\n")


def identify(source: NotebookNode, edition: Edition) -> ChapterRecord:
    """Record what one execution of one chapter is made from and on."""
    text = json.dumps(text_of(source)).encode()
    return ChapterRecord(
        source=hashlib.sha256(text).hexdigest()[:16],
        library=library_digest(),
        data=edition.splits.digest,
        device=str(describe(edition.runtime)["device"]),
        revision=git_revision(made=MADE),
        date=date.today().isoformat(),
    )


def is_current(old: ChapterRecord | None, new: ChapterRecord) -> bool:
    """Tell whether an execution on record would be repeated by a new one."""
    keys = "source", "library", "data", "device"
    return old is not None and all(getattr(old, k) == getattr(new, k) for k in keys)


def library_digest() -> str:
    """Return a digest of every line of the package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def record_edition(
    edition: Edition, chapters: Mapping[str, ChapterRecord]
) -> EditionRecord:
    """Record data, machine, versions and the main run beside executed chapters."""
    splits, run = edition.splits, Run(edition.run_dir)
    main_run = None
    if run.finished:
        facts = run.read("manifest.json")
        facts.pop("source", None)  # a folder of this machine is nobody else's business
        main_run = RunRecord(run.read("recipe.json"), facts)
    return EditionRecord(
        chapters=dict(sorted(chapters.items())),
        profile=edition.profile,
        date=date.today().isoformat(),
        revision=git_revision(made=MADE),
        data=DataRecord(
            name=splits.name,
            label=edition.label,
            digest=splits.digest,
            training=len(splits.train),
            validation=len(splits.validation),
            test=len(splits.test),
            notes=tuple(splits.notes),
        ),
        machine=str(describe(edition.runtime)["device"]),
        precision=edition.runtime.precision,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in VERSIONS},
        },
        run=main_run,
    )


def edition_line(record: EditionRecord | None) -> str:
    """Say in one line which edition a page shows."""
    if record is None:
        return "No edition yet: no chapter has been executed."
    training = ""
    if record.run:
        recipe = record.run.recipe
        training = f", {title(recipe['model'])} for {recipe['epochs']} epochs"
    label = record.data.label
    if record.profile == "full":
        line = f"Edition of {record.date}: {label}{training}, {record.machine}."
        return f"{line} {mixture(record)}".strip()
    return f"Fast edition: {label}{training}. It shows that all runs; do not quote it."


def mixture(record: EditionRecord) -> str:
    """Say what keeps an edition from being one thing; "" if nothing does."""
    chapters = record.chapters.values()
    revisions = {chapter.revision for chapter in chapters}
    libraries = {chapter.library for chapter in chapters}
    dirty = sum(chapter.revision.endswith("-dirty") for chapter in chapters)
    faults = [
        f"{len(revisions)} revisions" if len(revisions) > 1 else "",
        f"{len(libraries)} states of the library" if len(libraries) > 1 else "",
        f"{dirty} pages with changes that no revision holds" if dirty else "",
    ]
    said = ", ".join(filter(None, faults))
    return f"A mixed edition, of {said}." if said else ""


def result_sentence(record: EditionRecord | None) -> str:
    """Say what the main run reached, under which protocol."""
    if record is None or record.run is None:
        return "The main run of this edition has not been made yet."
    recipe, manifest, data = record.run.recipe, record.run.manifest, record.data
    return (
        f"In this edition a {title(recipe['model'])}, trained for "
        f"{recipe['epochs']} epochs on {data.training:,} images "
        f"({data.label}), classifies **{manifest['test']['accuracy']:.2%}** of "
        f"{data.test:,} test images correctly. "
        f"The weights were chosen by the accuracy on {data.validation:,} validation "
        f"images; the test images were read once. Training took "
        f"{duration(manifest['train_seconds'])} on {manifest['device']} in "
        f"{manifest['precision']}, with one seed."
    )


def library_sentence(record: EditionRecord, library: str) -> str:
    """Say which chapters were executed with another library than this digest; or ""."""
    count = sum(chapter.library != library for chapter in record.chapters.values())
    if not count:
        return ""
    verb, their = ("was", "its") if count == 1 else ("were", "their")
    return (
        f"{count} of {len(record.chapters)} chapters {verb} executed with an older "
        f"state of the library than the present one, `{library[:SHOWN_DIGITS]}`: "
        f"{their} numbers are those of that library, and the code shown is that of "
        "today."
    )


def edition_tables(record: EditionRecord | None) -> str:
    """Return the record as two tables of MyST."""
    if record is None:
        return "No chapter has been executed yet.\n"
    lines = ["| What | Value |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in edition_rows(record).items()]
    for sentence in (mixture(record), library_sentence(record, library_digest())):
        lines += ["", sentence] if sentence else []
    head = "Page | Seconds | Fast | Executed | Machine | Revision, library"
    lines += ["", f"| {head} |", "|---|--:|--:|---|---|---|"]
    lines += [
        f"| `{name}` | {chapter.seconds:.1f} | {chapter.fast_seconds or '–'} | "
        f"{chapter.date} | {chapter.device} | `{chapter.revision}`, "
        f"`{chapter.library[:SHOWN_DIGITS]}` |"
        for name, chapter in record.chapters.items()
    ]
    return "\n".join(lines) + "\n"


def edition_rows(record: EditionRecord) -> dict[str, str]:
    """Return what all chapters of an edition share, by its name on the page."""
    data = record.data
    rows = {
        "Profile": record.profile,
        "Date": record.date,
        "Data": f"{data.label}, digest `{data.digest}`",
        "Images": f"{data.training:,} training, {data.validation:,} validation, "
        f"{data.test:,} test",
        "Machine": record.machine,
        "Precision": record.precision,
        "Git revision": f"`{record.revision}`",
        "Versions": ", ".join(f"{name} {v}" for name, v in record.versions.items()),
    }
    rows |= {"Notes on the data": "; ".join(data.notes)} if data.notes else {}
    return rows | ({"Main run": result_sentence(record)} if record.run else {})


def title(model: str) -> str:
    """Write a network's name as papers do: resnet18 is ResNet-18."""
    return model.replace("resnet", "ResNet-")


def duration(seconds: float) -> str:
    """Write a time in the unit that people use for it."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
