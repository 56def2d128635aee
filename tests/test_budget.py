"""What fits: memory is estimated as it is used, speed is measured, weights stay."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from sightline.models import build_model
from sightline.training import budget
from sightline.training.recipes import RECIPES
from sightline.training.runtime import choose_runtime

RECIPE = RECIPES["folder"]
CPU = choose_runtime("cpu", "fp32")


def test_what_backward_keeps_of_an_image_is_counted_exactly():
    """Of a real forward pass, every tensor that is kept, once."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        if not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    model = build_model(num_classes=3, **RECIPE.network).train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.randn(2, 3, 32, 32))
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del logits
    assert budget.build_on_paper(RECIPE, 3)[1] == pytest.approx(size / 2, rel=0.02)


def test_neither_estimate_nor_speed_takes_a_random_number():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    budget.memory_of(RECIPE, 100, 3)
    small = replace(RECIPE, batch_size=4)
    assert 0 < budget.speed_of(small, 3, CPU) < 1e6
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read as Linux has them")
def test_the_memory_that_is_said_is_the_memory_that_is_used():
    """Within a third, of a process that trains nothing else."""
    code = """if True:
        from dataclasses import replace
        import torch
        from sightline.training import budget
        from sightline.training.recipes import RECIPES
        from sightline.training.runtime import choose_runtime
        recipe = replace(RECIPES["folder"], image_size=128, batch_size=256)
        budget.speed_of(recipe, 10, choose_runtime("cpu", "fp32"))
        # not getrusage: what the parent had used counts in that
        with open("/proc/self/status", encoding="ascii") as status:
            lines = dict(line.split(":", 1) for line in status)
        peak = int(lines["VmHWM"].split()[0]) * 1024
        print(peak / budget.memory_of(recipe, 0, 10).total)
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    assert 2 / 3 < float(done.stdout) < 4 / 3


def test_pictures_are_not_enlarged_and_weights_to_start_from_are_not_left():
    def names(recipe, side, fixed=()):
        options = {"side": side, "many": True, "fixed": frozenset(fixed)}
        made = budget.candidates(recipe, **options)
        return [(each.image_size, each.model) for each in made]

    both = ["resnet18", "resnet10"]
    assert names(RECIPE, 20) == [(32, model) for model in both]
    assert names(RECIPE, 127)[:2] == [(96, model) for model in both]
    assert names(RECIPE, 64, {"model"}) == [(64, "resnet10"), (32, "resnet10")]
    assert names(RECIPE, 500, {"image_size"}) == [(32, model) for model in both]
    # which has no stem for larger pictures
    fast = replace(RECIPE, model="fast_net")
    assert names(fast, 500, {"model"}) == [(32, "fast_net")]
