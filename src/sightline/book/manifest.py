"""What an edition was made of, as JSON and as words on a page."""

import hashlib
import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

from nbformat import NotebookNode

from sightline.book.chapters import text_of
from sightline.book.notebook import Edition
from sightline.files import write_atomically
from sightline.training.machine import describe, git_revision
from sightline.training.run import Run

__all__ = [
    "complete_manifest",
    "edition_line",
    "edition_tables",
    "identify",
    "is_current",
    "read_manifest",
    "result_sentence",
    "save_manifest",
]

VERSIONS = ("torch", "torchvision", "numpy", "albumentations", "grad-cam", "matplotlib")


def read_manifest(path: Path) -> dict:
    """Read an edition's manifest, or begin one."""
    return json.loads(path.read_text()) if path.exists() else {"chapters": {}}


def save_manifest(manifest: dict, path: Path) -> None:
    """Write an edition's manifest atomically."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write_text(text))


def identify(source: NotebookNode, edition: Edition) -> dict[str, str | float]:
    """Return what one execution of one chapter was made from and on."""
    text = json.dumps(text_of(source)).encode()
    return {
        "source": hashlib.sha256(text).hexdigest()[:16],
        "library": library_digest(),
        "data": edition.splits.digest,
        "device": describe(edition.runtime)["device"],
        "revision": git_revision(),
        "date": date.today().isoformat(),
        "seconds": 0.0,
    }


def is_current(old: dict | None, new: dict) -> bool:
    """Tell whether an execution on record would be repeated by a new one."""
    keys = "source", "library", "data", "device"
    return old is not None and all(old.get(key) == new[key] for key in keys)


def library_digest() -> str:
    """Return a digest of every line of the package."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def complete_manifest(manifest: dict, edition: Edition, run_dir: Path) -> None:
    """Enter data, machine, versions and the result of the main run."""
    splits = edition.splits
    chapters = manifest["chapters"]
    manifest.update(
        chapters={name: chapters[name] for name in sorted(chapters)},
        profile=edition.profile,
        date=date.today().isoformat(),
        revision=git_revision(),
        data={
            "name": splits.name,
            "label": edition.label,
            "digest": splits.digest,
            "training": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
            "notes": list(splits.notes),
        },
        machine=describe(edition.runtime)["device"],
        precision=edition.runtime.precision,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in VERSIONS},
        },
    )
    run = Run(run_dir)
    if run.finished:
        manifest["run"] = {"recipe": run.recipe, **run.manifest}


def edition_line(manifest: dict) -> str:
    """Say in one line which edition a page shows."""
    if "data" not in manifest:
        return "No edition yet: no chapter has been executed."
    label, run = manifest["data"]["label"], manifest.get("run")
    what = (
        f", {title(run['recipe']['model'])} for {run['recipe']['epochs']} epochs"
        if run
        else ""
    )
    if manifest["profile"] == "full":
        return f"Edition of {manifest['date']}: {label}{what}, {manifest['machine']}."
    return f"Fast edition: {label}{what}. It shows that all runs; do not quote it."


def result_sentence(manifest: dict) -> str:
    """Say what the main run reached, under which protocol."""
    run, data = manifest.get("run"), manifest.get("data")
    if not run:
        return "The main run of this edition has not been made yet."
    recipe = run["recipe"]
    return (
        f"In this edition a {title(recipe['model'])}, trained for "
        f"{recipe['epochs']} epochs on {data['training']:,} images "
        f"({data['label']}), classifies **{run['test']['accuracy']:.2%}** of "
        f"{data['test']:,} test images correctly. "
        f"The weights were chosen by the accuracy on {data['validation']:,} validation "
        f"images; the test images were read once. Training took "
        f"{duration(run['train_seconds'])} on {run['device']} in {run['precision']}, "
        "with one seed."
    )


def edition_tables(manifest: dict) -> str:
    """Return the manifest as two tables of MyST."""
    if "data" not in manifest:
        return "No chapter has been executed yet.\n"
    data = manifest["data"]
    rows = {
        "Profile": manifest["profile"],
        "Date": manifest["date"],
        "Data": f"{data['label']}, digest `{data['digest']}`",
        "Images": f"{data['training']:,} training, {data['validation']:,} validation, "
        f"{data['test']:,} test",
        "Machine": manifest["machine"],
        "Precision": manifest["precision"],
        "Git revision": f"`{manifest['revision']}`",
        "Versions": ", ".join(f"{k} {v}" for k, v in manifest["versions"].items()),
    }
    rows |= {"Notes on the data": "; ".join(data["notes"])} if data["notes"] else {}
    rows |= {"Main run": result_sentence(manifest)} if "run" in manifest else {}
    table = [
        "| What | Value |",
        "|---|---|",
        *(f"| {k} | {v} |" for k, v in rows.items()),
        "",
    ]
    table += ["| Chapter | Seconds | Executed | Machine | Revision |"]
    table += ["|---|--:|---|---|---|"]
    for name, record in manifest["chapters"].items():
        table.append(
            f"| `{name}` | {record['seconds']:.1f} | {record['date']} | "
            f"{record['device']} | `{record['revision']}` |"
        )
    return "\n".join(table) + "\n"


def title(model: str) -> str:
    """Write a network's name as papers do: resnet18 is ResNet-18."""
    return model.replace("resnet", "ResNet-")


def duration(seconds: float) -> str:
    """Say a time in the unit people use for it."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
