"""What `sightline all` chooses, against a careful loop, in the same CPU time.

The other side is what a practised person writes in plain PyTorch: torchvision's
ResNet-18 from scratch, random resized crops and mirror images, AdamW with one cycle,
label smoothing, the best epoch by validation. Both have the same pictures, the same
split and one thread; the loop gets the CPU seconds that `all` took from its choices to
its last epoch, its search for a rate included. Seconds are those of the process, so
that other work on the machine does not count.
"""

import argparse
import copy
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from common import header, save, table
from torch import Tensor, nn

from sightline.data.datasets import load_folder
from sightline.data.split import Split, Splits
from sightline.measures.inference import effect, estimate
from sightline.pipeline import STEPS, Pipeline
from sightline.training.recipe import variant
from sightline.training.recipes import RECIPES
from sightline.training.runtime import Runtime, choose_runtime

BATCH, MAX_LR, WEIGHT_DECAY, SMOOTHING = 64, 2e-3, 0.05, 0.1
LEAST_AREA = 0.35  # of a crop


def main() -> None:
    """Compare both sides on one folder, seed by seed."""
    words = argparse.ArgumentParser(description=__doc__)
    add = words.add_argument
    add("folder", type=Path, help="one sub-folder per class")
    add("--classes", nargs="*", help="sub-folders to take; all of them")
    add("--minutes", type=float, default=5.0, help="as of `sightline all`")
    add("--side", type=int, default=128, help="pixels that the loop trains on")
    add("--seeds", type=int, default=2)
    add("--json", type=Path)
    asked = words.parse_args()
    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # by which `all` measures its speed
    header()
    pairs, rows = [], []
    for seed in range(asked.seeds):
        with tempfile.TemporaryDirectory() as parent:
            folder = linked(asked.folder, asked.classes, Path(parent) / "pictures")
            started = time.process_time()
            own, words_of_all = of_all(folder, Path(parent), asked.minutes, seed)
            seconds = time.process_time() - started
            right, about = of_loop(folder, asked.side, seconds, seed)
        pairs.append((own, right))
        for name, answers, detail in (
            ("sightline all", own, words_of_all),
            ("careful loop", right, about),
        ):
            row = {"seed": seed, "side": name, "CPU s": round(seconds)}
            rows.append(row | {"test": estimate(answers).written(), "what": detail})
            print(rows[-1], flush=True)
    table(rows)
    first, second = (torch.stack(side).double() for side in zip(*pairs, strict=True))
    difference = effect(first, second)
    print(f"all − loop: {difference.written()} points, {difference.verdict()}")
    protocol = {k: str(v) for k, v in vars(asked).items()}
    save(asked.json, protocol=protocol, rows=rows, difference=difference.written())


def linked(folder: Path, classes: list[str] | None, out: Path) -> Path:
    """Return a folder that has some of the classes."""
    out.mkdir()
    for source in sorted(path for path in folder.resolve().iterdir() if path.is_dir()):
        if not classes or source.name in classes:
            (out / source.name).symlink_to(source)
    return out


def of_all(folder: Path, parent: Path, minutes: float, seed: int) -> tuple[Tensor, str]:
    """Let the steps of `sightline all` train; return which test answers are right."""
    recipe = variant(RECIPES["folder"], seed=seed)
    pipeline = Pipeline(folder, parent / "out", recipe, (), minutes, device="cpu")
    pipeline.out.mkdir()
    for name in ("pictures", "learning rate", "training"):
        STEPS[name](pipeline)
    chosen = {name: choice.value for name, choice in pipeline.choices.items()}
    return pipeline.run.test.right, str(chosen)


def of_loop(folder: Path, side: int, seconds: float, seed: int) -> tuple[Tensor, str]:
    """Train the careful loop for some seconds; return which answers are right."""
    from torchvision.models import resnet18  # not needed by the other side

    torch.manual_seed(seed)
    splits = load_folder(folder, image_size=side, seed=seed)
    runtime = choose_runtime("cpu")
    model = runtime.place(resnet18(num_classes=len(splits.classes)))
    trial = copy.deepcopy(model)
    started = time.process_time()
    train_epoch(trial, splits, runtime, None, count=4 * BATCH)
    speed = 4 * BATCH / (time.process_time() - started)
    epochs = max(1, round(seconds * speed / len(splits.train)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=MAX_LR / 25, weight_decay=WEIGHT_DECAY
    )
    steps = epochs * -(-len(splits.train) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, MAX_LR, total_steps=steps)
    best, weights = -1.0, {}
    for _ in range(epochs):
        train_epoch(model, splits, runtime, cycle, count=len(splits.train))
        accuracy = answers(model, splits, splits.validation, runtime).float().mean()
        if accuracy >= best:
            best, weights = float(accuracy), copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    about = f"resnet18 at {side} pixels, {epochs} epochs"
    return answers(model, splits, splits.test, runtime), about


def train_epoch(
    model: nn.Module,
    splits: Splits,
    runtime: Runtime,
    cycle: torch.optim.lr_scheduler.OneCycleLR | None,
    *,
    count: int,
) -> None:
    """Update the weights once for each batch of `count` pictures."""
    model.train()
    for places in torch.randperm(len(splits.train))[:count].split(BATCH):
        if len(places) < 2:  # batch norm needs two
            continue
        images = cropped(normalised(splits, splits.train.images[places]))
        with runtime.autocast():
            logits = model(images)
        loss = F.cross_entropy(
            logits.float(), splits.train.labels[places], label_smoothing=SMOOTHING
        )
        model.zero_grad()
        loss.backward()
        if cycle is not None:
            cycle.optimizer.step()
            cycle.step()


def normalised(splits: Splits, pictures: Tensor) -> Tensor:
    """Turn pictures (B, H, W, 3) uint8 into images (B, 3, H, W)."""
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (splits.mean, splits.std))
    return (pictures.permute(0, 3, 1, 2) / 255 - mean) / std


def cropped(images: Tensor) -> Tensor:
    """Cut out a random part of each image, at its old size, and flip half of them."""
    count = len(images)
    area = torch.empty(count, 1).uniform_(LEAST_AREA, 1)
    stretch = torch.empty(count, 1).uniform_(-0.29, 0.29).exp()  # 3:4 to 4:3
    sizes = (area.sqrt() * torch.cat([stretch.sqrt(), 1 / stretch.sqrt()], 1)).clamp(
        max=1
    )
    centres = (1 - sizes) * torch.empty(count, 2).uniform_(-1, 1)
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    moves = torch.zeros(count, 2, 3)
    moves[:, 0, 0], moves[:, 1, 1] = sizes[:, 0] * mirror, sizes[:, 1]
    moves[:, :, 2] = centres
    grid = F.affine_grid(moves, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False, padding_mode="reflection")


def answers(model: nn.Module, splits: Splits, split: Split, runtime: Runtime) -> Tensor:
    """Tell which pictures of a split a network recognises, (N,) bool."""
    model.eval()
    right = []
    with torch.inference_mode(), runtime.autocast():
        for places in torch.arange(len(split)).split(250):
            logits = model(normalised(splits, split.images[places]))
            right.append(logits.argmax(1) == split.labels[places])
    return torch.cat(right)


if __name__ == "__main__":
    main()
