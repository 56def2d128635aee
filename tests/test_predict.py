"""The command predict: a table that grows, goes on, and is never written over."""

import csv
import errno
import io
import itertools
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from test_explain_pictures import FOREIGN
from tiny import ON_CPU, RECIPE, splits

from sightline.cli import main
from sightline.cli import predict as predict_command
from sightline.data import pictures, walk
from sightline.errors import RunError
from sightline.files import read_json, write_json
from sightline.measures.conformal import (
    Thresholds,
    exact_probabilities,
    prediction_sets,
)
from sightline.reports import predictions
from sightline.reports.predictions import COLUMNS, NONE, Predictor, Table, safe_path
from sightline.training.run import Run
from sightline.training.runtime import choose_runtime
from sightline.training.train import train

CPU = choose_runtime("cpu", "fp32")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    return train(RECIPE, splits(), out=out, **ON_CPU).path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the twenty test pictures, in two folders and loose."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, pixels in enumerate(splits().test.images):
        place = folder / ("" if number < 4 else f"in/{number % 2}") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.numpy()).save(place)
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Let three pictures be read together, and seven be handed to the decoders.

    The network computes in float32, in which its answers hardly depend on the batch.
    """
    monkeypatch.setattr("sightline.training.runtime.choose_runtime", lambda *_: CPU)
    monkeypatch.setattr(pictures, "CHUNK", 3)
    monkeypatch.setattr(predictions, "AT_ONCE", 7)


def command(*words: object, stdin: bytes | None = None):
    line = ["predict", "--device", "cpu", *map(str, words)]
    return CliRunner().invoke(main, line, input=stdin, terminal_width=80)


def rows_of(table: Path) -> list[dict]:
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def require_equal(one: Path, other: Path) -> None:
    """Compare two tables whose pictures were asked about in other batches."""
    for row, expected in zip(rows_of(one), rows_of(other), strict=True):
        for column in COLUMNS:
            if column.startswith("confidence"):
                share = pytest.approx(float(expected[column]), abs=2e-6)
                assert float(row[column]) == share
            else:
                assert row[column] == expected[column]


def test_a_training_records_the_thresholds_of_its_validation_pictures(run):
    validated = Run.open(run).classifier(CPU).ask(splits().validation)
    recorded = Run.open(run).manifest["prediction_sets"]
    assert recorded["pictures"] == 20
    assert Thresholds(**recorded) == Thresholds.of(validated)


def test_every_picture_has_a_row_with_the_answer_of_the_network(run, folder, tmp_path):
    out = tmp_path / "new" / "p.csv"
    done = command(run, folder, "--out", out)
    assert done.exit_code == 0, done.output
    rows = rows_of(out)
    loose = [str(folder / f"{number}.png") for number in range(4)]
    even, odd = (
        [str(folder / f"in/{n % 2}/{n}.png") for n in range(start, 20, 2)]
        for start in (4, 5)
    )
    assert [row["file"] for row in rows] == [*loose, *even, *odd]
    classifier = Run.open(run).classifier(CPU)
    scores = Run.open(run).manifest["prediction_sets"]["scores"]
    shares = exact_probabilities(classifier.ask(splits().test))
    for row in rows:
        own = shares[int(Path(row["file"]).stem)]
        order = own.argsort(descending=True).tolist()
        for n, place in enumerate(order[:3], 1):
            assert row[f"class_{n}"] == classifier.classes[place]
            assert float(row[f"confidence_{n}"]) == pytest.approx(
                own[place].item(), abs=2e-6
            )
        for coverage, score in scores.items():
            members = prediction_sets(own[None], score)[0]
            inside = [classifier.classes[place] for place in order if members[place]]
            assert row[f"set_{coverage}"] == ";".join(inside)
    assert not [row for row in rows if row["problem"] or row["heatmap"]]
    assert f"{out}: 20 pictures" in done.stdout
    assert "20 validation pictures" in done.stdout


def test_a_set_without_a_class_is_called_none_of_these_and_counted(
    run, folder, tmp_path, monkeypatch
):
    strict = Thresholds(500, {"90": 0.0, "95": 1.0})
    monkeypatch.setattr(predict_command, "thresholds_of", lambda *_: strict)
    done = command(run, folder, "--out", tmp_path / "p.csv")
    rows = rows_of(tmp_path / "p.csv")
    assert {row["set_90"] for row in rows} == {NONE}
    assert all(row["set_95"].count(";") == 9 for row in rows)
    assert "90 % sets: none of these for 20" in done.stdout
    assert "95 % sets: none of these for 0" in done.stdout


def test_thresholds_from_too_few_pictures_are_said_to_leave_no_class_out(
    run, folder, tmp_path, monkeypatch
):
    few = Thresholds(10, {"90": 0.5, "95": 1.0})
    monkeypatch.setattr(predict_command, "thresholds_of", lambda *_: few)
    done = command(run, folder, "--out", tmp_path / "p.csv")
    assert (
        "95 % sets hold all classes" in done.stderr and "19 are needed" in done.stderr
    )
    assert "90 % sets hold all classes" not in done.stderr


@pytest.fixture
def older(run, tmp_path) -> Path:
    """A run from before there were thresholds."""
    files = {file.name: file.read_bytes() for file in run.iterdir()}
    (tmp_path / "older").mkdir()
    for name, content in files.items():
        (tmp_path / "older" / name).write_bytes(content)
    manifest = Run(tmp_path / "older").manifest
    del manifest["prediction_sets"]
    Run(tmp_path / "older").write("manifest.json", manifest)
    return tmp_path / "older"


def test_an_older_run_asks_its_validation_pictures(run, older, monkeypatch):
    monkeypatch.setattr(predict_command, "pictures_for", lambda *_: splits())
    classifier = Run.open(older).classifier(CPU)
    measured = predict_command.thresholds_of(str(older), classifier, None)
    assert measured == Thresholds(**Run.open(run).manifest["prediction_sets"])


def test_an_older_run_whose_pictures_are_gone_answers_without_sets_and_says_why(
    older, folder, tmp_path
):
    manifest = Run(older).manifest
    Run(older).write("manifest.json", {**manifest, "source": str(tmp_path / "gone")})
    done = command(older, folder, "--out", tmp_path / "p.csv")
    assert done.exit_code == 0
    assert "no prediction sets" in done.stderr and "--data PATH" in done.stderr
    assert {row["set_90"] for row in rows_of(tmp_path / "p.csv")} == {""}
    other = tmp_path / "other.csv"
    refused = command(older, folder, "--out", other, "--data", tmp_path / "lost")
    assert refused.exit_code == 1 and "lost does not exist" in refused.stderr
    assert not other.exists()


def test_any_other_network_answers_without_sets(tmp_path, monkeypatch, folder):
    (tmp_path / "foreign.py").write_text(FOREIGN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "foreign", raising=False)
    torch.manual_seed(0)
    words = ("foreign:Net", folder, "--image-size", "32")
    done = command(*words)
    assert done.exit_code == 0 and "sets" not in done.stdout
    rows = rows_of(tmp_path / "predictions.csv")
    assert {row["set_95"] for row in rows} == {""}
    assert {row["class_1"] for row in rows} <= {"0", "1", "2"}
    assert sum(float(rows[0][f"confidence_{n}"]) for n in (1, 2, 3)) == pytest.approx(
        1, abs=2e-6
    )
    refused = command(*words, "--data", folder, "--out", "other.csv")
    assert refused.exit_code == 1 and "--data is for a run folder" in refused.stderr


# --- going on ----------------------------------------------------------------------


def test_what_was_interrupted_goes_on_and_ends_the_same(
    run, folder, tmp_path, monkeypatch
):
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    assert command(run, folder, "--out", whole).exit_code == 0
    append, calls = Table.append, itertools.count()

    def interrupted(table, rows):
        if next(calls) == 3:
            raise KeyboardInterrupt
        append(table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", interrupted)
        first = command(run, folder, "--out", cut)
    assert first.exit_code == 130
    assert "interrupted; go on with: sightline" in first.stderr
    assert len(rows_of(cut)) == 3 + 3 + 1
    kept = cut.read_bytes()
    assert command(run, folder, "--out", cut).exit_code == 0
    ended = cut.read_bytes()
    assert ended.startswith(kept)
    require_equal(cut, whole)
    again = command(run, folder, "--out", cut)
    assert again.exit_code == 0 and "20 pictures" in again.stdout
    assert cut.read_bytes() == ended


def table_of(path: Path, names: list[str], network: str = "0123") -> Table:
    """Write a table whose problems hold what is hard to read back."""
    table = Table(path)
    table.skip(iter(()), network)
    rows = [{"file": name, "network": network, "problem": 'a\n"b",c'} for name in names]
    table.append(rows)
    return table


def test_a_table_that_was_cut_anywhere_in_its_last_rows_is_repaired(tmp_path):
    names = ["a,b.png", 'c"d.png', "e\nf.png", "ğ.png"]
    path = tmp_path / "p.csv"
    table_of(path, names)
    whole = path.read_bytes()
    first = len(whole) - len(whole.split(b"\n", 1)[1])
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        table, rest = Table(path), iter(names)
        table.skip(rest, "0123")
        missing = list(rest)
        assert table.counts["file"] == len(names) - len(missing)
        assert whole.startswith(path.read_bytes())
        assert path.read_bytes().endswith(b"\n")
        table_of(tmp_path / "q.csv", missing)
        added = (tmp_path / "q.csv").read_bytes().split(b"\n", 1)[1]
        assert path.read_bytes() + added == whole
        (tmp_path / "q.csv").unlink()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no table that sightline predict began"),
        (b"file,class_1\na.png,cat\n", "no table that sightline predict began"),
        (b"\xff\xfe no text\n and more\n", "damaged"),
        (b"thesis", "no table that sightline predict began"),
    ],
)
def test_a_foreign_file_is_refused_and_not_touched(
    content, message, run, folder, tmp_path
):
    out = tmp_path / "mine.csv"
    out.write_bytes(content)
    done = command(run, folder, "--out", out)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert message in done.stderr and "nothing in it was touched" in done.stderr
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("names", "network", "message"),
    [
        (["a", "b"], "4567", "of the network 0123, not of 4567"),
        (["a", "c"], "0123", "row 2 is about b, where now comes c"),
        (["a"], "0123", "row 2 is about b, where now comes no picture"),
    ],
)
def test_the_table_of_another_network_or_of_other_files_is_refused(
    names, network, message, tmp_path
):
    path = tmp_path / "p.csv"
    table_of(path, ["a", "b"])
    half = path.read_bytes() + b"c,half"
    path.write_bytes(half)
    with pytest.raises(RunError, match=message):
        Table(path).skip(iter(names), network)
    assert path.read_bytes() == half


def test_a_row_of_too_few_cells_is_refused(tmp_path):
    path = tmp_path / "p.csv"
    table_of(path, ["a"])
    path.write_bytes(path.read_bytes() + b"mine,own\n")
    with pytest.raises(RunError, match="a row has 2 cells, where 12 are expected"):
        Table(path).skip(iter(["a", "b"]), "0123")


def test_another_network_has_another_number_also_with_other_thresholds(run):
    classifier = Run.open(run).classifier(CPU)
    one, two = (Thresholds(20, {"90": score, "95": 1.0}) for score in (0.5, 0.6))
    numbers = {
        Predictor(classifier, one).network,
        Predictor(classifier, two).network,
        Predictor(classifier, None).network,
        Predictor(replace(classifier, classes=(*"abcdefghij",)), one).network,
        Predictor(replace(classifier, mean=(0.1, 0.1, 0.1)), one).network,
    }
    assert len(numbers) == 5
    again = Predictor(Run.open(run).classifier(CPU), one)
    assert again.network in numbers
    with torch.no_grad():
        again.classifier.model.head.weight[0, 0] += 1e-3
    assert Predictor(again.classifier, one).network not in numbers


def test_two_processes_do_not_write_into_each_others_rows(tmp_path):
    one = table_of(tmp_path / "p.csv", ["a"])
    two = Table(tmp_path / "p.csv")
    two.skip(iter(["a"]), "0123")
    two.append([{"file": "b", "network": "0123"}])
    with pytest.raises(RunError, match="another process writes to"):
        one.append([{"file": "b", "network": "0123"}])
    assert [row["file"] for row in rows_of(tmp_path / "p.csv")] == ["a", "b"]


# --- bad input -----------------------------------------------------------------------


def test_an_unreadable_picture_has_a_row_that_says_why_and_the_others_theirs(
    run, folder, tmp_path
):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "1.png").write_bytes(b"nothing")
    (bad / "2.heic").write_bytes(b"an iPhone's")
    good = folder / "0.png"
    out = tmp_path / "p.csv"
    done = command(run, bad, good, "--out", out)
    assert done.exit_code == 1
    *broken, whole = rows_of(out)
    for row in broken:
        assert "cannot be read as a picture" in row["problem"]
        assert row["file"] in row["problem"] and row["problem"] in done.stderr
        assert row["class_1"] == row["confidence_1"] == row["set_90"] == ""
    assert whole["class_1"] and not whole["problem"]
    assert "2 of them could not be read" in done.stderr
    assert command(run, bad, good, "--out", out).exit_code == 1  # they still cannot


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "Missing argument 'PICTURES...'"),
        (["{0}/gone.png"], 1, "gone.png does not exist"),
        (["{0}/0.png", "{0}/empty"], 1, "empty holds no pictures"),
        (["-"], 1, "standard input names no picture"),
        (["{0}/0.png", "--out", "{0}/empty"], 1, "empty is a folder; name a file"),
        (["{0}/0.png", "--out", "{0}/0.png/p.csv"], 1, "could not write"),
        (["{0}/0.png", "--weights", "w.pt"], 1, "--weights describes a network given"),
    ],
)
def test_what_cannot_be_begun_is_refused_before_anything_is_written(
    words, status, message, run, tmp_path
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    Image.new("RGB", (32, 32)).save(tmp_path / "0.png")
    before = sorted(tmp_path.rglob("*"))
    words = [word.format(tmp_path) for word in words]
    if "--out" not in words:
        words += ["--out", str(tmp_path / "p.csv")]
    done = command(run, *words, stdin=b"")
    assert done.exit_code == status and isinstance(done.exception, SystemExit)
    assert message in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_ends_in_a_sentence_and_what_is_written_stays(
    run, folder, tmp_path, monkeypatch
):
    out, whole = tmp_path / "p.csv", tmp_path / "whole.csv"
    command(run, folder, "--out", whole)
    real, room = open, itertools.count()

    class Full(io.BufferedRandom):
        def write(self, content):
            if next(room) == 2:
                super().write(content[:50])
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(content)

    def opened(path, mode="r", **options):
        if path == out and mode == "r+b":
            return Full(io.FileIO(path, "r+b"))
        return real(path, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr(predictions, "open", opened, raising=False)
        done = command(run, folder, "--out", out)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert "No space left on device. Free some space" in done.stderr
    assert whole.read_bytes().startswith(out.read_bytes())
    assert not out.read_bytes().endswith(b"\n")  # half a row
    assert command(run, folder, "--out", out).exit_code == 0
    require_equal(out, whole)


# --- names ---------------------------------------------------------------------------

HARD = ("a b.png", "a,b.png", 'a"b.png', "a\nb.png", "=1+1.png", "-x.png", "a\rb.png")


@pytest.mark.skipif(sys.platform != "linux", reason="other drives refuse such names")
def test_hard_names_are_read_back_from_the_table(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*HARD, "caf\udce9.png"):
        Image.new("RGB", (32, 32)).save(name)
    done = command(run, "--out", "p.csv", "--", *HARD, "caf\udce9.png")
    assert done.exit_code == 0, done.output
    files = [row["file"] for row in rows_of(Path("p.csv"))]
    plain = [*HARD[:4], "./=1+1.png", "./-x.png", "a\\rb.png", "caf\\xe9.png"]
    assert files == plain
    again = command(run, "--out", "p.csv", "--", *HARD, "caf\udce9.png")
    assert again.exit_code == 0


def test_no_cell_begins_as_a_formula_does(run, folder):
    classes = ("=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "a;b", *"12345")
    classifier = replace(Run.open(run).classifier(CPU), classes=classes)
    everything = Thresholds(20, {"90": 1.0, "95": 1.0})
    files = map(str, sorted(folder.glob("*.png")))
    for part in Predictor(classifier, everything).rows(files):
        for row in part:
            cells = (row[column] for column in COLUMNS if column in row)
            assert not [cell for cell in cells if cell.startswith(predictions.FORMULA)]
            (inside,) = csv.reader([row["set_90"].removeprefix("'")], delimiter=";")
            assert sorted(inside) == sorted(classes)
    assert safe_path("=cmd") == os.path.join(".", "=cmd")
    assert safe_path("pictures/=cmd") == "pictures/=cmd"


@pytest.mark.parametrize("block", [1, 2, 5, 2**16])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a b.png\nc.png", ["a b.png", "c.png"]),
        (b"a.png\r\n\r\n b.png\r\n", ["a.png", " b.png"]),
        (b"\n\n", []),
        (b"", []),
    ],
)
def test_names_are_read_line_by_line(content, expected, block, monkeypatch):
    monkeypatch.setattr(walk, "BLOCK", block)
    assert list(walk.names_in(io.BytesIO(content))) == expected


def test_names_that_end_in_nul_may_hold_anything():
    content = b"a\nb.png\0c\r\0\0last"
    assert list(walk.names_in(io.BytesIO(content))) == ["a\nb.png", "c\r", "last"]


def test_a_list_on_standard_input_may_name_folders_and_what_is_gone(
    run, folder, tmp_path
):
    names = [str(folder / "1.png"), str(tmp_path / "it's gone.png"), str(folder / "in")]
    out = tmp_path / "p.csv"
    done = command(run, "-", "--out", out, stdin="\n".join(names).encode())
    assert done.exit_code == 1
    rows = rows_of(out)
    assert [row["file"] for row in rows[:2]] == names[:2]
    assert "No such file" in rows[1]["problem"]
    assert len(rows) == 2 + 16


def test_a_folder_gives_its_pictures_in_order_and_hides_none_that_it_cannot_read(
    tmp_path,
):
    for name in ("10.png", "2.jpg", "b/1.PNG", "b/c/x.heic", "notes.txt", ".a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "waits.png")  # for whoever opens it, for ever
    names = ["2.jpg", "10.png", "b/1.PNG", "b/c/x.heic", "lost.png"]
    found = walk.picture_files([str(tmp_path)])
    assert list(found) == [os.path.join(tmp_path, name) for name in names]
    assert list(walk.picture_files([str(tmp_path / ".a" / "none")])) == [
        str(tmp_path / ".a" / "none")
    ]


# --- many ----------------------------------------------------------------------------


def test_of_an_endless_list_only_the_next_names_are_taken(run, folder):
    taken = itertools.count()
    endless = (f"{folder}/{next(taken) % 4}.png" for _ in itertools.count())
    rows = Predictor(Run.open(run).classifier(CPU), None).rows(endless)
    assert [len(next(rows)) for _ in range(4)] == [3, 3, 1, 3]
    assert next(taken) == 14
    rows.close()


def test_heatmaps_are_files_of_their_own_whose_names_are_in_the_table(
    run, folder, tmp_path
):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "1.png").write_bytes((folder / "0.png").read_bytes())
    figures = tmp_path / "figures"
    words = (tmp_path / "a", tmp_path / "b", "--out", tmp_path / "p.csv")
    done = command(run, *words, "--heatmaps", figures)
    assert done.exit_code == 0, done.output
    drawn = [row["heatmap"] for row in rows_of(tmp_path / "p.csv")]
    assert drawn == [str(figures / f"1-grad_cam{end}.png") for end in ("", "-2")]
    assert sorted(map(str, figures.iterdir())) == sorted(drawn)


def test_a_manifest_whose_thresholds_are_no_numbers_is_refused(older, folder, tmp_path):
    manifest = read_json(older / "manifest.json")
    wrong = {"pictures": 20, "scores": {"90": "much", "95": 1.0}}
    (older / "SHA256SUMS").unlink()
    write_json(older / "manifest.json", {**manifest, "prediction_sets": wrong})
    done = command(older, folder, "--out", tmp_path / "p.csv")
    assert done.exit_code == 1 and "'much', not of the type float" in done.stderr
