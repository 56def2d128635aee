"""Recipes: everything that decides how a network is trained, as one value.

A variant is `dataclasses.replace(RECIPES["resnet18"], max_lr=0.05)`. The recipes of
five published course systems stand beside ours, twice each: as published, with every
habit that matters to the result, and corrected, with what was put right in `repaired`.
"""

from dataclasses import MISSING, dataclass, field, fields, replace

from sightline.errors import SightlineError

__all__ = [
    "RECIPES",
    "Recipe",
    "complete",
    "describe_fields",
    "find_recipe",
]

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


RESNET18 = Recipe(name="resnet18")

OURS = (
    RESNET18,
    variant(RESNET18, "resnet34", model="resnet34"),
    variant(RESNET18, "resnet18-layer-norm", model="resnet18_layer_norm", norm="layer"),
    # Muon in place of SGD: ahead of it when epochs are few; one_cycle drives all rates
    variant(
        RESNET18,
        "resnet18-muon",
        optimizer="muon",
        max_lr=0.05,
        bias_lr=0.05,
        head_lr=0.05,
        weight_decay=0.0,
    ),
    # small enough to train in seconds on a CPU: experiments, the fast profile
    variant(RESNET18, "resnet10", model="resnet10", epochs=6, batch_size=64),
    # what `sightline all` trains; its epochs follow from the number of pictures
    variant(RESNET18, "folder", model="resnet10", epochs=40, batch_size=64),
    # after airbench94_muon (Jordan, 2024), in sizes that a CPU likes; nothing is chosen
    # by looking, so all 50,000 images may train, as in all public speed runs
    variant(
        RESNET18,
        "speedrun",
        model="fast_net",
        epochs=8,
        batch_size=500,
        optimizer="muon",
        max_lr=0.12,
        momentum=0.6,
        weight_decay=1e-3,
        label_smoothing=0.2,
        schedule="linear",
        crop_padding=2,
        watch="test",
        keep="last",
        flip_average=True,
        target=0.9,
    ),
)

# Habits that the published systems share; what one of them does otherwise stands below.
# Facts from their code and printed outputs; the model is rebuilt, not copied.
COURSE = Recipe(
    name="course",
    nesterov=False,
    weight_decay=0.0,
    decay="all",
    label_smoothing=0.0,
    div_factor=100.0,
    final_div_factor=100.0,
    anneal="linear",
    crop_padding=2,
    flip=0.0,
    watch="test",
    keep="last",
    protocol="all 50,000 training images, test accuracy of the last epoch, one seed",
)
BEST_OF_TEST = (
    "all 50,000 training images; the checkpoint is the best epoch on the test images, "
    "the number is the last epoch's; one seed"
)
VALIDATION = "epoch chosen on validation images, test images read once"
PER_BATCH = "schedule advanced after every batch, not every epoch"
FLIPPED = "mirror images added"
PADDED = "shift of 4 pixels, as its comment says; its code shifts by 2"
FILL = "hole filled with the mean after normalising (0), not with the raw mean"
WHOLE = "hole always whole; one cut at random corners loses a part outside"
ADAM_LR = 0.002  # of Adam where the range test started too high: see `lr-find`
FINDER = f"range test from 1e-5 with the optimizer that trains: max_lr {ADAM_LR}"

S0 = variant(
    COURSE,
    "s0-published",
    batch_size=512,
    optimizer="adam",
    max_lr=0.0970049125561403,
    weight_decay=1e-5,
    schedule_step="epoch",
    cutout=16,
    keep="best",
    target=0.85,
    reported=0.8403,
    protocol=BEST_OF_TEST,
    source="nviraj/era-v1, Session 11",
)
S1 = variant(
    COURSE,
    "s1-published",
    model="resnet18_layer_norm",
    norm="layer",
    epochs=40,
    max_lr=0.025,
    momentum=0.8,
    l1=5e-4,
    l1_of="means",
    schedule="plateau",
    crop_padding=4,
    border="raw_mean",
    rotate=5.0,
    affine=0.5,
    cutout=16,
    cutout_probability=0.5,
    cutout_place="clipped",
    reported=0.8810,
    source="anilbhatt1/Deep_Learning_EVA6_Phase1, S8",
)
S2 = variant(
    COURSE,
    "s2-published",
    model="custom_resnet",
    epochs=24,
    batch_size=512,
    optimizer="adam",
    max_lr=0.020022003718155847,
    pct_start=5 / 24,
    div_factor=5.0,
    final_div_factor=20.0,
    schedule_step="epoch",
    flip=0.5,
    cutout=8,
    keep="best",
    target=0.90,
    reported=0.9006,
    protocol=BEST_OF_TEST,
    source="nviraj/era-v1, Session 10, final run",
)
S2_FIRST = variant(
    S2,
    "s2-first-published",
    max_lr=0.3107610418205271,
    weight_decay=1e-4,
    div_factor=100.0,
    final_div_factor=100.0,
    reported=0.8853,
    source="nviraj/era-v1, Session 10, run of its published README",
)
S3 = variant(
    COURSE,
    "s3-published",
    batch_size=512,
    optimizer="adam",
    max_lr=5.22e-2,  # typed in by hand, with the three digits that were printed
    pct_start=0.3,
    crop_padding=8,
    flip=0.5,
    rotate=15.0,
    scale=0.2,
    shift=0.2,
    affine=0.5,
    cutout=16,
    cutout_probability=0.5,
    cutout_fill="raw_mean",
    cutout_place="canvas",
    statistics="imagenet",
    reported=0.9163,
    source="pratikiiitb2013/ERA, S11",
)
S4 = variant(
    COURSE,
    "s4-published",
    optimizer="adam",
    max_lr=1e-5 * 1e6 ** (28 / 99),  # rate 28 of 0..99 of a range test to 10
    weight_decay=1e-3,
    cutout=16,
    cutout_probability=0.5,
    cutout_fill="raw_mean",
    cutout_place="clipped",
    reported=0.9181,
    source="mkthoma/grad_CAM_cifar10, run of its published README",
)
S4_SGD = variant(
    S4,
    "s4-sgd-published",
    optimizer="sgd",
    max_lr=0.1,
    weight_decay=0.0,
    reported=0.9150,
    source="mkthoma/grad_CAM_cifar10, second run",
)
A9 = variant(
    COURSE,
    "a9-published",
    model="dilated_net_published",
    epochs=50,
    max_lr=0.1,
    pct_start=0.3,
    div_factor=25.0,
    final_div_factor=1e4,
    anneal="cos",
    schedule_step="epoch",
    schedule_length="images",
    crop_padding=0,
    flip=0.5,
    rotate=10.0,
    scale=0.2,
    shift=0.1,
    affine=0.5,
    cutout=16,
    cutout_probability=0.5,
    cutout_fill="black",
    keep="best",
    target=0.85,
    reported=0.8556,
    protocol=BEST_OF_TEST,
    source="nviraj/era-v1, Session 09",
)
S4B = variant(
    COURSE,
    "s4b-published",
    model="custom_resnet_relu_first",
    epochs=24,
    batch_size=512,
    optimizer="adam",
    max_lr=1e-7 * 1e8 ** (42 / 99),  # rate 42 of 0..99 of a range test to 10
    weight_decay=0.1,
    pct_start=5 / 24,
    flip=0.5,
    cutout=8,
    cutout_probability=0.5,
    cutout_fill="raw_mean",
    cutout_place="clipped",
    reported=0.9286,
    source="mkthoma/custom_resnet",
)


def corrected(published: Recipe, repaired: tuple[str, ...], **changes) -> Recipe:
    """Return a published recipe without its defects; `repaired` names them."""
    return variant(
        published,
        published.name.replace("published", "corrected"),
        watch="validation",
        keep="best",
        reported=None,
        protocol="",
        repaired=(*repaired, VALIDATION),
        **changes,
    )


SYSTEMS = (
    S0,
    corrected(
        S0,
        (PER_BATCH, FINDER, FLIPPED, PADDED),
        schedule_step="batch",
        max_lr=ADAM_LR,
        flip=0.5,
        crop_padding=4,
    ),
    S1,
    corrected(
        S1,
        (
            "L1 of all kernels' |w|, not of tensors' means: norm gains were 98 % of it",
            "border filled with the mean after normalising (0), not with the raw mean",
            WHOLE,
            FLIPPED,
        ),
        l1_of="kernels",
        l1=1e-5,
        border="mean",
        cutout_place="inside",
        flip=0.5,
    ),
    S2,
    corrected(
        S2,
        (PER_BATCH, FINDER, PADDED),
        schedule_step="batch",
        max_lr=ADAM_LR,
        crop_padding=4,
    ),
    S2_FIRST,
    corrected(
        S2_FIRST,
        (PER_BATCH, FINDER, PADDED),
        schedule_step="batch",
        max_lr=ADAM_LR,
        crop_padding=4,
    ),
    S3,
    corrected(
        S3,
        (
            "normalised by statistics of its own images, not ImageNet's",
            FINDER,
            FILL,
            WHOLE,
        ),
        statistics="training",
        max_lr=ADAM_LR,
        cutout_fill="mean",
        cutout_place="inside",
    ),
    S4,
    corrected(
        S4,
        (FILL, WHOLE, FLIPPED),
        cutout_fill="mean",
        cutout_place="inside",
        flip=0.5,
    ),
    S4_SGD,
    corrected(
        S4_SGD,
        (FILL, WHOLE, FLIPPED),
        cutout_fill="mean",
        cutout_place="inside",
        flip=0.5,
    ),
    A9,
    corrected(
        A9,
        (
            "schedule sized by batches and advanced after each; it was sized by images",
            "depthwise convolution followed by 1×1, dilated without shrinking the map",
            "hole filled with the mean colour; 0.49 of 255 is black",
        ),
        model="dilated_net",
        schedule_length="batches",
        schedule_step="batch",
        cutout_fill="mean",
    ),
    S4B,
    corrected(S4B, (FILL, WHOLE), cutout_fill="mean", cutout_place="inside"),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*OURS, *SYSTEMS)}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called `name`.

    Raises:
        SightlineError: if there is none; the message lists those that exist.
    """
    if name not in RECIPES:
        known = ", ".join(RECIPES)
        raise SightlineError(f"unknown recipe {name!r}; choose from: {known}")
    return RECIPES[name]


def describe_fields() -> dict[str, tuple[type, str]]:
    """Return type and meaning of every field that training depends on, but the name."""
    described = [f for f in fields(Recipe) if "help" in f.metadata]
    return {f.name: (f.type, f.metadata["help"]) for f in described}


def complete(recorded: dict) -> dict:
    """Fill a recorded recipe up with the defaults of fields that came later."""
    defaults = {f.name: f.default for f in fields(Recipe) if f.default is not MISSING}
    return {**defaults, **recorded}
