r"""Answers about many picture files, as a table that grows while they are made.

=================  =============================================================
file               as it was named; one that begins with = + - @ as ./=name
class_1            the most probable class, then the second and the third
confidence_1       its probability, likewise
set_90, set_95     prediction set: classes joined by ; (one with a ; is quoted), or
                   "none of these"; empty for a network without thresholds
heatmap            the figure of `explain`, where figures were asked for
network            digits of weights, classes and thresholds: who answered
problem            why the picture could not be read; then there is no answer
=================  =============================================================

The table is CSV in UTF-8. Bytes of a file name that are no text, and what a terminal
would obey, are written out, as in caf\xe9. A class whose name a spreadsheet would take
for a formula has an apostrophe before it.
"""

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from sightline.data.findings import as_text
from sightline.data.pictures import Pictures, read_pictures
from sightline.data.split import Split
from sightline.errors import RunError
from sightline.files import printable, write_text
from sightline.heatmaps.layers import default_layers
from sightline.measures.conformal import (
    COVERAGES,
    Thresholds,
    exact_probabilities,
    prediction_sets,
)
from sightline.reports.picture import explain_picture
from sightline.training.classifier import Classifier

__all__ = ["COLUMNS", "NONE", "Predictor", "Table", "safe_path"]

TOP = 3  # classes in a row
SETS = tuple(f"set_{coverage}" for coverage in COVERAGES)
#: of a table
COLUMNS = (
    "file",
    *(f"{column}_{n}" for n in range(1, TOP + 1) for column in ("class", "confidence")),
    *SETS,
    *("heatmap", "network", "problem"),
)
NONE = "none of these"  #: a prediction set without a class
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes begins so
AT_ONCE = 4096  # files that are handed to the decoders together
DIGITS = 12  # of a network's digest

Row = dict[str, str]  # a column that it lacks is empty


@dataclass(frozen=True)
class Predictor:
    """A network, and what its answers about files are to say."""

    classifier: Classifier
    thresholds: Thresholds | None  #: None leaves the sets empty
    heatmaps: Path | None = None  #: folder for one figure per picture

    @cached_property
    def network(self) -> str:
        """Return digits that change with the weights and all that is said of them."""
        own = self.classifier
        about = (own.classes, own.mean, own.std, own.image_size, own.framing)
        text = repr((*about, own.flip_average, self.thresholds))
        digest = hashlib.sha256(text.encode(errors="backslashreplace"))
        for name, tensor in own.model.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()[:DIGITS]

    def rows(self, files: Iterator[str]) -> Iterator[list[Row]]:
        """Answer about files in their order, some at a time.

        Raises:
            SightlineError: if the network answers NaN.
        """
        size, framing = self.classifier.image_size, self.classifier.framing
        while names := list(islice(files, AT_ONCE)):
            for part in read_pictures(names, size, framing, progress=False):
                yield self._answer(part, names)

    def _answer(self, part: Pictures, names: list[str]) -> list[Row]:
        """Return the rows of the pictures that were read together."""
        rows = {
            place: {"problem": written(reason)}
            for place, reason in part.unreadable.items()
        }
        if part.places:
            labels = torch.zeros(len(part.places), dtype=torch.int64)  # not looked at
            split = Split(torch.from_numpy(part.images), labels)
            probabilities = exact_probabilities(self.classifier.ask(split))
            for place, row in zip(part.places, self._rows(probabilities), strict=True):
                rows[place] = row | self._figure(names[place])
        fixed = {"network": self.network}
        return [
            {"file": written(names[place]), **fixed, **rows[place]}
            for place in sorted(rows)
        ]

    def _rows(self, probabilities: Tensor) -> Iterator[Row]:
        """Put probabilities (N, K) into words."""
        classes = self.classifier.classes
        scores = self.thresholds.scores if self.thresholds else {}
        sets = {
            f"set_{coverage}": prediction_sets(probabilities, score).tolist()
            for coverage, score in scores.items()
        }
        order = probabilities.argsort(dim=1, descending=True, stable=True).tolist()
        for i, shares in enumerate(probabilities.tolist()):
            row = {}
            for n, place in enumerate(order[i][:TOP], 1):
                row[f"class_{n}"] = _cell(classes[place])
                row[f"confidence_{n}"] = f"{shares[place]:.6f}"
            for column, members in sets.items():
                inside = [classes[place] for place in order[i] if members[i][place]]
                row[column] = _joined(inside) if inside else NONE
            yield row

    def _figure(self, name: str) -> Row:
        """Draw the heatmaps of a picture, where they were asked for."""
        if self.heatmaps is None:
            return {}
        question: dict[str, Any] = {
            "layers": default_layers(self.classifier.model, self.classifier.image_size),
            "targets": "predicted",
            "against": "rest",
            "method": "grad_cam",
        }
        file, _ = explain_picture(
            self.classifier, Path(name), self.heatmaps, **question
        )
        return {"heatmap": written(safe_path(str(file)))}


def safe_path(name: str) -> str:
    """Return the same path in a form that no spreadsheet takes for a formula."""
    return os.path.join(".", name) if name.startswith(FORMULA) else name


def written(name: str) -> str:
    """Return a name as the table has it, which any program can read."""
    return printable(as_text(name))


def _cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return "'" * text.startswith(FORMULA) + printable(text)


def _joined(classes: Iterable[str]) -> str:
    """Join the classes of a set by semicolons."""
    return _cell(_line(classes, delimiter=";").rstrip("\n"))


def _line(cells: Iterable[str], delimiter: str = ",") -> str:
    """Return a line of CSV."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return text.getvalue()


HEADER = _line(COLUMNS)
AGAIN = "give the same command again, which goes on after the last row"


class Table:
    """The file of a table: rows are added at its end, and none is written over.

    Raises:
        RunError: if it cannot be written.
    """

    def __init__(self, path: Path):
        self.path = path
        self.end = 0  # of the last whole row, in bytes
        self.counts = Counter[str]()  #: rows by the cells that matter at the end
        if path.is_dir():
            raise RunError(
                f"--out {path} is a folder; name a file, such as "
                f"{path / 'predictions.csv'}"
            )
        if not os.path.lexists(path):
            write_text(path, HEADER, remedy=AGAIN)

    def skip(self, files: Iterator[str], network: str) -> None:
        """Pass the files that have their row, and cut off half a row.

        Raises:
            RunError: if the table is none of ours, of another network or other files;
                then nothing of it is touched.
        """
        with self._opened() as file:
            lines = self._whole_lines(file)
            header, self.end = next(lines, ([], 0))
            if header != list(COLUMNS):
                raise self._refusal("it is no table that sightline predict began")
            for cells, end in lines:
                row, number = self._row(cells), self.counts["file"] + 1
                if row["network"] != network:
                    raise self._refusal(
                        f"row {number} is of the network {row['network']}, not of "
                        f"{network}"
                    )
                name = written(next(files, "no picture"))
                if row["file"] != name:
                    raise self._refusal(
                        f"row {number} is about {row['file']}, where now comes {name}"
                    )
                self._count(row)
                self.end = end
            file.truncate(self.end)

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows.

        Raises:
            RunError: if they cannot be written, or another process writes, too.
        """
        lines = (_line(row.get(column, "") for column in COLUMNS) for row in rows)
        content = "".join(lines).encode()
        with self._opened() as file:
            if file.seek(0, os.SEEK_END) != self.end:
                raise RunError(
                    f"another process writes to {self.path}; end it, then {AGAIN}"
                )
            file.write(content)
        self.end += len(content)
        for row in rows:
            self._count(row)

    def _count(self, row: Row) -> None:
        """Count a row by the columns that matter at the end."""
        self.counts["file"] += 1
        self.counts["problem"] += bool(row.get("problem"))
        for column in SETS:
            self.counts[column] += row.get(column) == NONE

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open the file to read and to write."""
        try:
            with open(self.path, "r+b") as file:
                yield file
        except OSError as error:
            raise RunError(
                f"could not write {self.path}: {error.strerror or error}. Free some "
                f"space or make the file writable, then {AGAIN}"
            ) from error

    def _whole_lines(self, file: BinaryIO) -> Iterator[tuple[list[str], int]]:
        """Yield the cells of each line of CSV that is whole, and where it ends."""
        end = 0

        def lines() -> Iterator[str]:
            nonlocal end
            for line in file:
                if line.endswith(b"\n"):
                    end += len(line)
                    yield line.decode()

        try:
            for cells in csv.reader(lines(), strict=True):
                yield cells, end
        except (csv.Error, UnicodeDecodeError) as error:
            if file.read(1):  # else it was cut off within quotes
                raise self._refusal(f"it is damaged ({error})") from error

    def _row(self, cells: Sequence[str]) -> Row:
        """Return a row of the table."""
        if len(cells) != len(COLUMNS):
            raise self._refusal(
                f"a row has {len(cells)} cells, where {len(COLUMNS)} are expected"
            )
        return dict(zip(COLUMNS, cells, strict=True))

    def _refusal(self, reason: str) -> RunError:
        """Return the error of a table that is not the one to go on with."""
        return RunError(
            f"{self.path} cannot be gone on with: {reason}; nothing in it was touched. "
            "Choose another --out"
        )
