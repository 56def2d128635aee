"""Time and memory of a heatmap for torchvision's families, and the layers chosen.

Each network has random weights and a process of its own. Seconds are those of one
heatmap at each chosen layer, the recognition of layers and layouts included, beside
one plain forward pass; memory is what the process held at its peak beyond network and
libraries.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from common import header, save, table

FAMILIES = (
    *("resnet50", "resnext50_32x4d", "vgg16", "densenet121", "mobilenet_v2"),
    *("mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "swin_t", "vit_b_16"),
    *("regnet_y_400mf", "googlenet", "shufflenet_v2_x1_0"),
)


def main() -> None:
    """Measure one family after the other."""
    words = argparse.ArgumentParser(description=__doc__)
    add = words.add_argument
    add("names", nargs="*", default=FAMILIES, help="of torchvision.models")
    add("--side", type=int, default=224, help="pixels of the picture")
    add("--json", type=Path)
    add("--one", help=argparse.SUPPRESS)  # what the own process of a network gets
    asked = words.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one, asked.side)))
        return
    header()
    rows = []
    for name in asked.names:
        command = [sys.executable, __file__, "--one", name, "--side", str(asked.side)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, encoding="utf-8"
        )
        rows.append(json.loads(done.stdout))
        print(rows[-1], flush=True)
    table(rows)
    save(asked.json, side=asked.side, families=rows)


def measure(name: str, side: int) -> dict[str, object]:
    """Measure one network."""
    import torch
    from torchvision import models

    from sightline.heatmaps.explain import explain
    from sightline.heatmaps.layers import default_layers

    torch.manual_seed(0)
    options = (
        {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    )
    model = getattr(models, name)(**options).eval()
    if name.startswith("vit"):  # whose head is zero
        torch.nn.init.normal_(model.heads.head.weight)
    images = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        model(images)
        started = time.process_time()
        model(images)
        forward = time.process_time() - started
    before = peak()
    started = time.process_time()
    layers = default_layers(model, side)
    chosen = time.process_time() - started
    started = time.process_time()
    found = explain(model, images, layers=layers)
    explained = time.process_time() - started
    grids = (
        f"{n} ({'×'.join(map(str, e.evidence.shape[1:]))})" for n, e in found.items()
    )
    return {
        "network": name,
        "forward CPU s": round(forward, 2),
        "layers CPU s": round(chosen, 2),
        "heatmap CPU s": round(explained, 2),
        "memory MB": round((peak() - before) / 1e6),
        "layers": ", ".join(grids),
    }


def peak() -> int:
    """Return the most bytes that this process has held."""
    import resource  # not on Windows

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024


if __name__ == "__main__":
    main()
