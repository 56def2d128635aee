"""A run as a page that anybody can open: the network, rounded, with its heatmaps.

===================== ====================================================
index.html            the page; beside it its scripts and its style
model.onnx.gz         logits and heatmaps as one graph, compressed
model.json            classes, layers, accuracy before and after rounding, thresholds
pictures/             ten test pictures, as PNG
ort/                  onnxruntime-web, which computes the graph in a browser
===================== ====================================================
"""

import gzip
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from sightline.data.split import Splits
from sightline.export.assets import RUNTIME, WEB, copy_app
from sightline.export.graph import Explained, onnx_model
from sightline.export.page import Picture, pick_pictures, whole_page
from sightline.export.rounding import fold_batch_norms, round_weights
from sightline.files import claim, replace_files, write_json, write_text
from sightline.heatmaps.layers import default_layers
from sightline.measures.conformal import Thresholds
from sightline.models.summary import output_shapes
from sightline.training.classifier import Classifier
from sightline.training.parts import chosen_splits
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime

__all__ = ["DEFAULT_BITS", "export"]

DEFAULT_BITS = 4  #: of a weight


def export(
    run: Run, splits: Splits, out: str | Path, *, bits: int = DEFAULT_BITS
) -> dict:
    """Write `run` as a folder for any web server; return what its `model.json` holds.

    Files of an earlier export are replaced once all new ones are there; what else was
    put into its folder stays.

    Args:
        run: any run with weights.
        splits: pictures of the same classes; the accuracy is that on its test images,
            ten of which go into the folder.
        out: a new or an empty folder, or an earlier export.
        bits: a weight, 2 to 8; 32 rounds nothing.

    Raises:
        RunError: if the classes are other ones, or `out` holds anything else or
            cannot be written.
        SightlineError: for other bits, or if onnx is not installed.
    """
    out = Path(out)
    runtime = choose_runtime("cpu", "fp32")
    original = replace(run.classifier(runtime), flip_average=False)  # as on the page
    original.refuse_other_classes(splits)
    claim(out, "export")
    folded = replace(original, model=fold_batch_norms(original.model))
    rounded = round_weights(folded.model, bits)
    network = Explained(folded, default_layers(folded.model, folded.image_size))
    graph = gzip.compress(onnx_model(network, rounded), mtime=0)
    pictures = pick_pictures(splits.test, run.classes)
    about = {
        **_network(run, network),
        "bits": bits,
        "data": splits.name,
        "digest": splits.digest,
        "accuracy": _accuracies(splits, before=original, after=folded),
        # of the network that the page computes: rounding changes its confidence, too
        "prediction_sets": asdict(_thresholds(run, splits, folded)),
        **_files(graph, pictures),
    }
    fill = partial(_write, graph=graph, about=about, pictures=pictures)
    replace_files(out, fill, last="model.json", remedy="export again")
    return about


def _network(run: Run, network: Explained) -> dict:
    """Describe a network to those who show it pictures."""
    classifier = network.classifier
    shapes = output_shapes(network.model, network.layers, classifier.image_size)
    return {
        "run": run.path.name,
        "model": run.recipe.model,
        "parameters": sum(p.numel() for p in run.load_model().parameters()),
        "classes": list(classifier.classes),
        "image_size": classifier.image_size,
        "framing": classifier.framing,
        "mean": list(classifier.mean),
        "layers": [{"name": name, "side": shapes[name][1]} for name in network.layers],
    }


def _files(graph: bytes, pictures: Sequence[Picture]) -> dict:
    """Describe the files of an export to its page."""
    return {
        "pictures": [
            {"file": f"pictures/{number:02}.png", "class": picture.name}
            for number, picture in enumerate(pictures, 1)
        ],
        "bytes": {
            "model": len(graph),
            "runtime": sum((WEB / name).stat().st_size for name in RUNTIME),
        },
    }


def _accuracies(splits: Splits, **classifiers: Classifier) -> dict[str, float]:
    """Measure the accuracies on the test images, 0..1."""
    accuracies = {
        name: _placed(classifier).ask(splits.test).accuracy
        for name, classifier in classifiers.items()
    }
    return {"images": len(splits.test), **accuracies}


def _thresholds(run: Run, splits: Splits, classifier: Classifier) -> Thresholds:
    """Take the thresholds from the pictures that the run did not train on."""
    validation = chosen_splits(run.recipe, splits).validation
    return Thresholds.of(_placed(classifier).ask(validation))


def _placed(classifier: Classifier) -> Classifier:
    """Return a classifier on the fastest device."""
    runtime = choose_runtime("auto", "fp32")
    return replace(classifier, model=runtime.place(classifier.model), runtime=runtime)


def _write(
    folder: Path, graph: bytes, about: dict, pictures: Sequence[Picture]
) -> None:
    """Fill a folder with all that belongs to an export."""
    copy_app(folder)
    (folder / "model.onnx.gz").write_bytes(graph)
    write_json(folder / "model.json", about)
    (folder / "pictures").mkdir()
    for entry, picture in zip(about["pictures"], pictures, strict=True):
        (folder / entry["file"]).write_bytes(picture.png)
    write_text(folder / "index.html", whole_page(about))
