"""A run folder: only whole files, the same after a kill, clear when damaged."""

import json
import shutil
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
import tiny
import torch
from child import run_child
from safetensors.torch import load_file

from sightline.errors import RunError, SightlineError
from sightline.training import run as checkpoint
from sightline.training.engine import Epoch
from sightline.training.run import Run
from sightline.training.train import train

# trains in a child process that kills itself, as a power cut would, in epoch 2
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
import tiny
from sightline.data import loaders
from sightline.training import run as checkpoint
from sightline.training.train import train

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def mid_epoch():
    start, passes = loaders.BatchLoader.__iter__, []
    def batches(self):
        passes.append(self.shuffle)
        for number, batch in enumerate(start(self)):
            if sum(passes) == 2 and self.shuffle and number == 1:
                die()
            yield batch
    loaders.BatchLoader.__iter__ = batches

def mid_write():
    save, calls = torch.save, []
    def half(state, file):
        save(state, file)
        calls.append(file)
        if len(calls) == 2:
            whole = Path(file).read_bytes()
            Path(file).write_bytes(whole[: len(whole) // 2])
            die()
    torch.save = half

def before_the_move():
    replace, calls = os.replace, []
    def never(partial, path):
        calls.append(path.name)
        if calls.count("state.pt") == 2:
            die()
        replace(partial, path)
    os.replace = never

torch.set_num_threads(int(sys.argv[2]))
for scenario in (mid_epoch, mid_write, before_the_move):
    child = os.fork()
    if not child:
        scenario()
        out = Path(sys.argv[1]) / scenario.__name__
        train(tiny.RECIPE, tiny.splits(), out=out, **tiny.ON_CPU)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
SCENARIOS = ["mid_epoch", "mid_write", "before_the_move"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    return train(tiny.RECIPE, tiny.splits(), out=out, **tiny.ON_CPU)


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """Return a folder of runs that were killed in their second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    statuses = run_child(KILLED, folder, torch.get_num_threads()).split()
    assert statuses == [str(-signal.SIGKILL)] * len(SCENARIOS)
    return folder


def files(run: Run) -> list[str]:
    return sorted(path.name for path in run.path.iterdir())


def state(run: Run) -> dict:
    return torch.load(run.path / "state.pt", weights_only=True)


def row(epoch: int) -> dict:
    """Return a line of a history."""
    return asdict(Epoch(epoch, 1.0, 0.5, 1.0, 0.5, 0.1, 0.1, 2.0, 32.0))


def without_clock(run: Run) -> list[dict]:
    clock = "seconds", "images_per_second"
    return [{k: v for k, v in row.items() if k not in clock} for row in run.history]


def assert_same(one, other) -> None:
    """Compare nested dicts, lists and tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


@pytest.mark.processes
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_that_was_killed_and_resumed_equals_the_unbroken_one(
    whole, killed, scenario
):
    """Bit for bit, on one machine."""
    run = Run(killed / scenario)
    assert len(run.history) == 1
    states = [name for name in files(run) if name in ("state.pt", "state-before.pt")]
    assert states
    for name in states:  # whole, whatever happened
        torch.load(run.path / name, weights_only=True)
    partial = [name for name in files(run) if name.endswith(".partial")]
    assert bool(partial) == (scenario != "mid_epoch")

    train(tiny.RECIPE, tiny.splits(), out=run.path, resume=True, **tiny.ON_CPU)

    assert files(run) == files(whole)
    for name in ("model", "optimizer", "scheduler"):
        assert_same(state(run)[name], state(whole)[name])
    best = "weights.safetensors"
    assert (run.path / best).read_bytes() == (whole.path / best).read_bytes()
    assert torch.equal(run.test.logits, whole.test.logits)
    assert without_clock(run) == without_clock(whole)


def test_a_run_holds_what_its_docstring_lists(whole):
    listed = [
        line.split()[0]
        for line in checkpoint.__doc__.splitlines()
        if line.startswith(("lock ", "SHA256SUMS ", ".sightline "))
        or line.split(" ")[0].endswith((".json", ".jsonl", ".safetensors", ".pt"))
    ]
    assert "state-before.pt" in listed  # while there are epochs to come
    assert files(whole) == sorted({*listed} - {"state-before.pt"})


def test_the_recipe_of_a_run_is_the_one_that_it_was_trained_by(whole):
    assert whole.recipe == tiny.RECIPE


def test_the_best_weights_are_the_best_by_validation(whole):
    accuracies = [row["validation_accuracy"] for row in whole.history]
    last = max(accuracies) == accuracies[-1]
    same = all(
        torch.equal(value, state(whole)["model"][name])
        for name, value in load_file(whole.path / "weights.safetensors").items()
    )
    assert same == last
    assert whole.manifest["validation_accuracy"] == max(accuracies)


def test_weights_that_are_worse_by_validation_do_not_replace_the_best(tmp_path):
    run, model = Run(tmp_path / "run"), torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    run.save_epoch([row(1)], model, optimizer, None, best=True)
    best = model.weight.clone()
    torch.nn.init.zeros_(model.weight)
    run.save_epoch([row(1), row(2)], model, optimizer, None, best=False)
    kept = load_file(run.path / "weights.safetensors")
    assert torch.equal(kept["weight"], best)
    assert state(run)["model"]["weight"].eq(0).all()
    assert len(run.history) == 2


def test_a_model_comes_back_in_evaluation_mode_best_or_last(whole):
    for which in ("best", "last"):
        model = whole.load_model(which)
        assert not any(module.training for module in model.modules())
    assert_same(dict(model.state_dict()), state(whole)["model"])


def test_weights_that_are_neither_best_nor_last_are_refused(whole):
    with pytest.raises(SightlineError, match="'lsat'; choose best or last"):
        whole.load_model("lsat")


FULL_DISK = """
import resource, sys
import torch
from sightline.errors import RunError
from sightline.training.run import Run

run = Run.open(sys.argv[1])
model = run.load_model()
torch.nn.init.zeros_(model.stem[0].weight)
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
for best in (True, False):  # safetensors and torch fail each in its own way
    try:
        run.save_epoch([], model, optimizer, None, best=best)
    except RunError as error:
        print(error)
"""


@pytest.mark.processes
def test_a_disk_that_is_really_full_is_reported_for_every_kind_of_file(whole, tmp_path):
    pytest.importorskip("resource")
    folder = shutil.copytree(whole.path, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    messages = run_child(FULL_DISK, folder).splitlines()
    assert len(messages) == 2
    assert all("could not write" in message for message in messages)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_state_is_named_and_nobody_is_told_to_delete_it(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "state.pt").write_bytes(b"PK\x03\x04 half a file")
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(RunError, match=r"state\.pt is damaged.*put a copy") as raised:
        run.restore(model, optimizer, None)
    assert "delete" not in str(raised.value)


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match=r"is not a run: it has no weights\.safetensors"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match=r"recipe\.json is missing"):
        _ = Run(tmp_path).recipe
    (tmp_path / "recipe.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="not valid JSON"):
        _ = Run(tmp_path).recipe


def test_a_run_without_a_test_result_says_how_far_it_came(tmp_path):
    run = Run(tmp_path)
    run.write("recipe.json", {"name": "tiny", "epochs": 5})
    run.write_history([row(1), row(2)])
    with pytest.raises(RunError, match="2 of 5 epochs are done"):
        _ = run.test
    assert not run.finished


def test_weights_of_another_network_are_refused(whole, tmp_path):
    run = Run(tmp_path)
    for name in ("recipe.json", "manifest.json"):
        run.write(name, json.loads((whole.path / name).read_bytes()))
    run.write("recipe.json", whole.read("recipe.json") | {"model": "resnet18"})
    weights = (whole.path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(weights)
    with pytest.raises(RunError, match="Expected a resnet18 with 10 classes"):
        run.load_model()
