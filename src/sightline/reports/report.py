"""A report of one run: one HTML file that needs nothing else, and its numbers."""

import html
import json
import time
from collections.abc import Callable
from pathlib import Path

from markdown_it import MarkdownIt

from sightline import plots
from sightline.errors import SightlineError
from sightline.files import write_atomically
from sightline.reports.sections import SECTIONS, Section, Subject

__all__ = ["render", "write_report"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;
  padding: 0 1rem; color: {ink}; background: #fff; }}
svg {{ max-width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .15rem .6rem; border-bottom: 1px solid #8884; text-align: left; }}
td {{ white-space: nowrap; }}
figure {{ margin: 1.5rem 0; }}
nav a {{ margin-right: 1rem; white-space: nowrap; }}
@media (prefers-color-scheme: dark) {{
  body {{ color: {dark_ink}; background: {dark_paper}; }} a {{ color: #7ab8e6; }} }}
</style></head><body>
<h1>{title}</h1>
{body}
</body></html>
"""


def write_report(
    subject: Subject, out: Path, *, say: Callable[[str], None] = print
) -> list[Path]:
    """Write `report.html` and `report.json`; return both paths.

    Args:
        subject: what is reported on.
        out: folder, made if it is not there.
        say: is told after each section what took how long.

    Raises:
        RunError: if the pictures are of other classes than the network.
        SightlineError: if there are no test images.
    """
    subject.classifier.refuse_other_classes(subject.splits)
    if not len(subject.splits.test):
        raise SightlineError(
            f"{subject.splits.name} has no test images; a report needs some"
        )
    sections = {}
    for place, (name, make) in enumerate(SECTIONS.items(), 1):
        started = time.perf_counter()
        sections[name] = make(subject)
        seconds = time.perf_counter() - started
        say(f"{place}/{len(SECTIONS)}  {name:<12} {seconds:5.1f} s")
    out.mkdir(parents=True, exist_ok=True)
    title = f"{subject.run.path.name} on {subject.splits.name}"
    page = render(title, sections)
    numbers = json.dumps({n: s.numbers for n, s in sections.items()}, indent=2) + "\n"
    files = {out / "report.html": page, out / "report.json": numbers}
    for file, text in files.items():
        write_atomically(file, lambda partial, text=text: partial.write_text(text))
    return list(files)


def render(title: str, sections: dict[str, Section]) -> str:
    """Lay out sections as one page that follows a light or a dark screen."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    links = [f'<a href="#{n}">{html.escape(s.title)}</a>' for n, s in sections.items()]
    parts = [f"<nav>{' '.join(links)}</nav>"]
    for name, section in sections.items():
        parts.append(f'<h2 id="{name}">{html.escape(section.title)}</h2>')
        for part in section.parts:
            if isinstance(part, str):
                text = markdown.render(part)
                wide = text.startswith("<table")
                parts.append(f'<div class="wide">{text}</div>' if wide else text)
            else:
                figure, words = part
                label = f'role="img" aria-label="{html.escape(words)}"'
                drawn = plots.svg(figure).replace("<svg ", f"<svg {label} ", 1)
                parts.append(f"<figure>{drawn}</figure>")
    colours = {
        "ink": plots.INK,
        "dark_ink": plots.DARK_INK,
        "dark_paper": plots.DARK_PAPER,
    }
    body = "\n".join(parts)
    return PAGE.format(title=html.escape(title), body=body, **colours)
