"""Data sets: disjoint seeded parts, folders of any kind, and a cache that is safe."""

import os
import re
import shutil
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from child import run_child
from PIL import Image

from sightline.data import datasets, folders
from sightline.data import pictures as pictures_module
from sightline.data.datasets import load, load_shapes
from sightline.data.stored import StoredImages
from sightline.errors import DataError


def draw(path, value, size=(8, 8)):
    """Save a picture of random pixels that are never the same for two values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def make_folder(folder, counts):
    """Save numbered pictures, as many in each sub-folder as `counts` says."""
    for place, (name, count) in enumerate(counts.items()):
        for number in range(count):
            draw(folder / name / f"{number}.png", 1_000 * place + number)
    return folder


@pytest.fixture
def divided(tmp_path):
    """A folder with train/ and test/."""
    counts = {"train/cat": 20, "train/dog": 10, "test/cat": 4, "test/dog": 3}
    return make_folder(tmp_path / "pets", counts)


@pytest.fixture
def plain(tmp_path):
    """A folder of classes only."""
    return make_folder(tmp_path / "plain", {"cat": 20, "dog": 10, "fox": 5})


@pytest.fixture
def read(tmp_path):
    """Load a folder of tiny pictures, keeping what is decoded out of the way."""

    def read(folder, **options):
        root = tmp_path / "data"
        return load(folder, image_size=8, root=root, progress=False, **options)

    return read


def parts(splits):
    return splits.train, splits.validation, splits.test


def pictures(split):
    return {image.numpy().tobytes() for image in split.images}


# parts and seeds


@pytest.mark.parametrize("kind", ["shapes", "divided", "plain"])
def test_no_picture_is_in_two_parts(kind, request, read):
    if kind == "shapes":
        splits = load_shapes(training=300, test=100)
    else:
        splits = read(request.getfixturevalue(kind))
    sets = [pictures(part) for part in parts(splits)]
    assert len(set.union(*sets)) == sum(map(len, sets))
    assert [len(s) for s in sets] == [len(part) for part in parts(splits)]


def test_shapes_come_with_everything():
    splits = load_shapes(training=300, test=100)
    assert splits.name == "shapes"
    assert [len(part) for part in parts(splits)] == [270, 30, 100]
    assert len(splits.classes) == 10
    for part in parts(splits):
        assert part.images.dtype == torch.uint8
        assert part.images.shape[1:] == (32, 32, 3)
        assert part.labels.dtype == torch.int64
        assert part.masks.shape == part.shortcuts.shape == (len(part), 32, 32)
        assert part.masks.dtype == part.shortcuts.dtype == torch.bool
    assert splits.validation.labels.bincount().tolist() == [3] * 10


@pytest.mark.slow
def test_load_knows_shapes_by_name():
    splits = load("shapes")
    assert [len(part) for part in parts(splits)] == [7_200, 800, 2_000]


def test_train_and_test_folders_are_kept_apart(divided, read):
    splits = read(divided)
    assert splits.name == "pets"
    assert splits.classes == ("cat", "dog")
    assert splits.train.labels.bincount().tolist() == [18, 9]
    assert splits.validation.labels.bincount().tolist() == [2, 1]
    assert splits.test.labels.tolist() == [0] * 4 + [1] * 3
    assert splits.train.masks is splits.train.shortcuts is None


def test_a_plain_folder_is_divided_within_each_class(plain, read):
    splits = read(plain)
    assert splits.test.labels.bincount().tolist() == [4, 2, 1]
    assert splits.validation.labels.bincount().tolist() == [2, 1, 1]
    assert splits.train.labels.bincount().tolist() == [14, 7, 3]


def test_pictures_are_in_the_order_of_their_numbers(tmp_path, read):
    counts = {"train/a": 4, "train/b": 4, "test/b": 12, "test/a": 12}
    folder = make_folder(tmp_path / "ordered", counts)
    test = read(folder).test
    assert test.labels.tolist() == [0] * 12 + [1] * 12
    for place, image in enumerate(test.images):
        name = folder / "test" / "ab"[place // 12] / f"{place % 12}.png"
        with Image.open(name) as picture:
            assert np.array_equal(image, picture)


def test_a_seed_decides_what_validates_and_never_touches_test(divided, read):
    first, again, other = read(divided), read(divided), read(divided, seed=1)
    assert first.digest == again.digest
    assert torch.equal(first.train.images, again.train.images)
    assert torch.equal(first.test.images, other.test.images)
    assert first.digest != other.digest
    assert pictures(first.validation) != pictures(other.validation)


def test_a_seed_decides_the_test_part_of_a_plain_folder(plain, read):
    assert pictures(read(plain).test) == pictures(read(plain).test)
    assert pictures(read(plain).test) != pictures(read(plain, seed=1).test)


def test_one_seed_draws_the_same_shapes_again():
    first, again = (load_shapes(training=100, test=50, seed=5) for _ in range(2))
    assert first.digest == again.digest
    assert load_shapes(training=100, test=50, seed=6).digest != first.digest


def test_even_the_smallest_class_fills_every_part(tmp_path, read):
    splits = read(make_folder(tmp_path / "few", {"cat": 3, "dog": 3}))
    for part in parts(splits):
        assert part.labels.bincount().tolist() == [1, 1]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 10])
def test_an_impossible_validation_fraction_is_refused(fraction):
    with pytest.raises(DataError, match=f"validation_fraction {fraction} is not"):
        load_shapes(training=100, test=50, validation_fraction=fraction)


# what describes the data


def test_mean_and_std_are_those_of_all_training_pixels(divided, read):
    splits = read(divided)
    pixels = splits.train.images.double() / 255
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2), unbiased=False)
    assert splits.mean == pytest.approx(mean.tolist(), abs=1e-12)
    assert splits.std == pytest.approx(std.tolist(), abs=1e-12)


def test_a_channel_that_never_changes_can_still_be_divided_by(tmp_path, read):
    folder = tmp_path / "red"
    for name in ("cat", "dog"):
        for number in range(3):
            (folder / name).mkdir(parents=True, exist_ok=True)
            picture = Image.new("RGB", (8, 8), (40 * number, 0, 0))
            picture.save(folder / name / f"{number}.png")
    assert min(read(folder).std) > 0


def test_one_changed_pixel_changes_the_digest(divided, read):
    before = read(divided)
    path = divided / "test" / "dog" / "2.png"
    with Image.open(path) as picture:
        pixels = np.array(picture)
    pixels[3, 3, 1] ^= 1
    Image.fromarray(pixels).save(path)
    os.utime(path, ns=(0, 0))
    after = read(divided)
    assert after.digest != before.digest
    assert not torch.equal(after.test.images, before.test.images)


def test_one_changed_label_changes_the_digest(divided, read):
    before = read(divided)
    (divided / "train/cat/19.png").rename(divided / "train/dog/10.png")
    assert read(divided).digest != before.digest


# fewer pictures


def test_limited_keeps_classes_balanced_and_counts_exact():
    splits = load_shapes(training=1_000, test=300)
    few = splits.limited(105)
    assert [len(part) for part in parts(few)] == [105, 26, 26]
    for part in parts(few):
        counts = part.labels.bincount()
        assert counts.max() - counts.min() <= 1
    assert few.train.masks.shape == (105, 32, 32)
    assert (few.mean, few.std, few.classes) == (splits.mean, splits.std, splits.classes)
    assert few.digest != splits.digest
    for part, whole in zip(parts(few), parts(splits), strict=True):
        assert pictures(part) < pictures(whole)


def test_every_part_can_have_a_limit_of_its_own():
    splits = load_shapes(training=1_000, test=300)
    few = splits.limited(90, validation=10, test=200)
    assert [len(part) for part in parts(few)] == [90, 10, 200]
    assert torch.equal(few.test.images, splits.limited(800).test.images)
    with pytest.raises(DataError, match="limit of 9 .* at least 10"):
        splits.limited(90, validation=9)


def test_limited_keeps_the_order_of_test_pictures():
    splits = load_shapes(training=1_000, test=300)
    whole = [image.numpy().tobytes() for image in splits.test.images]
    few = [image.numpy().tobytes() for image in splits.limited(200).test.images]
    places = [whole.index(image) for image in few]
    assert places == sorted(places)


def test_limited_is_seeded():
    splits = load_shapes(training=1_000, test=300)
    assert splits.limited(100).digest == splits.limited(100).digest
    assert splits.limited(100).digest != splits.limited(100, seed=1).digest


def test_limited_takes_what_there_is_of_a_small_class(plain, read):
    few = read(plain).limited(12)
    assert few.train.labels.bincount().tolist() == [5, 4, 3]
    assert len(few.validation) == 3


def test_no_limit_and_a_large_one_keep_everything():
    splits = load_shapes(training=100, test=50)
    assert splits.limited(None) is splits
    assert splits.limited(1_000).digest == splits.digest


def test_a_limit_below_the_number_of_classes_is_refused():
    with pytest.raises(DataError, match="limit of 9 .* at least 10"):
        load_shapes(training=100, test=50).limited(9)


# folders that need care


def test_what_was_done_to_pictures_is_counted(divided, read):
    Image.new("L", (8, 8)).save(divided / "train/cat/0.png")
    Image.new("L", (8, 8)).save(divided / "train/cat/1.png")
    Image.new("RGB", (20, 9)).save(divided / "test/dog/0.png")
    assert read(divided).notes == (
        "2 pictures converted from grey to RGB",
        "1 picture cut to the middle square",
        "1 picture resized to 8x8",
    )


def test_unreadable_pictures_are_named_and_left_out(divided, read):
    (divided / "train/cat/3.png").write_text("no picture", encoding="utf-8")
    (divided / "test/dog/0.png").write_bytes(b"")
    splits = read(divided)
    assert splits.notes == ("2 unreadable, left out: train/cat/3.png, test/dog/0.png",)
    assert len(splits.train) + len(splits.validation) == 29
    assert len(splits.test) == 6
    assert read(divided).notes == splits.notes


def test_hidden_files_are_ignored_and_strange_ones_noted(divided, read):
    (divided / "train" / ".DS_Store").write_text("", encoding="utf-8")
    (divided / "train/cat/._0.png").write_text("", encoding="utf-8")
    (divided / "train/cat/.ipynb_checkpoints").mkdir()
    (divided / "README.txt").write_text("", encoding="utf-8")
    assert read(divided).notes == ()
    (divided / "train/cat/labels.csv").write_text("", encoding="utf-8")
    (divided / "train/cat/more").mkdir()
    (divided / "val").mkdir()
    assert read(divided).notes == (
        "validation pictures of your own are left out: val",
        "not pictures, left out: train/cat/labels.csv, train/cat/more",
    )


def test_upper_case_endings_are_pictures_too(plain, read):
    for path in plain.glob("fox/*.png"):
        path.rename(path.with_suffix(".PNG"))
    assert read(plain).classes == ("cat", "dog", "fox")


def test_a_missing_folder_says_what_was_expected(tmp_path):
    with pytest.raises(
        DataError, match="does not exist; expected cifar10, shapes"
    ) as e:
        load(tmp_path / "nothing")
    assert "train/<class>/*.jpg" in str(e.value)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "pictures.tar").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match=r"is no folder \(unpack it\?\)"):
        load(tmp_path / "pictures.tar")


def test_one_class_is_not_enough(tmp_path, read):
    folder = make_folder(tmp_path / "one", {"cat": 5})
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="at least 2 classes .* found only cat"):
        read(folder)


def test_pictures_without_classes_are_refused(tmp_path, read):
    draw(tmp_path / "flat" / "0.png", 0)
    with pytest.raises(DataError, match="found none; expected"):
        read(tmp_path / "flat")


def test_different_classes_in_train_and_test_are_named(divided, read):
    draw(divided / "train/fox/0.png", 7_000)
    (divided / "test/dog").rename(divided / "test/Dog")
    with pytest.raises(DataError) as error:
        read(divided)
    assert "train/ has no pictures of Dog" in str(error.value)
    assert "test/ has no pictures of dog, fox" in str(error.value)


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("test", "train")])
def test_half_a_layout_is_refused(tmp_path, read, part, other):
    counts = {f"{part}/cat": 3, f"{part}/dog": 3, "val/cat": 3, "val/dog": 3}
    folder = make_folder(tmp_path / "half", counts)
    with pytest.raises(DataError, match=f"classes in {part}/ but none in {other}/"):
        read(folder)


def test_a_class_may_be_called_train(tmp_path, read):
    folder = make_folder(tmp_path / "traffic", {"car": 5, "train": 5})
    assert read(folder).classes == ("car", "train")


def test_a_class_without_a_readable_picture_is_an_error(divided, read):
    for path in divided.glob("test/dog/*"):
        path.write_text("no picture", encoding="utf-8")
    with pytest.raises(DataError, match="test/dog has 0 readable .* 3 unreadable") as e:
        read(divided)
    assert "0.png cannot be read as a picture" in str(e.value)


def test_a_class_too_small_to_divide_is_an_error(tmp_path, read):
    folder = make_folder(tmp_path / "small", {"cat": 5, "dog": 2})
    with pytest.raises(DataError, match="dog has 2 readable .* at least 3 are needed"):
        read(folder)


# decoded once


@pytest.fixture
def decoded(monkeypatch):
    """Count how often a folder is decoded."""
    calls = []
    real = folders.read_pictures

    def counted(paths, *size, **options):
        calls.append(len(paths))
        return real(paths, *size, **options)

    monkeypatch.setattr(folders, "read_pictures", counted)
    return calls


def test_a_second_load_decodes_nothing(divided, read, decoded):
    first, second = read(divided), read(divided, seed=3)
    assert decoded == [37]
    assert torch.equal(first.test.images, second.test.images)


def test_new_changed_and_removed_pictures_are_noticed(divided, read, decoded):
    read(divided)
    draw(divided / "train/dog/10.png", 9_000)
    read(divided)
    draw(divided / "train/dog/10.png", 9_001)
    os.utime(divided / "train/dog/10.png", ns=(1, 1))
    read(divided)
    (divided / "train/dog/10.png").unlink()
    read(divided)
    assert decoded == [37, 38, 38, 37]


def test_one_folder_keeps_one_file_per_size(divided, tmp_path):
    root = tmp_path / "data"
    for size in (8, 16, 8):
        splits = load(divided, image_size=size, root=root, progress=False)
        assert splits.test.images.shape[1:] == (size, size, 3)
    draw(divided / "train/dog/10.png", 9_000)
    load(divided, image_size=8, root=root, progress=False)
    assert len(list((root / "decoded").iterdir())) == 2


@pytest.mark.parametrize("size", [0, 5, 200, -1])
def test_a_broken_cache_is_made_anew(divided, read, decoded, tmp_path, size):
    whole = read(divided)
    (cache,) = (tmp_path / "data" / "decoded").iterdir()
    cache.write_bytes(cache.read_bytes()[:size])
    for _ in range(2):
        assert read(divided).digest == whole.digest
    assert decoded == [37, 37]


def test_data_are_used_even_when_they_cannot_be_kept(divided, tmp_path):
    (tmp_path / "data").write_text("a file where a folder is wanted", encoding="utf-8")
    splits = load(divided, image_size=8, root=tmp_path / "data", progress=False)
    assert len(splits.test) == 7
    (note,) = splits.notes
    assert note.startswith("decoded pictures could not be kept in")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such name")
def test_a_class_whose_name_is_no_text_is_written_with_escapes(divided):
    odd = os.fsdecode(b"caf\xe9")
    for part in ("train", "test"):
        (divided / part / "cat").rename(divided / part / odd)
    splits = load(divided, image_size=8, progress=False)
    assert "caf\\xe9" in splits.classes


FULL_DISK = """
import resource, sys
from pathlib import Path
from sightline.data import folders
from sightline.data.datasets import load
from sightline.errors import DataError

folder, root, *memory = sys.argv[1:]
if memory:
    folders.usable_memory = lambda: int(memory[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
try:
    print(load(folder, image_size=8, root=Path(root), progress=False).notes[0])
except DataError as error:
    print("DataError:", error)
"""


@pytest.mark.processes
def test_a_full_disk_leaves_nothing_behind(divided, tmp_path):
    pytest.importorskip("resource")
    note = run_child(FULL_DISK, divided, tmp_path / "data")
    assert re.search("^decoded pictures .* File too large", note)
    assert list((tmp_path / "data" / "decoded").iterdir()) == []


# more pictures than memory


@pytest.fixture
def little_memory(monkeypatch):
    """So little memory that the pictures of a folder stay in their file."""
    monkeypatch.setattr(folders, "usable_memory", lambda: 4 * 37 * 8 * 8 * 3 - 1)


def test_a_quarter_of_the_memory_decides_whether_pictures_stay_on_disk(
    divided, read, monkeypatch
):
    for memory, kind in ((28_416, torch.Tensor), (28_415, StoredImages)):
        monkeypatch.setattr(folders, "usable_memory", lambda memory=memory: memory)
        assert {type(part.images) for part in parts(read(divided))} == {kind}


@pytest.mark.parametrize("decoded_before", [False, True])
def test_pictures_on_disk_are_those_in_memory(
    divided, read, decoded, decoded_before, monkeypatch
):
    (divided / "train/cat/3.png").write_text("no picture", encoding="utf-8")
    Image.new("L", (8, 8)).save(divided / "test/dog/0.png")
    resident = read(divided)
    if not decoded_before:
        draw(divided / "train/dog/9.png", 1009)  # the same again, but newer
    monkeypatch.setattr(folders, "usable_memory", lambda: 1000)
    on_disk = read(divided)
    assert decoded == [37] if decoded_before else [37, 37]
    for mine, other in zip(parts(on_disk), parts(resident), strict=True):
        assert isinstance(mine.images, StoredImages)
        assert torch.equal(mine.images[:], other.images)
        assert torch.equal(mine.labels, other.labels)
    for name in ("digest", "mean", "std", "classes"):
        assert getattr(on_disk, name) == getattr(resident, name)
    *notes, note = on_disk.notes
    assert tuple(notes) == resident.notes
    assert note == "36 pictures (0.00 GB) stay on disk and are read batch by batch"


def test_fewer_of_the_pictures_on_disk_are_the_same_few(divided, read, monkeypatch):
    few = read(divided).limited(10)
    monkeypatch.setattr(folders, "usable_memory", lambda: 1000)
    on_disk = read(divided).limited(10)
    assert isinstance(on_disk.train.images, StoredImages)
    assert on_disk.digest == few.digest


def test_a_plain_folder_on_disk_is_divided_as_in_memory(plain, read, monkeypatch):
    resident = read(plain)
    monkeypatch.setattr(folders, "usable_memory", lambda: 1000)
    assert read(plain).digest == resident.digest


@pytest.mark.parametrize("size", [0, 5, 2_000, -1])
def test_a_broken_file_of_pictures_is_made_anew(
    divided, read, decoded, little_memory, tmp_path, size
):
    whole = read(divided)
    (cache,) = (tmp_path / "data" / "decoded").iterdir()
    cache.write_bytes(cache.read_bytes()[:size])
    for _ in range(2):
        assert read(divided).digest == whole.digest
    assert decoded == [37, 37]


def test_a_disk_too_small_is_said_before_anything_is_decoded(
    divided, read, decoded, little_memory, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 2, 7)
    )
    with pytest.raises(DataError) as error:
        read(divided)
    assert str(error.value) == (
        f"37 decoded pictures need 0.00 GB in {tmp_path / 'data' / 'decoded'}, where "
        "0.00 GB are free: No space left on device. Make room, or set SIGHTLINE_DATA "
        "to a folder on a larger disk"
    )
    assert decoded == []


@pytest.mark.processes
def test_a_disk_that_fills_up_while_decoding_leaves_nothing_behind(
    divided, read, tmp_path
):
    pytest.importorskip("resource")
    message = run_child(FULL_DISK, divided, tmp_path / "data", 1_000)
    wanted = "^DataError: .* need 0.00 GB .* File too large. Make room"
    assert re.search(wanted, message), message
    assert list((tmp_path / "data" / "decoded").iterdir()) == []
    assert len(read(divided).test) == 7


def test_a_folder_that_cannot_be_written_is_an_error_only_for_many_pictures(
    divided, little_memory, tmp_path
):
    (tmp_path / "data").write_text("a file where a folder is wanted", encoding="utf-8")
    with pytest.raises(DataError, match="Not a directory. .* SIGHTLINE_DATA"):
        load(divided, image_size=8, root=tmp_path / "data", progress=False)


def test_decoding_holds_few_pictures_in_memory(tmp_path, monkeypatch):
    folder, side = tmp_path / "many", 256
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(150):
            Image.new("RGB", (1, 1)).save(folder / name / f"{number}.png")
    monkeypatch.setattr(folders, "usable_memory", lambda: 1000)
    monkeypatch.setattr(pictures_module, "CHUNK_BYTES", 2**20)
    tracemalloc.start()
    splits = load(folder, image_size=side, root=tmp_path, progress=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert splits.train.images.shape == (216, side, side, 3)
    assert peak < 300 * side * side * 3 / 4


def test_the_data_folder_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_DATA", str(tmp_path))
    assert datasets.data_folder() == tmp_path
    monkeypatch.delenv("SIGHTLINE_DATA")
    monkeypatch.setenv("HOME", "/home/somebody")
    expected = "/home/somebody/.cache/sightline"
    assert str(datasets.data_folder()) == expected


@pytest.mark.parametrize("name", ["cifar10", "shapes"])
def test_pictures_of_fixed_size_cannot_be_asked_for_in_another(name):
    with pytest.raises(DataError, match="image_size 64 is not possible"):
        load(name, image_size=64)


# names


@pytest.mark.parametrize("layout", ["divided", "plain"])
def test_every_picture_keeps_its_file_through_every_choice(layout, request, read):
    folder = request.getfixturevalue(layout)
    broken = "train/cat/0.png" if layout == "divided" else "cat/0.png"
    (folder / broken).write_text("no picture", encoding="utf-8")
    splits = read(folder).limited(6, validation=3, test=3)
    joined = splits.train.join(splits.validation)
    last = joined.take(torch.arange(len(joined)).flip(0))
    odd = joined.take(torch.arange(len(joined)) % 2 == 1)
    for split in (*parts(splits), joined, last, odd):
        assert len(split.files) == len(split)
        for image, name in zip(split.images, split.files, strict=True):
            with Image.open(folder / name) as picture:
                assert np.array_equal(image, np.asarray(picture.resize((8, 8))))


def test_pictures_without_files_are_named_by_number(divided, read):
    test = read(divided).test
    places = torch.tensor([5, 0])
    assert test.names(places) == ["test/dog/1.png", "test/cat/0.png"]
    drawn = load_shapes(training=100, test=20).test
    assert drawn.names(places) == ["no. 5", "no. 0"]
