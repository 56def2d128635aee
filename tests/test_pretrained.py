"""torchvision's weights in our network: the same numbers come out."""

import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from sightline.errors import SightlineError
from sightline.models import build_model
from sightline.models.pretrained import load_imagenet, rename


@pytest.fixture
def theirs():
    """A ResNet-18 of torchvision whose statistics are not those of a new one."""
    torch.manual_seed(0)
    model = resnet18()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.uniform_(0.5, 1.5)
    return model.eval()


def ours():
    return build_model("resnet18", num_classes=7, image_size=64, pretrained=True)


def features(model, images):
    """What comes before the head, (B, 512)."""
    kept = []
    name = "fc" if hasattr(model, "fc") else "head"
    hook = getattr(model, name).register_forward_pre_hook(
        lambda module, inputs: kept.append(inputs[0])
    )
    with torch.no_grad():
        model.eval()(images)
    hook.remove()
    return kept[0]


def test_features_are_torchvisions_and_the_head_is_our_own(theirs, monkeypatch):
    state = theirs.state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *a, **k: state)
    model = ours()
    head = model.head.weight.detach().clone()
    load_imagenet(model)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(
        features(model, images), features(theirs, images), atol=1e-5, rtol=1e-5
    )
    assert torch.equal(model.head.weight, head)
    assert model.head.out_features == 7


def test_every_weight_but_the_heads_has_a_place(theirs):
    own = {k for k in ours().state_dict() if not k.startswith("head.")}
    assert set(rename(theirs.state_dict())) == own


def test_the_download_is_verified_and_never_unpickled(theirs, monkeypatch):
    asked = {}

    def get(self, **options):
        asked.update(options)
        return theirs.state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", get)
    load_imagenet(ours())
    assert asked["check_hash"] and asked["weights_only"]


def test_without_a_network_the_message_names_the_file_and_the_way_without(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError("name resolution failed")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fail)
    with pytest.raises(SightlineError, match="name resolution failed") as raised:
        load_imagenet(ours())
    assert "resnet18-f37072fd.pth" in str(raised.value)
    assert "without --pretrained" in str(raised.value)


def test_a_download_that_has_changed_since_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"almost the weights")
    with pytest.raises(SightlineError, match=f"{file} is damaged.*begin with f37072fd"):
        load_imagenet(ours())
    assert file.read_bytes() == b"almost the weights"
