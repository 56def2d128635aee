"""Train the weights to start from that come with the library.

python studies/start.py PICTURES RUN

PICTURES is cifar10, or a folder with its train/ and test/; RUN is the run folder, in
which a training that was cut off goes on. The network is that of `sightline all`. Its
weights are packed, as half floats and without the head, into models/start.safetensors;
the file's metadata say what they were trained on, and how well they did.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sightline.data.datasets import load
from sightline.files import write_atomically
from sightline.models.pretrained import SIGHTLINE_FILE
from sightline.training.recipes import find_recipe
from sightline.training.run import Run
from sightline.training.train import train

EPOCHS = 20
ABOUT = ("data", "digest", "test_digest", "mean", "std", "image_size", "images")
MACHINE = ("device", "precision", "torch", "revision", "train_seconds", "best_epoch")


def describe(run: Run) -> dict:
    """Return what the metadata say: pictures, recipe, machine and result."""
    manifest, recipe = run.manifest, run.recipe
    return {
        "recipe": recipe.name,
        "model": recipe.model,
        "epochs": recipe.epochs,
        "seed": recipe.seed,
        "test_accuracy": manifest["test"]["accuracy"],
        **{name: manifest[name] for name in (*ABOUT, *MACHINE)},
    }


def packed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return all weights but the head's, real numbers as half floats."""
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
        if not name.startswith("head.")
    }


def main() -> None:
    """Train, or go on; then pack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", help="cifar10, or a folder with train/ and test/")
    parser.add_argument("run", type=Path, help="run folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = replace(find_recipe("folder"), epochs=EPOCHS)
    splits = load(options.pictures)
    run = train(recipe, splits, out=options.run, resume=True, progress=False)
    tensors, about = packed(run.load_model().state_dict()), describe(run)
    metadata = {"sightline": json.dumps(about)}
    write_atomically(SIGHTLINE_FILE, lambda file: save_file(tensors, file, metadata))
    print(json.dumps(about, indent=2))
    print(f"{SIGHTLINE_FILE}: {SIGHTLINE_FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
