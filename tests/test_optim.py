"""Which parameters decay, and what the optimizers are."""

import pytest
import torch

from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.optim import OPTIMIZERS, build_optimizer, parameter_groups


def test_gains_and_biases_do_not_decay_and_no_parameter_is_lost():
    model = build_model("resnet10", num_classes=10)
    decaying, others = parameter_groups(model, 5e-4)
    assert (decaying["weight_decay"], others["weight_decay"]) == (5e-4, 0.0)
    assert all(p.ndim > 1 for p in decaying["params"])
    assert len(decaying["params"]) + len(others["params"]) == len(
        list(model.parameters())
    )


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_the_fused_optimizer_steps_like_torchs_plain_one(name):
    def weights(fused: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 8)
        optimizer = build_optimizer(
            name, layer, lr=0.01, momentum=0.9, weight_decay=0.1
        )
        for group in optimizer.param_groups:
            group["fused"] = fused
        for _ in range(3):
            optimizer.zero_grad()
            layer(torch.ones(1, 8)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    torch.testing.assert_close(weights(True), weights(False))


def test_sgd_is_nesterov_unless_there_is_no_momentum():
    model = build_model("resnet10", num_classes=2)
    for momentum in (0.9, 0.0):
        optimizer = build_optimizer(
            "sgd", model, lr=0.1, momentum=momentum, weight_decay=0
        )
        assert optimizer.param_groups[0]["nesterov"] is (momentum > 0)


def test_unknown_optimizer_lists_those_that_exist():
    model = build_model("resnet10", num_classes=2)
    with pytest.raises(SightlineError, match="'lion'.*adam, adamw, sgd"):
        build_optimizer("lion", model, lr=0.1, momentum=0.9, weight_decay=0)
