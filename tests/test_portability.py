"""Nothing assumes one system: encodings, modules, locales, devices."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.cli import main
from sightline.cli.group import print_line

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "studies")
POSIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"}
ENCODED_PLACE = {"read_text": 0, "write_text": 1}  # of the encoding among arguments
NOT_FILES = {"Image", "Run", "StoredImages", "tarfile"}  # whose `open` is another


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of every Python file, by its name."""
    paths = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
    return {p.relative_to(ROOT).as_posix(): ast.parse(p.read_bytes()) for p in paths}


def lacks_encoding(call: ast.Call) -> bool:
    """Tell whether a call reads or writes text in whatever encoding the system has."""
    function, names = call.func, {keyword.arg for keyword in call.keywords}
    name = function.attr if isinstance(function, ast.Attribute) else ""
    if "encoding" in names:
        return False
    if name in ENCODED_PLACE:
        return len(call.args) <= ENCODED_PLACE[name]
    if "open" in (name, getattr(function, "id", "")):
        words = [a.value for a in call.args if isinstance(a, ast.Constant)]
        binary = any("b" in word for word in words if isinstance(word, str))
        return not binary and ast.unparse(function).split(".")[0] not in NOT_FILES
    of_process = ast.unparse(function).startswith("subprocess.")
    return of_process and bool(names & {"text", "universal_newlines"})


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("path.read_text()", True),
        ("path.write_text(words)", True),
        ("path.write_text(words, newline='')", True),
        ("open(path)", True),
        ("path.open('w')", True),
        ("subprocess.run(command, text=True)", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(words, encoding='utf-8')", False),
        ("write_text(path, words)", False),
        ("open(path, 'rb')", False),
        ("Image.open(path)", False),
        ("subprocess.run(command, encoding='utf-8')", False),
    ],
)
def test_calls_without_an_encoding_are_recognised(line, lacks):
    (call,) = (n for n in ast.walk(ast.parse(line)) if isinstance(n, ast.Call))
    assert lacks_encoding(call) == lacks


def test_every_text_file_names_its_encoding(trees):
    lacking = [
        f"{file}:{node.lineno}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and lacks_encoding(node)
    ]
    assert not lacking, 'encoding="utf-8" is missing'


def test_no_file_needs_a_posix_system_to_be_imported(trees):
    needing = []
    for file, tree in trees.items():
        for node in tree.body:
            names = {alias.name for alias in getattr(node, "names", ())}
            if POSIX_ONLY & (names | {getattr(node, "module", "")}):
                needing.append(file)
    assert not needing


def test_what_a_terminal_cannot_show_is_escaped(monkeypatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    main(["recipes"], standalone_mode=False)
    print_line("before → after")
    terminal.flush()
    assert rb"before \u2192 after" in terminal.buffer.getvalue()


ASCII = """
import locale, os, sys
from pathlib import Path
from PIL import Image
from sightline.cli import main
from sightline.data.datasets import draw_split

os.chdir(sys.argv[1])
assert locale.getpreferredencoding() == "ANSI_X3.4-1968", locale.getpreferredencoding()
names = [os.fsdecode(word.encode()) for word in ("k\\u016f\\u0148", "\\u017eaba")]
split = draw_split(48, seed=0)
for number, (image, label) in enumerate(zip(split.images, split.labels)):
    folder = Path("pictures", names[label % 2])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.numpy()).save(folder / f"{number}.png")
small = ["--epochs", "1", "--batch-size", "16", "--device", "cpu"]
small += ["--precision", "fp32", "--image-size", "32"]
for command in (
    ["recipes"],
    ["check", "pictures"],
    ["train", "resnet10", "--data", "pictures", "--out", "one", *small],
    ["train", "resnet10", "--data", "pictures", "--out", "two", "--seed", "1", *small],
    ["report", "one", "--limit", "8"],
    ["compare", "one", "two", "--out", "compared"],
    ["explain", "one", str(folder / f"{number}.png"), "--out", "maps"],
):
    main(command, standalone_mode=False)
"""


@pytest.mark.processes
@pytest.mark.slow
def test_a_locale_of_ascii_loses_nothing_from_training_to_report(tmp_path):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", ASCII, tmp_path],
        env={**os.environ, **plain},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "\\u2192" in done.stdout  # the arrow that ASCII lacks
    page = tmp_path / "one" / "report" / "report.html"
    assert "\u017eaba" in page.read_text(encoding="utf-8")
