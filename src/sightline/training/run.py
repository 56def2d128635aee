"""A run: the folder in which everything about one training is kept.

===================== ====================================================
recipe.json           the recipe
history.jsonl         one line an epoch
weights.safetensors   the best weights by validation accuracy
state.pt              everything to go on from the last finished epoch
state-before.pt       the same of the epoch before, until the test is done
test.safetensors      logits and labels of the test split, read once
manifest.json         device, versions, data digest, seconds, result
SHA256SUMS            what these files contain, so that damage is noticed
lock                  held by the process that trains
.sightline            says that sightline made the folder, and may write to it
===================== ====================================================

Every file is written beside its place and then moved into it, so a run that is
killed at any moment holds only whole files.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sightline.data.split import Colour
from sightline.errors import RunError, SightlineError
from sightline.files import claim, locked
from sightline.measures.evaluation import Evaluation
from sightline.models import build_model
from sightline.training.classifier import Classifier
from sightline.training.recipe import Recipe
from sightline.training.run_files import (
    BEFORE,
    COPY,
    HISTORY,
    STATE,
    TEST,
    WEIGHTS,
    RunFiles,
    is_whole,
    remedy,
)
from sightline.training.runtime import Runtime
from sightline.training.weights import require_finite

__all__ = ["Run"]

# what a process that was killed leaves: our own, and those of safetensors
UNFINISHED = (".*.partial", ".tmp??????")


class Run:
    """One training on disk: of several processes only the first `writes`.

    The folder need not exist yet.
    """

    def __init__(self, path: str | Path, *, writes: bool = True):
        self.path = Path(path)
        self.writes = writes
        self.files = RunFiles(self.path)

    def keep(
        self, name: str, write: Callable[[Path], object], *, before: str = ""
    ) -> None:
        """Write one file of the run, if it is this process that writes."""
        if self.writes:
            self.files.write(name, write, before=before)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other processes out while the block lasts.

        Raises:
            RunError: if another process is training into it, or it is no run.
        """
        if self.writes:
            claim(self.path, "run")
        if not self.writes or self.finished:
            yield
            return
        refusal = (
            f"another process is training into {self.path}; wait for it or end it, or "
            "choose another --out"
        )
        with locked(self.path / "lock", refusal):
            for pattern in UNFINISHED:
                for file in self.path.glob(pattern):
                    file.unlink()
            yield

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Open a run that has weights.

        Raises:
            RunError: if `path` is not such a folder.
        """
        run = cls(path)
        if not run.files.has(WEIGHTS):
            raise RunError(
                f"{run.path} is not a run: it has no {WEIGHTS}. Expected the --out "
                "folder of a `sightline train` that finished an epoch"
            )
        return run

    def read(self, name: str) -> dict:
        """Read one of the JSON files.

        Raises:
            RunError: if it is missing or damaged.
        """
        return self.files.read_json(name)

    def write(self, name: str, value: dict) -> None:
        """Write one of the JSON files."""
        text = json.dumps(value, indent=2) + "\n"
        self.keep(name, lambda file: file.write_text(text, encoding="utf-8"))

    @property
    def recipe(self) -> Recipe:
        """Return what was trained; fields that came later have their defaults."""
        recorded = self.read("recipe.json")
        try:
            return Recipe.from_json(recorded)
        except SightlineError as error:
            raise RunError(f"{self.path / 'recipe.json'}: {error}") from error

    @property
    def manifest(self) -> dict:
        """Return what was trained on what, where, for how long, with what result."""
        return self.read("manifest.json")

    @property
    def history(self) -> list[dict]:
        """Return one dict an epoch, fields as in `sightline.training.engine.Epoch`."""
        return self.files.read_lines(HISTORY) if self.files.has(HISTORY) else []

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
        return self.files.has(TEST) and "test" in self.manifest

    @property
    def test(self) -> Evaluation:
        """Return logits and labels of the test split, as read once at the end."""
        if not self.files.has(TEST):
            raise RunError(
                f"{self.path} has no test result yet: {len(self.history)} of "
                f"{self.recipe.epochs} epochs are done; go on with --resume"
            )
        tensors = self.files.read_tensors(TEST)
        evaluation = Evaluation(tensors["logits"], tensors["labels"])
        if not is_whole(evaluation, len(self.classes)):
            raise RunError(
                f"{self.path / TEST} is damaged: expected logits of "
                f"{len(self.classes)} classes and labels; {remedy(TEST)}"
            )
        return evaluation

    def save_test(self, evaluation: Evaluation) -> None:
        """Keep logits and labels of the test split."""
        tensors = {
            "logits": evaluation.logits.contiguous(),
            "labels": evaluation.labels.contiguous(),
        }
        self.keep(TEST, lambda file: save_file(tensors, file))

    def drop_state_before(self) -> None:
        """Free the space of the earlier state, which no finished run goes on from."""
        (self.path / BEFORE).unlink(missing_ok=True)

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
            self.keep(WEIGHTS, lambda file: save_file(weights, file))
        state = {
            "model": weights,
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict() if scheduler else None,
            "history": history,
        }
        self.keep(STATE, lambda file: torch.save(state, file), before=BEFORE)
        self.write_history(history)

    def write_history(self, history: list[dict]) -> None:
        """Write all finished epochs, one JSON object a line."""
        text = "".join(json.dumps(row) + "\n" for row in history)
        self.keep(HISTORY, lambda file: file.write_text(text, encoding="utf-8"))

    def recover(self) -> str:
        """Make `state.pt` the last whole state, and `history.jsonl` its history.

        Returns which epoch the training goes on from if one was lost, else "".

        Raises:
            RunError: if there were epochs, but no state is whole.
        """
        history = self._whole_history()
        if self.finished and history:
            return ""
        states = [name for name in (STATE, BEFORE) if self.files.has(name)]
        damages: list[RunError] = []
        for name in states:
            try:
                rows = self.files.read_tensors(name, written_as=STATE)["history"]
            except RunError as error:
                damages.append(error)
                continue
            if name == BEFORE:
                os.replace(self.path / BEFORE, self.path / STATE)
            if rows != history:
                self.write_history(rows)
            if damages or len(rows) < len(history):
                return (
                    f"{self.path / STATE} is missing or damaged: going on after epoch "
                    f"{len(rows)}, from the state before it"
                )
            return ""
        if damages:
            raise damages[0]
        if self.files.has(HISTORY) or self.files.has(TEST):
            raise RunError(
                f"{self.path} cannot be gone on with: {STATE} is missing; {COPY}"
            )
        return ""

    def refuse_remains(self) -> None:
        """Raise `RunError` if something was trained by a recipe that is gone."""
        if any(map(self.files.has, (STATE, BEFORE, WEIGHTS, HISTORY, TEST))):
            raise RunError(
                f"{self.path} cannot be gone on with: recipe.json is missing; {COPY}"
            )

    def _whole_history(self) -> list[dict]:
        """Return the history, [] if it is damaged."""
        try:
            return self.history
        except RunError:
            return []

    def restore(
        self, model: nn.Module, optimizer: Optimizer, scheduler: LRScheduler | None
    ) -> list[dict]:
        """Load the last finished epoch into the three; return the history so far.

        The optimizer comes last: building a scheduler overwrites its learning rate.

        Raises:
            RunError: if `state.pt` is damaged, or of another training.
        """
        if not self.files.has(STATE):
            return []
        state = self.files.read_tensors(STATE)
        try:
            model.load_state_dict(state["model"])
            if scheduler:
                scheduler.load_state_dict(state["scheduler"])
            optimizer.load_state_dict(state["optimizer"])
        except Exception as error:  # each of the three has its own
            raise RunError(
                f"{self.path / STATE} is of another training ({error}); {COPY}"
            ) from error
        return state["history"]

    def load_model(self, which: Literal["best", "last"] = "best") -> nn.Module:
        """Build the network with its trained weights, in evaluation mode.

        They are of the "best" epoch by validation accuracy, or the "last". Where the
        last is the best, no state is needed, which whoever shares a run may delete.

        Raises:
            RunError: if the weights are missing or do not fit recipe and classes.
            SightlineError: if `which` is neither.
        """
        if which not in ("best", "last"):
            raise SightlineError(f"unknown weights {which!r}; choose best or last")
        recipe = self.recipe
        model = build_model(num_classes=len(self.classes), **recipe.network)
        best = which == "best" or (
            not self.files.has(STATE)
            and self.manifest.get("best_epoch") == len(self.history)
        )
        weights = (
            self.files.read_tensors(WEIGHTS)
            if best
            else self.files.read_tensors(STATE)["model"]
        )
        try:
            model.load_state_dict(weights)
        except Exception as error:  # torch raises many kinds
            raise RunError(
                f"the {which} weights in {self.path} cannot be used: {error}. Expected "
                f"a {recipe.model} with {len(self.classes)} classes"
            ) from error
        require_finite(model, str(self.path / (WEIGHTS if best else STATE)))
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
