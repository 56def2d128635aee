"""A run folder that is damaged, incomplete or somebody else's: said, and left alone."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import save_file

from sightline.errors import RunError, SightlineError
from sightline.training import parts
from sightline.training import train as module
from sightline.training.engine import Epoch
from sightline.training.run import Run
from sightline.training.run_files import SHAPES
from sightline.training.train import train

RECIPE = replace(tiny.RECIPE, epochs=3)
FILES = [
    "recipe.json",
    "manifest.json",
    "history.jsonl",
    "weights.safetensors",
    "state.pt",
    "test.safetensors",
]


def go(out: Path, **options) -> Run:
    return train(RECIPE, tiny.splits(), out=out, **tiny.ON_CPU, **options)


def cut_off(out: Path, epochs: int, **options) -> Run:
    """Train until power is lost after some epochs of this command."""
    fit = module.fit

    def until(*args, **kwargs):
        passes = fit(*args, **kwargs)
        for _ in range(epochs):
            yield next(passes)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", until)
        with pytest.raises(KeyboardInterrupt):
            go(out, **options)
    return Run(out)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Return the folder of a run that nothing disturbed."""
    return go(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """Return the folder of a run that was cut off twice, after its second epoch."""
    out = tmp_path_factory.mktemp("half") / "run"
    cut_off(out, 1)
    return cut_off(out, 1, resume=True).path


@pytest.fixture
def finished(whole, tmp_path) -> Run:
    """Return a finished run to do harm to."""
    return Run(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture
def unfinished(half, tmp_path) -> Run:
    """Return a run to do harm to, which has an epoch to come."""
    return Run(shutil.copytree(half, tmp_path / "run"))


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def row(epoch: int) -> dict:
    """Return a line of a history."""
    return asdict(Epoch(epoch, 1.0, 0.5, 1.0, 0.5, 0.1, 0.1, 2.0, 32.0))


def flip_a_bit(file: Path, share: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(len(content) * share)] ^= 1
    file.write_bytes(content)


def read_everything(run: Run) -> None:
    assert run.recipe.epochs == len(run.history) and run.classes and run.test
    run.load_model("best")
    run.load_model("last")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.3, 0.999])
def test_one_flipped_bit_is_named_with_a_remedy(finished, name, share):
    read_everything(finished)
    flip_a_bit(finished.path / name, share)
    with pytest.raises(RunError, match=rf"{name} is damaged.*SHA-256.*; \w+") as raised:
        read_everything(finished)
    assert "delete" not in str(raised.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"7", b"\xff{", b"[" * 9999])
def test_damage_without_checksums_is_one_message(finished, name, content):
    (finished.path / "SHA256SUMS").unlink()
    (finished.path / name).write_bytes(content)
    if name == "history.jsonl" and not content:
        return  # of no epoch yet
    with pytest.raises(RunError, match=rf"{name} is damaged"):
        read_everything(finished)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_the_place_of_a_file_is_one_message(finished, name):
    (finished.path / name).unlink()
    (finished.path / name).mkdir()
    with pytest.raises(RunError, match=rf"{name} cannot be read"):
        read_everything(finished)


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("manifest.json", {"classes": [1, 2]}, r"classes\[0\] is 1, not of the type"),
        ("manifest.json", {"std": [0.0, 0.0, 0.0]}, "std must be .* above 0"),
        ("manifest.json", {"mean": [float("nan")] * 3}, r"mean\[0\] is nan"),
        ("manifest.json", {"test": {"accuracy": "high", "loss": 1}}, "accuracy is"),
        ("recipe.json", {"max_lr": "fast"}, "max_lr must be a number, not fast"),
        ("recipe.json", {"epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ("recipe.json", {"image_size": 32.0}, "image_size must be one of 32, 64"),
        ("recipe.json", {"nesterov": 1}, "nesterov must be true or false, not 1"),
        ("recipe.json", {"model": ["resnet18"]}, "model must be a text"),
        ("recipe.json", {"augmentation": 4}, "augmentation is 4, not of the type"),
    ],
)
def test_a_value_that_cannot_be_is_named(finished, name, change, reason):
    finished.write(
        name, json.loads((finished.path / name).read_text(encoding="utf-8")) | change
    )
    with pytest.raises(SightlineError, match=reason):
        finished.classifier(tiny_runtime())
        read_everything(finished)


def tiny_runtime():
    return module.choose_runtime("cpu", "fp32")


def test_a_row_of_a_history_is_an_epoch():
    assert SHAPES["history.jsonl"] == Epoch.__annotations__


@pytest.mark.parametrize(
    "change",
    [
        {"logits": torch.full((20, 10), torch.nan)},
        {"logits": torch.zeros(20, 9)},
        {"logits": torch.zeros(19, 10)},
        {"labels": torch.full((20,), 10)},
        {"labels": torch.zeros(20)},
        {"labels": torch.tensor(1)},
    ],
)
def test_test_results_that_cannot_be_are_no_results(finished, change):
    tensors = {"logits": torch.zeros(20, 10), "labels": torch.zeros(20).long()}
    finished.keep("test.safetensors", lambda file: save_file(tensors | change, file))
    with pytest.raises(RunError, match=r"test\.safetensors is damaged"):
        _ = finished.test


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_of_nan_are_refused_by_name(finished, number):
    weights = finished.load_model().state_dict()
    weights["head.weight"][0, 0] = number
    finished.keep("weights.safetensors", lambda file: save_file(weights, file))
    with pytest.raises(SightlineError, match="head.weight in .* NaN or infinity"):
        finished.load_model()


def same(one: Run, other: Run) -> bool:
    """Tell whether two runs ended alike, bit for bit."""
    theirs = other.load_model("last").state_dict()
    return torch.equal(one.test.logits, other.test.logits) and all(
        torch.equal(value, theirs[name])
        for name, value in one.load_model("last").state_dict().items()
    )


def test_a_run_that_was_cut_off_and_resumed_twice_equals_the_unbroken_one(
    unfinished, whole, capsys
):
    assert {"state.pt", "state-before.pt"} < contents(unfinished.path).keys()
    run = go(unfinished.path, resume=True)
    assert same(run, Run(whole)) and "note" not in capsys.readouterr().err
    assert contents(run.path).keys() == contents(whole).keys()


def break_state(folder: Path) -> None:
    flip_a_bit(folder / "state.pt")


def remove_state(folder: Path) -> None:
    (folder / "state.pt").unlink()


@pytest.mark.parametrize("harm", [break_state, remove_state])
def test_a_lost_state_is_said_and_the_one_before_it_goes_on(
    unfinished, whole, capsys, harm
):
    harm(unfinished.path)
    run = go(unfinished.path, resume=True)
    said = capsys.readouterr().err
    assert "state.pt is missing or damaged: going on after epoch 1" in said
    assert same(run, Run(whole))
    assert [row["epoch"] for row in run.history] == [1, 2, 3]


def test_a_damaged_history_is_written_again_from_the_state(unfinished):
    history = unfinished.history
    flip_a_bit(unfinished.path / "history.jsonl")
    with pytest.raises(RunError, match="go on with --resume, which writes it again"):
        _ = unfinished.history
    unfinished.recover()
    assert unfinished.history == history


@pytest.mark.parametrize("finish", ["finished", "unfinished"])
def test_the_history_of_any_run_comes_back_by_a_resume(finish, request, monkeypatch):
    run = request.getfixturevalue(finish)
    history = run.history
    (run.path / "history.jsonl").unlink()
    monkeypatch.setattr(module.Training, "finish", lambda *_, **__: None)
    assert go(run.path, resume=True).history == history


@pytest.mark.parametrize("harm", [break_state, remove_state])
def test_without_any_whole_state_nothing_starts_anew(unfinished, harm):
    harm(unfinished.path)
    flip_a_bit(unfinished.path / "state-before.pt")
    before = contents(unfinished.path)
    with pytest.raises(RunError, match=r"state.*damaged.*or train again into") as said:
        go(unfinished.path, resume=True)
    assert contents(unfinished.path) == before
    assert "delete" not in str(said.value)


@pytest.mark.parametrize("states", ["both", "before", "none"])
def test_a_pretrained_run_starts_from_imagenet_or_not_at_all(
    unfinished, states, monkeypatch
):
    class Stop(Exception):
        """Ends the training where the network would be built."""

    def build(*_, blank, **__):
        raise Stop(blank)

    monkeypatch.setattr(module, "build", build)
    assert "blank" in parts.build.__kwdefaults__
    if states != "both":
        (unfinished.path / "state.pt").unlink()
    if states == "none":
        (unfinished.path / "state-before.pt").unlink()
        with pytest.raises(RunError, match=r"state\.pt is missing"):
            go(unfinished.path, resume=True)
        (unfinished.path / "history.jsonl").unlink()  # killed in its first epoch
    with pytest.raises(Stop) as stop:
        go(unfinished.path, resume=True)
    assert stop.value.args == (states != "none",)


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_whose_recipe_is_gone_is_not_taken_over(unfinished, resume):
    (unfinished.path / "recipe.json").unlink()
    before = contents(unfinished.path)
    with pytest.raises(RunError, match=r"cannot be gone on with: recipe\.json is miss"):
        go(unfinished.path, resume=resume)
    assert contents(unfinished.path) == before
    (unfinished.path / ".sightline").unlink()  # of a version before markers
    with pytest.raises(RunError, match="no run that sightline made"):
        go(unfinished.path, resume=resume)


def test_a_state_of_another_network_is_one_message(unfinished):
    state = {"model": {}, "optimizer": {}, "scheduler": {}, "history": []}
    unfinished.keep("state.pt", lambda file: torch.save(state, file))
    with pytest.raises(RunError, match=r"state\.pt is of another training"):
        unfinished.restore(torch.nn.Linear(1, 1), None, None)


def test_a_training_leaves_a_folder_of_somebody_else_as_it_is(tmp_path):
    for name in (
        "manifest.json",
        "lock",
        ".notes.partial",
        ".tmpabcdef",
        "history.jsonl",
    ):
        (tmp_path / name).write_text(f"my {name}", encoding="utf-8")
    before = contents(tmp_path)
    for resume in (True, False):
        with pytest.raises(RunError, match="is not empty, and is no run"):
            go(tmp_path, resume=resume)
    assert contents(tmp_path) == before


def test_what_safetensors_left_is_removed_from_a_run_of_ours(unfinished):
    for name in (".tmpabcdef", ".state.pt.01234567.partial"):
        (unfinished.path / name).write_text("half a file", encoding="utf-8")
    (unfinished.path / "notes.tmp").write_text("mine", encoding="utf-8")
    with unfinished.locked():
        names = contents(unfinished.path).keys()
    assert not [name for name in names if name.startswith(".tmp") or "partial" in name]
    assert "notes.tmp" in names


@pytest.mark.parametrize("place", ["file", "file/run", "n" * 300, "/proc/run"])
def test_an_out_that_cannot_be_a_folder_is_named(tmp_path, place):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(
        RunError, match="cannot be a folder to write to .*another --out"
    ):
        go(tmp_path / place)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_going_on_with_another_number_of_threads_is_recorded_and_said(
    unfinished, monkeypatch, capsys
):
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 7)
    monkeypatch.setattr(module.Training, "finish", lambda *_, **__: None)
    run = go(unfinished.path, resume=True)
    assert f"threads {threads} → {threads + 7}" in capsys.readouterr().err
    assert [machine["threads"] for machine in run.manifest["resumed_on"]] == [
        threads + 7
    ]


def test_a_save_that_ends_anywhere_loses_one_epoch_at_most(tmp_path, monkeypatch):
    """However often it happens: between any two moves of a file, twice each."""
    model, move = torch.nn.Linear(2, 2), os.replace
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    history: list[dict] = []
    monkeypatch.setattr(os, "fsync", lambda file: None)  # slow, and no power is lost
    for last in [9, 9, *sorted([*range(8), *range(8)])]:
        run, moves = Run(tmp_path), []

        def killed(source, target, last=last, moves=moves):
            if len(moves) == last:
                raise KeyboardInterrupt
            moves.append(target)
            move(source, target)

        rows = [*history, row(len(history) + 1)]
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(os, "replace", killed)
            run.save_epoch(rows, model, optimizer, None, best=True)
        after = Run(tmp_path)
        assert after.recover() == ""
        loaded = after.restore(model, optimizer, None)
        assert loaded in (history, rows) and after.history == loaded
        assert len(moves) == min(last, 7 if history else 6)
        after.files.read_tensors("weights.safetensors")
        history = loaded
    assert len(history) == 2 + 2 * 3  # those whose state was moved, before and after
