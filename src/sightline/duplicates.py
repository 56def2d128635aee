"""Near duplicates: pictures of the test part that the training part has, too."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sightline.errors import SightlineError
from sightline.stored import StoredImages

__all__ = ["THRESHOLD", "Duplicates", "near_duplicates"]

Images = Tensor | StoredImages

# looked at by eye on CIFAR-10: above it nearly all pairs show one photograph, and
# below it more and more show two aircraft in a blue sky
THRESHOLD = 0.85
SIDE = 8  # pixels of a descriptor
# of the largest variance, added to all: what hardly varies must not be blown up
FLOOR = 0.003
CHUNK = 500  # pictures compared at once: bounds the memory


class Duplicates(NamedTuple):
    """Pairs, the most similar first: one for each picture that has a duplicate."""

    pictures: Tensor  # (P,) int64, into the pictures asked about
    originals: Tensor  # (P,) int64, into those searched
    similarity: Tensor  # (P,) in [-1, 1]
    mirrored: Tensor  # (P,) bool: the mirror image is the more similar
    exact: Tensor  # (P,) bool: all pixels are equal, mirrored if `mirrored`


def near_duplicates(
    pictures: Images, originals: Images, *, threshold: float = THRESHOLD
) -> Duplicates:
    """Find for each picture the most similar original, or its mirror image.

    Pictures are compared as 8×8 pixels, whitened over the originals, by the cosine.
    Whitening takes away what all pictures share, as a bright upper half: without it a
    ship resembles every other ship.

    Args:
        pictures: (N, H, W, 3) uint8.
        originals: (M, H, W, 3) uint8, of the same size.
        threshold: similarity from which a pair is kept.
    """
    if pictures.shape[1:] != originals.shape[1:]:
        raise SightlineError(
            f"pictures of {tuple(pictures.shape[1:])} and originals of "
            f"{tuple(originals.shape[1:])}: bring them to one size first"
        )
    shrunk = _shrink(originals)
    mean, whiten = _whitening(shrunk)
    searched = F.normalize((shrunk - mean) @ whiten, dim=1)
    best, place, mirrored = [], [], []
    for part in _shrink(pictures).split(CHUNK):
        flipped = part.unflatten(1, (3, SIDE, SIDE)).flip(3).flatten(1)
        found = []
        for view in (part, flipped):
            asked = F.normalize((view - mean) @ whiten, dim=1)
            found.append((asked @ searched.T).max(1))
        as_is, mirror = found
        turned = mirror.values > as_is.values
        best.append(torch.where(turned, mirror.values, as_is.values))
        place.append(torch.where(turned, mirror.indices, as_is.indices))
        mirrored.append(turned)
    columns = [torch.cat(parts) for parts in (place, best, mirrored)]
    similar = columns[1]
    chosen = similar.argsort(descending=True, stable=True)
    chosen = chosen[: int((similar >= threshold).sum())]
    pairs = [column[chosen] for column in columns]
    return Duplicates(chosen, *pairs, _equal(pictures, originals, chosen, *pairs[::2]))


def _shrink(images: Images) -> Tensor:
    """Average pictures down to 8×8 pixels, (N, 192)."""
    parts = []
    for index in torch.arange(len(images)).split(10 * CHUNK):
        pixels = images[index].permute(0, 3, 1, 2).float()
        parts.append(F.adaptive_avg_pool2d(pixels, SIDE).flatten(1))
    return torch.cat(parts)


def _whitening(shrunk: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean, and the matrix after which all directions vary alike."""
    mean = shrunk.mean(0)
    centred = (shrunk - mean).double()
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(shrunk))
    floor = (FLOOR * variance.max()).clamp_min(1e-6)
    scale = (variance.clamp_min(0) + floor).rsqrt()
    return mean, (directions * scale).float()


def _equal(
    pictures: Images, originals: Images, here: Tensor, there: Tensor, mirrored: Tensor
) -> Tensor:
    """Tell for each pair whether all pixels are equal."""
    one, other = pictures[here], originals[there]
    one = torch.where(mirrored[:, None, None, None], one.flip(2), one)
    return (one == other).flatten(1).all(1)
