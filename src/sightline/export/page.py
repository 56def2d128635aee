"""The live demo: the page on which a network runs, its script and its pictures."""

import base64
import html
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import torch
from PIL import Image

from sightline.data.datasets import Split
from sightline.errors import SightlineError

__all__ = [
    "NETWORK",
    "RUNTIME",
    "Picture",
    "copy_app",
    "copy_network",
    "embed",
    "fragment",
    "page",
    "pick_pictures",
]

WEB = Path(__file__).parent / "web"
APP = ("*.mjs", "*.css", "ort/*")  # what a page loads, besides the network
RUNTIME = ("ort/ort.wasm.bundle.min.mjs", "ort/ort-wasm-simd-threaded.wasm.gz")
NETWORK = ("model.onnx.gz", "model.json")
PICTURES = 10


@dataclass(frozen=True)
class Picture:
    """A built-in picture: a PNG of the size that the network takes."""

    name: str  # of its class
    png: bytes


def pick_pictures(split: Split, classes: Sequence[str], seed: int = 0) -> list[Picture]:
    """Pick ten pictures, one a class in turn, classes without a picture left out."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(split.labels), generator=generator)
    waiting = {
        label: order[split.labels[order] == label].tolist()
        for label in range(len(classes))
    }
    picked: list[Picture] = []
    while len(picked) < PICTURES and any(waiting.values()):
        for label, left in waiting.items():
            if left and len(picked) < PICTURES:
                picked.append(Picture(classes[label], _png(split.images[left.pop(0)])))
    return picked


def _png(image: torch.Tensor) -> bytes:
    """Write pixels (H, W, 3) as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(image.numpy()).save(file, "PNG", optimize=True)
    return file.getvalue()


def copy_app(out: Path) -> None:
    """Copy scripts, style and onnxruntime-web to `out`."""
    for pattern in APP:
        for file in sorted(WEB.glob(pattern)):
            place = out / file.relative_to(WEB)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def copy_network(export: Path, out: Path) -> None:
    """Copy the network of an export, and what describes it.

    Raises:
        SightlineError: if there is none.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in NETWORK:
        if not (export / name).exists():
            raise SightlineError(
                f"{export} has no {name}: the live demo needs an export; run: "
                "sightline book run demo"
            )
        shutil.copyfile(export / name, out / name)


def embed(export: Path, folder: str) -> str:
    """Return the demo of an export as a piece of a page, its pictures within.

    Args:
        export: a folder that `sightline.export.export.export` wrote.
        folder: see `fragment`.
    """
    about = json.loads((export / "model.json").read_text())
    pictures = []
    for picture in about["pictures"]:
        text = base64.b64encode((export / picture["file"]).read_bytes()).decode()
        pictures.append({**picture, "file": f"data:image/png;base64,{text}"})
    return fragment({**about, "pictures": pictures}, folder)


def fragment(about: dict, folder: str) -> str:
    """Return the demo as a piece of a page.

    Args:
        about: what `model.json` holds; the files of `pictures` are addresses.
        folder: address, from the page, of the folder with `model.json`; ends in /.
    """
    buttons = [
        f'<button type="button" class="sl-thumb" data-name="{name}">'
        f'<img src="{picture["file"]}" alt="{name}, picture {number}" loading="lazy" '
        'width="48" height="48"></button>'
        for number, picture in enumerate(about["pictures"], 1)
        for name in [html.escape(picture["class"])]
    ]
    sizes = about["bytes"]
    template = Template((WEB / "app.html").read_text())
    return template.substitute(
        folder=html.escape(folder),
        pictures="\n".join(buttons),
        model_bytes=sizes["model"],
        runtime_bytes=sizes["runtime"],
        megabytes=f"{(sizes['model'] + sizes['runtime']) / 1e6:.1f}",
        network=f"{sizes['model'] / 1e6:.1f}",
        runtime=f"{sizes['runtime'] / 1e6:.1f}",
    )


def page(about: dict) -> str:
    """Return a page of its own around the demo."""
    template = Template((WEB / "index.html").read_text())
    count = len(about["classes"])
    return template.substitute(
        title=html.escape(f"{about['run']}: {about['model']}, {count} classes"),
        app=fragment(about, "./"),
        classes=html.escape(", ".join(about["classes"])),
        before=f"{about['accuracy']['before']:.2%}",
        after=f"{about['accuracy']['after']:.2%}",
        bits=about["bits"],
    )
