"""A recipe: everything that decides how a network is trained, as one value."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from sightline.data.augmentation import Augmentation
from sightline.data.options import (
    Framing,
    ImageSize,
    check_options,
    describe_options,
    option,
)
from sightline.errors import SightlineError

__all__ = ["STARTED", "Recipe", "describe_fields", "variant"]

#: the network that each start has weights for
STARTED = {"sightline": "resnet10", "imagenet": "resnet18"}


@dataclass(frozen=True)
class Recipe:
    """How to train one network. Every option is one of the command line, too."""

    name: str
    model: str = option("resnet18", "network, a key of MODELS")
    norm: str = option("batch", "normalisation: batch, layer or group")
    image_size: ImageSize = option(32, "pixels: side of the pictures")
    framing: Framing = option(
        "crop", "pictures that are no squares: the middle, or all of it on grey"
    )
    group: str = option(
        "",
        "pictures that stay in one part: folder (each a series), auto (series are "
        "proposed), a .csv file of files and groups, or a pattern on file names",
    )
    start: Literal["scratch", "sightline", "imagenet"] = option(
        "scratch", "first weights: random, our own (resnet10), ImageNet's (resnet18)"
    )
    epochs: int = option(20, "passes over the training images", at_least=1)
    batch_size: int = option(128, "images per update", at_least=1)
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad", "muon"] = option(
        "sgd", "what makes updates of gradients"
    )
    max_lr: float = option(0.1, "largest learning rate of the schedule", above=0)
    momentum: float = option(
        0.9, "of SGD and RMSprop, or Adam's first beta", at_least=0, at_most=1
    )
    nesterov: bool = option(True, "sgd: look ahead along the momentum")
    bias_lr: float = option(26.5, "muon: largest rate of biases, which SGD trains")
    head_lr: float = option(335.0, "muon: largest rate of the head, which SGD trains")
    weight_decay: float = option(
        5e-4, "added to the gradient; muon: lost per update", at_least=0
    )
    decay: Literal["kernels", "all"] = option(
        "kernels", "what decays: kernels and matrices, or all"
    )
    l1: float = option(0.0, "factor of the L1 penalty", at_least=0)
    l1_of: Literal["kernels", "means"] = option(
        "kernels", "L1 of kernels (sum of |w|) or of means (of each tensor)"
    )
    log_softmax: bool = option(
        False, "log-softmax before the cross-entropy, which has its own: no effect"
    )
    label_smoothing: float = option(
        0.1, "share of the target spread over all classes", at_least=0, at_most=1
    )
    schedule: Literal[
        "one_cycle", "warmup_cosine", "cosine", "linear", "constant", "plateau"
    ] = option("one_cycle", "course of the learning rate; plateau: of the loss")
    pct_start: float = option(
        0.25,
        "one_cycle, warmup_cosine: share of the steps spent climbing",
        at_least=0,
        at_most=1,
    )
    div_factor: float = option(25.0, "one_cycle: max_lr / first learning rate", above=0)
    final_div_factor: float = option(
        1e3, "one_cycle: first / last learning rate", above=0
    )
    anneal: Literal["cos", "linear"] = option(
        "cos", "one_cycle: shape of climb and fall"
    )
    cycle_momentum: bool = option(
        True, "one_cycle: momentum falls from 0.95 to 0.85 while the rate climbs"
    )
    plateau_factor: float = option(
        0.1, "plateau: by which the rate is multiplied", at_least=0, at_most=0.99
    )
    plateau_patience: int = option(
        4, "plateau: epochs without progress that change nothing", at_least=0
    )
    schedule_step: Literal["batch", "epoch"] = option(
        "batch", "advance the schedule after each batch or epoch"
    )
    schedule_length: Literal["batches", "images"] = option(
        "batches", "steps of an epoch: its batches or images"
    )
    augmentation: Augmentation = Augmentation()
    statistics: Literal[
        "training", "sightline", "imagenet", "cifar10-s0", "cifar10-s1", "cifar10-s4"
    ] = option("training", "whose mean and std normalise, a key of STATISTICS")
    watch: Literal["validation", "test"] = option(
        "validation", "measured each epoch; test: a leak"
    )
    keep: Literal["best", "last"] = option("best", "epoch whose weights count")
    flip_average: bool = option(False, "test image and mirror image, logits averaged")
    workers: int = option(
        0, "0: augment whole batches; n: albumentations in n processes", at_least=0
    )
    seed: int = option(
        0, "of weights, order and augmentation", at_least=0, at_most=2**32 - 1
    )
    target: float | None = None  #: accuracy to reach, 0..1
    reported: float | None = None  #: test accuracy that was published, 0..1
    protocol: str = ""  #: how the published number came about
    source: str = ""  #: who published it
    repaired: tuple[str, ...] = ()  #: what differs from the published recipe, and why

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        check_options(self)
        if self.start == "scratch":
            return
        model = STARTED[self.start]
        for name, fits, expected in (
            ("model", self.model == model, model),
            ("norm", self.norm == "batch", "batch"),
            ("image_size", self.start != "imagenet" or self.image_size > 32, "64 up"),
        ):
            if not fits:
                raise SightlineError(
                    f"{name} with start {self.start} must be {expected}, not "
                    f"{getattr(self, name)}"
                )

    @property
    def network(self) -> dict[str, Any]:
        """Return what `build_model` has to know besides the number of classes."""
        names = ("norm", "image_size", "start")
        return {"name": self.model} | {name: getattr(self, name) for name in names}

    def flat(self) -> dict[str, Any]:
        """Return all fields by name, those of the augmentation beside the others."""
        values = asdict(self)
        augmentation = values.pop("augmentation")
        return values | augmentation

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> "Recipe":
        """Read what `dataclasses.asdict` wrote, or a version before it.

        Fields that came later have their defaults. Recipes were flat once.

        Raises:
            SightlineError: if there are fields that no recipe has.
        """
        values = dict(recorded)
        values |= values.pop("augmentation", {})
        if "pretrained" in values:  # when there was one start besides scratch
            values["start"] = "imagenet" if values.pop("pretrained") else "scratch"
        if "affine" in values:  # its name in flat recipes
            values["affine_probability"] = values.pop("affine")
        if "log_softmax" not in values:  # holes had another default then
            if not values.get("cutout"):
                values.pop("cutout_place", None)
            elif values.get("cutout_place") == "clipped":
                values["cutout_place"] = "asymmetric"
        known = {f.name for f in (*fields(cls), *fields(Augmentation))}
        if unknown := set(values) - known:
            raise SightlineError(
                f"a recorded recipe has fields that this version of sightline does "
                f"not know: {', '.join(sorted(unknown))}; read it with the version "
                "that wrote it"
            )
        values["repaired"] = tuple(values.get("repaired", ()))
        return variant(cls(values.pop("name")), **values)


def variant(base: Recipe, **changes: Any) -> Recipe:
    """Return `base` with some fields changed, its own or those of its augmentation."""
    names = [f.name for f in fields(Augmentation) if f.name in changes]
    inner = {name: changes.pop(name) for name in names}
    return replace(base, **changes, augmentation=replace(base.augmentation, **inner))


def describe_fields() -> dict[str, tuple[Any, str]]:
    """Return type and meaning of all that training depends on, by the flat name."""
    return describe_options(Recipe) | describe_options(Augmentation)
