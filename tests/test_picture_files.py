"""What the page knows of a picture's file before a browser decodes it."""

import io

import numpy as np
import pytest
from node import run_node
from PIL import Image

from sightline.export.assets import WEB

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
WHOLE = f"""
const {{ whole }} = await import("{(WEB / "file.mjs").as_uri()}");
const {{ readFileSync }} = await import("node:fs");
const answers = process.argv.slice(2).map((file) => whole(readFileSync(file)));
process.stdout.write(JSON.stringify(answers));
"""


def saved(kind: str, **options: object) -> bytes:
    """Return a picture of noise as a file."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


KINDS = {
    "baseline": saved("JPEG", quality=90),
    "progressive": saved("JPEG", progressive=True),
    "restarting": saved("JPEG", restart_marker_rows=1),
    "png": saved("PNG"),
}


def ends(folder, *files: bytes) -> str:
    """Ask the page's own module which files are there to their end."""
    paths = [folder / str(number) for number in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    return run_node(WHOLE, *paths).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_whole_unless_its_end_is_missing(kind, tmp_path):
    content = KINDS[kind]
    cuts = [content[: len(content) * share // 20] for share in range(1, 20)]
    more = content + b"written behind it by a camera"
    cut = "false," * len(cuts)
    assert ends(tmp_path, content, more, *cuts) == f"[true,true,{cut.strip(',')}]"


def test_the_end_of_a_thumbnail_is_not_that_of_the_picture(tmp_path):
    thumbnail = b"\xff\xd8 small \xff\xd9"
    header = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    content = KINDS["baseline"][:2] + header + KINDS["baseline"][2:]
    assert ends(tmp_path, content, content[:-500]) == "[true,false]"


def test_of_other_kinds_nothing_is_known(tmp_path):
    assert ends(tmp_path, saved("WEBP")[:99], saved("GIF")[:99], b"", b"GI") == (
        "[true,true,true,true]"
    )


def test_a_file_that_ends_within_a_marker_is_cut_off(tmp_path):
    head = b"\xff\xd8\xff\xe1\x00\x10"
    cuts = [head[:length] for length in range(2, len(head) + 1)]
    assert ends(tmp_path, *cuts) == f"[{','.join(['false'] * len(cuts))}]"
