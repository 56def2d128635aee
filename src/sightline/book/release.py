"""What is handed out with an edition: its site, notebooks and figures, and a PDF."""

import html
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import nbformat

from sightline.book.chapters import Book, image_options
from sightline.book.manifest import EditionRecord, mixture, read_edition
from sightline.book.paper import one_document, print_pdf
from sightline.book.site import read_yaml, refuse_mixture
from sightline.errors import SightlineError
from sightline.files import replace_folder, sha256, write_json, write_text

__all__ = ["release"]

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the date of every file in an archive
GALLERY = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><title>Figures of Sightline</title></head>
<body><h1>Figures of Sightline</h1>
{figures}
</body></html>
"""


def release(*, root: str | Path | None = None, mixed: bool = False) -> Path:
    """Pack the built site of the full edition and all that belongs to it.

    The folder `_build/release` then holds archives of the site, the notebooks and the
    figures, one PDF, `manifest.json` and `SHA256SUMS`; their names have the edition's
    date. The PDF is printed by Chromium.

    Raises:
        SightlineError: if there is no edition, its site is not built from it, it is
            mixed and may not be, or Chromium is missing.
    """
    book = Book(root)
    record = read_edition(book.edition)
    if record is None:
        raise SightlineError("no edition is committed yet: make edition")
    refuse_mixture(record, mixed=mixed)
    site = book.stage("full") / "html"
    check_site(book, site)
    folder = book.root / "_build" / "release"
    replace_folder(folder, lambda path: fill(path, book, site, record))
    return folder


def check_site(book: Book, site: Path) -> None:
    """Make sure that a site shows the committed notebooks.

    Raises:
        SightlineError: if one of its chapters is missing or another.
    """
    for name in book.chapters:
        shown = site / "_sources" / "book" / f"{name}.ipynb"
        path = book.notebook(name)
        if not shown.exists() or shown.read_bytes() != path.read_bytes():
            raise SightlineError(
                f"{site} does not show the present {path.name}; run: make site"
            )


def fill(folder: Path, book: Book, site: Path, record: EditionRecord) -> None:
    """Write all files of a release."""
    folder.mkdir()
    name = f"sightline-{record.date}"
    pack(folder / f"{name}-site.zip", files_of(site))
    sources = [book.source(n) for n in book.chapters]
    sources += [book.notebook(n) for n in book.chapters]
    pack(folder / f"{name}-notebooks.zip", {p.name: p.read_bytes() for p in sources})
    pack(folder / f"{name}-figures.zip", figures_of(book))
    write_pdf(folder / f"{name}.pdf", book, site, record)
    made = sorted(folder.iterdir())
    write_json(folder / "manifest.json", manifest(record, made))
    lines = [f"{sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    write_text(folder / "SHA256SUMS", "".join(lines))


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder, by their place in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Write an archive that is the same, byte by byte, if its files are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16  # readable once it is unpacked
            archive.writestr(entry, files[name])


def figures_of(book: Book) -> dict[str, bytes]:
    """Return all figures as SVG, and two lists of what each one shows."""
    files, entries = {}, []
    for page in book.chapters:
        number = 0
        for cell in nbformat.read(book.notebook(page), as_version=4).cells:
            for out in cell.get("outputs", []):
                if svg := out.get("data", {}).get("image/svg+xml"):
                    number += 1
                    file = f"{page}-{number:02}.svg"
                    files[file] = svg.encode()
                    alt = " ".join(image_options(cell).get("alt", "").split())
                    entries.append({"file": file, "page": page, "alt": alt})
    listed = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    gallery = GALLERY.format(figures="\n".join(map(shown, entries)))
    return files | {"figures.json": listed.encode(), "index.html": gallery.encode()}


def shown(entry: Mapping[str, str]) -> str:
    """Return a figure and the words that describe it, as HTML."""
    file, alt = (html.escape(entry[key], quote=True) for key in ("file", "alt"))
    picture = f'<img src="{file}" alt="{alt}"/>'
    return f"<figure>{picture}<figcaption>{file}: {alt}</figcaption></figure>"


def write_pdf(pdf: Path, book: Book, site: Path, record: EditionRecord) -> None:
    """Print all pages of the book but the reference, in their order, as one PDF."""
    toc = read_yaml(book.root / "_toc.yml")
    entries = [toc["root"]] + [e["file"] for p in toc["parts"] for e in p["chapters"]]
    names = [Path(entry).stem for entry in entries]
    names = [n for n in names if not n.startswith("api")]
    said = f"Sightline, edition of {record.date}, revision {record.revision}"
    said += ", mixed" if mixture(record) else ""
    page = site / "book" / "whole-book.html"  # beside what it shows
    try:
        page.write_text(one_document(site, names, said), encoding="utf-8")
        print_pdf(page, pdf, record.date)
    finally:
        page.unlink(missing_ok=True)


def manifest(record: EditionRecord, files: Iterable[Path]) -> dict:
    """Return what a release is: the record of its edition, and its files."""
    return {
        "edition": record.date,
        "revision": record.revision,
        "mixture": mixture(record),
        "library": sorted({c.library for c in record.chapters.values()}),
        "data": asdict(record.data),
        "machine": record.machine,
        "precision": record.precision,
        "versions": record.versions,
        "files": {
            path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
            for path in files
        },
    }
