"""What is wrong with the published systems, and the systems put right.

A repair changes only what is wrong. Choices stay as they are, with what they cost:
optimizer, batch size, epochs, augmentation, where a hole may lie, a large decay. So do
mistakes that cost no accuracy, such as a second log-softmax.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.training.recipe import Recipe, variant
from sightline.training.systems import PUBLISHED

__all__ = ["CORRECTED", "REPAIRS", "Repair", "repaired"]


@dataclass(frozen=True)
class Repair:
    """One mistake of a system."""

    reason: str  #: what is right, and what was wrong
    changes: Mapping[str, Any]  #: as for `variant`


VALIDATION = Repair(
    "epoch chosen on validation images, test images read once",
    {"watch": "validation", "keep": "best"},
)
STEP = Repair(
    "schedule advanced after every batch, not every epoch", {"schedule_step": "batch"}
)
PEAK = Repair(  # S0 and S2 have the same one: see studies/finder_of_systems.py
    "range test from 1e-5, not from where the loss climbs or has climbed: one seed "
    "of it gives 0.0063",
    {"max_lr": 0.0063},
)
FILL = Repair(
    "hole filled with the mean after normalising (0), not with the raw mean",
    {"cutout_fill": "mean"},
)

OWN: dict[str, dict[str, Repair]] = {
    "s0": {"step": STEP, "peak": PEAK},
    "s1": {
        "l1": Repair(
            "L1 of all kernels' |w|, not of tensors' means, of which norm gains were "
            "98 %; as large as before at the start",
            {"l1_of": "kernels", "l1": 1e-7},
        ),
        "border": Repair(
            "border filled with the mean after normalising (0), not with the raw mean",
            {"border": "mean"},
        ),
    },
    "s2": {"step": STEP, "peak": PEAK},
    "s2-first": {"step": STEP, "peak": PEAK},
    "s3": {
        "statistics": Repair(
            "normalised by statistics of its own images, not ImageNet's",
            {"statistics": "training"},
        ),
        "fill": FILL,
    },
    "s4": {"fill": FILL},
    "s4-sgd": {"fill": FILL},
    "a9": {
        "step": Repair(
            "schedule sized by batches and advanced after each; it was sized by images",
            {"schedule_length": "batches", "schedule_step": "batch"},
        ),
        "network": Repair(
            "depthwise convolution followed by 1×1, dilated without shrinking the map",
            {"model": "dilated_net"},
        ),
        "fill": Repair(
            "hole filled with the mean colour; 0.49 as a byte is 0, black",
            {"cutout_fill": "mean"},
        ),
    },
    "s4b": {"fill": FILL},
}
#: the mistakes of each system by name; all systems share the last one
#:
#: :meta hide-value:
REPAIRS = {name: own | {"validation": VALIDATION} for name, own in OWN.items()}


def repaired(system: str, *names: str) -> Recipe:
    """Return a published recipe without some of its mistakes; none: as published.

    Only the repair "validation" changes the protocol: without it the result can be
    compared with the published recipe, image by image.
    """
    published, chosen = PUBLISHED[system], [REPAIRS[system][name] for name in names]
    if not chosen:
        return published
    changes = {k: v for repair in chosen for k, v in repair.changes.items()}
    return variant(
        published,
        name="-".join([system, *names]),
        reported=None,
        protocol="",
        repaired=tuple(repair.reason for repair in chosen),
        **changes,
    )


#: every system without any of its mistakes
#:
#: :meta hide-value:
CORRECTED: dict[str, Recipe] = {
    system: variant(repaired(system, *repairs), name=f"{system}-corrected")
    for system, repairs in REPAIRS.items()
}
