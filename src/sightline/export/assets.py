"""The files that a page with a live network loads, and how they come to a site."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from sightline.errors import SightlineError
from sightline.files import read_json

__all__ = [
    "NETWORK",
    "RUNTIME",
    "TEACHING",
    "TRAINING",
    "WEB",
    "copy_app",
    "copy_network",
    "copy_teaching",
    "copy_training",
]

#: folder of the page's own files and of onnxruntime-web
WEB = Path(__file__).parent / "web"
#: the parts of onnxruntime-web that a browser fetches
RUNTIME = ("ort/ort.wasm.bundle.min.mjs", "ort/ort-wasm-simd-threaded.wasm.gz")
#: the network, and what describes it
NETWORK = ("model.onnx.gz", "model.json")
#: what a page fetches to train a network, besides the runtime and scripts
TRAINING = ("train/step.onnx", "train/look.onnx", "train/layout.json")
#: what a page fetches to be taught classes, besides the same
TEACHING = ("teach/model.onnx.gz", "teach/model.json")


def copy_app(out: Path) -> None:
    """Copy controls, scripts, style and onnxruntime-web to `out`."""
    _copy(("app.html", "*.mjs", "*.css", "ort/*"), out)


def copy_training(out: Path) -> None:
    """Copy what a page that trains a network needs besides the app."""
    _copy(("train/*.mjs", "train/*.css", *TRAINING), out)


def copy_teaching(out: Path) -> None:
    """Copy what a page that is taught classes needs besides the app."""
    _copy(("teach/*.mjs", "teach/*.css", *TEACHING), out)


def _copy(patterns: Sequence[str], out: Path) -> None:
    """Copy the page's own files that fit."""
    for pattern in patterns:
        for file in sorted(WEB.glob(pattern)):
            place = out / file.relative_to(WEB)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


def copy_network(export: Path, out: Path) -> None:
    """Copy the network of an export, what describes it, and its pictures.

    Raises:
        SightlineError: if `export` lacks any of them.
    """
    names = [*NETWORK]
    if (export / "model.json").exists():
        pictures = read_json(export / "model.json")["pictures"]
        names += [picture["file"] for picture in pictures]
    for name in names:
        if not (export / name).exists():
            raise SightlineError(
                f"{export} has no {name}: the live demo needs an export; run: "
                "sightline book run demo"
            )
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(export / name, out / name)
