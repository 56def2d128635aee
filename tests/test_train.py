"""A recipe in, a run out: what is refused, resumed, kept and recorded."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import tiny
import torch
import torch.nn.functional as F
from tolerance import rounding

from sightline.data.datasets import draw_split
from sightline.errors import NonFiniteLossError, RunError, SightlineError
from sightline.training import train as module
from sightline.training.classifier import Classifier
from sightline.training.parts import build, chosen_splits, make_loss
from sightline.training.recipes import RECIPES
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.systems import PUBLISHED
from sightline.training.train import range_tests, train

CPU = choose_runtime("cpu", "fp32")


def go(out, recipe=tiny.RECIPE, splits=None, **options) -> Run:
    return train(recipe, splits or tiny.splits(), out=out, **tiny.ON_CPU, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    return go(tmp_path_factory.mktemp("run") / "run")


def stamps(run: Run) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run.path.iterdir()}


def cut_after_one_epoch(monkeypatch) -> None:
    """Lose power in the second epoch."""
    fit = module.fit

    def broken(*args, **kwargs):
        yield next(fit(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", broken)


def test_a_run_records_what_was_trained_on_what_with_what_result(finished):
    manifest = finished.manifest
    assert manifest["digest"] == "tiny-0"
    assert manifest["images"] == {"training": 64, "validation": 20, "test": 20}
    assert tuple(manifest["classes"]) == finished.classes == tiny.splits().classes
    assert manifest["precision"] == "fp32"
    assert manifest["test"]["accuracy"] == finished.test.accuracy
    assert manifest["test"]["loss"] == pytest.approx(finished.test.loss)
    assert finished.recipe.epochs == len(finished.history) == 2
    assert finished.finished


def test_a_loss_of_ones_own_is_trained_named_and_asked_for_again(
    tmp_path, monkeypatch, finished
):
    def margins(logits, labels):
        return F.multi_margin_loss(logits, labels)

    with monkeypatch.context() as patch:
        cut_after_one_epoch(patch)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, loss_fn=margins)
    with pytest.raises(RunError, match="with the loss margins, not cross-entropy"):
        go(tmp_path, resume=True)
    run = go(tmp_path, resume=True, loss_fn=margins)
    assert run.manifest["loss_fn"] == "margins"
    assert finished.manifest["loss_fn"] == "cross-entropy"
    # margins of logits near 0 cost (K - 1) / K, while cross-entropy costs ln K
    assert run.history[0]["train_loss"] < 1.5 < finished.history[0]["train_loss"]
    assert run.history[0]["validation_loss"] > 1.5  # is cross-entropy


def test_a_folder_that_holds_a_run_is_refused_without_resume(finished):
    before = stamps(finished)
    with pytest.raises(RunError, match=r"already holds a run.*--resume.*--out"):
        go(finished.path)
    assert stamps(finished) == before


def test_a_finished_run_is_returned_as_it_is(finished):
    before = stamps(finished)
    again = go(finished.path, resume=True)
    assert stamps(finished) == before
    assert torch.equal(again.test.logits, finished.test.logits)


def test_another_recipe_is_refused_with_the_values_that_differ(finished):
    other = replace(tiny.RECIPE, max_lr=0.3, epochs=9)
    with pytest.raises(RunError, match=r"epochs 2 ≠ 9, max_lr 0\.1 ≠ 0\.3"):
        go(finished.path, other, resume=True)


def test_other_pictures_are_refused_with_both_digests(finished):
    with pytest.raises(RunError, match=r"digest tiny-0, now tiny-5"):
        go(finished.path, splits=tiny.splits(5), resume=True)


def test_resume_starts_a_run_where_there_is_none(tmp_path):
    run = go(tmp_path / "a" / "new", replace(tiny.RECIPE, epochs=1), resume=True)
    assert run.finished


def test_test_images_are_read_once_at_the_end_with_the_best_weights(
    tmp_path, monkeypatch
):
    sizes, ask = [], Classifier.ask

    def counting(classifier, split):
        best = Run(tmp_path).load_model().head.weight
        sizes.append((len(split), torch.equal(classifier.model.head.weight, best)))
        return ask(classifier, split)

    monkeypatch.setattr(Classifier, "ask", counting)
    splits = replace(tiny.splits(), test=draw_split(13, 9))
    go(tmp_path, splits=splits)
    # then the validation images, for the thresholds of prediction sets
    assert sizes == [(13, True), (20, True)]


def test_a_resumed_run_repeats_no_epoch_and_says_where_it_went_on(
    tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        cut_after_one_epoch(patch)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path)
    cut = Run(tmp_path)
    assert len(cut.history) == 1
    cut.write("manifest.json", {**cut.manifest, "device": "cpu: another one"})
    run = go(tmp_path, resume=True)
    assert [row["epoch"] for row in run.history] == [1, 2]
    assert run.manifest["device"] == "cpu: another one"
    (here,) = run.manifest["resumed_on"]
    assert here["precision"] == "fp32"


def test_a_run_that_goes_on_where_it_began_records_one_machine(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        cut_after_one_epoch(patch)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path)
    assert "resumed_on" not in go(tmp_path, resume=True).manifest


def test_a_loss_that_diverges_keeps_the_last_good_epoch(tmp_path, monkeypatch):
    fit = module.fit

    def diverges(parts, *args, **kwargs):
        epochs = fit(parts, *args, **kwargs)
        yield next(epochs)
        torch.nn.init.constant_(parts.model.head.weight, float("inf"))
        yield from epochs

    with monkeypatch.context() as patch:
        patch.setattr(module, "fit", diverges)
        with pytest.raises(NonFiniteLossError, match="epoch 2: .* after epoch 1 is"):
            go(tmp_path)
    run = Run(tmp_path)
    assert len(run.history) == 1
    assert all(p.isfinite().all() for p in run.load_model("last").parameters())
    assert go(tmp_path, resume=True).finished


def test_more_workers_than_the_machine_can_bear_are_refused(tmp_path):
    pytest.importorskip("albumentations")
    with pytest.raises(SightlineError, match="workers 1000: .*choose at most"):
        go(tmp_path, replace(tiny.RECIPE, workers=1000))


def test_a_worker_that_was_killed_ends_in_one_line(tmp_path, monkeypatch):
    def fit(*args, **kwargs):
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
        yield

    monkeypatch.setattr(module, "fit", fit)
    with pytest.raises(RunError, match="--workers was killed.*in epoch 1.*--resume"):
        go(tmp_path)


def test_a_loss_that_diverges_at_once_promises_nothing(tmp_path):
    with pytest.raises(NonFiniteLossError, match="epoch 1: .*nothing is kept"):
        go(tmp_path, replace(tiny.RECIPE, max_lr=1e30))
    assert not (tmp_path / "state.pt").exists()


def test_the_weights_a_run_keeps_are_of_its_best_epoch(tmp_path, monkeypatch):
    fit, weights = module.fit, []

    def graded(parts, *args, **kwargs):
        epochs = fit(parts, *args, **kwargs)
        for epoch, accuracy in zip(epochs, (0.6, 0.3, 0.6, 0.5), strict=True):
            weights.append(parts.model.head.weight.detach().clone())
            yield replace(epoch, validation_accuracy=accuracy)

    monkeypatch.setattr(module, "fit", graded)
    run = go(tmp_path, replace(tiny.RECIPE, epochs=4))
    assert run.manifest["best_epoch"] == 3  # of equals the later
    assert torch.equal(run.load_model("best").head.weight, weights[2])
    assert torch.equal(run.load_model("last").head.weight, weights[3])
    (run.path / "state.pt").unlink()
    assert torch.equal(run.load_model("best").head.weight, weights[2])
    with pytest.raises(RunError, match="state.pt is missing"):
        run.load_model("last")


def test_a_seed_decides_weights_and_result(tmp_path, finished):
    """Bit for bit, on one machine."""
    again = go(tmp_path / "again")
    assert torch.equal(again.test.logits, finished.test.logits)
    model = build(replace(tiny.RECIPE, seed=1), tiny.splits(), CPU).model
    same = build(replace(tiny.RECIPE, seed=0), tiny.splits(), CPU).model
    assert not torch.equal(model.head.weight, same.head.weight)


def test_the_schedule_of_a_run_is_as_long_as_the_run():
    parts = build(tiny.RECIPE, tiny.splits(), CPU)
    assert parts.scheduler.total_steps == 2 * len(parts.train_loader) == 6
    assert parts.loss_fn.label_smoothing == tiny.RECIPE.label_smoothing


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_every_schedule_survives_a_resume(tmp_path, monkeypatch, schedule):
    """Bit for bit, on one machine."""
    recipe = replace(tiny.RECIPE, schedule=schedule)
    whole = go(tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        cut_after_one_epoch(patch)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "cut", recipe)
    cut = go(tmp_path / "cut", recipe, resume=True)
    assert torch.equal(cut.test.logits, whole.test.logits)
    assert cut.history[1]["last_lr"] == whole.history[1]["last_lr"]


def test_the_classifier_of_a_run_gives_the_test_result_again(finished):
    classifier = finished.classifier(CPU)
    again = classifier.ask(tiny.splits().test)
    torch.testing.assert_close(again.logits, finished.test.logits)
    classifier.refuse_other_classes(tiny.splits())
    with pytest.raises(RunError, match="trained on the classes disc.* has yes, no"):
        classifier.refuse_other_classes(replace(tiny.splits(), classes=("yes", "no")))


@pytest.mark.filterwarnings("ignore")  # of TensorBoard's own dependencies
def test_tensorboard_has_one_point_per_epoch(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )

    with monkeypatch.context() as patch:
        cut_after_one_epoch(patch)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, tensorboard=True)
    run = go(tmp_path, resume=True, tensorboard=True)
    points: dict[str, list] = {}
    for file in sorted((tmp_path / "tensorboard").iterdir()):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            points.setdefault(tag, []).extend(events.Scalars(tag))
    assert set(points) == {
        "loss/train",
        "loss/validation",
        "accuracy/train",
        "accuracy/validation",
        "lr",
    }
    for tag, values in points.items():
        first = 0 if tag == "lr" else 1
        assert [point.step for point in values] == [first, first + 1]
    logged = {point.step: point.value for point in points["accuracy/validation"]}
    for row in run.history:
        assert logged[row["epoch"]] == pytest.approx(row["validation_accuracy"])


def test_a_missing_tensorboard_is_said_before_the_first_epoch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RunError, match="pip install"):
        go(tmp_path, tensorboard=True)
    assert not any(tmp_path.iterdir())


def test_who_watches_the_test_images_trains_on_the_validation_images(tmp_path):
    recipe = replace(tiny.RECIPE, epochs=1, watch="test", keep="last")
    run = go(tmp_path / "leak", recipe)
    images = run.manifest["images"]
    assert images == {"training": 84, "validation": 20, "test": 20}
    # the last epoch counts, and was measured on the very test images
    assert run.history[-1]["validation_accuracy"] == run.test.accuracy


def test_keeping_the_last_epoch_ignores_a_better_one_before(tmp_path, monkeypatch):
    accuracies = iter([0.9, 0.1])
    fake = module.fit

    def falling(*args, **options):
        for epoch in fake(*args, **options):
            yield replace(epoch, validation_accuracy=next(accuracies))

    monkeypatch.setattr(module, "fit", falling)
    run = go(tmp_path / "last", replace(tiny.RECIPE, keep="last"))
    assert run.manifest["best_epoch"] == 2
    best, last = run.load_model("best"), run.load_model("last")
    (run.path / "state.pt").unlink()  # as somebody may who shares a run
    alone = run.load_model("last")
    for a, *others in zip(*(m.parameters() for m in (best, last, alone)), strict=True):
        assert all(torch.equal(a, b) for b in others)


def test_imagenet_statistics_replace_those_of_the_training_images(tmp_path):
    run = go(tmp_path / "run", replace(tiny.RECIPE, epochs=1, statistics="imagenet"))
    assert run.mean == (0.485, 0.456, 0.406)
    assert run.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("system", PUBLISHED)
def test_a_published_system_normalises_by_the_numbers_that_its_author_typed(system):
    era = (0.4915, 0.4823, 0.4468), (0.2470, 0.2435, 0.2616)
    s4 = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
    typed = {
        **dict.fromkeys(("s0", "s2", "s2-first", "a9"), era),
        **dict.fromkeys(("s4", "s4-sgd", "s4b"), s4),
        "s1": (
            (0.49139968, 0.48215841, 0.44653091),
            (0.24703223, 0.24348513, 0.26158784),
        ),
        "s3": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }
    splits = chosen_splits(PUBLISHED[system], tiny.splits())
    assert (splits.mean, splits.std) == typed[system]


@pytest.mark.parametrize("system", PUBLISHED)
def test_a_second_log_softmax_trains_equally_and_is_where_it_was(system):
    recipe = PUBLISHED[system]
    assert recipe.log_softmax == (system in ("s2", "s2-first", "s4b"))
    torch.manual_seed(0)
    logits = 10 * torch.randn(50, 10, dtype=torch.float64)
    labels = torch.arange(50) % 10
    losses, gradients = [], []
    for log_softmax in (False, True):
        given = logits.clone().requires_grad_()
        loss = make_loss(replace(recipe, log_softmax=log_softmax))(given, labels)
        losses.append(loss.detach())
        gradients += torch.autograd.grad(loss, given)
    # a handful of roundings of numbers below 64; the same gradient is the same training
    allowed = rounding(8, 64, torch.float64)
    torch.testing.assert_close(*losses, rtol=0, atol=allowed)
    torch.testing.assert_close(*gradients, rtol=0, atol=allowed)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_becomes_parts_that_fit_together(name):
    recipe = replace(RECIPES[name], epochs=2, batch_size=16)
    splits = tiny.splits()
    parts = build(recipe, splits, choose_runtime("cpu", "fp32"))
    images, labels = next(iter(parts.train_loader))
    assert parts.optimizer.param_groups[0]["lr"] <= recipe.max_lr * (1 + 1e-6)
    loss = parts.loss_fn(parts.model(images[:2]), labels[:2])
    loss.backward()
    parts.optimizer.step()
    parts.scheduler.step(*([loss.item()] if recipe.schedule == "plateau" else []))
    assert torch.isfinite(loss)


def test_a_schedule_sized_by_images_hardly_moves():
    recipe = replace(RECIPES["a9-published"], model="resnet10", epochs=2, batch_size=16)
    parts = build(recipe, tiny.splits(), choose_runtime("cpu", "fp32"))
    assert parts.scheduler.total_steps == 2 * 64
    repaired = replace(recipe, schedule_length="batches")
    parts = build(repaired, tiny.splits(), choose_runtime("cpu", "fp32"))
    assert parts.scheduler.total_steps == 2 * 4


def test_a_run_recorded_before_a_field_existed_can_still_be_resumed(finished):
    recorded = finished.read("recipe.json")
    old = {k: v for k, v in recorded.items() if k not in ("watch", "keep", "l1")}
    finished.write("recipe.json", old)
    try:
        assert go(finished.path, resume=True).finished
    finally:
        finished.write("recipe.json", recorded)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_a_range_test_sweeps_the_optimizer_of_the_recipe(monkeypatch, name):
    def made(model, make_optimizer, loader, **others):
        return make_optimizer(model)

    monkeypatch.setattr(module, "range_test", made)
    recipe = replace(tiny.RECIPE, optimizer=name.lower(), weight_decay=0.25)
    (optimizer,) = range_tests(recipe, tiny.splits(), CPU, seeds=(0,))
    assert type(optimizer).__name__ == name
    assert optimizer.param_groups[0]["weight_decay"] == 0.25


HOLDER = """
import sys
from sightline.training.run import Run
with Run(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.processes
def test_a_second_process_is_kept_out_of_a_run_until_the_first_is_dead(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as first:
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process is training into"):
            go(tmp_path)
        first.kill()
    assert go(tmp_path, replace(tiny.RECIPE, epochs=1)).finished


def test_a_lock_stays_one_file_so_that_no_two_can_hold_it(tmp_path):
    run = Run(tmp_path)
    with run.locked():
        early = (tmp_path / "lock").open(
            encoding="utf-8"
        )  # of a process that is about to lock it
        with pytest.raises(RunError, match="another process"), Run(tmp_path).locked():
            raise AssertionError("two hold one lock")
    with early, run.locked():
        now = (tmp_path / "lock").stat()
        assert os.path.samestat(os.fstat(early.fileno()), now)


@pytest.mark.slow
def test_compiled_training_agrees_with_eager_training(tmp_path, monkeypatch):
    in_place = torch.nn.Module.compile
    compiled = []

    def quickly(model, *, mode, dynamic):
        # the same tracing, without the minute that its C++ compiler would take
        assert mode == "default"
        in_place(model, backend="aot_eager", dynamic=dynamic)
        compiled.append(model)

    monkeypatch.setattr(torch.nn.Module, "compile", quickly)
    recipe = replace(tiny.RECIPE, epochs=1, batch_size=32)
    eager = go(tmp_path / "eager", recipe)
    run = go(tmp_path / "compiled", recipe, compiled=True)
    assert len(compiled) == 1
    (row,), (expected,) = run.history, eager.history
    assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
    weights = run.load_model().state_dict()  # same names: compiled in place
    # two updates by at most 0.1 times a gradient: the stem's, of 32 pictures of 32×32
    # pixels, is a sum of terms whose sizes add up to 4.3
    allowed = 2 * 0.1 * rounding(32 * 32 * 32, size=4.3)
    for name, value in eager.load_model().state_dict().items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=allowed)
