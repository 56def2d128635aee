"""The command predict."""

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.group import console, main, notes, resumable
from sightline.cli.heatmaps import classifier_of
from sightline.cli.options import PATH, network_options, pictures_for
from sightline.errors import DataError, SightlineError

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.measures.conformal import Thresholds
    from sightline.reports.predictions import Predictor, Table
    from sightline.training.classifier import Classifier
    from sightline.training.run import Run

SHOWN = 10  # problems that are printed; the table has them all


@main.command()
@click.argument("run")
@click.argument("pictures", nargs=-1, required=True)
@click.option(
    "--out",
    default="predictions.csv",
    show_default=True,
    type=PATH,
    help="the table, CSV; the same command again goes on with it",
)
@click.option("--heatmaps", type=PATH, help="folder for a figure of each picture")
@click.option(
    "--data",
    help="where the pictures of the training are, for a run without thresholds",
)
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@network_options
def predict(
    run: str,
    pictures: tuple[str, ...],
    out: Path,
    heatmaps: Path | None,
    data: str | None,
    device: str,
    **description: object,
) -> None:
    """Answer about many PICTURES: three classes each, and prediction sets.

    PICTURES are files, folders at any depth, or - for names on standard input, one a
    line or each ended by NUL. RUN and the options from --weights on are those of
    explain. Ends with status 1 if a picture could not be read; its row says why.
    """
    from sightline.reports.predictions import Predictor, Table
    from sightline.training.runtime import choose_runtime

    files = all_files(pictures)
    options = {key: value for key, value in description.items() if value is not None}
    classifier = classifier_of(run, choose_runtime(device), options)
    thresholds = thresholds_of(run, classifier, data)
    predictor, table = Predictor(classifier, thresholds, heatmaps), Table(out)
    with resumable():
        table.skip(files, predictor.network)
        fill(table, predictor, files)
    print_counts(table, thresholds)
    if table.counts["problem"]:
        sys.exit(1)


def all_files(words: Sequence[str]) -> Iterator[str]:
    """Return the names of all pictures; of what is not there, none is begun with.

    Raises:
        DataError: if a file is missing, or there are no pictures.
    """
    from sightline.data.walk import names_in, picture_files
    from sightline.reports.predictions import safe_path

    for word in words:
        if word != "-" and not os.path.lexists(word):
            raise DataError(
                f"{word} does not exist; name pictures, folders, or - for a list of "
                "names on standard input"
            )
        if os.path.isdir(word) and next(picture_files([word])) == word:
            raise DataError(
                f"{word} holds no pictures, at no depth; name a folder that does, or "
                "files, which may end as they like"
            )
    places = (names_in(sys.stdin.buffer) if word == "-" else [word] for word in words)
    files = picture_files(chain.from_iterable(places))
    first = next(files, None)
    if first is None:
        raise DataError(
            "standard input names no picture; expected one name a line, or each ended "
            "by NUL"
        )
    return map(safe_path, chain([first], files))


def thresholds_of(
    name: str, classifier: "Classifier", data: str | None
) -> "Thresholds | None":
    """Return what a run recorded, else what its validation pictures say, if any."""
    from sightline.measures.conformal import Thresholds
    from sightline.training.run import Run

    if ":" in name and not Path(name).exists():
        if data is not None:
            raise SightlineError(f"--data is for a run folder, which {name} is not")
        return None
    run = Run.open(name)
    recorded = run.manifest.get("prediction_sets")
    if recorded and data is None:
        return Thresholds(**recorded)
    try:
        return measured(run, classifier, data)
    except DataError as error:
        if data is not None:
            raise
        notes.print(
            f"note: no prediction sets: {name} has no thresholds, which validation "
            f"pictures give, and {error}"
        )
        return None


def measured(run: "Run", classifier: "Classifier", data: str | None) -> "Thresholds":
    """Return the thresholds from the pictures that validated a run."""
    from sightline.measures.conformal import Thresholds
    from sightline.training.parts import chosen_splits

    splits = chosen_splits(run.recipe, pictures_for(run, data, None))
    classifier.refuse_other_classes(splits)
    return Thresholds.of(classifier.ask(splits.validation))


def fill(table: "Table", predictor: "Predictor", files: Iterator[str]) -> None:
    """Add the rows that are missing, and print the first problems."""
    from tqdm import tqdm

    title = {"desc": "predicting", "unit": " pictures", "disable": None}
    shown = 0
    with tqdm(initial=table.counts["file"], leave=False, **title) as bar:
        for rows in predictor.rows(files):
            table.append(rows)
            bar.update(len(rows))
            problems = [row["problem"] for row in rows if "problem" in row]
            for problem in problems[: SHOWN - shown]:
                notes.print(f"sightline: {problem}", style="red")
                shown += 1


def print_counts(table: "Table", thresholds: "Thresholds | None") -> None:
    """Say what the table holds, and what its prediction sets mean."""
    from sightline.measures.conformal import fewest
    from sightline.reports.predictions import NONE

    counts = table.counts
    console.print(f"{table.path}: {counts['file']:,} pictures")
    if counts["problem"]:
        notes.print(
            f"{counts['problem']:,} of them could not be read; the column problem says "
            "why"
        )
    if thresholds is None:
        return
    for coverage in map(int, thresholds.scores):
        refused = counts[f"set_{coverage}"]
        console.print(f"{coverage} % sets: {NONE} for {refused:,}")
        if thresholds.pictures < fewest(coverage):
            notes.print(
                f"note: {coverage} % sets hold all classes, because they come from "
                f"{thresholds.pictures} validation pictures; {fewest(coverage)} are "
                "needed"
            )
    console.print(
        f"the sets come from {thresholds.pictures:,} validation pictures: of new "
        "pictures like those, about as many percent as named have their class in the "
        "set; of other kinds nothing is promised"
    )
