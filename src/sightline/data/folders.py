"""A folder of pictures, one sub-folder per class, decoded once and kept.

Decoded pictures are kept beside a fingerprint of all files, and decoded again when a
file has come, gone or changed. They are loaded into memory or, where they would fill
too much of it, stay in their file.
"""

import errno
import hashlib
import json
import math
import os
import shutil
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sightline.data.findings import count_pictures, enumerate_names
from sightline.data.listing import Listing
from sightline.data.options import Framing
from sightline.data.pictures import read_pictures
from sightline.data.stored import HEADER, Images, StoredImages, header, usable_memory
from sightline.errors import DataError
from sightline.files import whole_or_absent

__all__ = ["Decoded", "decode_once", "find_lacking"]

# share of the usable memory that decoded pictures may fill. The parts of a data set
# are copies of them, and the network, its activations and other programs need some too
MEMORY_SHARE = 0.25
# readable pictures that a class needs in a part; "pictures" are divided into three
LEAST = {"pictures": 3, "train": 2, "test": 1}


@dataclass(frozen=True)
class Decoded:
    """The pictures of a listing that could be read."""

    images: Images  #: (n, size, size, 3) uint8
    readable: Tensor  #: (N,) bool, which of the listing these n are
    notes: tuple[str, ...]
    unreadable: dict[int, str]  #: place in the listing → reason

    @property
    def places(self) -> Tensor:
        """Return the places of the pictures in the listing, (n,) ascending."""
        return torch.nonzero(self.readable)[:, 0]


def decode_once(
    listing: Listing, image_size: int, framing: Framing, keep_in: Path, progress: bool
) -> Decoded:
    """Decode a folder, or take it from the cache while no file has changed.

    Raises:
        DataError: if pictures too many for the memory cannot be kept on the disk.
    """
    what = f"{listing.folder}\0{image_size}\0{framing}"
    key = hashlib.sha256(os.fsencode(what)).hexdigest()[:12]
    # a name may have 255 bytes, of which a letter can take four
    cache = keep_in / f"{listing.folder.name[:40]}-{key}.safetensors"
    size = len(listing.names) * image_size**2 * 3
    stay = size > MEMORY_SHARE * usable_memory()
    decode = _decode_to_disk if stay else _decode_to_memory
    decoded = _open_cache(cache, listing.fingerprint, stay)
    decoded = decoded or decode(listing, image_size, framing, cache, progress)
    if stay:
        note = f"{len(decoded.images):,} pictures ({size / 1e9:.2f} GB) stay on disk "
        note += "and are read batch by batch"
        decoded = replace(decoded, notes=(*decoded.notes, note))
    return decoded


def _open_cache(cache: Path, fingerprint: str, stay: bool) -> Decoded | None:
    """Return what is kept; None if it is absent, broken or of other pictures."""
    try:
        with safe_open(cache, framework="np") as file:
            if (file.metadata() or {}).get("fingerprint") != fingerprint:
                return None
            if stay:
                shape = file.get_slice("images").get_shape()
                images: Images = StoredImages.open(cache, tuple(shape))
            else:
                images = torch.from_numpy(file.get_tensor("images"))
            readable = torch.from_numpy(file.get_tensor("readable")).bool()
            notes, unreadable = json.loads(file.get_tensor("notes").tobytes())
    except (OSError, SafetensorError):
        return None
    reasons = {int(place): reason for place, reason in unreadable.items()}
    return Decoded(images, readable, tuple(notes), reasons)


def _decode_to_disk(
    listing: Listing, image_size: int, framing: Framing, cache: Path, progress: bool
) -> Decoded:
    """Decode into the cache what would fill too much of the memory."""
    size = len(listing.names) * image_size**2 * 3
    try:
        if _free(cache) < size:  # raised now, not after an hour of decoding
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with whole_or_absent(cache) as partial, partial.open("wb") as file:
            readable, notes, unreadable = _decode(
                listing, image_size, framing, file, progress
            )
        shape = (int(readable.sum()), image_size, image_size, 3)
        images = StoredImages.open(cache, shape)
    except OSError as error:
        raise DataError(
            f"{len(listing.names):,} decoded pictures need {size / 1e9:.2f} GB in "
            f"{cache.parent}, where {_free(cache) / 1e9:.2f} GB are free: "
            f"{error.strerror}. Make room, or set SIGHTLINE_DATA to a folder on a "
            "larger disk"
        ) from error
    return Decoded(images, readable, notes, unreadable)


def _free(cache: Path) -> int:
    """Return the free bytes of the disk on which a file would be."""
    folder = next(folder for folder in cache.parents if folder.exists())
    return shutil.disk_usage(folder).free


def _decode_to_memory(
    listing: Listing, image_size: int, framing: Framing, cache: Path, progress: bool
) -> Decoded:
    """Decode a folder, and keep it for the next time if that is possible."""
    memory = BytesIO()
    readable, notes, unreadable = _decode(
        listing, image_size, framing, memory, progress
    )
    try:
        with whole_or_absent(cache) as partial:
            partial.write_bytes(memory.getbuffer())
    except OSError as error:
        notes += (f"decoded pictures could not be kept in {cache.parent}: {error}",)
    shape = (int(readable.sum()), image_size, image_size, 3)
    images = torch.empty(shape, dtype=torch.uint8)
    if len(images):  # torch refuses an empty buffer
        images = torch.frombuffer(
            memory.getbuffer(), dtype=torch.uint8, count=math.prod(shape), offset=HEADER
        )
    return Decoded(images.view(shape), readable, notes, unreadable)


def _decode(
    listing: Listing, image_size: int, framing: Framing, out: BinaryIO, progress: bool
) -> tuple[Tensor, tuple[str, ...], dict[int, str]]:
    """Write pictures as they are decoded; return what `Decoded` says of them."""
    paths = [f"{listing.folder}/{name}" for name in listing.names]
    readable = torch.zeros(len(paths), dtype=torch.bool)
    changes: Counter[str] = Counter()
    unreadable: dict[int, str] = {}
    out.seek(HEADER)
    reading = read_pictures(paths, image_size, framing, progress=progress)
    with closing(reading) as parts:
        for part in parts:
            out.write(part.images)
            readable[part.places] = True
            changes.update(part.changes)
            unreadable |= part.unreadable
    notes = tuple(
        f"{count_pictures(count)} {change}" for change, count in sorted(changes.items())
    )
    if unreadable:
        names = enumerate_names([listing.names[place] for place in unreadable])
        notes += (f"{len(unreadable):,} unreadable, left out: {names}",)
    text = json.dumps([notes, unreadable]).encode()
    out.write(readable.numpy())
    out.write(text)
    shapes = {
        "images": (int(readable.sum()), image_size, image_size, 3),
        "readable": (len(paths),),
        "notes": (len(text),),
    }
    out.seek(0)
    out.write(header(listing.fingerprint, shapes))
    return readable, notes, unreadable


def find_lacking(listing: Listing, decoded: Decoded) -> list[str]:
    """Name each class that lacks readable pictures for a part that it must fill."""
    lacking = []
    for part, inside in listing.parts().items():
        for label, name in enumerate(listing.classes):
            own = inside & (listing.labels == label)
            count = int((own & decoded.readable).sum())
            if count >= LEAST[part]:
                continue
            broken = torch.nonzero(own & ~decoded.readable)[:, 0].tolist()
            because = f" ({decoded.unreadable[broken[0]]})" if broken else ""
            where = name if part == "pictures" else f"{part}/{name}"
            lacking.append(
                f"{listing.folder}/{where} has {count} readable picture(s) and "
                f"{len(broken)} unreadable{because}; at least {LEAST[part]} are needed"
            )
    return lacking
