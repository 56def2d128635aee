"""Heatmaps: equal to grad-cam's, honest about empty ones, and without a trace."""

import contextlib
import copy
import random
import subprocess
import sys

import numpy as np
import oracle
import pytest
import pytorch_grad_cam
import torch
import torch.nn.functional as F
from oracle import PACKAGE
from pytorch_grad_cam import GradCAM
from tolerance import rounding
from torch import Tensor, nn

from sightline.errors import SightlineError
from sightline.heatmaps.explain import Explanation, cam, explain
from sightline.heatmaps.layers import default_layers, find_layer
from sightline.heatmaps.localisation import pointing_game
from sightline.heatmaps.methods import METHODS, SLOW
from sightline.models.custom_resnet import custom_resnet
from sightline.models.dilated_net import dilated_net
from sightline.models.fast_net import fast_net
from sightline.models.resnet import resnet10
from sightline.plots.overlay import overlay

LAYERS = ("layer1", "layer2", "layer3", "layer4")
# to subtract, divide and resize takes some 16 operations on numbers up to 1
SCALING = rounding(16)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = resnet10(num_classes=10)
    with torch.no_grad():
        model(torch.randn(16, 3, 32, 32))  # gives the norms some statistics
        model.head.weight.mul_(10)
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def look_inside(model, images, layer, targets) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's output, its gradient, and the sizes of a logit's terms, (B,)."""
    seen = {}
    hooks = (
        find_layer(model, layer).register_forward_hook(
            lambda module, inputs, output: seen.update(maps=output)
        ),
        model.head.register_forward_pre_hook(
            lambda module, inputs: seen.update(features=inputs[0])
        ),
    )
    score = model(images).gather(1, targets[:, None]).sum()
    for hook in hooks:
        hook.remove()
    (gradients,) = torch.autograd.grad(score, seen["maps"])
    terms = (seen["features"] * model.head.weight[targets]).abs().sum(1)
    terms = terms + model.head.bias[targets].abs()
    return seen["maps"].detach(), gradients, terms.detach()


def over_range(size: Tensor, found: Explanation) -> Tensor:
    """Divide by the range of each map; a map without any is zero in all ways, (B,)."""
    spread = found.evidence.amax((1, 2)) - found.evidence.amin((1, 2))
    return torch.where(spread > 0, size / spread, 0)


def gradient_rounding(model, images, found: Explanation, method="grad_cam") -> Tensor:
    """Bound what rounding does to heatmaps of gradients and activations, (B,).

    A pixel is a sum over channels whose terms, and whose sums over positions, cancel:
    their sizes add up in the map of absolute values.
    """
    maps, gradients, _ = look_inside(model, images, found.layer, found.targets)
    size = METHODS[method](maps.abs(), gradients.abs()).amax((1, 2))
    if method == "eigen_cam":  # the largest deviation bounds the projection
        size = maps.flatten(1).norm(dim=1)
    terms = maps[0].numel()
    return SCALING + rounding(terms, over_range(size, found))


def shifted(model, size: float = 5.0):
    """Add one vector to every row of the head: no answer of the network changes."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        other.head.weight += size * torch.randn(
            model.head.in_features, generator=generator
        )
    return other


def ablation_rounding(model, images, found: Explanation) -> Tensor:
    """Bound what rounding does to heatmaps of AblationCAM, (B,).

    Its weights are (score - score without the channel) / score, a difference of nearly
    equal sums; their errors are those of different sums, so that squares add up.
    """
    maps, _, terms = look_inside(model, images, found.layer, found.targets)
    scores = model(images).detach().gather(1, found.targets[:, None])[:, 0]
    of_weights = 2 * rounding(model.head.in_features, terms) / scores.abs()
    size = of_weights * maps.norm(dim=1).amax((1, 2))
    return SCALING + over_range(size, found)


def assert_within(heatmaps: Tensor, others: Tensor, bound: Tensor) -> None:
    """Compare heatmaps pixel by pixel; every picture has a bound of its own."""
    used = (heatmaps - others).abs().amax((1, 2)) / bound
    assert (used <= 1).all(), f"differences over what is allowed: {used.tolist()}"


def assert_equals_package(found: Explanation, method, model, images) -> None:
    targets = found.targets.tolist()
    layer = find_layer(model, found.layer)
    package = oracle.heatmaps(method, model, images, layer, targets)
    bound = torch.full((len(images),), SCALING)
    if method in METHODS:
        bound = gradient_rounding(model, images, found, method)
    if method == "ablation_cam":
        bound = ablation_rounding(model, images, found)
    assert_within(found.heatmaps, package, bound)


def state_of(model):
    weights = list(model.parameters())
    return {
        "modes": [module.training for module in model.modules()],
        "frozen": [weight.requires_grad for weight in weights],
        "gradients": [weight.grad for weight in weights],  # the same tensors
        "values": [g if g is None else g.clone() for g in (w.grad for w in weights)],
        "hooks": [
            {k: list(v) for k, v in vars(module).items() if k.endswith("_hooks") and v}
            for module in model.modules()
        ],
        "buffers": [buffer.clone() for buffer in model.buffers()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),
    }


def assert_same_state(before, after):
    for name in ("modes", "frozen", "hooks"):
        assert before[name] == after[name], name
    for old, new in zip(before["gradients"], after["gradients"], strict=True):
        assert old is new
    for name in ("values", "buffers"):
        for old, new in zip(before[name], after[name], strict=True):
            assert old is new or torch.equal(old, new), name
    assert torch.equal(before["torch"], after["torch"])
    assert np.array_equal(before["numpy"], after["numpy"])


@pytest.fixture
def used_model(model, images):
    """A model in the middle of things: mixed modes, some gradients, some frozen."""
    model.train()
    model.layer2.eval()
    model.stem.requires_grad_(False)
    model.layer3.register_forward_hook(lambda module, inputs, output: None)
    model(images).square().sum().backward()
    model.head.weight.grad = None
    return model


# --- equality -----------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_by_hand_library_and_package_agree(model, images, layer):
    targets = torch.arange(len(images))
    found = explain(model, images, layers=layer, targets=targets)[layer]
    assert found.heatmaps.max() > 0.9
    assert_equals_package(found, "grad_cam", model, images)
    maps, gradients, _ = look_inside(model, images, layer, targets)
    evidence = (gradients.mean((2, 3), keepdim=True) * maps).sum(1).relu()
    large = F.interpolate(evidence[:, None], (32, 32), mode="bilinear")[:, 0]
    large = large - large.amin((1, 2), keepdim=True)
    by_hand = (large / large.amax((1, 2), keepdim=True)).nan_to_num()  # 0 / 0: blank
    assert_within(by_hand, found.heatmaps, gradient_rounding(model, images, found))


@pytest.mark.parametrize(
    "method", [*METHODS, *(pytest.param(m, marks=pytest.mark.slow) for m in SLOW)]
)
def test_every_method_equals_the_package_with_layers_in_any_order(
    model, images, method
):
    found = explain(model, images, layers=LAYERS[::-1], targets=3, method=method)
    assert list(found) == list(LAYERS[::-1])
    for layer in LAYERS:
        assert_equals_package(found[layer], method, model, images)


@pytest.mark.parametrize("method", PACKAGE)
def test_every_method_equals_the_package_for_several_classes_at_once(
    model, images, method
):
    classes = [0, 1, 2, 5, 5, 9]
    found = explain(model, images, layers="layer3", targets=classes, method=method)
    assert found["layer3"].targets.tolist() == classes
    assert_equals_package(found["layer3"], method, model, images)


@pytest.mark.parametrize("method", ["hires_cam", "x_grad_cam"])
def test_at_the_last_block_the_gradient_methods_agree(model, images, method):
    grad_cam = explain(model, images)["layer4"].heatmaps
    other = explain(model, images, method=method)["layer4"].heatmaps
    assert grad_cam.max() > 0.9
    # grad-cam's XGradCAM adds 1e-7 to its divisor
    torch.testing.assert_close(other, grad_cam, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "score_cam"])
def test_a_difference_is_the_map_of_a_model_whose_logit_is_the_difference(
    model, images, method
):
    targets, others = torch.arange(6), torch.tensor([5, 0, 1, 2, 3, 4])
    asked = {"targets": targets, "against": others, "method": method}
    found = explain(model, images, layers="layer3", **asked)["layer3"]
    for i in range(6):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            for values in (changed.head.weight, changed.head.bias):
                values[targets[i]] -= values[others[i]].clone()
        expected = explain(
            changed,
            images[i : i + 1],
            layers="layer3",
            targets=int(targets[i]),
            method=method,
        )["layer3"]
        # ScoreCAM's terms do not cancel: the bound is wide for it
        bound = gradient_rounding(changed, images[i : i + 1], expected)
        assert_within(found.heatmaps[i : i + 1], expected.heatmaps, bound)
    assert torch.equal(found.against, others)
    assert explain(model, images)["layer4"].against is None


@pytest.mark.parametrize(
    ("method", "status"), [("grad_cam", "blank"), ("ablation_cam", "not finite")]
)
def test_a_class_against_itself_leaves_no_evidence(model, images, method, status):
    found = explain(model, images, targets=2, against=2, method=method)["layer4"]
    assert found.status == [status] * 6  # AblationCAM divides by the score
    assert found.heatmaps.count_nonzero() == 0


@pytest.mark.parametrize("shift", [-4.0, 4.0])
def test_ablation_cam_is_the_same_whatever_the_sign_of_the_score(model, images, shift):
    """The head's bias moves all scores alike: without a channel they fall alike."""
    asked = {"layers": "layer4", "targets": 3, "method": "ablation_cam"}
    scores = model(images)[:, 3].detach()
    with torch.no_grad():
        model.head.bias[3] += scores.abs().max() + 1  # all positive
        expected = explain(model, images, **asked)["layer4"]
        model.head.bias[3] += shift
    found = explain(model, images, **asked)["layer4"]
    assert (model(images)[:, 3] < 0).all() == (shift < 0)
    assert expected.heatmaps.max() > 0.9
    bound = ablation_rounding(model, images, found)
    bound = bound + ablation_rounding(model, images, expected)
    assert_within(found.heatmaps, expected.heatmaps, bound)


@pytest.mark.parametrize("against", ["rest", "predicted"])
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam", "score_cam"])
def test_a_contrast_ignores_a_vector_added_to_every_row_of_the_head(
    model, images, against, method
):
    other, targets = shifted(model), torch.arange(6)
    before, after = model(images).softmax(1), other(images).softmax(1)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-4)
    asked = {"layers": "layer3", "targets": targets, "method": method}
    one, two = (
        explain(net, images, against=against, **asked)["layer3"]
        for net in (model, other)
    )
    assert one.status == two.status and one.heatmaps.max() > 0.9
    # the terms of the shifted head cancel: they are as large as its own
    for found in (one, two):
        bound = 2 * gradient_rounding(other, images, found)
        assert_within(one.heatmaps, two.heatmaps, bound)
    plain, moved = (explain(net, images, **asked)["layer3"] for net in (model, other))
    assert (plain.heatmaps - moved.heatmaps).abs().max() > 0.05


def test_whether_a_plain_map_is_blank_depends_on_what_no_answer_depends_on(
    model, images
):
    def blanks(net, against):
        return explain(net, images, targets=3, against=against)["layer4"].status

    ways = [copy.deepcopy(model) for _ in range(2)]
    for net, sign in zip(ways, (-1, 1), strict=True):
        with torch.no_grad():  # the features are not negative
            net.head.weight += sign * 10 * net.head.weight.abs().max()
    assert blanks(ways[0], None) == ["blank"] * 6
    assert "blank" not in blanks(ways[1], None)
    assert blanks(ways[0], "rest") == blanks(ways[1], "rest") == blanks(model, "rest")


def test_against_the_rest_explains_the_log_odds(model, images):
    targets = torch.arange(6)
    found = explain(model, images, layers="layer3", targets=targets, against="rest")
    seen = {}
    model.layer3.register_forward_hook(lambda m, i, output: seen.update(maps=output))
    probabilities = model(images).softmax(1).gather(1, targets[:, None])[:, 0]
    (gradients,) = torch.autograd.grad(probabilities.logit().sum(), seen["maps"])
    evidence = METHODS["grad_cam"](seen["maps"], gradients).relu().detach()
    torch.testing.assert_close(found["layer3"].evidence, evidence, rtol=1e-3, atol=1e-5)
    assert found["layer3"].against == "rest"


def test_the_cells_of_the_last_layer_add_up_to_the_difference_of_two_logits(
    model, images
):
    for_it, against_it = (
        explain(model, images, targets=one, against=other)["layer4"]
        for one, other in ((3, 7), (7, 3))
    )
    cells = for_it.evidence - against_it.evidence  # what speaks for 3, and for 7
    logits = model(images).detach()
    difference = logits[:, 3] - logits[:, 7]
    torch.testing.assert_close(for_it.scores, difference)
    of_biases = (model.head.bias[3] - model.head.bias[7]).item()  # they have no place
    torch.testing.assert_close(cells.sum((1, 2)) + of_biases, difference)


def test_the_score_against_the_rest_is_the_logit_minus_their_mean(model, images):
    logits = model(images).detach()
    others = logits[:, [0, 1, 2, 4, 5, 6, 7, 8, 9]]
    mean = (others.softmax(1) * others).sum(1)
    found = explain(model, images, targets=3, against="rest")["layer4"]
    torch.testing.assert_close(found.scores, logits[:, 3] - mean)


def test_the_size_of_the_logits_decides_neither_blank_nor_even(model, images):
    expected = explain(model, images, layers=LAYERS, targets=4)
    with torch.no_grad():
        model.head.weight.mul_(2.0**-40)
    found = explain(model, images, layers=LAYERS, targets=4)
    for layer in LAYERS:
        assert found[layer].status == expected[layer].status
        assert torch.equal(found[layer].heatmaps, expected[layer].heatmaps)
    assert found["layer4"].evidence.max() < 1e-9 < found["layer4"].heatmaps.max()


def test_scores_take_maps_from_which_no_minimum_was_subtracted(model, images):
    found = explain(model, images, layers="layer2", method="layer_cam")["layer2"]
    enlarged = F.interpolate(found.evidence[:, None], (32, 32), mode="bilinear")[:, 0]
    assert torch.equal(found.enlarged, enlarged) and enlarged.amin((1, 2)).max() > 0
    assert torch.equal(
        cam("layer_cam", "layer2")(model, images, found.targets), enlarged
    )


def test_eigen_cam_knows_no_class(model, images):
    one, other = (
        explain(model, images, targets=target, method="eigen_cam")["layer4"].heatmaps
        for target in (0, 1)
    )
    assert torch.equal(one, other) and one.max() > 0.9


def test_a_layer_whose_output_is_overwritten_later_is_recorded_as_it_was():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(4, 3, 12, 12)
    in_place = explain(model, images, layers="1", targets=2, method="hires_cam")["1"]
    model[2].inplace = False
    expected = explain(model, images, layers="1", targets=2, method="hires_cam")["1"]
    assert torch.equal(in_place.heatmaps, expected.heatmaps)
    assert expected.heatmaps.max() > 0.9


def test_batch_size_does_not_change_the_maps(model, images):
    one = explain(model, images, layers="layer3", batch_size=4)["layer3"]
    other = explain(model, images, layers="layer3", batch_size=100)["layer3"]
    bound = gradient_rounding(model, images, one)
    assert_within(one.heatmaps, other.heatmaps, bound)
    assert torch.equal(one.targets, other.targets)


def test_evidence_is_the_unscaled_map_that_the_heatmap_enlarges(model, images):
    found = explain(model, images, layers=LAYERS, targets=1, method="layer_cam")
    for layer, side in zip(LAYERS, (32, 16, 8, 4), strict=True):
        assert found[layer].evidence.shape == (6, side, side)
        assert found[layer].heatmaps.shape == (6, 32, 32)
        assert found[layer].evidence.min() >= 0
    evidence = found["layer1"].evidence  # has the size of the heatmap already
    lowest = evidence.amin((1, 2), keepdim=True)
    scaled = (evidence - lowest) / (evidence.amax((1, 2), keepdim=True) - lowest)
    torch.testing.assert_close(found["layer1"].heatmaps, scaled, rtol=0, atol=SCALING)


def test_no_images_give_no_maps(model):
    found = explain(model, torch.empty(0, 3, 32, 32), layers=["layer2", "layer4"])
    assert found["layer2"].heatmaps.shape == (0, 32, 32)
    assert found["layer4"].status == []


# --- targets ------------------------------------------------------------------


def test_targets_are_the_predicted_classes_one_class_or_one_per_image(model, images):
    predicted = model(images).argmax(1)
    labels = (predicted + 1) % 10
    of_predicted = explain(model, images)["layer4"]
    of_labels = explain(model, images, targets=labels)["layer4"]
    of_two = explain(model, images, targets=2)["layer4"]
    assert torch.equal(of_predicted.targets, predicted)
    assert torch.equal(of_labels.targets, labels)
    assert of_two.targets.tolist() == [2] * 6
    again = explain(model, images, targets=predicted.tolist())["layer4"]
    assert torch.equal(again.heatmaps, of_predicted.heatmaps)
    assert not torch.allclose(of_labels.heatmaps, of_predicted.heatmaps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"targets": [1, 2]}, "2 targets for 6 images: give one per image"),
        ({"targets": "actual"}, "unknown targets 'actual'; give 'predicted', a class"),
        ({"targets": "rest"}, "unknown targets 'rest'"),
        ({"against": "others"}, "unknown targets 'others'; give 'rest' or 'predicted'"),
        ({"targets": 10}, "target 10 is not a class: the model has 10"),
        ({"targets": -1}, "target -1 is not a class"),
        ({"targets": torch.zeros(6)}, "type torch.float32: expected class numbers"),
        ({"layers": "layer5"}, "unknown layer 'layer5'.*stem, layer1.*layer4.*head"),
        ({"layers": ""}, "unknown layer ''"),
        ({"layers": "head"}, r"layer 'head' gives \(6, 10\), not maps"),
        ({"method": "magic"}, "unknown method 'magic'; choose from: grad_cam, hires"),
    ],
)
def test_a_wrong_argument_is_named_with_the_remedy(model, images, arguments, message):
    before = state_of(model)
    with pytest.raises(SightlineError, match=message):
        explain(model, images, **arguments)
    assert_same_state(before, state_of(model))


def test_pictures_that_are_not_a_normalised_batch_are_refused(model, images):
    with pytest.raises(SightlineError, match="torch.uint8: expected a normalised"):
        explain(model, images.to(torch.uint8))
    with pytest.raises(SightlineError, match=r"shape \(3, 32, 32\)"):
        explain(model, images[0])


def test_a_layer_that_the_logits_do_not_depend_on_is_refused(model, images):
    model.extra = nn.Conv2d(3, 3, 1)
    with pytest.raises(SightlineError, match="'extra' has no part in the logits"):
        explain(model, images, layers="extra")


def test_a_stage_means_its_last_block(model):
    assert find_layer(model, "layer3") is model.layer3[-1]
    assert find_layer(model, "layer3.0.conv1") is model.layer3[0].conv1


def test_default_layers_are_the_last_two_that_give_more_than_one_position(model):
    assert default_layers(model, 32) == ["layer3", "layer4"]
    assert default_layers(model, 8) == ["layer2", "layer3"]  # layer4 is 1×1


@pytest.mark.parametrize(
    ("build", "layers"),
    [
        (lambda: custom_resnet(num_classes=10, width=8), {"layer2": 8, "layer3": 4}),
        (lambda: dilated_net(num_classes=10), {"layer3": 16, "layer4": 16}),
        (
            lambda: fast_net(num_classes=10, widths=(8, 8, 8)),
            {"layer2": 7, "layer3": 3},
        ),
    ],
    ids=["custom_resnet", "dilated_net", "fast_net"],
)
def test_every_network_can_be_explained_at_its_default_layers(build, layers, images):
    torch.manual_seed(0)
    other = build()
    other(images)  # gives the norms some statistics
    found = explain(other, images, layers=default_layers(other, 32), targets=range(6))
    assert {name: maps.evidence.shape[-1] for name, maps in found.items()} == layers
    assert any(status == "ok" for maps in found.values() for status in maps.status)


# --- no trace -----------------------------------------------------------------


@pytest.mark.parametrize(
    "surroundings",
    [
        contextlib.nullcontext,
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
    ids=["nothing", "no_grad", "inference_mode", "bf16 autocast"],
)
def test_the_model_is_as_before_and_the_maps_are_the_same_in_any_surroundings(
    used_model, images, surroundings
):
    labels = [0, 1, 2, 3, 4, 5]
    expected = explain(used_model, images, layers=LAYERS, targets=labels)
    before = state_of(used_model)
    with surroundings():
        found = explain(used_model, images.clone(), layers=LAYERS, targets=labels)
        explain(used_model, images.clone())
    assert_same_state(before, state_of(used_model))
    for layer in LAYERS:
        assert torch.equal(found[layer].heatmaps, expected[layer].heatmaps)
    assert not images.requires_grad


@pytest.mark.parametrize("method", PACKAGE)
def test_no_method_leaves_a_trace_or_prints(used_model, images, method, capfd):
    before, layers = state_of(used_model), list(used_model.modules())
    explain(used_model, images[:2], layers=["layer3", "layer4"], method=method)
    assert_same_state(before, state_of(used_model))
    assert all(a is b for a, b in zip(layers, used_model.modules(), strict=True))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", ["score_cam", "ablation_cam"])
def test_a_slow_method_that_fails_leaves_the_model_as_it_was(
    used_model, images, method
):
    passes, layers = [], list(used_model.modules())

    def fail(module, inputs):
        passes.append(module)
        if len(passes) == 3:
            raise RuntimeError("at the third pass")

    handle = used_model.head.register_forward_pre_hook(fail)
    before = state_of(used_model)
    with pytest.raises(RuntimeError, match="at the third pass"):
        explain(used_model, images, layers="layer3", method=method)
    assert_same_state(before, state_of(used_model))
    assert all(a is b for a, b in zip(layers, used_model.modules(), strict=True))
    handle.remove()


def test_weights_in_half_precision_are_explained_in_32_bits(model, images):
    half = model.bfloat16()
    expected = explain(copy.deepcopy(half).float(), images)["layer4"]
    found = explain(half, images)["layer4"]
    assert torch.equal(found.heatmaps, expected.heatmaps)
    assert found.evidence.dtype == torch.float32
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("kind", ["wrapped", "in place"])
def test_a_compiled_model_is_explained_without_compiling(model, images, kind):
    expected = explain(model, images)["layer4"]
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    if kind == "wrapped":
        model = torch.compile(model, backend=backend)
    else:
        model.compile(backend=backend)
    found = explain(model, images)["layer4"]
    assert torch.equal(found.heatmaps, expected.heatmaps) and not compiled
    with torch.no_grad():
        model(images)
    assert compiled  # it still compiles when it is used


def test_a_compiled_part_is_not_compiled_again(model, images):
    expected = explain(model, images, layers=["layer3", "layer4"])
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model.layer4 = torch.compile(model.layer4, backend=backend)
    with torch.no_grad():
        model(images)
    before = len(compiled)
    found = explain(model, images, layers=["layer3", "layer4"])
    for layer, maps in expected.items():
        assert torch.equal(found[layer].heatmaps, maps.heatmaps)
    with torch.no_grad():
        model(images)
    assert len(compiled) == before > 0


def test_a_model_that_draws_numbers_takes_none_from_the_caller(model, images):
    def noisy(module, inputs):
        scale = np.random.rand() + random.random()
        return (inputs[0] + 0.01 * scale * torch.randn_like(inputs[0]),)

    handle = model.register_forward_pre_hook(noisy)
    before, python = state_of(model), random.getstate()
    found = explain(model, images)["layer4"]
    assert_same_state(before, state_of(model))
    assert random.getstate() == python
    handle.remove()
    assert not torch.equal(found.evidence, explain(model, images)["layer4"].evidence)


@pytest.mark.processes
def test_gradient_methods_import_neither_the_package_nor_what_comes_with_it():
    code = """
import sys, torch
from sightline.heatmaps.explain import explain
from sightline.heatmaps.methods import METHODS
from sightline.models.resnet import resnet10
for method in METHODS:
    explain(resnet10(num_classes=3), torch.rand(2, 3, 32, 32), method=method)
heavy = {"pytorch_grad_cam", "sklearn", "scipy", "torchvision", "torch._dynamo",
         "torchinfo", "pandas", "albumentations", "matplotlib"}
print(sorted(heavy & set(sys.modules)))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("output", [{"logits": 0}, torch.zeros(6, 2, 3, 3)])
def test_a_model_that_gives_no_logits_is_refused(model, images, output):
    model.register_forward_hook(lambda module, inputs, logits: output)
    with pytest.raises(SightlineError, match=r"the model gives .*, expected logits"):
        explain(model, images)


def test_score_cam_takes_one_picture_at_a_time(model, images, monkeypatch):
    counts, own = [], pytorch_grad_cam.ScoreCAM.get_cam_weights

    def counted(self, batch, *others):
        counts.append(len(batch))
        return own(self, batch, *others)

    monkeypatch.setattr(pytorch_grad_cam.ScoreCAM, "get_cam_weights", counted)
    explain(model, images[:3], method="score_cam")
    assert counts == [1, 1, 1]


def test_the_model_is_as_before_when_it_fails_in_the_middle(used_model, images):
    def fail(module, inputs):
        raise IndexError("in the middle")

    handle = used_model.layer4.register_forward_pre_hook(fail)
    before = state_of(used_model)
    with pytest.raises(IndexError, match="in the middle"):  # grad-cam swallows it
        explain(used_model, images, layers=LAYERS)
    assert_same_state(before, state_of(used_model))
    handle.remove()


def test_the_package_alone_does_leave_traces(used_model, images):
    before = state_of(used_model)
    GradCAM(used_model, [used_model.layer4[-1]])(images, None)
    with pytest.raises(AssertionError):
        assert_same_state(before, state_of(used_model))


def test_a_frozen_model_can_be_explained(model, images):
    expected = explain(model, images)["layer4"].heatmaps
    model.requires_grad_(False)
    assert torch.equal(explain(model, images)["layer4"].heatmaps, expected)


# --- maps that show nothing ---------------------------------------------------


def test_a_model_without_evidence_gives_blank_maps(model, images):
    nn.init.zeros_(model.head.weight)
    found = explain(model, images, layers=["layer1", "layer4"], targets=0)
    for layer in found.values():
        assert layer.status == ["blank"] * 6
        assert layer.heatmaps.count_nonzero() == 0
        assert layer.evidence.count_nonzero() == 0


def test_a_picture_with_nan_is_reported_and_leaves_the_others_alone(model, images):
    expected = explain(model, images, layers=LAYERS, targets=4)
    images[2, 0, 5, 5] = torch.nan
    found = explain(model, images, layers=LAYERS, targets=4)
    others = [0, 1, 3, 4, 5]
    for layer in LAYERS:
        assert found[layer].status[2] == "not finite"
        assert found[layer].heatmaps[2].count_nonzero() == 0
        torch.testing.assert_close(
            found[layer].heatmaps[others], expected[layer].heatmaps[others]
        )
        for i in others:
            assert found[layer].status[i] == expected[layer].status[i]


def test_maps_that_are_not_blank_reach_from_zero_to_one(model, images):
    for found in explain(model, images, layers=LAYERS, method="layer_cam").values():
        assert found.status == ["ok"] * 6
        torch.testing.assert_close(found.heatmaps.amax((1, 2)), torch.ones(6))
        assert found.heatmaps.min() >= 0


def test_a_map_of_one_position_is_even_where_there_is_evidence(model, images):
    small = images[:, :, :8, :8]
    found = explain(model, small, layers="layer4", targets=[0, 1, 2, 3, 4, 5])["layer4"]
    assert found.evidence.shape == (6, 1, 1)
    evident = found.evidence[:, 0, 0] > 0
    assert evident.any() and not evident.all()
    assert found.status == ["even" if each else "blank" for each in evident]
    assert (found.heatmaps == evident[:, None, None]).all()
    quarter = torch.zeros(6, 8, 8, dtype=torch.bool)
    quarter[:, :4, :4] = True
    hits = pointing_game(found.heatmaps, quarter)
    assert (hits[evident] == 0.25).all() and hits[~evident].isnan().all()


# --- overlay ------------------------------------------------------------------


def test_overlay_keeps_shape_and_type_for_one_picture_and_for_many():
    images = torch.randint(0, 256, (5, 8, 8, 3), dtype=torch.uint8)
    many = overlay(images, torch.rand(5, 8, 8))
    assert many.shape == images.shape and many.dtype == torch.uint8
    one = overlay(images[0].numpy(), np.zeros((8, 8), dtype=np.float32))
    assert one.shape == (8, 8, 3) and one.dtype == torch.uint8


def test_overlay_of_no_opacity_is_the_grey_picture_and_of_full_the_colours():
    image = torch.tensor([[[255, 255, 255], [255, 0, 0]]], dtype=torch.uint8)
    grey = overlay(image, torch.ones(1, 2), opacity=0)
    assert grey.tolist() == [[[255] * 3, [76] * 3]]  # 0.299 · 255
    colours = overlay(image, torch.ones(1, 2), opacity=1)
    assert torch.equal(colours[0, 0], colours[0, 1])


def test_overlay_grows_lighter_with_the_evidence():
    image = torch.full((1, 11, 3), 128, dtype=torch.uint8)
    mixed = overlay(image, torch.linspace(0, 1, 11)[None]).float()
    lightness = mixed @ torch.tensor([0.2126, 0.7152, 0.0722])
    assert (lightness.diff() > 0).all()
