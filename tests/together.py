"""What test_distributed.py lets several processes do: python -m … together.py FOLDER.

Weights are compared in doubles. In float32 sums over fewer images round otherwise;
where that puts a number on the other side of a ReLU's zero, its whole gradient comes or
goes, and after ten updates two equal trainings are 10⁻³ apart.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import tiny
import torch
from torch import Tensor

from sightline.data.datasets import load
from sightline.errors import SightlineError
from sightline.training.distributed import first_process_first, process_group
from sightline.training.engine import evaluate, fit
from sightline.training.parts import Parts, build
from sightline.training.recipe import variant
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

# 64 images: three batches of 19, which two processes divide unevenly, and one of 7
UNEVEN = variant(tiny.RECIPE, norm="group", batch_size=19, cutout=8, max_lr=0.01)
# as the command line of test_distributed.py has it
LONGER = replace(RECIPES["resnet10"], norm="group", epochs=3)
IMAGES = 300


class Doubles:
    """A loader whose images are doubles."""

    def __init__(self, loader):
        self.loader = loader

    def __getattr__(self, name: str) -> object:
        """Return what the loader has under this name."""
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches."""
        return ((images.double(), labels) for images, labels in self.loader)


def in_doubles(runtime: Runtime) -> dict:
    """Train `UNEVEN`; return weights, history, and what is said about each image."""
    parts = build(UNEVEN, tiny.splits(), runtime)
    parts.model.double()
    parts.train_loader = Doubles(parts.train_loader)
    parts.validation_loader = Doubles(parts.validation_loader)
    with mock.patch.object(torch.Tensor, "float", float_unless_double):
        return run(runtime, parts)


def float_unless_double(tensor: Tensor) -> Tensor:
    """Stand in for `Tensor.float`, by which the engine leaves autocast."""
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


def run(runtime: Runtime, parts: Parts) -> dict:
    """Train and evaluate."""
    epochs = fit(parts, UNEVEN, runtime, progress=False)
    history = [asdict(epoch) for epoch in epochs]
    evaluation = evaluate(parts.model, parts.validation_loader, runtime=runtime)
    return {
        "weights": parts.model.state_dict(),
        "history": history,
        "logits": evaluation.logits,
        "labels": evaluation.labels,
    }


def message(function, *args, **kwargs) -> str:
    """Return the message of the error that `function` raises."""
    try:
        function(*args, **kwargs)
    except SightlineError as error:
        return str(error)
    return "no error"


def main(folder: Path) -> None:
    """Do everything in which processes meet; save what each has seen."""
    with process_group():
        with first_process_first():
            seen = {"first": not (folder / "cache").exists()}
            time.sleep(0.2 * seen["first"])
            (folder / "cache").touch()
        runtime = choose_runtime("cpu", "fp32")
        seen |= in_doubles(runtime)
        seen["difference"] = message(runtime.agree, max_lr=runtime.rank, epochs=3)
        seen["divergence"] = message(
            train,
            replace(UNEVEN, max_lr=1e30),
            tiny.splits(),
            out=folder / "diverged",
            **tiny.ON_CPU,
        )
        splits = load("shapes", seed=0).limited(IMAGES, seed=0)
        train(LONGER, splits, out=folder / "unbroken", **tiny.ON_CPU)
        torch.save(seen, folder / f"{runtime.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
