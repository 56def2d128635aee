"""Maps whose worth is known: they come out as they must."""

import pytest
import torch
from torch import nn

from sightline.heatmaps.controls import guided_backprop, inverted, occlusion
from sightline.models.resnet import resnet10

TARGETS = torch.tensor([0, 1, 1])


class Corner(nn.Module):
    """Its only evidence is the mean of the upper left corner."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images):
        corner = images[:, :, :4, :4].mean((1, 2, 3)) * self.weight
        return torch.stack([-corner, corner], 1)


def test_occlusion_finds_the_place_on_which_the_answer_depends():
    images = torch.ones(3, 3, 16, 16)
    maps = occlusion(4, 16)(Corner(), images, TARGETS)
    assert maps[0].max() == 0  # class 0 gains where the corner goes
    for found in maps[1:]:
        # the log-odds are twice the mean, and all of it is lost
        assert found[0, 0].item() == pytest.approx(2)
        assert found[6:, :].max() == 0 and found[:, 6:].max() == 0


def test_occlusion_has_cells_of_one_size_in_pictures_of_any():
    images = torch.ones(3, 3, 32, 32)
    maps = occlusion(4, 16)(Corner(), images, TARGETS)  # the same corner of 4 pixels
    assert maps[1, 0, 0].item() == pytest.approx(2) and maps[1, 6:].max() == 0


def test_what_was_brightest_is_zero_when_a_map_is_inverted():
    maps = torch.rand(3, 8, 8)
    found = inverted(lambda *asked: maps)(nn.Identity(), maps, TARGETS)
    assert torch.equal(found.flatten(1).argmin(1), maps.flatten(1).argmax(1))
    assert found.amin((1, 2)).tolist() == [0, 0, 0]


def test_guided_backprop_is_the_gradient_of_relus_that_drop_negative_ones():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(inplace=True)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    hooked = nn.Sequential(*layers[:3], nn.ReLU(), *model[4:])
    images, handles = torch.randn(3, 3, 12, 12), []
    for layer in hooked:
        if isinstance(layer, nn.ReLU):  # by hand, as it is usually done
            handles.append(
                layer.register_full_backward_hook(
                    lambda module, inner, outer: (inner[0].clamp_min(0),)
                )
            )
    leaf = images.clone().requires_grad_()
    hooked(leaf).gather(1, TARGETS[:, None]).sum().backward()
    for handle in handles:
        handle.remove()
    expected = leaf.grad.abs().amax(1)
    found = guided_backprop(model, images, TARGETS)
    torch.testing.assert_close(found, expected)
    assert found.max() > 0


def test_guided_backprop_replaces_relus_that_are_called_and_leaves_no_trace():
    torch.manual_seed(0)
    model = resnet10(num_classes=10)  # adds before it calls relu
    images = torch.randn(3, 3, 32, 32)
    model(images)
    model.eval()
    leaf = images.clone().requires_grad_()
    model(leaf).gather(1, TARGETS[:, None]).sum().backward()
    plain = leaf.grad.abs().amax(1)
    model.zero_grad(set_to_none=True)
    found = guided_backprop(model, images, TARGETS)
    assert (found - plain).abs().max() > 0.1 * plain.max()
    assert all(weight.grad is None for weight in model.parameters())
    leaf.grad = None
    model(leaf).gather(1, TARGETS[:, None]).sum().backward()
    torch.testing.assert_close(leaf.grad.abs().amax(1), plain)
