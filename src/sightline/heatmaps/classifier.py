"""A trained classifier, whoever trained it: a run's, or that of any module."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sightline.errors import DataError, SightlineError
from sightline.models.pretrained import IMAGENET_MEAN, IMAGENET_STD
from sightline.training.run import Run

__all__ = ["Classifier", "from_module", "from_run"]

Colour = tuple[float, float, float]

# of ImageNet's training pictures, 0..1, as torchvision's weights expect them:
# https://pytorch.org/vision/stable/models.html
IMAGENET_SIZE = 224  # pixels
NAMED = 5  # keys that do not fit, in a message


@dataclass(frozen=True)
class Classifier:
    """A network with what is needed to show it a picture and read its answer."""

    model: nn.Module  # in evaluation mode, on the CPU
    classes: tuple[str, ...]  # in the order of the logits
    mean: Colour  # of pixels in 0..1
    std: Colour
    image_size: int  # pixels of a side


def from_run(run: Run) -> Classifier:
    """Take the best weights of a run, and its own normalisation."""
    size = run.manifest["image_size"]
    return Classifier(run.load_model(), run.classes, run.mean, run.std, size)


def from_module(
    name: str,
    *,
    weights: Path | None = None,
    classes: Path | None = None,
    image_size: int = IMAGENET_SIZE,
    mean: Colour = IMAGENET_MEAN,
    std: Colour = IMAGENET_STD,
) -> Classifier:
    """Build the network that `module:attribute` names, and load its weights.

    Args:
        name: an `nn.Module`, or what makes one when called without arguments, or with
            `num_classes` if the names of the classes are given; modules in the current
            folder are found.
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
    names = _read_names(classes) if classes else None
    model = _make(name, len(names) if names else None)
    if weights:
        _load_weights(model, name, weights)
    model.eval().float()
    count = _count_classes(model, name, image_size)
    names = names or [str(i) for i in range(count)]
    if len(names) != count:
        raise SightlineError(
            f"{classes} names {len(names)} classes, but {name} has {count} logits; "
            "give one name a line for each"
        )
    return Classifier(model, tuple(names), mean, std, image_size)


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
    with _current_folder():
        try:
            found = importlib.import_module(module_name)
            for part in attribute.split("."):
                found = getattr(found, part)
        except AttributeError as error:
            raise SightlineError(
                f"{name}: {error}; expected an nn.Module or a function that makes one"
            ) from error
        except Exception as error:  # somebody else's code may raise anything
            raise SightlineError(
                f"{name}: the module {module_name!r} cannot be imported ({error}); "
                "install it, or go to the folder that holds it"
            ) from error
        if not isinstance(found, nn.Module) and callable(found):
            found = _call(name, found, num_classes)
    if not isinstance(found, nn.Module):
        raise SightlineError(
            f"{name} is of the type {type(found).__name__}; expected an nn.Module or a "
            "function that makes one"
        )
    return found


def _call(name: str, make: Callable, num_classes: int | None) -> object:
    """Call a factory, with the number of classes if it is known and wanted."""
    takes = inspect.signature(make).parameters.values()
    wanted = any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in takes)
    arguments = {"num_classes": num_classes} if wanted and num_classes else {}
    try:
        return make(**arguments)
    except Exception as error:  # somebody else's code may raise anything
        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        raise SightlineError(f"{name}({shown}) failed: {error}") from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let modules of the current folder be imported, as `python -m` does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _load_weights(model: nn.Module, name: str, file: Path) -> None:
    """Load a state dict, and name the first keys that do not fit."""
    state = _read_weights(file)
    own = {key: value.shape for key, value in model.state_dict().items()}
    given = {key: value.shape for key, value in state.items()}
    wrong = [f"{key} is missing" for key in own if key not in given]
    wrong += [f"{key} is unknown" for key in given if key not in own]
    wrong += [
        f"{key} has the shape {tuple(given[key])}, not {tuple(own[key])}"
        for key in own
        if key in given and given[key] != own[key]
    ]
    if wrong:
        more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise SightlineError(
            f"the weights in {file} are not of {name}: {'; '.join(wrong[:NAMED])}{more}"
        )
    model.load_state_dict(state)


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
    picture = next(model.parameters()).new_zeros(1, 3, image_size, image_size)
    try:
        with torch.no_grad():
            logits = model(picture)
    except Exception as error:  # somebody else's code may raise anything
        raise SightlineError(
            f"{name} cannot be applied to a picture of {image_size}×{image_size} "
            f"pixels ({error}); name the right --image-size"
        ) from error
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits)
        raise SightlineError(f"{name} gives {found}, expected logits (1, classes)")
    return logits.shape[1]
