"""The training loop: sums over images, one update a batch, no NaN survives."""

import dataclasses
import io
from dataclasses import asdict, replace

import pytest
import tiny
import torch
import torch.nn.functional as F
from tolerance import rounding
from torch import nn
from tqdm import tqdm

from sightline.data.loaders import BatchLoader
from sightline.data.split import Split
from sightline.errors import NonFiniteLossError, SightlineError
from sightline.measures.evaluation import Evaluation
from sightline.training.engine import best_row, evaluate, fit, train_one_epoch
from sightline.training.parts import Parts, build, chosen_splits
from sightline.training.recipe import Recipe
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime
from sightline.training.schedules import build_scheduler, one_cycle

CPU = choose_runtime("cpu", "fp32")
STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def small_split(count: int = 23) -> Split:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 8, 8, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(0, 4, (count,), generator=generator))


def loader(batch_size: int, count: int = 23, **options) -> BatchLoader:
    return BatchLoader(
        small_split(count), batch_size=batch_size, **STATISTICS, **options
    )


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(8 * 36, 4),
    )


def sgd(network: nn.Module, lr: float = 0.05) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=lr)


def one_epoch(network, batches, optimizer, scheduler=None, **options):
    options = {"loss_fn": nn.CrossEntropyLoss(), "runtime": CPU} | options
    return train_one_epoch(network, batches, optimizer, scheduler, **options)


# --- evaluation ---------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
def test_evaluation_is_exact_however_short_the_last_batch_is(batch_size):
    network = model().eval()
    images = torch.cat([images for images, _ in loader(23)])
    with torch.no_grad():
        logits = network(images)
    labels = small_split().labels
    found = evaluate(network, loader(batch_size), runtime=CPU)
    # a logit is a sum of 288 terms, each of a sum of 27; the loss is a mean of 23
    allowed = rounding(27 + 288, size=logits.abs().max().item())
    torch.testing.assert_close(found.logits, logits, rtol=0, atol=allowed)
    assert torch.equal(found.labels, labels)
    loss = F.cross_entropy(logits, labels).item()
    assert found.loss == pytest.approx(loss, rel=0, abs=allowed + rounding(23, loss))
    assert found.accuracy == (logits.argmax(1) == labels).sum().item() / 23


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_uses_evaluation_mode_and_restores_the_mode(training):
    network = model().train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = evaluate(network, loader(5), runtime=CPU)
    second = evaluate(network, loader(5), runtime=CPU)
    assert torch.equal(first.logits, second.logits)  # no dropout
    assert {module.training for module in network.modules()} == {training}
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_logits_of_an_evaluation_can_be_fitted_on():
    found = evaluate(model(), loader(5), runtime=CPU)
    temperature = torch.ones(1, requires_grad=True)
    F.cross_entropy(found.logits / temperature, found.labels).backward()
    assert temperature.grad.isfinite()


def test_an_evaluation_knows_predictions_probabilities_and_confidences():
    found = Evaluation(torch.tensor([[0.0, 1.0], [3.0, 0.0]]), torch.tensor([1, 1]))
    assert found.predictions.tolist() == [1, 0]
    assert found.accuracy == 0.5
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(2))
    assert torch.equal(found.confidences, found.probabilities.max(1).values)
    by_hand = -(found.probabilities[:, 1].log().sum() / 2)
    assert found.loss == pytest.approx(by_hand.item())


# --- one epoch ----------------------------------------------------------------


class CountingSGD(torch.optim.SGD):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        return super().step(closure)


def test_an_epoch_makes_one_update_per_batch():
    network = model()
    optimizer = CountingSGD(network.parameters(), lr=0.01)
    one_epoch(network, loader(5), optimizer)
    assert optimizer.steps == 5


def test_loss_and_accuracy_are_sums_over_images_divided_by_images():
    network = model()
    network[3].p = 0.0  # dropout would draw
    losses, right, seen = [], 0, 0

    def loss_fn(logits, labels):
        nonlocal right, seen
        each = F.cross_entropy(logits, labels, reduction="none")
        losses.extend(each.tolist())
        right += (logits.argmax(1) == labels).sum().item()
        seen += len(labels)
        return each.mean()

    measured = one_epoch(network, loader(5), sgd(network), loss_fn=loss_fn)
    assert seen == len(losses) == measured.images == 23
    assert measured.loss == pytest.approx(
        sum(losses) / 23, rel=0, abs=rounding(23, measured.loss)
    )
    assert measured.accuracy == pytest.approx(right / 23)


def test_an_epoch_is_what_a_loop_in_bare_torch_does():
    ours, theirs = model(), model()
    torch.manual_seed(1)
    one_epoch(ours, loader(5, shuffle=True), sgd(ours))
    torch.manual_seed(1)
    optimizer = sgd(theirs)
    theirs.train()
    for images, labels in loader(5, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(theirs(images), labels).backward()
        optimizer.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_learning_rates_are_logged_before_the_step_that_uses_them():
    network = model()
    optimizer = sgd(network, lr=0.4)
    options = {"pct_start": 0.25, "div_factor": 25, "final_div_factor": 1e3}
    scheduler = build_scheduler(Recipe("", **options), optimizer, 20)
    used = []
    for _ in range(4):
        used += one_epoch(network, loader(5), optimizer, scheduler).lrs
    options |= {"total_steps": 20, "max_lr": 0.4}
    closed = [one_cycle(step, **options) for step in range(20)]
    assert used == pytest.approx(closed)
    assert len(used) == 20
    assert max(used) == pytest.approx(0.4)
    assert min(used) > 0


def test_training_mode_is_switched_on():
    network = model().eval()
    one_epoch(network, loader(5), sgd(network))
    assert all(module.training for module in network.modules())


def test_a_loss_that_is_not_a_number_stops_the_epoch_and_names_the_rate():
    network = model()
    with pytest.raises(NonFiniteLossError, match=r"learning rate 1e\+30; lower max_lr"):
        one_epoch(network, loader(5), sgd(network, lr=1e30))


def test_a_long_epoch_is_not_trained_to_its_end_after_a_nan():
    network = model()
    optimizer = CountingSGD(network.parameters(), lr=1e30)
    with pytest.raises(NonFiniteLossError):
        one_epoch(network, loader(1, count=60), optimizer)
    assert optimizer.steps == 20  # where it looks first


def test_the_bar_counts_every_image_and_shows_loss_accuracy_and_rate():
    network = model()
    with tqdm(total=23, file=io.StringIO()) as bar:
        measured = one_epoch(network, loader(5), sgd(network), progress=bar)
        assert bar.n == 23
        assert f"loss {measured.loss:.4f}, accuracy" in bar.postfix
        assert "lr 0.05" in bar.postfix


# --- several epochs -----------------------------------------------------------


RECIPE = replace(tiny.RECIPE, epochs=3, schedule="constant", max_lr=0.05)


def parts_of(network, recipe=RECIPE, batches=5):
    optimizer = sgd(network, recipe.max_lr)
    return Parts(
        network,
        optimizer,
        build_scheduler(recipe, optimizer, 15),
        loader(batches, shuffle=True),
        loader(23),
        nn.CrossEntropyLoss(),
    )


def epochs_of(network, recipe=RECIPE, **options):
    return fit(parts_of(network, recipe), recipe, CPU, progress=False, **options)


def test_fit_yields_an_epoch_at_a_time_with_every_field_filled():
    network = model()
    epochs = epochs_of(network)
    first = next(epochs)
    assert first.epoch == 1
    validation = evaluate(network, loader(23), runtime=CPU)
    assert first.validation_loss == validation.loss
    assert first.validation_accuracy == validation.accuracy
    assert first.images_per_second == pytest.approx(23 / first.seconds)
    assert [epoch.epoch for epoch in epochs] == [2, 3]
    for word in ("training", "validation", "lr 0.05→0.05", "img/s"):
        assert word in str(first)


def test_every_epoch_is_a_line_with_the_time_that_is_left_also_in_a_log(capsys):
    recipe = replace(RECIPE, epochs=2)
    list(fit(parts_of(model(), recipe), recipe, CPU))
    first, last = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("epoch 1/2  training") and first.endswith("1 s left")
    assert last.endswith(" 0 s left")


def test_the_randomness_of_an_epoch_depends_on_seed_and_number_alone():
    seventh = replace(RECIPE, seed=7)
    rows = [asdict(epoch) for epoch in epochs_of(model(), seventh)]
    broken = model()
    next(epochs_of(broken, seventh))
    torch.manual_seed(99)  # whatever else drew in between
    rest = epochs_of(broken, seventh, first_epoch=2)
    again = [asdict(epoch) for epoch in rest]
    assert [r["train_loss"] for r in again] == [r["train_loss"] for r in rows[1:]]
    other = next(epochs_of(model(), replace(RECIPE, seed=8)))
    assert other.train_loss != rows[0]["train_loss"]


def test_plateau_is_stepped_once_an_epoch_with_the_validation_loss():
    recipe = replace(RECIPE, schedule="plateau")
    parts, losses = parts_of(model(), recipe), []
    step = parts.scheduler.step
    parts.scheduler.step = lambda loss: (losses.append(loss), step(loss))
    rows = list(fit(parts, recipe, CPU, progress=False))
    assert losses == [row.validation_loss for row in rows]


def test_weights_broken_by_the_last_update_are_never_handed_out():
    recipe = replace(RECIPE, max_lr=1e38)
    # one batch: the loss is taken before the only update, and is finite
    epochs = fit(parts_of(model(), recipe, batches=23), recipe, CPU, progress=False)
    with pytest.raises(NonFiniteLossError, match="validation loss is"):
        next(epochs)


def test_the_tiny_training_of_the_other_tests_has_a_short_last_batch():
    assert len(tiny.splits().train) % tiny.RECIPE.batch_size


def test_a_schedule_stepped_per_epoch_keeps_its_rate_within_the_epoch():
    recipe = replace(RECIPE, schedule_step="epoch")
    parts = parts_of(model(), recipe)
    parts.scheduler = torch.optim.lr_scheduler.StepLR(parts.optimizer, 1, gamma=0.5)
    rows = list(fit(parts, recipe, CPU, progress=False))
    assert [row.lr for row in rows] == [row.last_lr for row in rows]
    assert [row.lr for row in rows] == pytest.approx([0.05, 0.025, 0.0125])


def test_a_published_system_that_steps_per_epoch_is_trained_so_without_being_told():
    published = RECIPES["s0-published"]
    recipe = replace(published, model="resnet10", epochs=3, batch_size=16)
    parts = build(recipe, chosen_splits(recipe, tiny.splits()), CPU)
    rows = list(fit(parts, recipe, CPU, progress=False))
    assert [row.lr for row in rows] == [row.last_lr for row in rows]
    # 84 images, 6 batches an epoch: the cycle has 18 steps, and 3 of them are gone
    options = {"total_steps": 18, "max_lr": recipe.max_lr, "shape": recipe.anneal}
    options |= {"pct_start": recipe.pct_start, "div_factor": recipe.div_factor}
    assert [row.lr for row in rows] == pytest.approx(
        [one_cycle(step, **options) for step in range(3)]
    )


def test_of_equally_good_epochs_the_later_one_is_the_best():
    accuracies = {1: 0.3, 2: 0.5, 3: 0.5, 4: 0.4}
    rows = [{"epoch": k, "validation_accuracy": v} for k, v in accuracies.items()]
    assert best_row(rows)["epoch"] == 3
    with pytest.raises(SightlineError, match="history is empty"):
        best_row([])


def test_a_flip_average_is_the_same_for_a_picture_and_its_mirror_image():
    network, split = model(), small_split()
    options = {"batch_size": 8, "mean": (0.5,) * 3, "std": (0.25,) * 3}
    mirrored = dataclasses.replace(split, images=split.images.flip(2))
    ours, theirs = (
        evaluate(network, BatchLoader(s, **options), runtime=CPU, flip_average=True)
        for s in (split, mirrored)
    )
    plain = evaluate(network, BatchLoader(split, **options), runtime=CPU)
    torch.testing.assert_close(ours.logits, theirs.logits)
    assert not torch.allclose(ours.logits, plain.logits)
