"""The site of an edition: staged, rendered by Jupyter Book, moved into place."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from sightline.book.chapters import Book, cover_figure, problems, refresh
from sightline.book.manifest import (
    EditionRecord,
    edition_line,
    edition_tables,
    mixture,
    read_edition,
    result_sentence,
)
from sightline.book.minutes import demands, substitutions
from sightline.book.pages import finish
from sightline.errors import SightlineError
from sightline.export.assets import (
    copy_app,
    copy_network,
    copy_teaching,
    copy_training,
)
from sightline.export.page import (
    fragment,
    png,
    teaching_fragment,
    training_fragment,
)
from sightline.export.still import STILL, draw_still
from sightline.files import read_json, replace_folder
from sightline.training.machine import git_revision
from sightline.training.recipe import describe_fields

__all__ = ["build"]

LIVE = "../_static/demo/"  # from a page of the book, where live pages load from


def build(
    profile: str = "fast",
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    strict: bool = True,
    mixed: bool = False,
) -> Path:
    """Build the site of a profile's edition and return its folder; execute nothing.

    It shows the chapters of the last fast run, or in the profile "full" the committed
    ones. `source` and `html` go to `out`, by default `_build/PROFILE`. In strict mode
    warnings are errors, and every chapter must have been executed. In full, all of them
    at one clean revision with one library, unless `mixed`; every page says so then.

    Raises:
        SightlineError: if chapters are missing or stale, the edition is mixed, or
            Sphinx warns.
    """
    book = Book(root)
    stage = Path(out or book.stage(profile)).resolve()
    folder = book.pages if profile == "full" else book.executed(profile)
    notebooks = executed_chapters(book, folder, strict=strict)
    committed = read_edition(book.edition)
    record = committed if profile == "full" else read_edition(folder / "edition.json")
    refuse_mixture(record, mixed=mixed or profile != "full")
    source = stage / "source"
    stage_sources(book, source, notebooks)
    write_fragments(book, source / "book", record, notebooks)
    exported = book.edition.parent if profile == "full" else folder
    stage_demo(exported / "demo", source / "book")
    stage_training(source / "book")
    show_edition(source, record, colab_line(book))
    asked = demands(book, notebooks, committed, record)
    offer_minutes(source, substitutions(book, asked))
    html = render(source, stage, strict=strict)
    for path in notebooks:  # readers can download the text file of each
        shutil.copy(book.source(path.stem), html / "_sources" / "book")
    finish(html, asked)
    (html / "revision.txt").write_text(f"{git_revision(book.root)}\n", encoding="utf-8")
    return html


def refuse_mixture(record: EditionRecord | None, *, mixed: bool) -> None:
    """Refuse an edition that is not one thing, unless it may be `mixed`.

    Raises:
        SightlineError: if its chapters come from several revisions or libraries, or
            from one that is not committed.
    """
    if record and not mixed and (said := mixture(record)):
        raise SightlineError(
            f"the site is not built. {said} An edition has one clean revision and one "
            "library: make edition. To build it all the same: --mixed (make site "
            "MIXED=1); every page says so then"
        )


def executed_chapters(book: Book, folder: Path, *, strict: bool) -> list[Path]:
    """Return the executed chapters in `folder`, prose of a fast run brought up to date.

    Raises:
        SightlineError: if any is missing or stale, in strict mode.
    """
    paths = [folder / f"{name}.ipynb" for name in book.chapters]
    notebooks = [path for path in paths if path.exists()]
    if folder != book.pages:
        for path in notebooks:
            refresh(book.source(path.stem), path)
    names = book.chapters if strict else ()
    complaints = [line for name in names for line in problems(book, name, folder)]
    if complaints:
        raise SightlineError("the site is not built:\n" + "\n".join(complaints))
    return notebooks


def stage_sources(book: Book, source: Path, notebooks: Sequence[Path]) -> None:
    """Copy pages and executed chapters; keep of `_toc.yml` the pages that exist."""
    shutil.rmtree(source, ignore_errors=True)
    executed = [f"{name}.*" for name in book.chapters]
    ignore = shutil.ignore_patterns(*executed, ".ipynb_checkpoints")
    shutil.copytree(book.pages, source / "book", ignore=ignore)
    shutil.copy(book.root / "_config.yml", source)
    for path in notebooks:
        shutil.copy(path, source / "book")
    toc = read_yaml(book.root / "_toc.yml")
    for part in toc["parts"]:
        entries = part["chapters"]
        part["chapters"] = [e for e in entries if any(source.glob(e["file"] + "*"))]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    write_yaml(toc, source / "_toc.yml")


def colab_line(book: Book) -> str:
    """Say when all chapters last ran on Colab, as its weekly job recorded; or ""."""
    record = book.edition.with_name("colab.json")
    if not record.exists():
        return ""
    return f"All chapters last ran in Colab's own image on {read_json(record)['date']}."


def show_edition(source: Path, record: EditionRecord | None, colab: str) -> None:
    """Put onto every page which edition it is, and in the full one a line on Colab."""
    config = read_yaml(source / "_config.yml")
    line = edition_line(record)
    if record and record.profile == "full":
        line = f"{line} {colab}".strip()
        config["html"]["extra_footer"] = f'<p class="edition">{line}</p>\n'
    else:
        options = config["sphinx"]["config"]["html_theme_options"]
        options["announcement"] = f'<span class="edition">{line}</span>'
    write_yaml(config, source / "_config.yml")


def offer_minutes(source: Path, texts: Mapping[str, str]) -> None:
    """Let pages quote what each page asks of its reader."""
    config = read_yaml(source / "_config.yml")
    config["parse"]["myst_substitutions"] = dict(texts)
    write_yaml(config, source / "_config.yml")


def read_yaml(path: Path) -> dict:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write_yaml(value: Mapping, path: Path) -> None:
    """Write a YAML file, keys in the order of `value`."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def write_fragments(
    book: Book, pages: Path, record: EditionRecord | None, notebooks: Sequence[Path]
) -> None:
    """Write the generated parts of `index.md`, `edition.md` and the reference."""
    results = pages / "results"
    results.mkdir(exist_ok=True)
    front = [result_sentence(record)]
    if figure := cover_figure(notebooks):
        if record is None or record.profile != "full":  # whose cover is committed
            (results / "cover.svg").write_text(figure[0], encoding="utf-8")
        alt = figure[1].replace("\n", " ")
        front += ["", "```{image} results/cover.svg", f":alt: {alt}", "```"]
    fragments = {
        "result": "\n".join(front) + "\n",
        "edition": edition_tables(record),
        "recipe": recipe_table(),
        "cite": bibtex(read_yaml(book.root / "CITATION.cff")),
    }
    for name, text in fragments.items():
        (results / f"{name}.md").write_text(text, encoding="utf-8")


def stage_demo(export: Path, pages: Path) -> None:
    """Stage the live demo: what it loads, and the fragment that pages include.

    Without its chapter, as in a part of the book, the fragment is empty.

    Raises:
        SightlineError: if `export` is none.
    """
    text = ""
    if (pages / "demo.ipynb").exists():
        live = pages / "_static" / "demo"
        copy_app(live)
        copy_network(export, live)
        still = draw_still(live)
        (live / STILL).write_bytes(png(still.pixels))
        text = fragment(read_json(live / "model.json"), LIVE, still)
    (pages / "results" / "demo.html").write_text(text, encoding="utf-8")


def stage_training(pages: Path) -> None:
    """Stage the page in which networks learn, if the book has it, and what it loads."""
    if (pages / "train_it.md").exists():
        live, results = pages / "_static" / "demo", pages / "results"
        copy_app(live)
        copy_training(live)
        copy_teaching(live)
        lessons = read_json(results / "taught.json")["rows"]
        for name, text in (
            ("train_it", training_fragment(LIVE)),
            ("teach_it", teaching_fragment(LIVE, lessons)),
        ):
            (results / f"{name}.html").write_text(text, encoding="utf-8")


def recipe_table() -> str:
    """Return what the fields of a recipe mean, as a table of MyST."""
    lines = ["| Field | Meaning |", "|---|---|"]
    for name, (_, meaning) in describe_fields().items():
        meaning = meaning.replace("|", r"\|")  # else a border of the table
        lines.append(f"| `{name}` | {meaning} |")
    return "\n".join(lines) + "\n"


def bibtex(cited: Mapping) -> str:
    """Return the contents of a `CITATION.cff` as an entry to copy."""
    authors = " and ".join(f"{{{author['name']}}}" for author in cited["authors"])
    fields = {
        "title": f"{{{cited['title']}}}",
        "author": authors,
        "year": str(cited["date-released"])[:4],
        "version": cited["version"],
        "url": cited["repository-code"],
    }
    lines = [f"  {name:<7} = {{{value}}}," for name, value in fields.items()]
    key = f"sightline{fields['year']}"
    return "\n".join([f"```bibtex\n@misc{{{key},", *lines, "}", "```", ""])


def render(source: Path, stage: Path, *, strict: bool) -> Path:
    """Let Jupyter Book make the site; move it into place when it is whole.

    Raises:
        SightlineError: if it cannot, or warns in strict mode.
    """
    program = "from jupyter_book.cli.main import main; main()"  # where no PATH leads
    command = [sys.executable, "-c", program, "build"]
    command += [str(source), "--path-output", str(stage), "--all"]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    log = stage / "build.log"
    output = done.stdout + done.stderr
    log.write_text(output, encoding="utf-8")
    if done.returncode:
        marks = ("WARNING", "ERROR", "rror:")
        complaints = [
            line for line in output.splitlines() if any(mark in line for mark in marks)
        ]
        message = ["the site was not built:", *complaints[:40], f"All of it: {log}"]
        raise SightlineError("\n".join(message))
    made, html = stage / "_build" / "html", stage / "html"
    (made / ".nojekyll").touch()  # GitHub Pages would drop _static otherwise
    replace_folder(html, made.rename, remedy="build the site again")
    return html
