"""Measure how fast heatmaps are made, beside the loop that the five systems use.

That loop makes one grad-cam object and gives it one picture after the other. Ours gives
it batches, and lets backward end at the layer. The two take turns in one process.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from common import header, save, table
from memory import resident
from pytorch_grad_cam import GradCAM
from torch import Tensor, nn

from sightline.data.datasets import load
from sightline.data.split import Splits
from sightline.heatmaps.explain import explain
from sightline.heatmaps.layers import default_layers
from sightline.heatmaps.methods import METHODS, SLOW
from sightline.models import build_model
from sightline.training.classifier import Classifier
from sightline.training.runtime import Runtime, choose_runtime

GOAL = 6.0  # seconds for a thousand maps
FEW = {True: 4, False: 100}  # pictures of a window of one method: slow, or not


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", default="shapes", help="shapes, cifar10 or a folder")
    add("--model", default="resnet18")
    add("--pictures", type=int, default=1000, help="of a batched window")
    add("--one-by-one", type=int, default=100, help="pictures of a window of the loop")
    add("--windows", type=int, default=3, help="of each, taking turns")
    add("--many", type=int, default=10_000, help="maps over which memory is watched")
    add("--device", default="auto")
    add("--json", type=Path, help="write the tables there, too")
    return parser.parse_args()


def untrained(name: str, splits: Splits, runtime: Runtime) -> Classifier:
    """Build a network with batch norm and random weights, always the same."""
    torch.manual_seed(0)
    model = build_model(name, num_classes=len(splits.classes), norm="batch")
    return Classifier.trained_on(splits, runtime.place(model), runtime)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Time a call, to the end of what it started."""
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def one_by_one(model: nn.Module, images: Tensor) -> None:
    """Make maps as the five systems do: a picture a call, the predicted class."""
    with GradCAM(model, [model.layer4[-1]]) as recorder:
        for i in range(len(images)):
            recorder(images[i : i + 1], None)


def against_the_loop(
    model: nn.Module, plain: nn.Module, images: Tensor, options: argparse.Namespace
) -> list[dict]:
    """Let both ways take turns; return a row for each."""
    device = images.device
    few = images[: options.one_by_one].contiguous()
    explain(model, images[:64])
    one_by_one(plain, few[:8])
    times: dict[str, list[float]] = {"one by one, grad-cam": [], "sightline": []}
    for _ in range(options.windows):
        loop = seconds(lambda: one_by_one(plain, few), device)
        times["one by one, grad-cam"].append(loop / len(few))
        ours = seconds(lambda: explain(model, images), device)
        times["sightline"].append(ours / len(images))
    first = median(times["one by one, grad-cam"])
    return [
        {
            "1,000 maps at layer4": name,
            "seconds": 1000 * median(values),
            "fastest": 1000 * min(values),
            "slowest": 1000 * max(values),
            "maps/s": 1 / median(values),
            "× the loop": first / median(values),
        }
        for name, values in times.items()
    ]


def by_method(model: nn.Module, images: Tensor, layers: Sequence[str]) -> list[dict]:
    """Return the seconds that each method takes for 100 pictures."""
    rows = []
    for method in (*METHODS, *SLOW):
        part = images[: FEW[method in SLOW]]
        row = {"method": method}
        for layer in layers:
            taken = seconds(
                lambda layer=layer, part=part, method=method: explain(
                    model, part, layers=layer, method=method
                ),
                images.device,
            )
            row[f"s / 100, {layer}"] = 100 * taken / len(part)
        rows.append(row)
        print(f"{method} {list(row.values())[1:]}", flush=True)
    return rows


def watch_memory(model: nn.Module, images: Tensor, many: int) -> list[dict]:
    """Make many maps, and watch the resident memory."""
    rows, made = [], 0
    while made < many:
        explain(model, images)
        made += len(images)
        rows.append({"maps made": made, "resident MB": round(resident() / 1e6)})
    return rows


def main() -> None:
    """Measure, and print the tables."""
    options = arguments()
    header()
    runtime = choose_runtime(options.device, "fp32")
    splits = load(options.data)
    classifier = untrained(options.model, splits, runtime)
    model = classifier.model
    # as the five systems have it: in torch's usual memory format
    plain = untrained(options.model, splits, replace(runtime, channels_last=False))
    index = torch.arange(options.pictures) % len(splits.test)  # again if there are few
    images = classifier.normalise(splits.test.images[index])
    speed = against_the_loop(model, plain.model, images, options)
    table(speed)
    ours = speed[-1]["seconds"]
    print(
        f"goal {GOAL:.0f} s: {'reached' if ours <= GOAL else 'missed'} ({ours:.1f} s)"
    )
    layers = default_layers(model, classifier.image_size)
    methods = by_method(model, images, layers)
    table(methods)
    watched = watch_memory(model, images, options.many)
    table([watched[0], watched[len(watched) // 2], watched[-1]], "memory")
    save(options.json, speed=speed, methods=methods, memory=watched)


if __name__ == "__main__":
    main()
