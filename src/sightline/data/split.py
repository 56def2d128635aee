"""The parts of a data set: pictures, their labels, and the files they came from."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sightline.data.options import Framing
from sightline.data.stored import Images, StoredImages
from sightline.errors import DataError

__all__ = ["Colour", "Split", "Splits", "chunks", "digest_of"]

Colour = tuple[float, float, float]  #: red, green and blue

CHUNK_BYTES = 2**24  # of pixels that are measured at once


@dataclass(frozen=True)
class Split:
    """Pictures and labels of one part; what else is known of them, where it is."""

    images: Images  #: (N, H, W, 3) uint8
    labels: Tensor  #: (N,) int64
    masks: Tensor | None = None  #: (N, H, W) bool
    shortcuts: Tensor | None = None  #: (N, H, W) bool
    files: tuple[str, ...] = ()  #: N names below the folder, "class/1.png", if any
    series: Tensor | None = None  #: (N,) int64, equal for pictures that stay together

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def take(self, index: Tensor) -> "Split":
        """Return the pictures at `index`, places or a mask, in that order."""
        stored = isinstance(self.images, StoredImages)
        images = self.images.take(index) if stored else self.images[index]
        masks = None if self.masks is None else self.masks[index]
        shortcuts = None if self.shortcuts is None else self.shortcuts[index]
        places = torch.arange(len(self))[index].tolist() if self.files else ()
        files = tuple(self.files[place] for place in places)
        series = None if self.series is None else self.series[index]
        return Split(images, self.labels[index], masks, shortcuts, files, series)

    def join(self, other: "Split") -> "Split":
        """Return the pictures and labels of both, without masks and shortcuts."""
        labels = torch.cat([self.labels, other.labels])
        files = self.files + other.files if self.files and other.files else ()
        both_series = [s for s in (self.series, other.series) if s is not None]
        series = torch.cat(both_series) if len(both_series) == 2 else None
        if isinstance(self.images, StoredImages) and not torch.is_tensor(other.images):
            images: Images = self.images.join(other.images)
        else:
            images = torch.cat([self.images[:], other.images[:]])
        return Split(images, labels, files=files, series=series)

    def names(self, index: Tensor) -> list[str]:
        """Name the pictures at `index`, (n,) places: by file, else by number."""
        places = index.tolist()
        return [self.files[i] if self.files else f"no. {i}" for i in places]


@dataclass(frozen=True)
class Splits:
    """A data set: three parts without a common picture, and what describes them."""

    name: str  #: "cifar10", "shapes" or the folder's name
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: Colour  #: of the training part, 0 to 1
    std: Colour
    digest: str  #: changes when any pixel or label of any part does
    notes: tuple[str, ...] = ()  #: what had to be done to the pictures, for people
    source: str = ""  #: what `load` finds them by, a name or an absolute folder
    limit: int | None = None  #: training pictures that `limited` kept, if any
    framing: Framing | None = None  #: of a folder's pictures; None where all are square
    group: str | None = (
        None  #: how a folder's pictures stay together; "" for not at all
    )

    @property
    def test_digest(self) -> str:
        """Return what changes when any pixel or label of the test part does."""
        return digest_of(self.test)

    def limited(
        self,
        training: int | None,
        *,
        validation: int | None = None,
        test: int | None = None,
        seed: int = 0,
    ) -> "Splits":
        """Keep fewer pictures, the classes as equal as they can be.

        Their order and mean/std stay as they are. None keeps all training pictures,
        and of the others a quarter as many as of these.

        Raises:
            DataError: if a number is smaller than that of the classes.
        """
        if training is None:
            return self
        quarter = max(training // 4, len(self.classes))
        validation = quarter if validation is None else validation
        test = quarter if test is None else test
        generator = torch.Generator().manual_seed(seed)
        whole = (self.train, self.validation, self.test)
        train, validated, tested = (
            part.take(_choose(part.labels, count, generator))
            for part, count in zip(whole, (training, validation, test), strict=True)
        )
        return replace(
            self,
            train=train,
            validation=validated,
            test=tested,
            limit=training,
            digest=digest_of(train, validated, tested),
        )


def _choose(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose `count` places, going round the classes; return them ascending."""
    if count < len(labels.unique()):
        raise DataError(
            f"a limit of {count} pictures leaves classes without any; "
            f"at least {len(labels.unique())} are needed, one per class"
        )
    rank = torch.empty(len(labels), dtype=torch.int64)  # place within the class
    for label in labels.unique():
        places = torch.nonzero(labels == label)[:, 0]
        rank[places] = torch.randperm(len(places), generator=generator)
    return torch.argsort(rank, stable=True)[:count].sort().values


def digest_of(*parts: Split) -> str:
    """Return the first 16 hex digits of SHA-256 over shapes, pixels and labels."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(str(tuple(part.images.shape)).encode())
        for chunk in chunks(part.images):
            digest.update(chunk.contiguous().numpy())
        digest.update(part.labels.contiguous().numpy())
    return digest.hexdigest()[:16]


def chunks(images: Images) -> Iterable[Tensor]:
    """Divide pictures into parts of CHUNK_BYTES."""
    return images.split(max(1, CHUNK_BYTES // math.prod(images.shape[1:])))
