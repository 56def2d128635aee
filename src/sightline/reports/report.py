"""A report of one run: one HTML file that needs nothing else, and its numbers."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from sightline import plots
from sightline.errors import SightlineError
from sightline.files import claim, printable, write_text
from sightline.measures.numbers import duration
from sightline.reports.names import answers_table
from sightline.reports.sections import FORECASTS, SECTIONS
from sightline.reports.subject import Part, Section, Subject

__all__ = ["fill", "render", "write_report"]


def write_report(
    subject: Subject, out: Path, *, say: Callable[[str], None] = print
) -> list[Path]:
    """Write `report.html`, `report.json` and `answers.csv` into the folder `out`.

    `say` gets a line before each section: its name, and how long a slow one will take.

    Raises:
        RunError: if the pictures are of other classes than the network, or `out`
            holds anything but a report.
        SightlineError: if there are no test images.
    """
    subject.classifier.refuse_other_classes(subject.splits)
    if not len(subject.splits.test):
        raise SightlineError(
            f"{subject.splits.name} has no test images; a report needs some"
        )
    claim(out, "report")
    sections = {}
    for place, (name, make) in enumerate(SECTIONS.items(), 1):
        forecast = ""
        if name in FORECASTS:
            forecast = f", about {duration(FORECASTS[name](subject))}"
        say(f"{place}/{len(SECTIONS)} {name}{forecast}")
        sections[name] = make(subject)
    title = f"{subject.run.path.name} on {subject.splits.name}"
    numbers = {name: section.numbers for name, section in sections.items()}
    files = "report.html", "report.json", "answers.csv"
    page, machine, table = (out / name for name in files)
    write_text(page, render(title, sections))
    write_text(machine, json.dumps(numbers, indent=2) + "\n")
    write_text(table, answers_table(subject))
    return [page, machine, table]


def render(title: str, sections: Mapping[str, Section]) -> str:
    """Lay out sections as one page that follows a light or a dark screen."""
    return fill("report.html", title=title, sections=sections)


def fill(template: str, **values: object) -> str:
    """Fill a template of this room; all values are escaped, and made printable."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    templates.filters["html"] = html_of
    page = templates.get_template(template).render(
        **values, ink=plots.INK, dark_ink=plots.DARK_INK, dark_paper=plots.DARK_PAPER
    )
    return printable(page)


def html_of(part: Part) -> Markup:
    """Turn Markdown, or a figure with its words, into HTML."""
    if isinstance(part, Markup):
        return part
    if not isinstance(part, str):
        figure, words = part
        svg = plots.svg(figure)
        role = "group" if "<a " in svg else "img"  # what is in an image has no links
        label = Markup('<svg role="{}" aria-label="{}" ').format(role, words)
        svg = svg.replace("<svg ", label, 1)
        return Markup(f"<figure>{svg}</figure>")
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(part)
    wide = html.startswith("<table")
    return Markup(f'<div class="wide">{html}</div>' if wide else html)
