"""A trained network that can be asked, whoever trained it."""

import importlib
import inspect
import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sightline.data.augment import normalise_uint8
from sightline.data.datasets import Colour, Split, Splits
from sightline.data.options import Framing
from sightline.errors import DataError, RunError, SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.models.pretrained import IMAGENET_MEAN, IMAGENET_STD
from sightline.training.runtime import Runtime

__all__ = ["Classifier", "from_module"]

IMAGENET_SIZE = 224  # pixels of a side, in torchvision's evaluation
NAMED = 5  # keys that do not fit, in a message


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

    def __post_init__(self):
        """Refuse colours by which no picture can be normalised."""
        numbers = [*self.mean, *self.std]
        if not all(map(math.isfinite, numbers)) or min(self.std) <= 0:
            raise SightlineError(
                f"mean {self.mean} and std {self.std} of the colours: expected finite "
                "numbers, and a std above 0"
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

    def ask(self, split: Split) -> Evaluation:
        """Return the answers of the network about every picture of a split."""
        # only here: the loaders bring albumentations, slow to import, and heatmaps
        # need none
        from sightline.training.engine import evaluate
        from sightline.training.parts import evaluation_loader

        loader = evaluation_loader(split, self.mean, self.std, self.runtime)
        answers = evaluate(
            self.model, loader, runtime=self.runtime, flip_average=self.flip_average
        )
        self.refuse_no_numbers(answers.logits)
        return answers

    def refuse_no_numbers(self, logits: Tensor) -> None:
        """Raise `RunError` if logits (B, K) have NaN or infinity: they say nothing."""
        count = int((~logits.isfinite().all(1)).sum())
        if count:
            raise RunError(
                f"about {count:,} of {len(logits):,} pictures the network says NaN or "
                "infinity: its weights, or mean and std of the colours, are damaged or "
                "of another network; name other ones, or train again"
            )

    def refuse_other_classes(self, splits: Splits) -> None:
        """Raise `RunError` unless the pictures are of the classes of the network."""
        if tuple(splits.classes) != self.classes:
            raise RunError(
                f"the network was trained on the classes {', '.join(self.classes)}, "
                f"but {splits.name} has {', '.join(splits.classes)}; name pictures of "
                "the same classes, in folders of the same names"
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
    parameters = list(model.parameters())
    if not parameters or any(map(is_lazy, parameters)):
        lacking = "parameters without a shape" if parameters else "no parameters"
        raise SightlineError(
            f"{name} has {lacking}: it cannot have been trained; name a function that "
            "makes the whole network"
        )
    if weights:
        _load_weights(model, name, weights)
    model = runtime.place(model.eval().float())
    count = _count_classes(model, name, image_size)
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
    accepts = False
    with suppress(ValueError, TypeError):  # some of Python's own have no signature
        accepts = any(
            p.name == "num_classes" or p.kind is p.VAR_KEYWORD
            for p in inspect.signature(make).parameters.values()
        )
    arguments = {"num_classes": num_classes} if accepts and num_classes else {}
    try:
        return make(**arguments)
    except Exception as error:  # somebody else's code may raise anything
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise SightlineError(f"{name}({shown}) failed: {error}") from error


def _load_weights(model: nn.Module, name: str, file: Path) -> None:
    """Load a state dict, and name the first keys that do not fit."""
    state, own = _read_weights(file), model.state_dict()
    wrong = [f"{key} is missing" for key in own if key not in state]
    wrong += [f"{key} is unknown" for key in state if key not in own]
    wrong += [
        f"{key} has the shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    wrong += [
        f"{key} is {_kind(state[key])}, not {_kind(own[key])}"
        for key in own
        if key in state and _kind(state[key]) != _kind(own[key])
    ]
    if wrong:
        more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise SightlineError(
            f"the weights in {file} are not of {name}: {'; '.join(wrong[:NAMED])}{more}"
        )
    model.load_state_dict(state)


def _kind(tensor: Tensor) -> str:
    """Name what numbers a tensor holds, as far as they can be copied into others."""
    if tensor.layout != torch.strided:
        return "sparse"
    if tensor.is_complex():
        return "complex"
    return "of floating point" if tensor.is_floating_point() else "of whole numbers"


def _read_weights(file: Path) -> dict[str, Tensor]:
    """Read tensors by name, without running anything that the file contains."""
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors, torch and the OS each have their own
        raise DataError(
            f"the weights in {file} cannot be read ({error}); expected safetensors, or "
            "a state dict saved by torch.save"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise DataError(
            f"{file} holds no state dict; save model.state_dict(), not the model"
        )
    return state


def _count_classes(model: nn.Module, name: str, image_size: int) -> int:
    """Show the model an empty picture, and count its logits."""
    weight = next(model.parameters())
    try:
        with torch.no_grad():
            logits = model(weight.new_zeros(1, 3, image_size, image_size))
    except Exception as error:  # somebody else's code may raise anything
        raise SightlineError(
            f"{name} cannot be applied to a picture of {image_size}×{image_size} "
            f"pixels ({error}); name the right --image-size"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        answer = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits)
        raise SightlineError(f"{name} gives {answer}, expected logits (1, classes)")
    if not logits.is_floating_point():
        raise SightlineError(f"{name} gives {logits.dtype}, expected real logits")
    return logits.shape[1]
