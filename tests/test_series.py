"""Series stay in one part or are proposed; a split that cuts them says what it does."""

import csv
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import ExifTags, Image

from sightline.cli import main
from sightline.data.check import check_folder
from sightline.data.datasets import load, load_folder
from sightline.data.division import divide
from sightline.data.folders import decode_once
from sightline.data.groups import series_of, write_series
from sightline.data.headers import read_headers
from sightline.data.listing import list_folder
from sightline.data.series import propose_series
from sightline.errors import DataError
from sightline.measures.clusters import by_series
from sightline.measures.inference import effect, estimate


def scene(value: int) -> Image.Image:
    """Return a picture with details, never the same for two values."""
    pixels = np.random.default_rng(value).integers(0, 256, (12, 12, 3), np.uint8)
    return Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)


def shot(value: int, number: int) -> Image.Image:
    """Return a scene as seen from a little further left, and lit a little more."""
    left = number % 4
    return scene(value).crop((left, 0, left + 60, 60)).point(lambda p: p * 0.9)


def save(picture: Image.Image, path: Path, moment: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if moment:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = moment
    picture.save(path, exif=exif)


def bursts(folder: Path, names=("cat", "dog"), count: int = 8, size: int = 5) -> Path:
    """Fill classes with bursts, each in a folder of its own."""
    for label, name in enumerate(names):
        for burst in range(count):
            for number in range(size):
                value = 100 * label + burst
                path = folder / name / f"{name}{burst}" / f"{number}.png"
                save(shot(value, number), path)
    return folder


@pytest.fixture
def deep(tmp_path) -> Path:
    """Two classes of eight bursts of five, a folder for each burst."""
    return bursts(tmp_path / "deep")


@pytest.fixture
def flat(tmp_path) -> Path:
    """The same without these folders: cat0-3.png."""
    folder = bursts(tmp_path / "flat")
    for path in sorted(folder.glob("*/*/*.png")):
        path.rename(path.parents[1] / f"{path.parent.name}-{path.name}")
    for path in folder.glob("*/*/"):
        path.rmdir()
    return folder


@pytest.fixture
def read(tmp_path):
    def read(folder, **options):
        options = {"image_size": 32, "root": tmp_path / "data"} | options
        return load(folder, progress=False, **options)

    return read


def parts(splits):
    return splits.train, splits.validation, splits.test


def series_in(split, pattern: str = r"(cat|dog)\d+") -> set[str]:
    return {re.search(pattern, name)[0] for name in split.files}


def assert_uncut(splits, pattern: str = r"(cat|dog)\d+") -> None:
    names = [series_in(part, pattern) for part in parts(splits)]
    assert all(names)
    assert len(set.union(*names)) == sum(map(len, names)), names


def listed(folder: Path, group: str = "", size: int = 32):
    listing = list_folder(folder, deeper=group == "folder")
    decoded = decode_once(listing, size, "crop", folder.parent / "kept", False)
    return listing, decoded


def proposed(folder: Path) -> dict[str, int]:
    listing, decoded = listed(folder)
    series = propose_series(listing, decoded, list(read_headers(listing, False)))
    return dict(zip(listing.names, series.tolist(), strict=True))


# a split that cuts no series


def test_without_a_group_folders_are_divided_as_ever(tmp_path, read):
    def fill(folder, counts):
        for place, (name, count) in enumerate(counts.items()):
            for number in range(count):
                rng = np.random.default_rng(1_000 * place + number)
                pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
                save(Image.fromarray(pixels), folder / name / f"{number}.png")
        return folder

    counts = {"train/cat": 20, "train/dog": 10, "test/cat": 4, "test/dog": 3}
    divided = fill(tmp_path / "pets", counts)
    plain = fill(tmp_path / "plain", {"cat": 20, "dog": 10, "fox": 5})
    digests = [
        read(folder, image_size=8, seed=seed).digest
        for folder in (divided, plain)
        for seed in (0, 1)
    ]
    assert digests == [  # as they were before there were groups
        *("91b82c269a140b2b", "094e333ddbe24646"),
        *("59d58be1b38a64ae", "2386830ba1e87233"),
    ]


def test_each_sub_folder_is_a_series_and_its_pictures_are_read(deep, read):
    splits = read(deep, group="folder")
    assert sum(map(len, parts(splits))) == 80
    assert_uncut(splits)
    assert splits.group == "folder"
    for part in parts(splits):
        assert len(part.series.unique()) == len(series_in(part))


def test_a_folder_of_the_same_name_in_two_classes_is_one_series(tmp_path, read):
    for name in ("cat", "dog"):
        for person in range(6):
            for number in range(3):
                picture = scene(1_000 * len(name) + 10 * person + number + ord(name[0]))
                save(picture, tmp_path / "set" / name / f"p{person}" / f"{number}.png")
    assert_uncut(read(tmp_path / "set", group="folder"), r"p\d")


@pytest.mark.parametrize("pattern", [r"^(cat\d+|dog\d+)-", r"^\w+?\d+(?=-)"])
def test_a_pattern_names_the_series_by_its_first_group_or_as_a_whole(
    flat, read, pattern
):
    assert_uncut(read(flat, group=pattern))


def test_a_csv_file_names_the_series(flat, read, tmp_path):
    names = [p.relative_to(flat).as_posix() for p in sorted(flat.glob("*/*.png"))]
    rows = [f"{name},{name.split('/')[1].split('-')[0]}" for name in names]
    (tmp_path / "s.csv").write_text("\n".join(["file,group", *rows]), encoding="utf-8")
    splits = read(flat, group=str(tmp_path / "s.csv"))
    assert_uncut(splits)
    assert splits.digest == read(flat, group=r"^\w+\d+(?=-)").digest


def test_series_that_are_proposed_stay_together(flat, read):
    splits = read(flat, group="auto")
    assert_uncut(splits)
    assert len(torch.cat([part.series for part in parts(splits)]).unique()) == 16


def test_a_seed_decides_which_series_test(flat, read):
    first, again, other = (read(flat, group="auto", seed=s) for s in (0, 0, 1))
    assert first.digest == again.digest
    assert series_in(first.test) != series_in(other.test)


def test_series_that_are_in_train_and_test_leave_the_training(tmp_path, read):
    for label, name in enumerate(("cat", "dog")):
        for place in range(6):
            for number in range(3):
                part = "test" if place < 2 or (place, number) == (2, 0) else "train"
                path = tmp_path / "set" / part / name / f"s{label}{place}-{number}.png"
                save(shot(10 * label + place, number), path)
    splits = read(tmp_path / "set", group=r"s\d+")
    assert_uncut(splits, r"s\d\d")
    assert len(splits.test) == 14
    assert {"s02", "s12"} <= series_in(splits.test, r"s\d\d")
    assert "4 pictures of train/ left out" in " ".join(splits.notes)


def test_shares_are_as_close_as_whole_series_allow_and_said_where_they_are_not():
    rng = torch.Generator().manual_seed(4)
    labels = torch.arange(600) % 3
    none = torch.zeros(600, dtype=torch.bool)
    series = torch.arange(600) // 3 + 1000 * (torch.rand(600, generator=rng) < 0.5)
    division = divide(labels, none, series, "abc", seed=1)
    for part, share in ((division.test, 0.2), (division.validation, 0.08)):
        counts = labels[part].bincount(minlength=3) / 200
        assert (counts - share).abs().max() < 0.011
    assert division.notes == ()
    few = torch.where(labels == 0, torch.arange(600) // 200, series + 5000)
    notes = divide(labels, none, few, "abc", seed=1).notes
    assert "a 33%: whole series allow no closer" in notes[0]


@pytest.mark.parametrize("seed", range(20))
def test_every_class_is_in_every_part_and_no_series_in_two(seed):
    rng = random.Random(seed)
    classes, count = rng.randint(2, 5), rng.randint(60, 200)
    labels = torch.tensor([rng.randrange(classes) for _ in range(count)])
    series = torch.tensor([rng.randrange(20) for _ in range(count)])
    if seed % 2:  # series of one class only
        series = series * classes + labels
    none = torch.zeros(count, dtype=torch.bool)
    division = divide(labels, none, series, "abcde"[:classes], seed=seed)
    assert torch.stack(division.parts).sum(0).tolist() == [1] * count
    for part in division.parts:
        assert len(labels[part].unique()) == classes
        assert not set(series[part].tolist()) & set(series[~part].tolist())


def test_a_class_with_too_few_series_is_refused(flat, read):
    with pytest.raises(
        DataError, match="cat has pictures of 1 series only; at least 3"
    ):
        read(flat, group=r"cat|dog.")


def test_classes_that_share_their_series_too_much_are_refused():
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2])
    series = torch.tensor([0, 0, 1, 1, 2, 0, 2, 1, 2])
    none = torch.zeros(9, dtype=torch.bool)
    assert divide(labels, none, series, "abc").test.sum() == 3
    crossed = torch.tensor([0, 1, 2, 0, 1, 3, 0, 2, 3, 1, 2, 3])
    labels = torch.arange(12) // 3
    none = torch.zeros(12, dtype=torch.bool)
    with pytest.raises(DataError, match="no choice of whole series"):
        divide(labels, none, crossed, "abcd")


def test_shapes_have_no_files_to_group():
    with pytest.raises(DataError, match="shapes has no files"):
        load("shapes", group="auto")


# what can be wrong with a pattern or a file


@pytest.mark.parametrize("pattern", ["(", "[a-", "*.jpg", "(?P<x", "a{2,1}", "\\"])
def test_an_invalid_pattern_is_refused_by_name(flat, pattern):
    with pytest.raises(DataError, match="is no pattern: .*expected folder, auto"):
        series_of(*listed(flat), pattern)


def test_a_pattern_that_misses_some_names_says_which_and_how_to_go_on(flat):
    with pytest.raises(DataError) as raised:
        series_of(*listed(flat), "cat(.)")
    message = str(raised.value)
    assert message.count("dog/dog") == 3 and "37 more" in message
    series, _ = series_of(*listed(flat), "cat(.)|.*")
    assert len(series.unique()) == 8 + 40


def test_a_misspelt_form_of_group_lists_the_forms(flat):
    with pytest.raises(DataError, match="'foldr' does not match .*expected folder"):
        series_of(*listed(flat), "foldr")


def table(folder: Path, **changes: str) -> list[list[str]]:
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.glob("*/*.png"))]
    return [[n, changes.get(n, n.split("/")[1].split("-")[0])] for n in names]


def lines(rows, separator=",", end="\n") -> str:
    return end.join(separator.join(row) for row in rows) + end


@pytest.mark.parametrize(
    "written",
    [
        lambda rows, _: lines(rows).encode(),
        lambda rows, _: ("\ufeff" + lines([["File", "Group"], *rows])).encode(),
        lambda rows, _: lines([["file", "group"], *rows], end="\r\n").encode(),
        lambda rows, _: lines(rows, ";").encode(),
        lambda rows, _: lines(rows, "\t").encode(),
        lambda rows, folder: lines([[f"{folder}/{a}", b] for a, b in rows]).encode(),
        lambda rows, _: lines([[a.replace("/", "\\"), b] for a, b in rows]).encode(),
        lambda rows, _: lines([[f"./{a}", f" {b} "] for a, b in rows]).encode(),
        lambda rows, _: ("\n\n" + lines(rows, end="\n\n")).encode(),
        lambda rows, _: lines([[f'"{a}"', f'"{b}, x"'] for a, b in rows]).encode(),
        lambda rows, _: lines([*rows, *rows]).encode(),
        lambda rows, _: lines(reversed(rows)).encode(),
    ],
)
def test_a_csv_file_may_look_as_programs_write_it(flat, tmp_path, written):
    (tmp_path / "s.csv").write_bytes(written(table(flat), flat))
    series, notes = series_of(*listed(flat), str(tmp_path / "s.csv"))
    assert series.tolist() == [place // 5 for place in range(80)]
    assert notes == ()


def test_a_name_with_a_comma_is_found_in_quotes(flat, tmp_path):
    (flat / "cat/cat0-0.png").rename(flat / "cat/cat0, again.png")
    write_series(
        tmp_path / "s.csv", [n for n, _ in table(flat)], torch.zeros(80).long()
    )
    assert '"cat/cat0, again.png",series 1' in (tmp_path / "s.csv").read_text("utf-8")
    series, _ = series_of(*listed(flat), str(tmp_path / "s.csv"))
    assert series.unique().tolist() == [0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows[4:],
            r"does not name cat/cat0-0.png, cat/cat0-1.png, .* 1 more",
        ),
        (lambda rows: [], "does not name"),
        (
            lambda rows: [*rows, ["cat/cat0-0.png", "x"]],
            "line 81: cat/cat0-0.png is in",
        ),
        (lambda rows: [*rows, ["a", "b", "c"]], "line 81: 3 columns instead of two"),
        (lambda rows: [*rows, ["alone"]], "line 81: 1 columns instead of two"),
    ],
)
def test_a_csv_file_that_does_not_fit_says_where(flat, tmp_path, change, message):
    (tmp_path / "s.csv").write_text(lines(change(table(flat))), encoding="utf-8")
    with pytest.raises(DataError, match=message):
        series_of(*listed(flat), str(tmp_path / "s.csv"))


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\xff\xfe", b'"', b"a\x00,b\n", b"\n"]
)
def test_a_broken_csv_file_is_one_clear_message(flat, tmp_path, content):
    (tmp_path / "s.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.csv"):
        series_of(*listed(flat), str(tmp_path / "s.csv"))


def test_a_missing_csv_file_is_named(flat):
    with pytest.raises(
        DataError, match=r"nowhere.csv cannot be read .*expected folder"
    ):
        series_of(*listed(flat), "nowhere.csv")


def test_lines_about_other_files_are_counted_and_no_group_is_a_series_of_its_own(
    flat, tmp_path
):
    rows = table(flat, **{"cat/cat0-0.png": "", "cat/cat0-1.png": ""})
    rows = [["file", "group"], *rows, ["cat/gone.png", "x"], ["b/c.png", "x"]]
    (tmp_path / "s.csv").write_text(lines(rows), encoding="utf-8")
    series, notes = series_of(*listed(flat), str(tmp_path / "s.csv"))
    assert series[:6].tolist() == [0, 1, 2, 2, 2, 3]
    assert notes == ("2 lines of s.csv name no picture of the folder",)


# series that are proposed


def groups(series: dict[str, int]) -> set[frozenset[str]]:
    """Return the series of two pictures or more."""
    members: dict[int, set[str]] = {}
    for name, number in series.items():
        members.setdefault(number, set()).add(name)
    return {frozenset(own) for own in members.values() if len(own) > 1}


def test_bursts_are_found_without_numbers_and_times(tmp_path):
    truth = []
    rng = random.Random(2)
    for burst in range(10):
        names = [f"{'ab'[burst % 2]}/{rng.getrandbits(60):x}.png" for _ in range(4)]
        truth.append(frozenset(names))
        for number, name in enumerate(names):
            save(shot(burst, number), tmp_path / "set" / name)
    for place in range(40):
        save(scene(500 + place), tmp_path / "set/ab"[:-1] / f"{place:x}z.png")
    assert groups(proposed(tmp_path / "set")) == set(truth)


def noisy(value: int, number: int) -> Image.Image:
    """Return a scene of which every shot has changed by half."""
    own, other = (
        np.asarray(scene(value)),
        np.asarray(scene(9_000 + 100 * value + number)),
    )
    return Image.fromarray((0.62 * own + 0.38 * other).astype(np.uint8))


def test_what_is_less_alike_is_a_series_if_numbers_or_times_follow(tmp_path):
    names = {"numbers": [f"IMG_{100 + n}" for n in range(6)], "times": list("ufkqbx")}
    names["neither"] = list("ztpwan")
    for place, (kind, stems) in enumerate(names.items()):
        for number, stem in enumerate(stems):
            moment = f"2024:05:04 10:00:{5 * number:02}" if kind == "times" else ""
            path = tmp_path / "set" / "a" / f"{stem}.jpg"
            save(noisy(place, number), path, moment)
    for place in range(60):
        save(scene(200 + place), tmp_path / "set/b" / f"other{place:x}z.jpg")
    series = groups(proposed(tmp_path / "set"))
    followed = [frozenset(f"a/{s}.jpg" for s in names[k]) for k in ("numbers", "times")]
    assert series == set(followed)


def test_numbers_and_times_of_unrelated_pictures_are_no_series(tmp_path):
    for place in range(80):
        moment = f"2024:05:04 10:{place // 60:02}:{place % 60:02}"
        path = tmp_path / "set" / "ab"[place % 2] / f"IMG_{place:04}.jpg"
        save(scene(place), path, moment)
    assert groups(proposed(tmp_path / "set")) == set()


def test_times_that_are_none_are_ignored(tmp_path):
    moments = ("0000:00:00 00:00:00", "yesterday", "2024:13:45 99:99:99", "\0", "    ")
    for place in range(20):
        path = tmp_path / "set" / "ab"[place % 2] / f"{place:x}k.jpg"
        save(scene(place), path, moments[place % len(moments)])
    listing = list_folder(tmp_path / "set")
    assert {header.taken for header in read_headers(listing, False)} == {None}
    assert groups(proposed(tmp_path / "set")) == set()


def test_fractions_of_seconds_are_read(tmp_path):
    exif = Image.Exif()
    inner = exif.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.DateTimeOriginal] = "1970:01:01 00:01:00"
    inner[ExifTags.Base.SubsecTimeOriginal] = "25"
    for name in "ab":
        (tmp_path / "set" / name).mkdir(parents=True)
        scene(1).save(tmp_path / "set" / name / "0.jpg", exif=exif)
    (one, _) = read_headers(list_folder(tmp_path / "set"), False)
    assert one.taken == 60.25


def test_pictures_without_any_detail_are_no_series(tmp_path):
    for place in range(20):
        grey = Image.new("RGB", (40, 40), (place, place, place))
        save(grey, tmp_path / "set" / "ab"[place % 2] / f"{place}.png")
    assert groups(proposed(tmp_path / "set")) == set()


def test_beyond_a_limit_only_followers_are_compared(flat, monkeypatch):
    monkeypatch.setattr("sightline.data.series.MOST", 10)
    assert len(groups(proposed(flat))) == 16


# what a split that cuts series pretends


def check(folder: Path, **options):
    keep_in = folder.parent / "kept"
    return check_folder(folder, keep_in=keep_in, progress=False, **options)


def finding(folder: Path, **options):
    kinds = {f.kind: f for f in check(folder, **options).findings}
    return kinds.get("series are cut")


def test_check_counts_companions_and_measures_what_they_pretend(flat, read):
    splits = read(flat)
    train, test = (series_in(part) for part in (splits.train, splits.test))
    expected = sum(
        re.search(r"(cat|dog)\d+", name)[0] in train for name in splits.test.files
    )
    words = finding(flat).words
    assert f"{expected} of {len(splits.test)} test pictures" in words
    assert test & train
    gain = re.search(
        r"pretends \+([\d.]+) \(\+?([−\d.]+) to \+([\d.]+)\) points", words
    )
    value, low, high = (float(n.replace("−", "-")) for n in gain.groups())
    assert value > 25 and low < value < high
    pairs = finding(flat).pairs
    assert len(pairs) == expected
    assert all(one.split("-")[0] == other.split("-")[0] for one, other in pairs)
    assert {one for one, _ in pairs} <= set(splits.test.files)
    assert {other for _, other in pairs} <= set(splits.train.files)


def test_companions_that_are_no_help_are_said_to_be_none(tmp_path):
    for scene_number in range(30):  # one scene shows both classes
        for number in range(4):
            name = "ab"[number % 2]
            path = tmp_path / "set" / name / f"{name}{scene_number}-{number}.png"
            save(shot(scene_number, number), path)
    words = finding(tmp_path / "set").words
    assert "no gain that could be told" in words and "pretends" not in words


@pytest.mark.parametrize("group", ["auto", r"^\w+\d+(?=-)"])
def test_a_split_that_cuts_nothing_pretends_nothing(flat, group):
    assert finding(flat, group=group) is None


def test_unrelated_pictures_pretend_nothing(tmp_path):
    for place in range(80):
        save(scene(place), tmp_path / "set" / "ab"[place % 2] / f"{place}.png")
    assert finding(tmp_path / "set") is None


def test_the_series_are_written_to_be_edited_and_to_be_given_back(flat, tmp_path, read):
    file = tmp_path / "series.csv"
    done = CliRunner().invoke(main, ["check", str(flat), "--series", str(file)])
    assert done.exit_code == 0
    assert "--group auto" in done.output and str(file) in done.output
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == ["file", "group"] and len(rows) == 81
    assert read(flat, group=str(file)).digest == read(flat, group="auto").digest


def test_the_next_command_keeps_the_group(flat):
    done = CliRunner().invoke(main, ["check", str(flat), "--group", "auto"])
    assert done.stdout.rstrip().endswith("--out runs/mine --group auto")
    assert "series are cut" not in done.stdout


def test_the_recipe_remembers_the_group_and_where_its_file_is(tmp_path, monkeypatch):
    from sightline.cli.options import chosen_recipe

    monkeypatch.chdir(tmp_path)
    expected = str((tmp_path / "mine.csv").resolve())
    assert chosen_recipe("folder", {"group": "mine.csv"}).group == expected
    assert chosen_recipe("folder", {"group": r"(\d)"}).group == r"(\d)"


def test_a_recipe_and_pictures_of_another_group_are_refused(flat, read):
    from sightline.errors import SightlineError
    from sightline.training.parts import chosen_splits
    from sightline.training.recipes import RECIPES

    recipe = replace(RECIPES["resnet10"], group="auto")
    with pytest.raises(SightlineError, match="divided with group ''.*has 'auto'"):
        chosen_splits(recipe, read(flat))
    chosen_splits(recipe, read(flat, group="auto"))


def test_the_pictures_of_a_run_are_found_again_by_its_group(
    flat, deep, read, tmp_path, capsys
):
    from types import SimpleNamespace

    from sightline.cli.options import pictures_for
    from sightline.training.recipes import RECIPES

    (tmp_path / "s.csv").write_text(lines(table(flat)), encoding="utf-8")
    recipe = replace(RECIPES["resnet10"], group=str(tmp_path / "s.csv"))
    splits = read(flat, group=recipe.group)
    about = {"image_size": 32, "digest": splits.digest, "data": "flat"}
    about |= {"source": str(flat), "test_digest": splits.test_digest}
    run = SimpleNamespace(path=Path("runs/a"), manifest=about, recipe=recipe)
    assert pictures_for(run, None, None).digest == splits.digest
    assert capsys.readouterr().err.count("note") == 0
    other = deep / "cat"  # whose folders are classes, and not in the file
    assert pictures_for(run, str(other), None).group == ""
    assert "divided at random, not as runs/a was" in capsys.readouterr().err


# the interval of answers that come in series


def test_the_interval_of_answers_in_series_holds_as_often_as_it_says():
    generator = torch.Generator().manual_seed(7)
    hits = narrow = 0
    for _ in range(200):
        series = torch.arange(30).repeat_interleave(5)
        chance = torch.rand(30, generator=generator)[series]  # of a right answer
        right = torch.rand(150, generator=generator) < chance
        of_series, of_pictures = estimate(by_series(right, series)), estimate(right)
        assert of_series.mean == pytest.approx(of_pictures.mean)
        hits += of_series.low <= 0.5 <= of_series.high
        narrow += of_pictures.low <= 0.5 <= of_pictures.high
    assert hits >= 180  # of 190 expected
    assert narrow < 175  # pictures that are taken for independent


def test_a_table_by_series_has_every_value_once_in_the_row_of_its_series():
    values, series = torch.arange(7.0), torch.tensor([5, 2, 5, 9, 5, 2, 5])
    rows = by_series(values, series)
    assert rows.shape == (3, 7)
    assert [sorted(r[~r.isnan()].tolist()) for r in rows] == [[1, 5], [0, 2, 4, 6], [3]]


def test_an_interval_of_short_series_is_never_as_wide_as_the_range():
    generator = torch.Generator().manual_seed(0)
    series = torch.arange(100).repeat_interleave(2)[:120]  # many with one value only
    series[80:] = torch.arange(60, 100)
    for _ in range(50):
        right = torch.rand(120, generator=generator) < 0.84
        alone = torch.rand(120, generator=generator) < 0.32
        gain = effect(by_series(right, series), by_series(alone, series))
        assert gain.high - gain.low < 0.5  # of independent pictures it would be 0.21


def test_load_folder_says_what_it_left_out(deep, tmp_path):
    splits = load_folder(deep, root=tmp_path, progress=False, group="folder")
    assert "one level deeper" not in " ".join(splits.notes)
