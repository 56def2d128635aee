"""A recipe and pictures in, a run out.

Several processes that `torchrun` started (see `sightline.training.distributed`) train
one network: each computes its part of every batch. All must see the run folder; the
first one writes.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from sightline.data.split import Splits
from sightline.errors import NonFiniteLossError, RunError
from sightline.measures.conformal import Thresholds
from sightline.training.distributed import LOST, is_lost
from sightline.training.engine import Epoch, Row, best_row, fit
from sightline.training.lr_finder import RangeTest, range_test
from sightline.training.machine import MACHINE, describe
from sightline.training.optim import make_optimizer
from sightline.training.parts import Loss, Parts, build, chosen_splits
from sightline.training.recipe import Recipe, describe_fields
from sightline.training.run import Run
from sightline.training.run_files import STATE
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.tensorboard import scalars, summary_writer

__all__ = ["range_tests", "train"]

PER_PROCESS = (
    "on CPUs batch norm of each of the {} processes sees its own images only, so "
    "this is not the training of one process (with --norm group it would be)"
)


def train(
    recipe: Recipe,
    splits: Splits,
    *,
    out: str | Path,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
    profile: str = "full",
    progress: bool = True,
    tensorboard: bool = False,
    compiled: bool = False,
    loss_fn: Loss | None = None,
) -> Run:
    """Train, keep the weights that count, read the test split once.

    Args:
        recipe: what to train.
        splits: on which pictures.
        out: the run folder.
        resume: go on with the run in `out`, if any; a finished one is returned.
        device: as in `sightline.training.runtime.choose_runtime`.
        precision: as in `sightline.training.runtime.choose_runtime`.
        profile: "full" or "fast": how far this run may be quoted.
        progress: show a bar.
        tensorboard: also write TensorBoard scalars into the run folder.
        compiled: compile the network first, which pays in long trainings on a GPU.
        loss_fn: of logits (B, K) and labels (B,), in place of cross-entropy.

    Raises:
        RunError: if `out` holds a run and `resume` is off, another run, or something
            else, or is in use.
        NonFiniteLossError: if the loss diverged; the last good epoch is kept.
    """
    if tensorboard:
        summary_writer()  # raises where it is not installed, before the first epoch
    runtime = choose_runtime(device, precision)
    training = Training.of(recipe, splits, out, runtime, loss_fn)
    with training.run.locked():
        training.begin(resume=resume, profile=profile)
        training.finish(progress=progress, tensorboard=tensorboard, compiled=compiled)
    return training.run


@dataclass(frozen=True)
class Training:
    """One training: where it is kept, how, on which pictures, on which machine."""

    run: Run
    recipe: Recipe
    splits: Splits  #: as the recipe uses them
    runtime: Runtime
    loss_fn: Loss | None = None  #: in place of the recipe's

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        splits: Splits,
        out: str | Path,
        runtime: Runtime,
        loss_fn: Loss | None = None,
    ) -> "Training":
        """Return the training of a recipe, whose first process writes into `out`."""
        run = Run(out, writes=runtime.rank == 0)
        return cls(run, recipe, chosen_splits(recipe, splits), runtime, loss_fn)

    @property
    def loss_name(self) -> str:
        """Return how the manifest calls the loss."""
        if self.loss_fn is None:
            return "cross-entropy"
        return getattr(self.loss_fn, "__name__", type(self.loss_fn).__name__)

    def begin(self, *, resume: bool, profile: str) -> None:
        """Start the run folder, or make sure that it holds this very run.

        Raises:
            RunError: if it holds another one, or `resume` is off.
        """
        if self.run.writes:
            if self.run.files.has("recipe.json"):
                self.refuse_other_run(resume)
                note(self.run.recover())
                self.note_machine()
            else:
                self.run.refuse_remains()
                machine = {"profile": profile, **describe(self.runtime)}
                about = {"loss_fn": self.loss_name, **describe_splits(self.splits)}
                self.run.write("manifest.json", machine | about)
                self.run.write("recipe.json", asdict(self.recipe))
        self.runtime.wait()
        self.runtime.agree(
            **self.recipe.flat(),
            loss_fn=self.loss_name,
            digest=self.splits.digest,
            finished=self.run.finished,
            epochs_done=len(self.run.history),
        )

    def refuse_other_run(self, resume: bool) -> None:
        """Raise unless the folder may be gone on with, by this recipe and pictures."""
        path, digest = self.run.path, self.run.manifest["digest"]
        if not resume:
            raise RunError(
                f"{path} already holds a run; go on with it by --resume, or choose "
                "another --out"
            )
        recorded, own = self.run.recipe.flat(), self.recipe.flat()
        names = [n for n in ("name", *describe_fields()) if recorded[n] != own[n]]
        if names:
            changes = ", ".join(f"{n} {recorded[n]!r} ≠ {own[n]!r}" for n in names)
            raise RunError(
                f"{path} holds a run of another recipe ({changes}); resume it with its "
                "own values, or choose another --out"
            )
        loss = self.run.manifest.get("loss_fn", "cross-entropy")  # older runs
        if loss != self.loss_name:
            raise RunError(
                f"{path} was trained with the loss {loss}, not {self.loss_name}; "
                "resume it with its own, or choose another --out"
            )
        if digest != self.splits.digest:
            raise RunError(
                f"{path} was trained on other pictures (digest {digest}, now "
                f"{self.splits.digest}); name the same data, limit and seed, or choose "
                "another --out"
            )

    def note_machine(self) -> None:
        """Record and say that the run goes on elsewhere: its last bits may differ."""
        manifest, machine = self.run.manifest, describe(self.runtime)
        machines = [manifest, *manifest.get("resumed_on", [])]
        last = {name: machines[-1].get(name, machine[name]) for name in MACHINE}
        moved = [f"{k} {v} → {machine[k]}" for k, v in last.items() if v != machine[k]]
        if moved and not self.run.finished:
            self.run.write(
                "manifest.json", {**manifest, "resumed_on": [*machines[1:], machine]}
            )
            note(
                f"{self.run.path} goes on elsewhere ({', '.join(moved)}), so it will "
                "not equal an unbroken run to the last bit; its manifest records it"
            )

    def finish(self, *, progress: bool, tensorboard: bool, compiled: bool) -> None:
        """Train from the last finished epoch to the end, and read the test split."""
        run, recipe, runtime = self.run, self.recipe, self.runtime
        if run.finished:
            return
        progress = progress and run.writes
        blank = run.files.has(STATE)
        parts = build(recipe, self.splits, runtime, loss_fn=self.loss_fn, blank=blank)
        if progress and runtime.divides(parts.model):
            note(PER_PROCESS.format(runtime.world_size))
        history = run.restore(parts.model, parts.optimizer, parts.scheduler)
        if compiled:
            # "default": CUDA graphs ("reduce-overhead") keep memory for every shape
            # apart, autotuning takes minutes; a short last batch is compiled on its own
            parts.model.compile(mode="default", dynamic=False)
        first_epoch = len(history) + 1
        epochs = fit(parts, recipe, runtime, first_epoch=first_epoch, progress=progress)
        folder = run.path / "tensorboard"
        with scalars(folder, history, tensorboard and run.writes) as write:
            self.keep_epochs(epochs, parts, history, write)
        if run.writes:
            self.test()
        runtime.wait()

    def keep_epochs(
        self,
        epochs: Iterable[Epoch],
        parts: Parts,
        history: list[dict],
        write: Callable[[dict], None],
    ) -> None:
        """Save after every epoch what is needed to go on.

        Raises:
            NonFiniteLossError: if the loss diverged.
            RunError: if another process of the same training is gone.
        """
        try:
            for epoch in epochs:
                history.append(asdict(epoch))
                best = self.selected(history) is history[-1]
                self.run.save_epoch(
                    history, parts.model, parts.optimizer, parts.scheduler, best=best
                )
                write(history[-1])
        except NonFiniteLossError as error:
            raise NonFiniteLossError(
                f"epoch {len(history) + 1}: {error}. {self.remains(history)}"
            ) from error
        except RuntimeError as error:
            if is_lost(error):
                reason = LOST
            elif str(error).startswith("DataLoader worker"):  # torch has no other sign
                reason = "one of the --workers was killed, often for lack of memory"
            else:
                raise
            raise RunError(
                f"{reason}, in epoch {len(history) + 1}. {self.remains(history)}; go "
                "on with --resume"
            ) from error

    def selected(self, history: list[dict]) -> Row:
        """Return the epoch whose weights count."""
        return history[-1] if self.recipe.keep == "last" else best_row(history)

    def remains(self, history: list[dict]) -> str:
        """Say what is left of a training that went wrong."""
        if not history:
            return "No epoch was finished, so nothing is kept"
        return f"The state after epoch {len(history)} is kept in {self.run.path}"

    def test(self) -> None:
        """Read the test split with the weights that count; complete the manifest.

        The validation split is read once more, for the thresholds of prediction sets.
        """
        classifier = self.run.classifier(self.runtime.alone())
        started = time.perf_counter()
        evaluation = classifier.ask(self.splits.test)
        seconds = time.perf_counter() - started
        self.run.save_test(evaluation)
        thresholds = Thresholds.of(classifier.ask(self.splits.validation))
        history = self.run.history
        row = self.selected(history)
        result = {
            "train_seconds": round(sum(row["seconds"] for row in history), 1),
            "best_epoch": row["epoch"],
            "validation_accuracy": row["validation_accuracy"],
            "prediction_sets": asdict(thresholds),
            "test": {
                "accuracy": evaluation.accuracy,
                "loss": evaluation.loss,
                "seconds": round(seconds, 1),
            },
        }
        self.run.write(
            "manifest.json",
            self.run.manifest | describe_splits(self.splits) | result,
        )
        self.run.drop_state_before()


def note(sentence: str) -> None:
    """Print what a person should know of a training that goes on; nothing if empty."""
    if sentence:
        tqdm.write(f"note: {sentence}", file=sys.stderr)


def describe_splits(splits: Splits) -> dict:
    """Return what a manifest records about the pictures."""
    return {
        "data": splits.name,
        "source": splits.source,
        "limit": splits.limit,
        "digest": splits.digest,
        "test_digest": splits.test_digest,
        "classes": splits.classes,
        "mean": splits.mean,
        "std": splits.std,
        "image_size": splits.train.images.shape[1],
        "images": {
            "training": len(splits.train),
            "validation": len(splits.validation),
            "test": len(splits.test),
        },
        "notes": splits.notes,
    }


def range_tests(
    recipe: Recipe,
    splits: Splits,
    runtime: Runtime,
    *,
    seeds: Iterable[int],
    start_lr: float = 1e-5,
    end_lr: float = 10.0,
    num_iter: int = 100,
    progress: bool = True,
) -> list[RangeTest]:
    """Run the LR range test of `recipe` once per seed of weights and order."""
    splits, tests = chosen_splits(recipe, splits), []
    for seed in seeds:
        parts = build(replace(recipe, seed=seed), splits, runtime)
        test = range_test(
            parts.model,
            lambda model: make_optimizer(recipe, model),
            parts.train_loader,
            loss_fn=parts.loss_fn,
            runtime=runtime,
            start_lr=start_lr,
            end_lr=end_lr,
            num_iter=num_iter,
            seed=seed,
            progress=progress,
        )
        tests.append(test)
    return tests
