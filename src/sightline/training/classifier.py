"""A trained network that can be asked, whoever trained it."""

import importlib
import inspect
import math
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sightline.data.augment import normalise_uint8
from sightline.data.options import Framing
from sightline.data.split import Colour, Split, Splits
from sightline.errors import DataError, RunError, SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.models.pretrained import IMAGENET_MEAN, IMAGENET_STD
from sightline.training.runtime import Runtime
from sightline.training.weights import SPARSE, kind, load_weights

__all__ = ["Classifier", "from_module", "require_size"]

IMAGENET_SIZE = 224  # pixels of a side, in torchvision's evaluation
LARGEST_SIZE = 2048  # pixels of a side: more fills the memory


@dataclass(frozen=True)
class Classifier:
    """A network with what is needed to show it pictures and read its answers."""

    model: nn.Module  #: in evaluation mode, on the device of the runtime
    classes: tuple[str, ...]  #: in the order of the logits
    mean: Colour  #: of pixels in 0..1
    std: Colour
    image_size: int  #: pixels of a side
    runtime: Runtime
    framing: Framing = "crop"  #: how pictures become squares
    flip_average: bool = False  #: answer with the mean of picture and mirror image

    def __post_init__(self) -> None:
        """Refuse a normalisation that makes NaN, or anything, of every picture."""
        colours = (
            ("mean", self.mean, all(0 <= value <= 1 for value in self.mean), "in 0..1"),
            ("std", self.std, all(0 < v < math.inf for v in self.std), "above 0"),
        )
        for name, values, fits, allowed in colours:
            if len(values) != 3 or not fits:
                raise SightlineError(
                    f"{name} must be three numbers {allowed}, of pixels in 0..1, not "
                    f"{values}"
                )

    @classmethod
    def trained_on(
        cls, splits: Splits, model: nn.Module, runtime: Runtime
    ) -> "Classifier":
        """Take a network that these pictures trained, and set it to evaluation mode.

        It must lie on the device of the runtime.
        """
        size = splits.train.images.shape[1]
        framing = splits.framing or "crop"
        return cls(
            model.eval(),
            splits.classes,
            splits.mean,
            splits.std,
            size,
            runtime,
            framing,
        )

    def normalise(self, pictures: Tensor) -> Tensor:
        """Turn pictures (B, H, W, 3) uint8 into images (B, 3, H, W) on the device."""
        pictures = pictures.to(self.runtime.device)
        return normalise_uint8(pictures, self.mean, self.std)

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of images (B, 3, H, W) as `normalise` makes them, (B, K).

        Raises:
            SightlineError: if any is NaN or infinite.
        """
        with torch.inference_mode():
            return _finite(self.model(images))

    def ask(self, split: Split) -> Evaluation:
        """Return the answers of the network about every picture of a split.

        Raises:
            SightlineError: if any is NaN or infinite.
        """
        # only here: the loaders bring albumentations, slow to import, and heatmaps
        # need none
        from sightline.training.engine import evaluate
        from sightline.training.parts import evaluation_loader

        loader = evaluation_loader(split, self.mean, self.std, self.runtime)
        answers = evaluate(
            self.model, loader, runtime=self.runtime, flip_average=self.flip_average
        )
        _finite(answers.logits)
        return answers

    def refuse_other_classes(self, splits: Splits) -> None:
        """Raise `RunError` unless the pictures are of the classes of the network."""
        if tuple(splits.classes) != self.classes:
            raise RunError(
                f"the network was trained on the classes {', '.join(self.classes)}, "
                f"but {splits.name} has {', '.join(splits.classes)}; name pictures of "
                "the same classes, in folders of the same names"
            )


def _finite(logits: Tensor) -> Tensor:
    """Return logits, or raise `SightlineError` if they mean nothing."""
    if not logits.isfinite().all():
        raise SightlineError(
            "the network answers NaN or infinity, which means nothing; use weights "
            "from before the training diverged"
        )
    return logits


def require_size(image_size: int) -> None:
    """Raise `SightlineError` unless pictures can have this side in pixels."""
    if not 1 <= image_size <= LARGEST_SIZE:
        raise SightlineError(
            f"--image-size must lie in 1..{LARGEST_SIZE} pixels, not {image_size}"
        )


def from_module(
    name: str,
    *,
    runtime: Runtime,
    weights: Path | None = None,
    classes: Path | None = None,
    image_size: int = IMAGENET_SIZE,
    mean: Colour = IMAGENET_MEAN,
    std: Colour = IMAGENET_STD,
) -> Classifier:
    """Build the network that `module:attribute` names, and load its weights.

    Args:
        name: an `nn.Module`, or what makes one when called without arguments, or with
            `num_classes` if `classes` names them; it may lie in the current folder.
        runtime: device to which the network is moved.
        weights: a state dict, as safetensors or as torch saves it; None leaves the
            network as it was made.
        classes: a text file, one name a line; None numbers them.
        image_size: side of the pictures in pixels.
        mean: of pixels in 0..1, per channel.
        std: of pixels in 0..1, per channel.

    Raises:
        SightlineError: if there is no such network, or the weights do not fit it.
        DataError: if a file is missing or damaged.
    """
    names = _read_names(classes) if classes else []
    model = _make(name, len(names) or None)
    _refuse_unfit(model, name)
    if weights:
        load_weights(model, name, weights)
    model = runtime.place(model.eval().float())
    count = _count_classes(model, name, image_size, runtime)
    names = names or [str(i) for i in range(count)]
    if len(names) != count:
        raise SightlineError(
            f"{classes} names {len(names)} classes, but {name} has {count} logits; "
            "give one name a line for each"
        )
    return Classifier(model, tuple(names), mean, std, image_size, runtime)


def _read_names(file: Path) -> list[str]:
    """Read one name a line; empty lines at the end do not count."""
    try:
        return file.read_text(encoding="utf-8").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the class names in {file} cannot be read ({error}); expected a text file "
            "with one name a line"
        ) from error


def _make(name: str, num_classes: int | None) -> nn.Module:
    """Import and, where necessary, call what `module:attribute` names."""
    module_name, _, attribute = name.partition(":")
    sys.path.insert(0, "")  # modules of the current folder, as `python -m` does
    try:
        try:
            value: object = importlib.import_module(module_name)
            for part in attribute.split("."):
                value = getattr(value, part)
        except AttributeError as error:
            raise SightlineError(
                f"{name}: {error}; expected an nn.Module or a function that makes one"
            ) from error
        except Exception as error:  # somebody else's code may raise anything
            raise SightlineError(
                f"{name}: the module {module_name!r} cannot be imported ({error}); "
                "install it, or go to the folder that holds it"
            ) from error
        if not isinstance(value, nn.Module) and callable(value):
            value = _call(name, value, num_classes)
    finally:
        sys.path.remove("")
    if not isinstance(value, nn.Module):
        raise SightlineError(
            f"{name} is of the type {type(value).__name__}; expected an nn.Module or a "
            "function that makes one"
        )
    return value


def _call(name: str, make: Callable, num_classes: int | None) -> object:
    """Call a factory, with the number of classes if that is known and accepted."""
    parameters: Iterable[inspect.Parameter] = ()
    with suppress(ValueError, TypeError):  # of what is written in C
        parameters = inspect.signature(make).parameters.values()
    accepts = any(
        p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters
    )
    arguments = {"num_classes": num_classes} if accepts and num_classes else {}
    try:
        return make(**arguments)
    except Exception as error:  # somebody else's code may raise anything
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise SightlineError(f"{name}({shown}) failed: {error}") from error


def _refuse_unfit(model: nn.Module, name: str) -> None:
    """Raise `SightlineError` for a network that has no weights, or odd ones."""
    weights = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if not weights:
        raise SightlineError(f"{name} has no weights, so there is nothing to explain")
    for key, weight in weights.items():
        if is_lazy(weight):
            raise SightlineError(
                f"{key} of {name} has no shape yet; show the network one picture where "
                "you make it, or give its layers their sizes"
            )
        if kind(weight) == SPARSE:
            raise SightlineError(f"{key} of {name} is {SPARSE}; expected plain tensors")


def _count_classes(
    model: nn.Module, name: str, image_size: int, runtime: Runtime
) -> int:
    """Show the model an empty picture, and count its logits."""
    require_size(image_size)
    picture = torch.zeros(1, 3, image_size, image_size, device=runtime.device)
    try:
        with torch.no_grad():
            logits = model(picture)
    except Exception as error:  # somebody else's code may raise anything
        raise SightlineError(
            f"{name} cannot be applied to a picture of {image_size}×{image_size} "
            f"pixels ({error}); name the right --image-size"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        answer = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits)
        raise SightlineError(f"{name} gives {answer}, expected logits (1, classes)")
    if not logits.is_floating_point():
        raise SightlineError(
            f"{name} gives numbers of the type {logits.dtype}, expected logits, which "
            "are floating point"
        )
    return _finite(logits).shape[1]
