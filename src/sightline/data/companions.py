"""What a division pretends that cuts series: it asks about what it has shown.

A test picture whose series trains, too, has companions there. How much they help is
measured by the simplest classifier that there is: a nearest neighbour, asked about the
same pictures with the companions and without them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sightline.data.division import Division, divide
from sightline.data.duplicates import describe
from sightline.data.findings import Finding, count_pictures
from sightline.data.folders import Decoded, find_lacking
from sightline.data.groups import AUTO, series_of, write_series
from sightline.data.headers import Header
from sightline.data.listing import Listing
from sightline.data.series import propose_series
from sightline.data.stored import Images
from sightline.measures.clusters import by_series
from sightline.measures.inference import Verdict, effect

__all__ = ["find_cut_series", "nearest_neighbours"]

LEAST = 0.05  # of the test pictures: fewer with companions change no accuracy
CHUNK = 500  # test pictures that are compared at once


def find_cut_series(
    listing: Listing,
    decoded: Decoded,
    headers: Sequence[Header | None],
    group: str,
    series_file: Path | None,
) -> Iterator[Finding]:
    """Find series that the division by `group` would cut, and what that pretends.

    The proposed series are written to `series_file`, if there is one.
    """
    series, notes = series_of(listing, decoded, group, headers)
    proposal = propose_series(listing, decoded, headers) if group != AUTO else series
    names = [listing.names[place] for place in decoded.places.tolist()]
    if series_file and proposal is not None:
        write_series(series_file, names, proposal)
    if proposal is None or find_lacking(listing, decoded):
        return
    labels, in_test = (
        rows[decoded.readable] for rows in (listing.labels, listing.in_test)
    )
    division = divide(labels, in_test, series, listing.classes)
    for note in (*notes, *division.notes):
        yield Finding("parts of whole series", note, "")
    with_companion = division.test & torch.isin(proposal, proposal[division.train])
    count, tested = int(with_companion.sum()), int(division.test.sum())
    if count < LEAST * tested:
        return
    images = decoded.images
    yield Finding(
        "series are cut",
        f"{count:,} of {count_pictures(tested, 'test')} show what a training picture "
        f"of the same series shows{_pretence(images, labels, proposal, division)}",
        "--group auto keeps every series in one part. To look at the series and change "
        "them, write them down with sightline check FOLDER --series series.csv, then "
        "train with --group series.csv.",
        pairs=tuple(_companions(names, proposal, division.train, with_companion)),
    )


def _companions(
    names: Sequence[str], series: Tensor, train: Tensor, pictures: Tensor
) -> Iterator[tuple[str, str]]:
    """Yield each of some pictures with the first training picture of its series."""
    numbers = series.tolist()
    first: dict[int, str] = {}
    for place in torch.nonzero(train)[:, 0].tolist():
        first.setdefault(numbers[place], names[place])
    for place in torch.nonzero(pictures)[:, 0].tolist():
        yield names[place], first[numbers[place]]


def _pretence(
    images: Images, labels: Tensor, series: Tensor, division: Division
) -> str:
    """Say how much better a nearest neighbour does with companions than without.

    The interval takes series for what the pictures are a sample of.
    """
    right, alone = nearest_neighbours(images, labels, series, division)
    test = series[division.test]
    gain = effect(by_series(right, test), by_series(alone, test))
    larger = gain.verdict() is Verdict.LARGER
    verdict = "this split pretends" if larger else "no gain that could be told,"
    return (
        ". A nearest neighbour among the training pictures is right about "
        f"{right.double().mean():.0%} of the test pictures, without those of the same "
        f"series about {alone.double().mean():.0%}: {verdict} {gain.written()} points"
    )


def nearest_neighbours(
    images: Images, labels: Tensor, series: Tensor, division: Division
) -> tuple[Tensor, Tensor]:
    """Classify the test pictures by the most similar training picture, (T,) bool each.

    Returns:
        Whether that is right, and whether it is without those of the same series.
    """
    small = describe(images)
    train, test = division.train, division.test
    right: list[Tensor] = []
    alone: list[Tensor] = []
    for places in torch.nonzero(test)[:, 0].split(CHUNK):
        similar = small[places] @ small[train].T
        companion = series[places][:, None] == series[train]
        apart = similar.masked_fill(companion, -2)  # below any cosine
        for answers, ranking in ((right, similar), (alone, apart)):
            answers.append(labels[train][ranking.argmax(1)] == labels[places])
    return torch.cat(right), torch.cat(alone)
