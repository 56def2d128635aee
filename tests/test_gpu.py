"""What only a GPU can show: its precisions, its batch norm, the heatmaps of the CPU."""

import pytest
import tiny
import torch
from tolerance import rounding
from torch import Tensor, nn

from sightline.data.datasets import draw_split
from sightline.data.loaders import BatchLoader
from sightline.heatmaps.explain import explain
from sightline.models import build_model
from sightline.training.engine import evaluate
from sightline.training.runtime import Runtime, choose_runtime
from sightline.training.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
]
STATISTICS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def network(norm: str = "batch") -> nn.Module:
    """Build a network whose norms have statistics and whose logits differ."""
    torch.manual_seed(0)
    model = build_model("resnet10", num_classes=10, norm=norm)
    with torch.no_grad():
        model(torch.randn(16, 3, 32, 32))
        model.head.weight.mul_(10)
    return model.eval()


def logits(runtime: Runtime) -> Tensor:
    """Return what the network says about some drawn shapes, (20, 10)."""
    batches = BatchLoader(draw_split(20, 0), batch_size=8, **STATISTICS)
    return evaluate(runtime.place(network()), batches, runtime=runtime).logits


def test_fp32_multiplies_with_all_bits_of_float32():
    choose_runtime("cuda", "tf32").activate()
    runtime = choose_runtime("cuda", "fp32")
    runtime.activate()
    torch.manual_seed(0)
    images, kernels = torch.randn(4, 64, 16, 16), torch.randn(32, 64, 1, 1)
    rows, columns = torch.randn(256, 64), torch.randn(64, 256)
    with runtime.autocast():
        maps = nn.functional.conv2d(images.cuda(), kernels.cuda()).cpu()
        product = (rows.cuda() @ columns.cuda()).cpu()
    # sums of 64 terms of two float32; TF32 has 10 bits, and is 80 times as far away
    expected = nn.functional.conv2d(images.double(), kernels.double())
    size = nn.functional.conv2d(images.abs(), kernels.abs()).max().item()
    assert (maps - expected).abs().max() < rounding(64, size)
    expected = rows.double() @ columns.double()
    size = (rows.abs() @ columns.abs()).max().item()
    assert (product - expected).abs().max() < rounding(64, size)


def test_bf16_comes_close_to_fp32_and_is_not_fp32():
    exact = logits(choose_runtime("cuda", "fp32"))
    short = logits(choose_runtime("cuda", "bf16"))
    # each of ten layers rounds its maps to bfloat16
    allowed = rounding(10, exact.abs().max().item(), torch.bfloat16)
    torch.testing.assert_close(short, exact, rtol=0, atol=allowed)
    assert not torch.equal(short, exact)


def test_a_gpu_says_what_a_cpu_says():
    on_gpu = logits(choose_runtime("cuda", "fp32"))
    on_cpu = logits(choose_runtime("cpu", "fp32"))
    # the longest sum, of 256 channels and 9 pixels, of each of ten layers
    allowed = rounding(10 * 256 * 9, on_cpu.abs().max().item())
    torch.testing.assert_close(on_gpu, on_cpu, rtol=0, atol=allowed)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam"])
def test_heatmaps_are_those_of_the_cpu(method):
    choose_runtime("cuda", "tf32").activate()  # heatmaps are in float32 all the same
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(6, 3, 32, 32, generator=generator)
    on_cpu = explain(network(), images, method=method)["layer4"]
    on_gpu = explain(network().cuda(), images.cuda(), method=method)["layer4"]
    assert torch.equal(on_gpu.targets, on_cpu.targets)
    assert on_gpu.heatmaps.device.type == "cpu"
    assert on_cpu.heatmaps.max() > 0.9
    # a sum over 128 channels, whose sizes add up to at most 6 times the range
    allowed = rounding(128, size=6)
    torch.testing.assert_close(on_gpu.heatmaps, on_cpu.heatmaps, rtol=0, atol=allowed)


def test_batch_norm_of_several_gpus_is_over_the_whole_batch():
    two = Runtime(torch.device("cuda"), "fp32", channels_last=True, world_size=2)
    plain = network()
    names, norms = set(plain.state_dict()), sum(map(is_batch_norm, plain.modules()))
    model = two.place(network())
    assert norms == sum(isinstance(m, nn.SyncBatchNorm) for m in model.modules()) > 0
    assert set(model.state_dict()) == names  # a run is read by one process, too
    assert all(weight.device.type == "cuda" for weight in model.parameters())
    assert not two.divides(model)


def is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d)


def test_batches_reach_the_gpu_unchanged():
    runtime = choose_runtime("cuda", "fp32")
    images, labels = torch.randn(5, 3, 32, 32), torch.arange(5)
    moved, of_them = runtime.move(images.pin_memory(), labels)
    assert moved.device.type == of_them.device.type == "cuda"
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(moved.cpu(), images) and torch.equal(of_them.cpu(), labels)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_run_of_a_gpu_is_read_on_a_cpu(tmp_path, precision):
    where = {"device": "cuda", "precision": precision, "progress": False}
    run = train(tiny.RECIPE, tiny.splits(), out=tmp_path / "run", **where)
    assert run.manifest["device"].startswith("cuda: ")
    model = run.load_model()
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert {weight.device.type for weight in model.parameters()} == {"cpu"}
    assert len(run.test.logits) == 20
