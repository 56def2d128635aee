"""CIFAR-10, read through torchvision, which downloads it once."""

import shutil
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sightline.errors import DataError

__all__ = ["read_cifar10"]

Part = tuple[Tensor, Tensor]  # pictures (N, 32, 32, 3) uint8, labels (N,)


def read_cifar10(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
    """Read training, test and classes from `folder`, downloading them if need be.

    torchvision's files are pickles: they are opened only after the checksum of
    each has been verified.

    Raises:
        DataError: if they can neither be read nor downloaded; what is broken is
            removed before.
    """
    # only here: with torchvision comes torch's compiler, as slow to import as torch
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    archive = folder / CIFAR10.filename
    try:
        try:
            parts = [CIFAR10(folder, train=train) for train in (True, False)]
        except RuntimeError:  # torchvision's: absent, or a checksum is wrong
            shutil.rmtree(folder / CIFAR10.base_folder, ignore_errors=True)
            parts = [CIFAR10(folder, train=t, download=True) for t in (True, False)]
    except (OSError, RuntimeError, HTTPException) as error:
        with suppress(OSError):
            if not check_integrity(archive, CIFAR10.tgz_md5):
                archive.unlink()
        raise DataError(
            f"CIFAR-10 could not be read from {folder}, nor downloaded: "
            f"{str(error).rstrip('.')}. Any of these helps:\n"
            "  connect to the internet and try again (170 MB, once);\n"
            f"  put {CIFAR10.url} into {folder};\n"
            "  set SIGHTLINE_DATA to a folder that has this file;\n"
            "  use shapes, which needs no download, or a folder of pictures"
        ) from error
    training, test = (
        (torch.from_numpy(np.ascontiguousarray(part.data)), torch.tensor(part.targets))
        for part in parts
    )
    return training, test, tuple(parts[0].classes)
