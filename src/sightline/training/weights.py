"""Weights from files: nothing in them is run, and what cannot be right is refused."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor, nn

from sightline.errors import DataError, SightlineError

__all__ = ["SPARSE", "kind", "load_weights", "require_finite", "unpack"]

SPARSE = "sparse or quantised"
NAMED = 5  # keys that do not fit, in a message


def unpack(content: bytes, file: Path) -> Any:
    """Return what `safetensors` or `torch.save` put into a file.

    Raises:
        DataError: if that is damaged, or would run code.
    """
    try:
        if file.suffix == ".safetensors":
            return load(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # whose text advises to run the code
        raise DataError(
            f"{file} is damaged or holds more than tensors; expected safetensors, or a "
            "state dict saved by torch.save"
        ) from error
    except Exception as error:  # safetensors and torch have each their own
        raise DataError(
            f"{file} is damaged ({error}); expected safetensors, or a state dict saved "
            "by torch.save"
        ) from error


def load_weights(model: nn.Module, name: str, file: Path) -> None:
    """Load a state dict into the model `name`.

    Raises:
        DataError: if the file cannot be read or holds something else.
        SightlineError: if the weights are not of this model; names the first of them.
    """
    try:
        state = unpack(file.read_bytes(), file)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror})") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(
        isinstance(value, Tensor) for value in state.values()
    ):
        raise DataError(
            f"{file} holds no state dict; save model.state_dict(), not the model"
        )
    if wrong := misfits(state, model.state_dict()):
        more = f", and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise SightlineError(
            f"the weights in {file} are not of {name}: {'; '.join(wrong[:NAMED])}{more}"
        )
    model.load_state_dict(state)
    require_finite(model, str(file))


def misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Say which of the weights cannot be the model's own."""
    wrong = [f"{key} is missing" for key in own if key not in state]
    wrong += [f"{key} is unknown" for key in state if key not in own]
    for key in own.keys() & state.keys():
        if state[key].shape != own[key].shape:
            shapes = tuple(state[key].shape), tuple(own[key].shape)
            wrong.append(f"{key} has the shape {shapes[0]}, not {shapes[1]}")
        elif kind(state[key]) != kind(own[key]):  # of which copying makes something
            wrong.append(f"{key} is {kind(state[key])}, not {kind(own[key])}")
    return wrong


def kind(tensor: Tensor) -> str:
    """Say what numbers a tensor holds, and how, in words."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return SPARSE
    if tensor.is_complex():
        return "complex"
    return "floating point" if tensor.is_floating_point() else "integer"


def require_finite(model: nn.Module, place: str) -> None:
    """Raise `DataError` if a weight or a running average is NaN or infinite."""
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise DataError(
                f"{name} in {place} holds NaN or infinity, so no answer would mean "
                "anything; take weights from before the training diverged"
            )
