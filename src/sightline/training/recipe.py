"""A recipe: everything that decides how a network is trained, as one value."""

from dataclasses import MISSING, dataclass, field, fields, replace

from sightline.errors import SightlineError

__all__ = ["Recipe", "complete", "describe_fields"]

CHOICES = {  # of the fields that are words; models and norms have lists of their own
    "optimizer": ("sgd", "adam", "adamw", "muon"),
    "decay": ("kernels", "all"),
    "l1_of": ("kernels", "means"),
    "schedule": ("one_cycle", "cosine", "linear", "constant", "plateau"),
    "anneal": ("cos", "linear"),
    "schedule_step": ("batch", "epoch"),
    "schedule_length": ("batches", "images"),
    "border": ("reflect", "mean", "raw_mean"),
    "cutout_fill": ("mean", "raw_mean", "black"),
    "cutout_place": ("inside", "clipped", "canvas"),
    "statistics": ("training", "imagenet"),
    "watch": ("validation", "test"),
    "keep": ("best", "last"),
}


SIZES = (32, 64, 96, 128)  # pixels that a picture's side may have


SHARES = ("flip", "affine", "cutout_probability", "label_smoothing", "pct_start")


NOT_NEGATIVE = ("weight_decay", "l1", "crop_padding", "cutout", "workers", "seed")


def unit(default: str | int | float | bool, meaning: str):
    """Declare a field with its default and its unit or meaning."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Recipe:
    """How to train one network. Every field with a unit is a command-line option."""

    name: str
    model: str = unit("resnet18", "network, a key of MODELS")
    norm: str = unit("batch", "normalisation: batch, layer or group")
    image_size: int = unit(32, "pixels: side of the pictures, 32, 64, 96 or 128")
    pretrained: bool = unit(
        False, "resnet18: start from torchvision's ImageNet weights"
    )
    epochs: int = unit(20, "passes over the training images")
    batch_size: int = unit(128, "images per update")
    optimizer: str = unit("sgd", "sgd, adam, adamw or muon")
    max_lr: float = unit(0.1, "largest learning rate of the schedule")
    momentum: float = unit(0.9, "of SGD, or Adam's first beta; one_cycle cycles it")
    nesterov: bool = unit(True, "sgd: look ahead along the momentum")
    bias_lr: float = unit(26.5, "muon: largest rate of biases, which SGD trains")
    head_lr: float = unit(335.0, "muon: largest rate of the head, which SGD trains")
    weight_decay: float = unit(5e-4, "added to the gradient; muon: lost per update")
    decay: str = unit("kernels", "what decays: kernels (and matrices), or all")
    l1: float = unit(0.0, "factor of the L1 penalty")
    l1_of: str = unit("kernels", "L1 of: kernels (sum of |w|), means (of each tensor)")
    label_smoothing: float = unit(0.1, "share of the target spread over all classes")
    schedule: str = unit(
        "one_cycle", "one_cycle, cosine, linear, constant or plateau (of the loss)"
    )
    pct_start: float = unit(0.25, "one_cycle: share of the steps spent climbing")
    div_factor: float = unit(25.0, "one_cycle: max_lr / first learning rate")
    final_div_factor: float = unit(1e3, "one_cycle: first / last learning rate")
    anneal: str = unit("cos", "one_cycle: shape of climb and fall, cos or linear")
    schedule_step: str = unit("batch", "advance the schedule after each batch or epoch")
    schedule_length: str = unit("batches", "steps of an epoch: its batches or images")
    crop_padding: int = unit(4, "pixels of 32: largest random shift")
    border: str = unit("reflect", "beyond the border: reflect, mean, raw_mean (a slip)")
    flip: float = unit(0.5, "probability of a mirror image")
    rotate: float = unit(0.0, "degrees: largest random rotation")
    scale: float = unit(0.0, "share: largest random change of size")
    shift: float = unit(0.0, "share of the side: largest shift between pixels")
    affine: float = unit(0.0, "probability of rotate, scale and shift together")
    cutout: int = unit(0, "pixels of 32: side of the hole; 0: none")
    cutout_probability: float = unit(1.0, "probability of a hole")
    cutout_fill: str = unit("mean", "of the hole: mean; slips: raw_mean, black")
    cutout_place: str = unit(
        "inside", "hole inside the image, clipped at its border, or on the canvas"
    )
    statistics: str = unit("training", "normalise by those of: training, imagenet")
    watch: str = unit("validation", "measured each epoch: validation; test: a leak")
    keep: str = unit("best", "weights that count: of the best epoch, or the last")
    flip_average: bool = unit(False, "test image and mirror image, logits averaged")
    workers: int = unit(0, "0: augment whole batches; n: albumentations in n processes")
    seed: int = unit(0, "of weights, order and augmentation")
    target: float | None = None  # accuracy to reach, 0..1
    reported: float | None = None  # test accuracy that was published, 0..1
    protocol: str = ""  # how the published number came about
    source: str = ""  # who published it
    repaired: tuple[str, ...] = ()  # what differs from the published recipe, and why

    def __post_init__(self):
        """Refuse what cannot be trained."""
        for name in ("epochs", "batch_size"):
            self._require(getattr(self, name) >= 1, name, "must be at least 1")
        for name in ("max_lr", "div_factor", "final_div_factor"):
            self._require(getattr(self, name) > 0, name, "must be above 0")
        for name in (*SHARES, "momentum"):
            self._require(0 <= getattr(self, name) <= 1, name, "must lie in 0..1")
        for name in NOT_NEGATIVE:
            self._require(getattr(self, name) >= 0, name, "must not be negative")
        expected = f"must be one of {', '.join(map(str, SIZES))}"
        self._require(self.image_size in SIZES, "image_size", expected)
        if self.pretrained:
            self._check_pretrained()
        for name, allowed in CHOICES.items():
            expected = f"must be one of {', '.join(allowed)}"
            self._require(getattr(self, name) in allowed, name, expected)

    def _check_pretrained(self) -> None:
        """Refuse what ImageNet's weights do not fit."""
        fits = "with pretrained weights must be"
        self._require(self.model == "resnet18", "model", f"{fits} resnet18")
        self._require(self.norm == "batch", "norm", f"{fits} batch")
        self._require(self.image_size >= 64, "image_size", f"{fits} 64 or more")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        """Raise with the value of field `name` unless `holds`."""
        if not holds:
            value = getattr(self, name)
            raise SightlineError(f"{name} {expected}, not {value}")


def variant(base: Recipe, name: str, **changes) -> Recipe:
    """Return `base` under another name, with some fields changed."""
    return replace(base, name=name, **changes)


def describe_fields() -> dict[str, tuple[type, str]]:
    """Return type and meaning of every field that training depends on, but the name."""
    described = [f for f in fields(Recipe) if "help" in f.metadata]
    return {f.name: (f.type, f.metadata["help"]) for f in described}


def complete(recorded: dict) -> dict:
    """Fill a recorded recipe up with the defaults of fields that came later."""
    defaults = {f.name: f.default for f in fields(Recipe) if f.default is not MISSING}
    return {**defaults, **recorded}
