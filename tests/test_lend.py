"""Models come back as they were lent, each submodule by itself."""

import pytest
import torch
from torch import nn

from sightline.book import explorers
from sightline.models.lend import borrowed, evaluating
from sightline.models.resnet import resnet10
from sightline.models.summary import output_shapes, receptive_fields
from sightline.training.engine import evaluate
from sightline.training.runtime import choose_runtime


@pytest.fixture
def model():
    """A network in training, one stage of which is frozen in evaluation mode."""
    model = resnet10(num_classes=4).train()
    model.layer2.eval()
    return model


def modes(model):
    return {name: module.training for name, module in model.named_modules()}


def batches():
    return [(torch.randn(2, 3, 32, 32), torch.tensor([0, 1]))]


def explore(model):
    fields = receptive_fields(model)
    influence = dict.fromkeys(fields, torch.rand(256, 256))
    picture = torch.zeros(32, 32, 3, dtype=torch.uint8)
    colour = {"mean": (0.5,) * 3, "std": (0.2,) * 3}
    explorers.receptive_field(model, picture, influence, **colour)


USES = {
    "evaluate": lambda m: evaluate(m, batches(), runtime=choose_runtime("cpu")),
    "output_shapes": lambda m: output_shapes(m, ["layer3"], 32),
    "receptive_field": explore,
}


@pytest.mark.parametrize("use", USES)
def test_a_frozen_stage_of_a_model_in_training_stays_frozen(model, use):
    before = modes(model)
    USES[use](model)
    assert modes(model) == before
    assert not model.layer2.training and model.layer3.training


@pytest.mark.parametrize("use", USES)
def test_a_model_that_fails_comes_back_in_its_modes(model, use):
    def fail(module, inputs):
        raise ValueError("in the middle")

    model.layer3.register_forward_pre_hook(fail)
    before = modes(model)
    with pytest.raises(ValueError, match="in the middle"):
        USES[use](model)
    assert modes(model) == before


def test_evaluating_computes_no_gradients_and_borrowed_can(model):
    images = torch.randn(2, 3, 32, 32)
    with evaluating(model) as lent:
        assert lent is model and not any(modes(model).values())
        assert not lent(images).requires_grad
        with borrowed(model) as inner:
            assert inner(images.requires_grad_()).requires_grad
        assert not torch.is_grad_enabled() and not model.training
    assert torch.is_grad_enabled()


def test_a_compiled_model_is_lent_with_the_modes_of_its_original(model):
    compiled = torch.compile(model, backend="eager")
    before = modes(model)
    with evaluating(compiled):
        assert not any(modes(model).values())
    assert modes(model) == before and compiled.training


def test_the_mode_of_a_single_layer_is_restored():
    layer = nn.BatchNorm2d(3)
    with evaluating(layer):
        assert not layer.training
    assert layer.training
