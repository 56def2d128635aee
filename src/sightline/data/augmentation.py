"""What may happen to a training picture, as a value.

`sightline.data.augment` draws from it and applies what was drawn. This file imports
no torch, because the command line makes its options from the fields.
"""

from dataclasses import dataclass, replace
from typing import Literal

from sightline.data.options import check_options, option

__all__ = ["Augmentation"]

Fill = Literal["mean", "raw_mean", "black"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a picture: affine, then crop and flip, then hole."""

    crop_padding: int = option(4, "pixels of 32: largest random shift", at_least=0)
    border: Literal["reflect", "symmetric", "mean", "raw_mean"] = option(
        "reflect", "beyond the border; symmetric repeats the edge, raw_mean is a slip"
    )
    flip: float = option(0.5, "probability of a mirror image", at_least=0, at_most=1)
    rotate: float = option(0.0, "degrees: largest random rotation", at_least=0)
    scale: float = option(0.0, "share: largest random change of size", at_least=0)
    shift: float = option(
        0.0, "share of the side: largest shift between pixels", at_least=0
    )
    affine_probability: float = option(
        0.0, "of rotate, scale and shift together", at_least=0, at_most=1
    )
    cutout: int = option(
        0, "pixels of 32: side of the square hole; 0: none", at_least=0
    )
    cutout_probability: float = option(
        1.0, "probability of a hole", at_least=0, at_most=1
    )
    cutout_fill: Fill = option("mean", "of the hole; raw_mean and black are slips")
    cutout_place: Literal["clipped", "inside", "asymmetric", "canvas"] = option(
        "clipped",
        "hole clipped at the border, inside, as of albumentations 1, or on the canvas",
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        check_options(self)

    def scaled(self, image_size: int) -> "Augmentation":
        """Return the same for pictures of another size than 32 pixels."""
        return replace(
            self,
            crop_padding=self.crop_padding * image_size // 32,
            cutout=self.cutout * image_size // 32,
        )
