"""The files of a run: whole, of a known shape, and with their SHA-256 beside them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.errors import DataError, RunError
from sightline.files import (
    Shape,
    misfit,
    parse_json,
    sha256,
    write_atomically,
    write_text,
)
from sightline.measures.evaluation import Evaluation
from sightline.training.weights import unpack

__all__ = [
    "BEFORE",
    "COPY",
    "HISTORY",
    "STATE",
    "TEST",
    "WEIGHTS",
    "RunFiles",
    "is_whole",
    "remedy",
]

STATE, BEFORE, WEIGHTS = "state.pt", "state-before.pt", "weights.safetensors"
HISTORY, TEST = "history.jsonl", "test.safetensors"
CHECKSUMS = "SHA256SUMS"  # as the command sha256sum writes and checks it
AGAIN = "go on with --resume; nothing already saved is lost"
COPY = "put a copy of it back, or train again into another --out"
REMEDIES = {
    HISTORY: f"go on with --resume, which writes it again from {STATE}",
    TEST: "move it away and go on with --resume, which asks the network once more",
}
ROW: Shape = {
    "epoch": int,
    "train_loss": float,
    "train_accuracy": float,
    "validation_loss": float,
    "validation_accuracy": float,
    "lr": float,
    "last_lr": float,
    "seconds": float,
    "images_per_second": float,
}
SHAPES: dict[str, Shape] = {
    "recipe.json": {
        "name": str,
        "augmentation?": dict,
        "target?": int | float | None,
        "reported?": int | float | None,
        "protocol?": str,
        "source?": str,
        "repaired?": [str],
    },
    "manifest.json": {
        "data": str,
        "digest": str,
        "classes": [str],
        "mean": [float],
        "std": [float],
        "image_size": int,
        "resumed_on?": [dict],
        "train_seconds?": float,
        "best_epoch?": int,
        "validation_accuracy?": float,
        "prediction_sets?": {"pictures": int, "scores": {"90": float, "95": float}},
        "test?": {"accuracy": float, "loss": float},
    },
    HISTORY: ROW,
    STATE: {"model": dict, "optimizer": dict, "history": [ROW]},
    TEST: {"logits": Tensor, "labels": Tensor},
}


class RunFiles:
    """The files of a run's folder, and in `SHA256SUMS` what each of them may contain.

    That is two contents while a file is replaced, so that a kill at any moment leaves
    one that is known. Files of versions without checksums are read unchecked.
    """

    def __init__(self, path: Path):
        self.path = path
        self._written: dict[str, str] = {}  # SHA-256 of what this process wrote

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return os.path.exists(self.path / name)

    def write(
        self, name: str, write: Callable[[Path], object], *, before: str = ""
    ) -> None:
        """Write one file atomically; the one that it replaces is kept as `before`.

        Raises:
            RunError: if the disk is full or the folder cannot be written to.
        """
        file, digests = self.path / name, []

        def fill(partial: Path) -> None:
            write(partial)
            digests.append(sha256(partial))
            self._accept(name, digests[0])
            if before and file.exists():
                os.replace(file, self.path / before)

        write_atomically(file, fill, remedy=AGAIN)
        self._written[name] = digests[0]

    def _accept(self, name: str, digest: str) -> None:
        """Record what a file will contain, beside what it still does."""
        file, known, contents = self.path / name, self._known(), [digest]
        if file.exists():
            present = self._written.get(name) or sha256(file)
            if present in known.get(name, [present]):  # else it is damaged
                contents.append(present)
        lines = [
            f"{digest}  {name}\n"
            for name, digests in {**known, name: contents}.items()
            for digest in digests
        ]
        write_text(self.path / CHECKSUMS, "".join(lines), remedy=AGAIN)

    def _known(self) -> dict[str, list[str]]:
        """Return what each file may contain, by its name."""
        try:
            text = (self.path / CHECKSUMS).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # of a version without
            text = ""
        known: dict[str, list[str]] = {}
        for line in text.splitlines():
            digest, _, name = line.partition("  ")
            known.setdefault(name, []).append(digest)
        return known

    def read_json(self, name: str) -> Any:
        """Return a JSON object.

        Raises:
            RunError: if the file is missing or damaged, as in all that follow.
        """
        return parse_json(
            self._read(name), self.path / name, SHAPES[name], remedy=remedy(name)
        )

    def read_lines(self, name: str) -> list[Any]:
        """Return one JSON object a line."""
        return [
            parse_json(line, self.path / name, SHAPES[name], remedy=remedy(name))
            for line in self._read(name).splitlines()
        ]

    def read_tensors(self, name: str, *, written_as: str = "") -> Any:
        """Return what `safetensors` or torch saved, maybe `written_as` another name."""
        file, key = self.path / name, written_as or name
        try:
            value = unpack(self._read(name, key), file)
        except DataError as error:
            raise RunError(f"{error}; {remedy(name)}") from error
        if reason := misfit(value, SHAPES.get(key, dict)):
            raise RunError(f"{file} is damaged: {reason}; {remedy(name)}")
        return value

    def _read(self, name: str, written_as: str = "") -> bytes:
        """Return what a file contains, if that is what was written."""
        file = self.path / name
        try:
            content = file.read_bytes()
            known = self._known()  # after it: another process may be writing
        except FileNotFoundError as error:
            raise RunError(f"{self.path} is not a run: {name} is missing") from error
        except OSError as error:
            raise RunError(f"{error.filename} cannot be read ({error})") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest not in known.get(written_as or name, [digest]):
            raise RunError(
                f"{file} is damaged: its SHA-256 is not the one in {CHECKSUMS}; "
                f"{remedy(name)}"
            )
        return content


def remedy(name: str) -> str:
    """Say what helps if a file is damaged."""
    return REMEDIES.get(name, COPY)


def is_whole(evaluation: Evaluation, num_classes: int) -> bool:
    """Tell whether there are finite logits of these classes, and a label for each."""
    logits, labels = evaluation.logits, evaluation.labels
    return (
        labels.ndim == 1
        and labels.dtype == torch.int64
        and logits.shape == (len(labels), num_classes)
        and logits.dtype == torch.float32
        and bool(logits.isfinite().all())
        and bool(((labels >= 0) & (labels < num_classes)).all())
    )
