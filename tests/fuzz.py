"""Damage input at random: whatever reads it answers with a message or a result.

A case is a number: it draws a target, damages a copy of its input, and lets the library
read that. What is looked for: any error but `SightlineError`, a case that takes longer
than `LIMIT`, an input that is not what it was. tests/test_fuzz.py draws 10,000 cases.

    PYTHONPATH=src python tests/fuzz.py --minutes 60     # others than those of the test
    PYTHONPATH=src python tests/fuzz.py --case 4711      # one, with its traceback
"""

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from sightline.cli import main as command_line
from sightline.data.check import check_folder
from sightline.data.datasets import load_folder
from sightline.data.pictures import read_picture
from sightline.errors import SightlineError
from sightline.pipeline import Pipeline
from sightline.training.classifier import from_module
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

LIMIT = 20  # seconds of one case; on a quiet core the longest takes half a second

#: what JSON may hold in place of what is expected
ODD = (
    *(None, True, 0, -1, 2**63, 1e308, 1e-320, float("nan"), float("inf"), 0.5),
    *(
        "",
        "x",
        "../..",
        "\x00",
        "\ud800",
        "🙂" * 300,
        [],
        {},
        [[]],
        {"a": None},
        [0] * 9,
    ),
)


class HangError(Exception):
    """A case that was not over in time."""


class Net(nn.Module):
    """The smallest network that explains itself: two convolutions and a head."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        """Return logits (B, 3)."""
        maps = torch.relu(self.second(torch.relu(self.first(images))))
        return self.head(maps.mean((2, 3)))


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with one to three injuries of a disk, a network or an editor."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(INJURIES)(data, draw)
    return data


def part(data: bytes, draw: random.Random) -> tuple[bytes, bytes, bytes]:
    """Return what lies before, in and after a short part."""
    start = draw.randrange(len(data) + 1)
    end = start + draw.choice((1, 4, 16, 256))
    return data[:start], data[start:end], data[end:]


def cut_off(data: bytes, draw: random.Random) -> bytes:
    """Return the first part only."""
    return data[: draw.randrange(len(data) + 1)]


def doubled(data: bytes, draw: random.Random) -> bytes:
    """Return bytes some of which come twice."""
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:]


def replaced(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with a short part missing, blank or noise."""
    before, inside, after = part(data, draw)
    length = len(inside)
    noise = draw.randbytes(length)
    return before + draw.choice((b"", bytes(length), b"\xff" * length, noise)) + after


def continued(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with noise at their end."""
    return data + draw.randbytes(draw.choice((1, 100)))


def noise(data: bytes, draw: random.Random) -> bytes:
    """Return noise."""
    return draw.randbytes(draw.choice((0, 1, 8, 1000)))


def flipped(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with one to eight bits turned."""
    turned = bytearray(data)
    for _ in range(draw.randint(1, 8) if turned else 0):
        turned[draw.randrange(len(turned))] ^= 1 << draw.randrange(8)
    return bytes(turned)


INJURIES = (flipped, cut_off, replaced, replaced, replaced, doubled, continued, noise)


def odd_json(data: bytes, draw: random.Random) -> bytes:
    """Return JSON, or JSON lines, in which one value is another, or missing."""
    lines = [json.loads(line) for line in documents(data)]
    if not lines:
        return draw.choice((b"[]", b"{}", b"null", b"\xff\xfe"))
    places = [((i,), line) for i, line in enumerate(lines)]
    for place, value in places:
        if isinstance(value, dict | list):
            keys = value if isinstance(value, dict) else range(len(value))
            places += [((*place, key), value[key]) for key in keys]
    place, _ = draw.choice(places)
    parent: Any = lines
    for key in place[:-1]:
        parent = parent[key]
    if draw.random() < 0.3:
        del parent[place[-1]]
    else:
        parent[place[-1]] = draw.choice(ODD)
    text = "\n".join(json.dumps(line) for line in lines)
    return text.encode("utf-8", "surrogatepass")


def documents(data: bytes) -> list[bytes]:
    """Return JSON lines one by one, any other JSON as a whole."""
    try:
        json.loads(data)
    except ValueError:
        return data.splitlines()
    return [data]


def odd_safetensors(data: bytes, draw: random.Random) -> bytes:
    """Return safetensors whose header says something else."""
    (length,) = struct.unpack("<Q", data[:8])
    header = odd_json(data[8 : 8 + length], draw)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def injure(file: Path, draw: random.Random) -> str:
    """Damage a file, or put something else in its place; return what was done."""
    kind = draw.random()
    if kind < 0.03:
        file.unlink()
        return "removed"
    if kind < 0.06:
        file.unlink()
        file.mkdir()
        return "a folder"
    data = file.read_bytes()
    if kind < 0.6 and file.suffix in (".json", ".jsonl"):
        file.write_bytes(odd_json(data, draw))
        return "odd values"
    if kind < 0.5 and file.suffix == ".safetensors":
        file.write_bytes(odd_safetensors(data, draw))
        return "an odd header"
    file.write_bytes(damaged(data, draw))
    return "damaged"


@dataclass(frozen=True)
class Target:
    """Something that reads what a user gives it."""

    weight: int  #: how often it is drawn
    make: Callable[[Path], object]  #: puts whole input into an empty folder
    read: Callable[[Path, random.Random], object]  #: reads what lies in a folder
    writes: bool = False  #: whether what lies there is the reader's own, to go on with
    alone: bool = False  #: whether every file is an input of its own


def pictures(folder: Path) -> None:
    """Write small pictures of many formats."""
    draw = np.random.default_rng(0)
    picture = Image.fromarray(draw.integers(0, 256, (24, 31, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "a.jpg", exif=exif)
    picture.save(folder / "b.jpg", progressive=True)
    picture.save(folder / "c.png")
    picture.convert("P").save(folder / "d.gif")
    picture.save(folder / "e.webp")
    picture.save(folder / "f.bmp")
    picture.save(folder / "g.tif", compression="tiff_lzw")
    picture.convert("CMYK").save(folder / "h.tif")
    picture.convert("LA").save(folder / "i.png")
    Image.fromarray(draw.integers(0, 2**16, (9, 9), np.uint16)).save(folder / "j.png")
    picture.save(folder / "k.ppm")
    picture.save(folder / "l.ico")


def read_file(folder: Path, draw: random.Random) -> None:
    """Read a picture."""
    for file in folder.iterdir():
        read_picture(file, 32)


def classes(folder: Path) -> None:
    """Write two classes of six pictures."""
    pictures(folder)
    for number, file in enumerate(sorted(folder.iterdir())):
        place = folder / f"class {number % 2}"
        place.mkdir(exist_ok=True)
        file.rename(place / file.name)


def look_at_folder(folder: Path, draw: random.Random) -> None:
    """Check a folder of pictures, and load it from what the check kept."""
    with tempfile.TemporaryDirectory() as place:
        quiet = {"image_size": 32, "keep_in": Path(place), "progress": False}
        check_folder(folder, **quiet)
        load_folder(folder, image_size=32, root=Path(place), progress=False)


def weights(folder: Path) -> None:
    """Write the weights of a small network in both formats, and its classes."""
    torch.manual_seed(0)
    state = Net().state_dict()
    save_file(state, folder / "weights.safetensors")
    torch.save(state, folder / "weights.pt")
    (folder / "classes.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")


def load_weights(folder: Path, draw: random.Random) -> None:
    """Load each file of weights."""
    for name in ("weights.safetensors", "weights.pt"):
        with contextlib.suppress(SightlineError):
            from_module(
                "fuzz:Net",
                runtime=choose_runtime("cpu", "fp32"),
                weights=folder / name,
                classes=folder / "classes.txt",
                image_size=8,
            )


def finished(folder: Path) -> None:
    """Train a network for an epoch."""
    train(replace(tiny.RECIPE, epochs=1), tiny.splits(), out=folder, **tiny.ON_CPU)


def without_checksums(folder: Path) -> None:
    """Train as before there were checksums."""
    finished(folder)
    (folder / "SHA256SUMS").unlink()


def look_at_run(folder: Path, draw: random.Random) -> None:
    """Read everything that a run knows."""
    readers = (
        lambda run: run.recipe,
        lambda run: run.history,
        lambda run: run.test.accuracy,
        lambda run: (run.classes, run.mean, run.std, run.finished),
        lambda run: run.load_model("last"),
        lambda run: run.classifier(choose_runtime("cpu", "fp32")).ask(SPLITS.test),
    )
    for reader in readers:
        with contextlib.suppress(SightlineError):
            reader(Run.open(folder))


def unfinished(folder: Path) -> None:
    """Train the first of two epochs."""
    recipe = replace(tiny.RECIPE, epochs=2)
    with contextlib.suppress(StopTrainingError):
        train(recipe, tiny.splits(), out=folder, loss_fn=OneEpoch(), **tiny.ON_CPU)


class StopTrainingError(Exception):
    """Raised in the second epoch."""


class OneEpoch:
    """Cross-entropy that fails in the second epoch, under the name of the true one."""

    __name__ = "cross_entropy"

    def __init__(self):
        self.calls = 0

    def __call__(self, logits, labels):
        """Return the mean loss."""
        self.calls += 1
        if self.calls > 3:  # batches of 64 images
            raise StopTrainingError
        return nn.functional.cross_entropy(logits, labels)


def resume(folder: Path, draw: random.Random) -> None:
    """Go on with a training."""
    train(
        replace(tiny.RECIPE, epochs=2),
        SPLITS,
        out=folder,
        resume=True,
        loss_fn=nn.functional.cross_entropy,
        **tiny.ON_CPU,
    )


def pipeline(folder: Path) -> None:
    """Write what `sightline all` keeps before it trains."""
    (folder / "pictures").mkdir()
    classes(folder / "pictures")
    each = Pipeline(folder / "pictures", folder / "out", tiny.RECIPE)
    choice = {"epochs": {"value": 3, "why": "it was given"}}
    each.write_json("choices.json", choice)
    each.write_json("pipeline.json", {"recipe": asdict(tiny.RECIPE)})


def look_at_pipeline(folder: Path, draw: random.Random) -> None:
    """Read what was chosen."""
    _ = Pipeline(folder / "pictures", folder / "out", tiny.RECIPE).chosen_recipe


def options(folder: Path) -> None:
    """Write a file of weights and a picture."""
    weights(folder)
    Image.new("RGB", (9, 9)).save(folder / "a.png")


def odd_options(folder: Path, draw: random.Random) -> None:
    """Explain a picture with an option that makes no sense."""
    number = draw.choice(
        ("0", "-1", "nan", "inf", "1e999", "1e-320", "9" * 30, "x", "")
    )
    words = draw.choice(
        (
            ["--image-size", number],
            ["--mean", number, "0.5", "0.5"],
            ["--std", "0.5", number, "0.5"],
            ["--device", draw.choice(("mps", "meta", "cuda:9", "x", "", "cpu:-1"))],
            ["--precision", draw.choice(("fp8", "", "tf32"))],
            ["--target", number],
            ["--method", number],
            ["--layer", draw.choice(("first", "head", "x", "", "."))],
            ["--against", number],
            ["--opacity", number],
            ["--weights", str(folder / draw.choice(("a.png", "no", "weights.pt", "")))],
            ["--classes", str(folder / draw.choice(("a.png", "no", "")))],
            ["--out", str(folder / "a.png" / draw.choice(("", "x")))],
        )
    )
    model = draw.choice(("fuzz:Net",) * 3 + ("fuzz:damaged", "fuzz:ODD", "json:x", ":"))
    picture = folder / draw.choice(("a.png", "a.png", "weights.pt", "none", ""))
    arguments = ["explain", model, str(picture), "--out", str(folder / "figures")]
    size = [] if "--image-size" in words else ["--image-size", "16"]
    answer = CliRunner().invoke(command_line, [*arguments, *size, *words])
    shutil.rmtree(folder / "figures", ignore_errors=True)
    if answer.exception and not isinstance(answer.exception, SystemExit):
        raise answer.exception


TARGETS = {
    "picture": Target(7000, pictures, read_file, alone=True),
    "folder": Target(50, classes, look_at_folder),
    "weights": Target(1000, weights, load_weights),
    "run": Target(300, finished, look_at_run),
    "older run": Target(300, without_checksums, look_at_run),
    "resumed run": Target(100, unfinished, resume, writes=True),
    "pipeline": Target(1150, pipeline, look_at_pipeline),
    "options": Target(100, options, odd_options),
}
SPLITS = tiny.splits()


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raise `HangError` in a block that takes longer than `LIMIT`."""

    def over(*_: object) -> None:
        raise HangError(f"not over after {LIMIT} s")

    if not hasattr(signal, "setitimer"):  # Windows: at least say where it stands
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        yield
        faulthandler.cancel_dump_traceback_later()
        return
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


class Fuzzer:
    """Whole inputs, made once, and the cases that damage copies of them."""

    def __init__(self, place: Path):
        self.place = place
        self.counts: Counter[tuple[str, str]] = Counter()
        self.seconds: Counter[str] = Counter()
        for name, target in TARGETS.items():
            (place / name).mkdir()
            target.make(place / name)

    def case(self, number: int) -> str:
        """Run one case; return what is wrong, or nothing."""
        draw = random.Random(number)
        name = draw.choices(list(TARGETS), [t.weight for t in TARGETS.values()])[0]
        target, folder = TARGETS[name], self.place / "case"
        try:
            if target.alone:
                folder.mkdir()
                shutil.copy(draw.choice(sorted((self.place / name).iterdir())), folder)
            else:
                shutil.copytree(self.place / name, folder)
            file = draw.choice(sorted(f for f in folder.rglob("*") if f.is_file()))
            injury = injure(file, draw) if name != "options" else "beside odd options"
            before = contents(folder)
            began = time.process_time()
            ending, problem = outcome(lambda: target.read(folder, draw))
            self.seconds[name] += time.process_time() - began
            self.counts[name, ending] += 1
            if not target.writes and contents(folder) != before:
                problem += "the input was changed"
            title = f"case {number}, {name}: {file.name} {injury}"
            return f"{title}\n{problem}" if problem else ""
        finally:
            shutil.rmtree(folder)


def outcome(read: Callable[[], object]) -> tuple[str, str]:
    """Return how reading ended, and a traceback if it should not have."""
    try:
        with (
            time_limit(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            read()
    except SightlineError as error:
        text = str(error)
        return "message", "" if text.strip() and len(text) < 3000 else f"says {text!r}"
    except Exception:
        return "traceback", traceback.format_exc()
    return "result", ""


def main() -> None:
    """Look for cases that end badly, for as long as one likes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the first case")
    parser.add_argument("--case", type=int, help="this one only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    first, end = given.seed, time.time() + 60 * given.minutes
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        fuzzer = Fuzzer(Path(place))
        number = first if given.case is None else given.case
        while time.time() < end:
            if problem := fuzzer.case(number):
                print(problem, flush=True)
                bad += 1
            number += 1
            if given.case is not None:
                break
        for (name, ending), count in sorted(fuzzer.counts.items()):
            print(f"{count:7,} {name}: {ending}")
        for name, seconds in fuzzer.seconds.items():
            print(f"{seconds:7.1f} CPU seconds {name}")
    print(f"{sum(fuzzer.counts.values()):,} cases, {bad} of them bad")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
