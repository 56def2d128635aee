"""Pictures by the names of their files: in galleries, behind cells, as a table."""

import base64
import csv
from collections.abc import Sequence
from io import BytesIO, StringIO

from markupsafe import Markup
from PIL import Image
from torch import Tensor

from sightline import plots
from sightline.files import printable
from sightline.plots.style import cut_middle
from sightline.reports.subject import Part, Subject

__all__ = ["answers_table", "cell_links", "cell_pictures", "gallery_of", "records"]

COLUMNS, LETTERS = 5, 18  # of a gallery, and what a name may have below a tile
TILE = Markup(
    '<figure><img src="{}" alt=""><figcaption>{}<br>{:.0%}</figcaption></figure>'
)
CELL = Markup(
    '<section class="cell" id="taken-{}-{}"><h3>{} taken for {}: {}</h3>'
    '<div class="tiles">{}</div>{}</section>'
)
SHOWN = 12  # pictures behind one cell of a confusion matrix


def records(subject: Subject, index: Tensor) -> list[dict[str, object]]:
    """Return for each test picture at `index` its file, class, answer and confidence.

    A picture without a file has its number in the test part in place of a name.
    """
    test, classes = subject.test, subject.classes
    rows = zip(
        subject.splits.test.names(index),
        test.labels[index].tolist(),
        test.predictions[index].tolist(),
        test.confidences[index].tolist(),
        strict=True,
    )
    return [
        {
            "file": printable(name),
            "actual": classes[label],
            "predicted": classes[prediction],
            "confidence": round(confidence, 6),
        }
        for name, label, prediction, confidence in rows
    ]


def answers_table(subject: Subject) -> str:
    """Return the answers about all test pictures as CSV, in their order."""
    file = StringIO()
    table = csv.writer(file, lineterminator="\n")
    rows = records(subject, subject.everything)
    table.writerow(["file", "actual", "predicted", "confidence"])
    table.writerows(row.values() for row in rows)
    return file.getvalue()


def gallery_of(subject: Subject, index: Tensor) -> list[Part]:
    """Draw test pictures with actual and predicted class, and list their files."""
    if not len(index):
        return [(plots.gallery(subject.pictures(index), []), "No picture to show.")]
    captions = subject.test.captions(index, subject.classes)
    names = subject.splits.test.names(index)
    below = [
        f"{caption}\n{cut_middle(name.rpartition('/')[2], LETTERS)}"
        for caption, name in zip(captions, names, strict=True)
    ]
    words = "; ".join(caption.replace("\n", " ") for caption in captions)
    figure = plots.gallery(subject.pictures(index), below, columns=COLUMNS)
    return [(figure, words), listed(names)]


def listed(names: Sequence[str]) -> Markup:
    """List names of files, folded away."""
    lines = Markup("").join(Markup("<li>{}</li>").format(name) for name in names)
    return Markup("<details><summary>{} files</summary><ol>{}</ol></details>").format(
        len(names), lines
    )


def cell_links(subject: Subject, shown: Tensor) -> dict[tuple[int, int], str]:
    """Return where each cell with mistakes leads, by its row and column.

    `shown` are the classes of the rows, (K,) in their order.
    """
    test, order = subject.test, {c: i for i, c in enumerate(shown.tolist())}
    wrong = test.mistakes()
    pairs = zip(
        test.labels[wrong].tolist(), test.predictions[wrong].tolist(), strict=True
    )
    return {
        (order[actual], order[predicted]): f"#taken-{actual}-{predicted}"
        for actual, predicted in pairs
        if actual in order and predicted in order
    }


def cell_pictures(subject: Subject) -> Markup:
    """Lay out the mistakes of every pair of classes; a link shows one of them."""
    test, classes = subject.test, subject.classes
    wrong = test.mistakes(order="confident")
    cells: dict[tuple[int, int], list[int]] = {}
    for place in wrong.tolist():
        pair = int(test.labels[place]), int(test.predictions[place])
        cells.setdefault(pair, []).append(place)
    blocks = []
    for (actual, predicted), places in sorted(cells.items()):
        index = wrong.new_tensor(places)
        rows = records(subject, index)
        figures = Markup("").join(
            TILE.format(address, row["file"], row["confidence"])
            for address, row in zip(
                map(address_of, subject.pictures(index[:SHOWN])), rows, strict=False
            )
        )
        more = listed([str(row["file"]) for row in rows]) if rows[SHOWN:] else ""
        blocks.append(
            CELL.format(
                actual,
                predicted,
                classes[actual],
                classes[predicted],
                len(rows),
                figures,
                more,
            )
        )
    return Markup("").join(blocks)


def address_of(picture: Tensor) -> str:
    """Return a picture (H, W, 3) uint8 as an address that holds it."""
    memory = BytesIO()
    Image.fromarray(picture.numpy()).save(memory, "PNG")
    return f"data:image/png;base64,{base64.b64encode(memory.getvalue()).decode()}"
