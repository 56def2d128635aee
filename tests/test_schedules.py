"""Closed forms against torch's schedulers at every step."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from sightline.errors import SightlineError
from sightline.training.optim import (
    OPTIMIZERS,
    Muon,
    make_optimizer,
    muon_groups,
)
from sightline.training.recipe import Recipe
from sightline.training.schedules import (
    SCHEDULES,
    build_scheduler,
    constant,
    cosine,
    linear,
    one_cycle,
    one_cycle_momentum,
    warmup_cosine,
)


def sgd(lr: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=lr, momentum=0.9)


def run(scheduler, optimizer, steps: int) -> list[tuple[float, float]]:
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["momentum"]))
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("total_steps", [2, 4, 5, 10, 97, 1000])
@pytest.mark.parametrize("pct_start", [0.2, 0.25, 0.3, 0.5])
def test_one_cycle_matches_torch_at_every_step(total_steps, pct_start):
    optimizer = sgd()
    recipe = Recipe("", pct_start=pct_start, div_factor=20, final_div_factor=50)
    scheduler = build_scheduler(recipe, optimizer, total_steps)
    for step, (lr, momentum) in enumerate(run(scheduler, optimizer, total_steps)):
        assert lr == pytest.approx(
            one_cycle(
                step,
                total_steps=total_steps,
                max_lr=0.1,
                pct_start=pct_start,
                div_factor=20,
                final_div_factor=50,
            ),
            abs=1e-12,
        )
        assert momentum == pytest.approx(
            one_cycle_momentum(step, total_steps=total_steps, pct_start=pct_start),
            abs=1e-12,
        )


def test_linear_one_cycle_matches_torch_at_every_step():
    optimizer = sgd()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.1, total_steps=90, anneal_strategy="linear"
    )
    for step, (lr, _) in enumerate(run(scheduler, optimizer, 90)):
        expected = one_cycle(step, total_steps=90, max_lr=0.1, shape="linear")
        assert lr == pytest.approx(expected, abs=1e-12)


def test_every_rate_that_one_cycle_uses_is_positive_and_the_last_is_the_lowest():
    rates = [one_cycle(k, total_steps=60, max_lr=0.1) for k in range(60)]
    assert min(rates) == rates[-1] == pytest.approx(0.1 / 25 / 1e4)


@pytest.mark.parametrize(("name", "form"), [("cosine", cosine), ("constant", constant)])
def test_cosine_and_constant_match_torch_at_every_step(name, form):
    optimizer = sgd()
    scheduler = build_scheduler(Recipe("", schedule=name), optimizer, 40)
    for step, (lr, _) in enumerate(run(scheduler, optimizer, 40)):
        assert lr == pytest.approx(form(step, total_steps=40, max_lr=0.1), abs=1e-9)


@pytest.mark.parametrize("total_steps", [2, 7, 40, 97])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.5, 1.0])
def test_warmup_cosine_is_torchs_line_followed_by_torchs_cosine(total_steps, pct_start):
    peak = round(pct_start * total_steps)
    torchs = sgd()
    line = LinearLR(torchs, start_factor=1 / (peak + 1), total_iters=peak)
    fall = CosineAnnealingLR(torchs, T_max=max(total_steps - peak, 1))
    expected = run(SequentialLR(torchs, [line, fall], [peak]), torchs, total_steps)
    ours = sgd()
    recipe = Recipe("", schedule="warmup_cosine", pct_start=pct_start)
    rates = run(build_scheduler(recipe, ours, total_steps), ours, total_steps)
    form = {"total_steps": total_steps, "max_lr": 0.1, "pct_start": pct_start}
    for step, (lr, momentum) in enumerate(rates):
        assert (lr, momentum) == pytest.approx(expected[step], abs=1e-12)
        assert lr == pytest.approx(warmup_cosine(step, **form), abs=1e-12)
        assert lr > 0 and momentum == 0.9


def test_warmup_cosine_without_a_climb_is_cosine():
    steps = {"total_steps": 30, "max_lr": 0.1}
    for step in range(30):
        assert warmup_cosine(step, **steps, pct_start=0.0) == cosine(step, **steps)


def test_one_cycle_leaves_the_momentum_alone_where_the_recipe_says_so():
    optimizer, cycling = sgd(), sgd()
    recipe = Recipe("", cycle_momentum=False)
    fixed = run(build_scheduler(recipe, optimizer, 40), optimizer, 40)
    cycled = run(build_scheduler(Recipe(""), cycling, 40), cycling, 40)
    assert {momentum for _, momentum in fixed} == {0.9}
    assert [lr for lr, _ in fixed] == [lr for lr, _ in cycled]


def test_plateau_drops_after_five_epochs_without_progress():
    optimizer = sgd()
    scheduler = build_scheduler(Recipe("", schedule="plateau"), optimizer, 1)
    for _ in range(6):
        scheduler.step(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


def test_plateau_has_the_factor_and_the_patience_of_its_recipe():
    optimizer = sgd()
    recipe = Recipe("", schedule="plateau", plateau_factor=0.5, plateau_patience=1)
    scheduler = build_scheduler(recipe, optimizer, 1)
    rates = []
    for loss in (1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5):
        scheduler.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.05, 0.05, 0.025])


def test_a_plateau_that_would_never_end_is_refused():
    with pytest.raises(SightlineError, match=r"plateau_factor must lie in 0..0.99"):
        Recipe("", plateau_factor=1.0)


def test_a_recipe_names_every_schedule_that_exists_and_no_other():
    with pytest.raises(SightlineError, match="schedule .* not step") as caught:
        Recipe("", schedule="step")
    listed = str(caught.value).partition("one of ")[2].partition(", not")[0]
    assert set(listed.split(", ")) == set(SCHEDULES)


def test_linear_falls_from_every_groups_own_rate():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": one.parameters()}, {"params": two.parameters(), "lr": 3.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    scheduler = build_scheduler(Recipe("", schedule="linear"), optimizer, 20)
    for step in range(20):
        rates = [group["lr"] for group in optimizer.param_groups]
        expected = [linear(step, total_steps=20, max_lr=m) for m in (0.1, 3.0)]
        assert rates == pytest.approx(expected)
        assert min(rates) > 0
        optimizer.step()
        scheduler.step()


# the rates of `speedrun`, and one below that of the kernels
@pytest.mark.parametrize("bias_lr", [26.5, 0.001])
@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_changes_the_ratio_of_the_groups_rates(name, bias_lr):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    own = {"lr": 0.12, "bias_lr": bias_lr, "head_lr": 335.0}
    optimizer = Muon(
        muon_groups(model, **own, weight_decay=1e-3), lr=0.12, momentum=0.6
    )
    scheduler = build_scheduler(Recipe("", schedule=name), optimizer, 60)
    highest = [0.0, 0.0, 0.0]
    for _ in range(60):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert [rate / rates[0] for rate in rates] == pytest.approx(
            [1, bias_lr / 0.12, 335 / 0.12], rel=1e-9
        )
        highest = list(map(max, highest, rates))
        optimizer.step()
        scheduler.step(*[1.0] * (name == "plateau"))
    assert highest == pytest.approx(list(own.values()), rel=1e-2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_schedule_drives_every_optimizer(optimizer, schedule):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
    recipe = Recipe("", optimizer=optimizer, schedule=schedule)
    built = make_optimizer(recipe, model)
    peak = built.param_groups[0]["lr"]
    scheduler = build_scheduler(recipe, built, 10)
    for _ in range(10):
        assert 0 < built.param_groups[0]["lr"] <= peak
        built.step()
        scheduler.step(*[1.0] * (schedule == "plateau"))


def test_one_cycle_gives_all_groups_its_own_momentum():
    groups = [
        {"params": nn.Linear(2, 2).parameters(), "momentum": momentum}
        for momentum in (0.6, 0.0)
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    build_scheduler(Recipe(""), optimizer, 60)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.95, 0.95]
