"""Which parameters decay, and what the optimizers are."""

import copy
from dataclasses import replace

import pytest
import tiny
import torch

from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.training.optim import (
    OPTIMIZERS,
    Muon,
    add_l1,
    make_optimizer,
    muon_groups,
    orthogonalise,
    parameter_groups,
)


def test_gains_and_biases_do_not_decay_and_no_parameter_is_lost():
    model = build_model("resnet10", num_classes=10)
    decaying, others = parameter_groups(model, 5e-4)
    assert (decaying["weight_decay"], others["weight_decay"]) == (5e-4, 0.0)
    assert all(p.ndim > 1 for p in decaying["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(
        list(model.parameters())
    )


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_fused_optimizer_steps_like_torchs_plain_one(name):
    def weights(fused: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8)
        recipe = replace(tiny.RECIPE, optimizer=name, max_lr=0.01, weight_decay=0.1)
        optimizer = make_optimizer(recipe, layer)
        for group in optimizer.param_groups:
            group["fused"] = fused
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(1, 8)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    torch.testing.assert_close(weights(True), weights(False))


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("rmsprop", torch.optim.RMSprop, {"momentum": 0.8}),
        ("adagrad", torch.optim.Adagrad, {}),
    ],
)
def test_rmsprop_and_adagrad_are_torchs_with_the_values_of_the_recipe(
    name, kind, options
):
    def weights(make) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8, bias=False)
        optimizer = make(layer)
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(1, 8)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    values = {"max_lr": 0.01, "weight_decay": 0.1, "momentum": 0.8}
    recipe = replace(tiny.RECIPE, optimizer=name, **values)
    ours = weights(lambda layer: make_optimizer(recipe, layer))
    torchs = weights(
        lambda layer: kind(layer.parameters(), lr=0.01, weight_decay=0.1, **options)
    )
    torch.testing.assert_close(ours, torchs)


def test_sgd_is_nesterov_unless_there_is_no_momentum():
    model = build_model("resnet10", num_classes=2)
    for momentum in (0.9, 0.0):
        optimizer = make_optimizer(replace(tiny.RECIPE, momentum=momentum), model)
        assert optimizer.param_groups[0]["nesterov"] is (momentum > 0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_built_over_all_parameters_and_moves_them(name):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    model.append(torch.nn.Linear(4, 2))
    before = copy.deepcopy(model.state_dict())
    optimizer = make_optimizer(replace(tiny.RECIPE, optimizer=name), model)
    model(torch.ones(1, 3, 3, 3)).square().sum().backward()
    optimizer.step()
    for name, value in model.state_dict().items():
        assert not torch.equal(value, before[name])


def test_a_recipe_names_every_optimizer_that_exists_and_no_other():
    with pytest.raises(SightlineError, match="optimizer .* not lion") as caught:
        replace(tiny.RECIPE, optimizer="lion")
    listed = str(caught.value).partition("one of ")[2].partition(", not")[0]
    assert set(listed.split(", ")) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_l1_penalty_of_a_recipe_reaches_every_optimizer(name):
    def moved(l1: float) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(2, 2)
        recipe = replace(tiny.RECIPE, optimizer=name, l1=l1, head_lr=0.1, bias_lr=0.1)
        optimizer = make_optimizer(recipe, layer)
        layer(torch.tensor([[1.0, -1.0]])).square().sum().backward()
        optimizer.step()
        return layer.weight.detach()

    assert not torch.equal(moved(0.0), moved(1.0))


def test_decay_of_all_leaves_no_parameter_out():
    model = build_model("resnet10", num_classes=10)
    (group,) = parameter_groups(model, 5e-4, "all")
    assert len(group["params"]) == len(list(model.parameters()))
    assert group["weight_decay"] == 5e-4


def one_step_with_l1(of: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return a small net before and after one SGD step of rate 1 with L1 0.1."""
    torch.manual_seed(0)
    before = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
    after = copy.deepcopy(before)
    optimizer = torch.optim.SGD(after.parameters(), lr=1.0)
    add_l1(optimizer, 0.1, of)
    after(torch.ones(2, 4)).square().sum().mul(0).backward()
    optimizer.step()
    return before, after


def test_l1_of_kernels_moves_every_weight_by_the_factor_and_spares_the_rest():
    before, after = one_step_with_l1("kernels")
    expected = before[0].weight - 0.1 * before[0].weight.sign()
    torch.testing.assert_close(after[0].weight, expected)
    assert torch.equal(after[0].bias, before[0].bias)
    assert torch.equal(after[1].weight, before[1].weight)


def test_l1_of_means_equals_autograd_of_the_published_penalty():
    before, after = one_step_with_l1("means")
    penalty = 0.1 * sum(p.abs().mean() for p in before.parameters())
    gradients = torch.autograd.grad(penalty, list(before.parameters()))
    for p, q, gradient in zip(
        before.parameters(), after.parameters(), gradients, strict=True
    ):
        torch.testing.assert_close(q, p - gradient)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6)])
def test_orthogonalising_brings_singular_values_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = torch.linalg.svdvals(matrix / matrix.norm())
    after = torch.linalg.svdvals(orthogonalise(matrix, steps=5))
    assert before.min() < 0.3
    assert after.min() > 0.6
    assert after.max() < 1.3


def muon_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 16, 2, bias=False),
    )


RATES = {"lr": 0.1, "bias_lr": 0.02, "head_lr": 0.03, "weight_decay": 1e-3}


def test_muon_gives_kernels_biases_and_matrices_their_own_rates():
    kernels, biases, matrices = muon_groups(muon_net(), **RATES)
    assert [len(g["params"]) for g in (kernels, biases, matrices)] == [1, 1, 1]
    assert [g["lr"] for g in (kernels, biases, matrices)] == [0.1, 0.02, 0.03]
    assert "weight_decay" not in kernels
    assert matrices["lr"] * matrices["weight_decay"] == pytest.approx(1e-3)


def test_muon_trains_everything_but_kernels_like_nesterov_sgd():
    ours, theirs = muon_net(), muon_net()
    muon = Muon(muon_groups(ours, **RATES), lr=0.1, momentum=0.6)
    _, biases, matrices = muon_groups(theirs, **RATES)
    sgd = torch.optim.SGD([biases, matrices], lr=1.0, momentum=0.85, nesterov=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=generator)
            b.grad = a.grad.clone()
        muon.step()
        sgd.step()
    assert torch.allclose(ours[0].bias, theirs[0].bias, atol=1e-6)
    assert torch.allclose(ours[3].weight, theirs[3].weight, atol=1e-6)


def test_muon_resets_the_norm_of_a_kernel_and_lowers_the_loss():
    model = muon_net()
    optimizer = Muon(muon_groups(model, **RATES), lr=0.1, momentum=0.6)
    images = torch.randn(16, 3, 4, 4)
    labels = images.mean((1, 2, 3)).gt(0).long()
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert model[0].weight.norm().item() == pytest.approx(8**0.5, rel=0.15)


def test_muon_goes_on_from_its_saved_state():
    """Bit for bit, on one machine."""

    def steps(count: int, optimizer: Muon, model: torch.nn.Module) -> None:
        for step in range(count):
            for p in model.parameters():
                p.grad = torch.full_like(p, 0.1 * (step + 1))
            optimizer.step()

    first, second = muon_net(), muon_net()
    one = Muon(muon_groups(first, **RATES), lr=0.1, momentum=0.6)
    two = Muon(muon_groups(second, **RATES), lr=0.1, momentum=0.6)
    steps(2, one, first)
    second.load_state_dict(first.state_dict())
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    steps(1, one, first)
    steps(1, two, second)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
