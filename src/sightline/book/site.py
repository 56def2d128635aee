"""The site of an edition: staged, rendered by Jupyter Book, moved into place."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from sightline.book.chapters import Book, cover_figure, problems, refresh
from sightline.book.manifest import (
    edition_line,
    edition_tables,
    read_manifest,
    result_sentence,
)
from sightline.book.pages import finish
from sightline.errors import SightlineError
from sightline.export import demo

__all__ = ["build"]


def build(
    profile: str = "fast",
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    strict: bool = True,
) -> Path:
    """Build the site of a profile's edition; nothing is executed.

    Args:
        profile: "fast": the chapters of the last fast run; "full": the committed ones.
        root: the checkout.
        out: where `source` and `html` go; `None`: `_build/PROFILE`.
        strict: warnings are errors, and every chapter must have been executed.

    Returns:
        The folder of the site.

    Raises:
        SightlineError: if chapters are missing or stale, or Sphinx warns.
    """
    book = Book(root)
    stage = Path(out or book.stage(profile)).resolve()
    notebooks = book.pages if profile == "full" else book.stage(profile) / "executed"
    found = [p for n in book.chapters if (p := notebooks / f"{n}.ipynb").exists()]
    if profile == "fast":
        for path in found:
            refresh(book.pages / f"{path.stem}.md", path)
    if strict:
        complaints = [
            line for n in book.chapters for line in problems(book, n, notebooks)
        ]
        if complaints:
            raise SightlineError("the site is not built:\n" + "\n".join(complaints))
    source = stage / "source"
    stage_sources(book, source, found)
    manifest = read_manifest(
        book.edition if profile == "full" else notebooks / "edition.json"
    )
    write_fragments(source / "book", manifest, found)
    cited = yaml.safe_load((book.root / "CITATION.cff").read_text())
    (source / "book" / "results" / "cite.md").write_text(bibtex(cited))
    show_edition(source, manifest)
    html = render(source, stage, strict=strict)
    for path in found:  # beside the notebook, to download
        shutil.copy(book.pages / f"{path.stem}.md", html / "_sources" / "book")
    if (source / "book" / "demo.ipynb").exists():
        exported = book.edition.parent if profile == "full" else notebooks
        demo.copy_app(html / "_static" / "demo")
        demo.copy_network(exported / "demo", html / "_static" / "demo")
    finish(html)
    return html


def stage_sources(book: Book, source: Path, notebooks: Sequence[Path]) -> None:
    """Copy pages and executed chapters, and list in `_toc.yml` what is there."""
    shutil.rmtree(source, ignore_errors=True)
    ignore = shutil.ignore_patterns("[0-9][0-9]_*", "demo.*", ".ipynb_checkpoints")
    shutil.copytree(book.pages, source / "book", ignore=ignore)
    shutil.copy(book.root / "_config.yml", source)
    for path in notebooks:
        shutil.copy(path, source / "book")
    toc = yaml.safe_load((book.root / "_toc.yml").read_text())
    for part in toc["parts"]:
        entries = part["chapters"]
        part["chapters"] = [e for e in entries if any(source.glob(e["file"] + "*"))]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    (source / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False))


def show_edition(source: Path, manifest: dict) -> None:
    """Put the line that says which edition it is onto every page."""
    config = yaml.safe_load((source / "_config.yml").read_text())
    line = edition_line(manifest)
    if manifest.get("profile") == "full":
        config["html"]["extra_footer"] = f'<p class="edition">{line}</p>\n'
    else:
        options = config["sphinx"]["config"]["html_theme_options"]
        options["announcement"] = f'<span class="edition">{line}</span>'
    (source / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False))


def write_fragments(pages: Path, manifest: dict, notebooks: Sequence[Path]) -> None:
    """Write the generated parts of `index.md` and `edition.md`."""
    results = pages / "results"
    results.mkdir(exist_ok=True)
    lines = [result_sentence(manifest)]
    figure = cover_figure(notebooks)
    if figure:
        (results / "cover.svg").write_text(figure[0])
        alt = figure[1].replace("\n", " ")
        lines += ["", "```{image} results/cover.svg", f":alt: {alt}", "```"]
    (results / "result.md").write_text("\n".join(lines) + "\n")
    (results / "edition.md").write_text(edition_tables(manifest))


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
    """Let Jupyter Book make the site; move it into place when it is whole."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build"]
    command += [str(source), "--path-output", str(stage), "--all"]
    command += ["-W", "-n", "--keep-going"] if strict else []
    done = subprocess.run(command, capture_output=True, text=True)
    log = stage / "build.log"
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        marks = ("WARNING", "ERROR", "rror:")
        said = [
            ln for ln in log.read_text().splitlines() if any(m in ln for m in marks)
        ]
        raise SightlineError(
            "\n".join(["the site was not built:", *said[:40], f"All of it: {log}"])
        )
    html = stage / "html"
    shutil.rmtree(html, ignore_errors=True)
    (stage / "_build" / "html").rename(html)
    (html / ".nojekyll").touch()  # GitHub Pages would drop _static otherwise
    return html
