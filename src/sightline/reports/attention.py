"""A section on what tells the classes and should not, and where the maps lie."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from sightline import plots
from sightline.data.cues import collect_facts
from sightline.data.shortcuts import LEAST, Audit, audit
from sightline.data.split import Split
from sightline.heatmaps.baselines import centre
from sightline.heatmaps.explain import explain
from sightline.heatmaps.positions import Leaning, find_leanings, mean_maps
from sightline.plots.overlay import overlay
from sightline.plots.sheet import Cell, tile_sheet
from sightline.plots.style import cut_words
from sightline.reports.subject import Part, Section, Subject
from sightline.reports.tables import markdown_table, plain

__all__ = ["attention", "forecast_attention"]

MAPPED = 200  # test pictures whose maps are averaged
TRIED = 20  # of them, by which the duration is forecast
ALARMS = 6  # shown, with their pictures
COLUMNS = 6  # classes in the figure of mean maps
TILE = 0.8  # inches: a class's name above its tile


def attention(subject: Subject) -> Section:
    """Ask what could tell the classes that should not, and where the network looks."""
    splits = subject.splits
    pictures = splits.train.join(splits.validation).join(splits.test)
    facts = collect_facts(Path(splits.source), pictures.files)
    audited = audit(pictures, subject.classes, facts)
    parts = what_tells(pictures, audited, bool(facts))
    names = pictures.names(torch.arange(len(pictures)))
    more, leanings = where_maps_lie(subject)
    numbers: dict[str, object] = {
        "told": {cue: told.difference for cue, told in audited.told.items()},
        "alarms": [
            {"words": f.words, "files": f.files} for f in audited.findings(names)
        ],
        "too_few": list(audited.few),
        "leanings": [words(leaning, subject.classes) for leaning in leanings],
    }
    return Section("Is it looking at the right thing?", [*parts, *more], numbers)


def forecast_attention(subject: Subject) -> float:
    """Return the seconds that `attention` will take, from a few maps."""
    few, started = subject.sample(TRIED), time.perf_counter()
    explain(subject.model, subject.images(few), layers=subject.layers[-1])
    mapped = min(MAPPED, len(subject.splits.test)) / len(few)
    return mapped * (time.perf_counter() - started)


def what_tells(pictures: Split, audited: Audit, with_files: bool) -> list[Part]:
    """Say what places and files tell, and show the pictures of each alarm."""
    if not audited.told:
        return [f"No two classes have {LEAST} pictures: too few to tell."]
    rows = [[cue, told.written()] for cue, told in audited.told.items()]
    without = "" if with_files else " No file was there to be asked."
    parts: list[Part] = [
        f"What places of {audited.pictures:,} pictures, and facts about their files, "
        "tell of the class without a network: right answers above those of always "
        "naming the largest class, in points with the 95 % interval. Much of it is "
        f"honest, as grass is of cows.{without}",
        markdown_table(["", "points"], rows),
    ]
    for alarm in audited.alarms[:ALARMS]:
        sentence = alarm.words()
        parts.append(f"**Alarm:** {plain(sentence)}.")
        parts.append(pictures_of(pictures, alarm.shown, sentence))
    if more := len(audited.alarms) - ALARMS:
        parts += [f"{more} more alarms are in report.json."] * (more > 0)
    if not audited.alarms:
        parts.append(
            "No alarm: no place picks out pictures of one class far more surely than "
            "the places beside it do, and no file fact nearly alone. A faint mark, a "
            "tint, or a mark in few pictures can be missed."
        )
    if audited.few:
        names = ", ".join(map(plain, audited.few))
        parts.append(f"Fewer than {LEAST} pictures, nothing can be told of: {names}.")
    return parts


def pictures_of(pictures: Split, index: Tensor, words: str) -> tuple[Figure, str]:
    """Draw pictures over their file names."""
    names = pictures.names(index)
    titles = [name.rpartition("/")[2] for name in names]
    figure = plots.gallery(pictures.images[index], titles, columns=len(names))
    return figure, f"{words}: {', '.join(names)}"


def where_maps_lie(subject: Subject) -> tuple[list[Part], list[Leaning]]:
    """Compare the mean map of every class with those of the others."""
    index, layer = subject.sample(MAPPED), subject.layers[-1]
    labels = subject.splits.test.labels[index]
    explanation = explain(
        subject.model, subject.images(index), layers=layer, targets=labels
    )[layer]
    leanings = find_leanings(explanation.enlarged, labels)
    figure = figure_of_means(subject, index, explanation.enlarged, leanings)
    parts: list[Part] = [
        f"Mean Grad-CAM maps of {len(index):,} test pictures, what speaks for the "
        "class that each is of. Maps of a network that uses a mark often lie on the "
        "mark, those of one that uses objects on the objects. But a map shows where "
        "evidence arrives in the network, not where in the picture it came from.",
        (
            figure,
            "Mean picture and mean heatmap of all classes, of each, and a bell in the "
            "middle; one scale of colours.",
        ),
    ]
    for leaning in leanings[:ALARMS]:
        sentence = words(leaning, subject.classes)
        parts.append(f"**Alarm:** {plain(sentence)}.")
        shown = index[leaning.shown]
        parts.append(pictures_of(subject.splits.test, shown, sentence))
    if not leanings:
        parts.append(
            "No alarm: no class has twice as much of its evidence in a corner or along "
            "the border as the others have, and 10 points more."
        )
    return parts, leanings


def words(leaning: Leaning, classes: Sequence[str]) -> str:
    """Say where the maps of a class lie, in a sentence without its full stop."""
    return (
        f"{leaning.share:.0%} of the evidence for {classes[leaning.label]} lies in the "
        f"{leaning.zone}, of that for the other classes {leaning.others:.0%} "
        f"({leaning.excess.written(0)} points), of a bell in the middle "
        f"{leaning.middle:.0%}"
    )


def figure_of_means(
    subject: Subject, index: Tensor, maps: Tensor, leanings: Sequence[Leaning]
) -> Figure:
    """Draw mean pictures above mean maps, classes with an alarm first."""
    labels, count = subject.splits.test.labels[index], len(subject.classes)
    first = [leaning.label for leaning in leanings]
    chosen = list(dict.fromkeys([*first, *labels.unique().tolist()]))[:COLUMNS]
    pictures = subject.pictures(index).float()
    bell = centre(maps[:1, None])
    means = [pictures.mean(0)] + [pictures[labels == label].mean(0) for label in chosen]
    average = mean_maps(maps, torch.zeros_like(labels), 1)
    heat = torch.cat(
        [average, mean_maps(maps, labels, count)[chosen], bell / bell.sum()]
    )
    brightest = heat.max().clamp_min(1e-12)
    shown = torch.stack([*means, means[0]]).round().to(torch.uint8)
    rows: list[list[Cell]] = [
        [*shown[:-1].numpy(), "for comparison"],
        list(overlay(shown, heat / brightest, opacity=0.8).numpy()),
    ]
    headers = ["all", *(cut_words(subject.classes[i], TILE) for i in chosen), "middle"]
    return tile_sheet(rows, headers=headers, columns=COLUMNS + 2).figure
