"""The live demo: the page on which a network runs, its script and its pictures."""

import base64
import html
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import torch
from PIL import Image

from sightline.datasets import Split

__all__ = ["RUNTIME", "Picture", "copy_app", "fragment", "page", "pick_pictures"]

WEB = Path(__file__).parent / "web"
APP = ("*.mjs", "*.css", "ort/*")  # what a page loads, besides the network
RUNTIME = ("ort/ort.wasm.bundle.min.mjs", "ort/ort-wasm-simd-threaded.wasm.gz")
PICTURES = 10


@dataclass(frozen=True)
class Picture:
    """A built-in picture: a PNG of the size that the network takes."""

    name: str  # its class
    png: bytes

    @property
    def data_uri(self) -> str:
        """Return the picture as an address that contains it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


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


def fragment(about: dict, pictures: Sequence[tuple[str, str]], folder: str) -> str:
    """Return the demo as a piece of a page.

    Args:
        about: what `model.json` holds.
        pictures: class and address of each built-in picture.
        folder: address, from the page, of the folder with `model.json`; ends in /.
    """
    buttons = [
        f'<button type="button" class="sl-thumb" data-name="{html.escape(name)}">'
        f'<img src="{address}" alt="{html.escape(name)}, picture {number}" loading="lazy" '
        'width="48" height="48"></button>'
        for number, (name, address) in enumerate(pictures, 1)
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


def page(about: dict, pictures: Sequence[tuple[str, str]]) -> str:
    """Return a page of its own around the demo."""
    template = Template((WEB / "index.html").read_text())
    count = len(about["classes"])
    return template.substitute(
        title=html.escape(f"{about['run']}: {about['model']}, {count} classes"),
        app=fragment(about, pictures, "./"),
        classes=html.escape(", ".join(about["classes"])),
        before=f"{about['accuracy']['before']:.2%}",
        after=f"{about['accuracy']['after']:.2%}",
        bits=about["bits"],
    )
