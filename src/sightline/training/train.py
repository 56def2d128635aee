"""A recipe in, a run out: the only place that unpacks a `Recipe`."""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from sightline.data.datasets import Splits
from sightline.errors import NonFiniteLossError, RunError
from sightline.training.distributed import LOST, is_lost
from sightline.training.engine import Epoch, fit
from sightline.training.lr_finder import RangeTest, range_test
from sightline.training.machine import describe
from sightline.training.optim import make_optimizer
from sightline.training.parts import (
    Parts,
    build,
    chosen_splits,
)
from sightline.training.recipe import Recipe, describe_fields
from sightline.training.run import Run
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.tensorboard import scalars, summary_writer

__all__ = ["range_tests", "train"]

# what decides the last bits
MACHINE = ("device", "threads", "processes", "precision", "torch")
PER_PROCESS = (
    "note: on CPUs batch norm of each of the {} processes sees its own images only, so "
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
) -> Run:
    """Train, keep the best weights by validation, read the test split once.

    Args:
        recipe: what to train.
        splits: on which pictures.
        out: the run folder.
        resume: go on with the run in `out` if there is one; a finished run is
            returned as it is.
        device: as in `sightline.training.runtime.choose_runtime`.
        precision: as in `sightline.training.runtime.choose_runtime`.
        profile: "full" or "fast": how far this run may be quoted.
        progress: show a bar.
        tensorboard: also write TensorBoard scalars into the run folder.
        compiled: compile the training step's network first: half a minute or more
            that a GPU earns back in long trainings; on CPUs it has only cost time.

    Several processes that `torchrun` started (see `process_group` in
    `sightline.training.distributed`) train one network: each computes its part of
    every batch. All must see `out`; the first one writes.

    Raises:
        RunError: if `out` holds a run and `resume` is off, or another run, or one
            that another process is training.
        NonFiniteLossError: if the loss diverged; the last good epoch is kept.
    """
    runtime = choose_runtime(device, precision)
    run = Run(out, writes=runtime.rank == 0)
    splits = chosen_splits(recipe, splits)
    if tensorboard:
        summary_writer()  # is it installed? ask before the first epoch
    with run.locked():
        if run.writes:
            prepare(run, recipe, splits, runtime, resume=resume, profile=profile)
        runtime.wait()
        runtime.agree(
            **recipe.flat(),
            digest=splits.digest,
            finished=run.finished,
            epochs_done=len(run.history),
        )
        if not run.finished:
            train_on(
                run,
                recipe,
                splits,
                runtime,
                progress=progress and run.writes,
                tensorboard=tensorboard and run.writes,
                compiled=compiled,
            )
    return run


def train_on(
    run: Run,
    recipe: Recipe,
    splits: Splits,
    runtime: Runtime,
    *,
    progress: bool,
    tensorboard: bool,
    compiled: bool,
) -> None:
    """Train from the last finished epoch to the end, and read the test split."""
    parts = build(recipe, splits, runtime, blank=bool(run.history))
    if progress and runtime.divides(parts.model):
        tqdm.write(PER_PROCESS.format(runtime.world_size), file=sys.stderr)
    history = run.restore(parts.model, parts.optimizer, parts.scheduler)
    if compiled:
        # "default": CUDA graphs ("reduce-overhead") keep memory for every shape apart,
        # autotuning takes minutes; a short last batch is compiled on its own
        parts.model.compile(mode="default", dynamic=False)
    first_epoch = len(history) + 1
    epochs = fit(parts, recipe, runtime, first_epoch=first_epoch, progress=progress)
    with scalars(run.path / "tensorboard", history, tensorboard) as write:
        keep_epochs(epochs, run, recipe, parts, history, write)
    if run.writes:
        finish(run, recipe, splits, runtime.alone())
    runtime.wait()


def keep_epochs(
    epochs: Iterable[Epoch],
    run: Run,
    recipe: Recipe,
    parts: Parts,
    history: list[dict],
    write: Callable[[dict], None],
) -> None:
    """Train to the end, and save after every epoch what is needed to go on.

    Raises:
        NonFiniteLossError: if the loss diverged.
        RunError: if another process of the same training is gone.
    """
    try:
        for epoch in epochs:
            best = epoch.validation_accuracy >= best_accuracy(history)
            best = best or recipe.keep == "last"
            history.append(asdict(epoch))
            run.save_epoch(
                history, parts.model, parts.optimizer, parts.scheduler, best=best
            )
            write(history[-1])
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            f"epoch {len(history) + 1}: {error}. {kept(run, history)}"
        ) from error
    except RuntimeError as error:
        if not is_lost(error):
            raise
        raise RunError(
            f"{LOST}, in epoch {len(history) + 1}. {kept(run, history)}; go on with "
            "--resume"
        ) from error


def kept(run: Run, history: list[dict]) -> str:
    """Say what is left of a training that went wrong."""
    if not history:
        return "No epoch was finished, so nothing is kept"
    return f"The state after epoch {len(history)} is kept in {run.path}"


def best_accuracy(history: list[dict]) -> float:
    """Return the best validation accuracy so far; −1 before the first epoch."""
    return max((row["validation_accuracy"] for row in history), default=-1.0)


def prepare(
    run: Run,
    recipe: Recipe,
    splits: Splits,
    runtime: Runtime,
    *,
    resume: bool,
    profile: str,
) -> None:
    """Start the run folder, or make sure that it holds this very run."""
    if (run.path / "recipe.json").exists():
        if not resume:
            raise RunError(
                f"{run.path} already holds a run; go on with it by --resume, or choose "
                "another --out"
            )
        refuse_other_run(run, recipe, splits)
        note_machine(run, runtime)
        return
    run.path.mkdir(parents=True, exist_ok=True)
    run.write(
        "manifest.json",
        {
            "profile": profile,
            **about(splits),
            **describe(runtime),
        },
    )
    run.write("recipe.json", asdict(recipe))


def note_machine(run: Run, runtime: Runtime) -> None:
    """Record in the manifest that a run goes on elsewhere: its bits may differ."""
    manifest, here = run.manifest, describe(runtime)
    before = [manifest, *manifest.get("resumed_on", [])]
    if not run.finished and any(
        before[-1].get(key, here[key]) != here[key] for key in MACHINE
    ):
        run.write("manifest.json", {**manifest, "resumed_on": [*before[1:], here]})


def about(splits: Splits) -> dict:
    """Return what a manifest says about the pictures."""
    return {
        "data": splits.name,
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


def refuse_other_run(run: Run, recipe: Recipe, splits: Splits) -> None:
    """Raise unless the folder holds a run of this recipe on these pictures."""
    recorded, new = run.recipe.flat(), recipe.flat()
    different = [n for n in ("name", *describe_fields()) if recorded[n] != new[n]]
    if different:
        changes = ", ".join(f"{n} {recorded[n]!r} ≠ {new[n]!r}" for n in different)
        raise RunError(
            f"{run.path} holds a run of another recipe ({changes}); resume it with its "
            "own values, or choose another --out"
        )
    if run.manifest["digest"] != splits.digest:
        raise RunError(
            f"{run.path} was trained on other pictures (digest "
            f"{run.manifest['digest']}, now {splits.digest}); name the same data, "
            "limit and seed, or choose another --out"
        )


def finish(run: Run, recipe: Recipe, splits: Splits, runtime: Runtime) -> None:
    """Read the test split with the weights that count, and complete the manifest."""
    classifier = run.classifier(runtime)
    started = time.perf_counter()
    evaluation = classifier.ask(splits.test)
    seconds = time.perf_counter() - started
    run.save_test(evaluation)
    history = run.history
    best = max(history, key=lambda row: (row["validation_accuracy"], row["epoch"]))
    best = history[-1] if recipe.keep == "last" else best
    run.write(
        "manifest.json",
        {
            **run.manifest,
            **about(splits),
            "train_seconds": round(sum(row["seconds"] for row in history), 1),
            "best_epoch": best["epoch"],
            "validation_accuracy": best["validation_accuracy"],
            "test": {
                "accuracy": evaluation.accuracy,
                "loss": evaluation.loss,
                "seconds": round(seconds, 1),
            },
        },
    )


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
