"""A run: the folder in which everything about one training is kept.

===================== ====================================================
recipe.json           the recipe
history.jsonl         one line an epoch
weights.safetensors   the best weights by validation accuracy
state.pt              everything to go on from the last finished epoch
test.safetensors      logits and labels of the test split, read once
manifest.json         device, versions, data digest, seconds, result
lock                  held by the process that trains
===================== ====================================================

Every file is written beside its place and then moved into it, so a run that is
killed at any moment holds only whole files.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sightline.data.datasets import Colour
from sightline.errors import RunError, SightlineError
from sightline.files import locked, write_atomically
from sightline.measures.evaluation import Evaluation
from sightline.models import build_model
from sightline.training.classifier import Classifier
from sightline.training.recipe import Recipe
from sightline.training.runtime import Runtime

__all__ = ["Run"]


class Run:
    """One training on disk: of several processes only the first `writes`.

    The folder need not exist yet.
    """

    def __init__(self, path: str | Path, *, writes: bool = True):
        self.path = Path(path)
        self.writes = writes

    def keep(self, name: str, write: Callable[[Path], object]) -> None:
        """Write one file of the run, if it is this process that writes."""
        if self.writes:
            remedy = "go on with --resume; nothing already saved is lost"
            write_atomically(self.path / name, write, remedy=remedy)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing into this run while the block lasts.

        Raises:
            RunError: if another process is training into it.
        """
        if not self.writes or self.finished:
            yield
            return
        refusal = (
            f"another process is training into {self.path}; wait for it or end it, or "
            "choose another --out"
        )
        with locked(self.path / "lock", refusal):
            for partial in self.path.glob(".*.partial"):  # of a killed process
                partial.unlink()
            yield

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open a run that has weights.

        Raises:
            RunError: if `path` is not such a folder.
        """
        run = cls(path)
        if not (run.path / "weights.safetensors").exists():
            raise RunError(
                f"{run.path} is not a run: it has no weights.safetensors. Expected "
                "the --out folder of a `sightline train` that finished an epoch"
            )
        return run

    def read(self, name: str) -> dict:
        """Read one of the JSON files."""
        file = self.path / name
        try:
            return json.loads(file.read_text())
        except FileNotFoundError as error:
            raise RunError(f"{self.path} is not a run: {name} is missing") from error
        except json.JSONDecodeError as error:
            raise RunError(f"{file} is not valid JSON: {error}") from error

    def write(self, name: str, value: dict) -> None:
        """Write one of the JSON files."""
        text = json.dumps(value, indent=2) + "\n"
        self.keep(name, lambda file: file.write_text(text))

    @property
    def recipe(self) -> Recipe:
        """Return what was trained; fields that came later have their defaults."""
        return Recipe.from_json(self.read("recipe.json"))

    @property
    def manifest(self) -> dict:
        """Return what was trained on what, where, for how long, with what result."""
        return self.read("manifest.json")

    @property
    def history(self) -> list[dict]:
        """Return one dict an epoch, fields as in `sightline.training.engine.Epoch`."""
        file = self.path / "history.jsonl"
        if not file.exists():
            return []
        return [json.loads(line) for line in file.read_text().splitlines()]

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names in the order of the logits."""
        return tuple(self.manifest["classes"])

    @property
    def mean(self) -> Colour:
        """Return the training pictures' mean colour, in 0..1."""
        return tuple(self.manifest["mean"])

    @property
    def std(self) -> Colour:
        """Return the training pictures' standard deviation, in 0..1."""
        return tuple(self.manifest["std"])

    @property
    def finished(self) -> bool:
        """Tell whether all epochs and the test are done."""
        return (self.path / "test.safetensors").exists() and "test" in self.manifest

    @property
    def test(self) -> Evaluation:
        """Return logits and labels of the test split, as read once at the end."""
        file = self.path / "test.safetensors"
        if not file.exists():
            raise RunError(
                f"{self.path} has no test result yet: {len(self.history)} of "
                f"{self.recipe.epochs} epochs are done; go on with --resume"
            )
        tensors = load_file(file)
        return Evaluation(tensors["logits"], tensors["labels"])

    def save_test(self, evaluation: Evaluation) -> None:
        """Keep logits and labels of the test split."""
        tensors = {
            "logits": evaluation.logits.contiguous(),
            "labels": evaluation.labels.contiguous(),
        }
        self.keep("test.safetensors", lambda file: save_file(tensors, file))

    def save_epoch(
        self,
        history: list[dict],
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler | None,
        *,
        best: bool,
    ) -> None:
        """Save after an epoch, so that a kill at any moment loses only this epoch.

        The order matters: `state.pt` decides which epoch is done, and what was
        written before it is written again, bit for bit, when the epoch is repeated.
        """
        if not self.writes:
            return
        weights = {k: v.contiguous() for k, v in model.state_dict().items()}
        if best:
            self.keep("weights.safetensors", lambda file: save_file(weights, file))
        state = {
            "model": weights,
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict() if scheduler else None,
            "history": history,
        }
        self.keep("state.pt", lambda file: torch.save(state, file))
        self.write_history(history)

    def write_history(self, history: list[dict]) -> None:
        """Write all finished epochs, one JSON object a line."""
        text = "".join(json.dumps(row) + "\n" for row in history)
        self.keep("history.jsonl", lambda file: file.write_text(text))

    def restore(
        self, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler | None
    ) -> list[dict]:
        """Load the last finished epoch into the three; return the history so far.

        The optimizer comes last: building a scheduler overwrites its learning rate.

        Raises:
            RunError: if `state.pt` is damaged.
        """
        file = self.path / "state.pt"
        if not file.exists():
            return []
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a broken file
            raise RunError(
                f"{file} is damaged ({error}); delete it to start this run again"
            ) from error
        model.load_state_dict(state["model"])
        if scheduler:
            scheduler.load_state_dict(state["scheduler"])
        optimizer.load_state_dict(state["optimizer"])
        self.write_history(state["history"])
        return state["history"]

    def load_model(self, which: Literal["best", "last"] = "best") -> nn.Module:
        """Build the network with its trained weights, in evaluation mode.

        They are of the "best" epoch by validation accuracy, or the "last".

        Raises:
            RunError: if the weights are missing or do not fit recipe and classes.
            SightlineError: if `which` is neither.
        """
        if which not in ("best", "last"):
            raise SightlineError(f"unknown weights {which!r}; choose best or last")
        recipe = self.recipe
        model = build_model(
            recipe.model,
            num_classes=len(self.classes),
            norm=recipe.norm,
            image_size=recipe.image_size,
            pretrained=recipe.pretrained,
        )
        try:
            if which == "best":
                weights = load_file(self.path / "weights.safetensors")
            else:
                file = self.path / "state.pt"
                weights = torch.load(file, map_location="cpu", weights_only=True)[
                    "model"
                ]
            model.load_state_dict(weights)
        except Exception as error:  # safetensors, torch and the OS each have their own
            raise RunError(
                f"the {which} weights in {self.path} cannot be used: {error}. Expected "
                f"a {recipe.model} with {len(self.classes)} classes"
            ) from error
        return model.eval()

    def classifier(self, runtime: Runtime) -> Classifier:
        """Return the best weights as a network that can be asked, on a device."""
        return Classifier(
            runtime.place(self.load_model()),
            self.classes,
            self.mean,
            self.std,
            self.manifest["image_size"],
            runtime,
            self.recipe.framing,
            self.recipe.flip_average,
        )
