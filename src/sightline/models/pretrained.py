"""Weights to start from: our own of CIFAR-10, and torchvision's of ImageNet."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.files import sha256

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SIGHTLINE_FILE",
    "SIGHTLINE_MEAN",
    "SIGHTLINE_STD",
    "load_imagenet",
    "load_sightline",
    "rename",
]

#: what `studies/start.py` trained, in half precision; its metadata say how
#:
#: :meta hide-value:
SIGHTLINE_FILE = Path(__file__).with_name("start.safetensors")
#: mean of the pictures that they were trained on
SIGHTLINE_MEAN = (0.4914, 0.4822, 0.4467)
#: standard deviation of the same
SIGHTLINE_STD = (0.2452, 0.2429, 0.2607)

#: of pixels in 0..1, as torchvision's weights expect them:
#: https://pytorch.org/vision/stable/models.html
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# torchvision's names, and ours for the same layers
NAMES = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    (r"\.bn([12])\.", r".norm\1."),
    (r"\.downsample\.", ".shortcut."),
)


def load_sightline(model: nn.Module) -> None:
    """Load our own weights into everything but the head; no network is needed.

    They fit a `resnet10` with batch norm and any stem. They saw pictures of 32 pixels:
    the stem for 96 and more looks at means of 2×2 pixels, and skips every other place.
    """
    state = {k: v.float() for k, v in load_file(SIGHTLINE_FILE).items()}
    if model.state_dict()["stem.0.weight"].shape[-1] == 7:
        kernel = F.interpolate(state["stem.0.weight"], scale_factor=2.0) / 4
        state["stem.0.weight"] = F.pad(kernel, (1, 0, 1, 0))
    model.load_state_dict(state | head_of(model))


def load_imagenet(model: nn.Module) -> None:
    """Load ImageNet's weights into everything but the head, downloading them once.

    They fit a ResNet-18 with batch norm and ImageNet's stem, and pictures normalised by
    ImageNet's mean and standard deviation.

    Raises:
        SightlineError: if they are damaged, or not on this machine and cannot be
            downloaded.
    """
    # only here: with torchvision comes torch's compiler, as slow to import as torch
    from torch.hub import get_dir
    from torchvision.models import ResNet18_Weights

    weights = ResNet18_Weights.IMAGENET1K_V1
    file = Path(get_dir(), "checkpoints", Path(weights.url).name)
    _refuse_damaged(file)
    try:
        state = weights.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:  # no network, or a wrong checksum
        raise SightlineError(
            f"the ImageNet weights cannot be downloaded ({error}). Connect to the "
            f"network (45 MB, once), put {weights.url} into {file.parent}, "
            "or choose --start sightline, which comes with the library, or scratch"
        ) from error
    model.load_state_dict(rename(state) | head_of(model))


def head_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the head, which no start replaces."""
    return {k: v for k, v in model.state_dict().items() if k.startswith("head.")}


def _refuse_damaged(file: Path) -> None:
    """Raise `SightlineError` if a file that was downloaded has changed since."""
    start = file.stem.rpartition("-")[
        2
    ]  # of its SHA-256; torch looks at new files only
    if file.exists() and not sha256(file).startswith(start):
        raise SightlineError(
            f"{file} is damaged: its SHA-256 does not begin with {start}; move it "
            "away, and it will be downloaded again"
        )


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give torchvision's weights of a ResNet our names; leave out its head."""
    renamed = {}
    for name, value in state.items():
        if name.startswith("fc."):
            continue
        for theirs, ours in NAMES:
            name = re.sub(theirs, ours, name)
        renamed[name] = value
    return renamed
