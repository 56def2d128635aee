"""Picture files of every kind become RGB squares; broken ones are named."""

import ast
import os
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageOps

from sightline.data import pictures
from sightline.data.pictures import picture_suffixes, read_picture, read_pictures
from sightline.errors import DataError

ORIENTATION = 0x0112


@pytest.fixture
def levels():
    return np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)


def saved(tmp_path, image, name="picture.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_an_rgb_picture_of_the_right_size_is_left_alone(tmp_path, levels):
    pixels = np.stack([levels, levels.T, 255 - levels], -1)
    read, changes = read_picture(saved(tmp_path, Image.fromarray(pixels)), 32)
    assert np.array_equal(read, pixels)
    assert changes == []


def test_grey_becomes_three_equal_channels(tmp_path, levels):
    read, changes = read_picture(saved(tmp_path, Image.fromarray(levels)), 32)
    assert np.array_equal(read, np.stack([levels] * 3, -1))
    assert changes == ["converted from grey to RGB"]


@pytest.mark.parametrize("name", ["picture.png", "picture.tif"])
def test_sixteen_bits_keep_their_upper_eight(tmp_path, levels, name):
    deep = Image.fromarray(levels.astype(np.uint16) * 256 + 200)
    read, changes = read_picture(saved(tmp_path, deep, name), 32)
    assert np.array_equal(read[..., 0], levels)
    assert changes == ["reduced from 16 bits to 8"]


def test_transparent_pixels_become_white(tmp_path, levels):
    alpha = np.full((32, 32), 255, np.uint8)
    alpha[:16] = 0
    layer = Image.fromarray(np.stack([levels] * 3 + [alpha], -1))
    read, changes = read_picture(saved(tmp_path, layer), 32)
    assert (read[:16] == 255).all()
    assert np.array_equal(read[16:, :, 0], levels[16:])
    assert changes == ["with an alpha channel put on white"]


def test_a_palette_is_resolved_and_its_transparent_entry_is_white(tmp_path):
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 32, 8))
    read, changes = read_picture(saved(tmp_path, image), 32)
    assert read[0, 0].tolist() == [0, 0, 0]
    assert read[31, 0].tolist() == [10, 20, 30]
    assert changes == ["converted from palette to RGB"]
    see_through = saved(tmp_path, image, "picture.gif", transparency=0)
    read, changes = read_picture(see_through, 32)
    assert read[0, 0].tolist() == [255, 255, 255]
    assert read[31, 0].tolist() == [10, 20, 30]
    assert changes == ["with an alpha channel put on white"]


def test_cmyk_becomes_rgb(tmp_path):
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    read, changes = read_picture(saved(tmp_path, ink, "picture.tif"), 32)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert changes == ["converted from CMYK to RGB"]


def test_exif_rotation_is_applied(tmp_path, levels):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned clockwise by a quarter
    path = saved(tmp_path, Image.fromarray(np.stack([levels] * 3, -1)), exif=exif)
    read, changes = read_picture(path, 32)
    assert np.array_equal(read[..., 0], np.rot90(levels, -1))
    assert changes == ["turned upright (EXIF)"]


@pytest.mark.parametrize("size", [(64, 64), (90, 50), (50, 91), (17, 20), (1, 1)])
def test_any_size_is_brought_to_the_wanted_one(tmp_path, size):
    read, changes = read_picture(saved(tmp_path, Image.new("RGB", size, "teal")), 32)
    assert read.shape == (32, 32, 3)
    assert (read == (0, 128, 128)).all()
    cut = ["cut to the middle square"] * (size[0] != size[1])
    assert changes == [*cut, "resized to 32x32"]


def test_the_middle_is_cut_out(tmp_path):
    image = Image.new("RGB", (96, 32), "black")
    image.paste("white", (32, 0, 64, 32))
    read, _ = read_picture(saved(tmp_path, image), 32)
    assert (read == 255).all()


def test_shrinking_is_antialiased(tmp_path):
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    read, _ = read_picture(saved(tmp_path, Image.fromarray(stripes)), 32)
    assert np.abs(read.astype(int) - 128).max() <= 8


def test_a_big_jpeg_decoded_small_looks_as_if_decoded_whole(tmp_path, levels):
    smooth = Image.fromarray(levels).convert("RGB").resize((800, 800), 3)
    path = saved(tmp_path, smooth, "picture.jpg", quality=95)
    read, _ = read_picture(path, 32)
    with Image.open(path) as whole:
        expected = np.asarray(whole.resize((32, 32), Image.Resampling.BICUBIC))
    assert np.abs(read.astype(int) - expected).mean() < 4


def test_what_is_no_picture_is_refused_by_name(tmp_path):
    path = tmp_path / "notes.png"
    path.write_text("not a picture", encoding="utf-8")
    with pytest.raises(DataError, match="notes.png cannot be read as a picture"):
        read_picture(path, 32)
    with pytest.raises(DataError, match="missing.png cannot be read"):
        read_picture(tmp_path / "missing.png", 32)


def test_a_picture_that_was_cut_off_is_refused(tmp_path, levels):
    path = saved(tmp_path, Image.fromarray(levels), "cut.jpg")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="cut.jpg cannot be read as a picture"):
        read_picture(path, 32)


def test_pixels_of_unknown_range_are_refused(tmp_path, levels):
    image = Image.fromarray(levels.astype(np.float32) / 255)
    with pytest.raises(DataError, match="floating-point"):
        read_picture(saved(tmp_path, image, "depth.tif"), 32)


def test_many_pictures_keep_their_order_and_broken_ones_are_skipped(tmp_path):
    paths = []
    for value in range(200):
        image = Image.new("L", (8, 8), value)
        paths.append(str(saved(tmp_path, image, f"{value}.png")))
    for place in (0, 150, 199):
        (tmp_path / f"{place}.png").write_bytes(b"")
    parts = list(read_pictures(paths, 8, progress=False))
    expected = np.setdiff1d(np.arange(200), [0, 150, 199])
    images = np.concatenate([part.images for part in parts])
    assert np.array_equal(np.concatenate([part.places for part in parts]), expected)
    assert np.array_equal(images[:, 0, 0, 0], expected)
    unreadable = {
        place: why for part in parts for place, why in part.unreadable.items()
    }
    assert list(unreadable) == [0, 150, 199]
    assert "150.png" in unreadable[150]
    changes = sum((part.changes for part in parts), Counter())
    assert changes == {"converted from grey to RGB": 197}


def test_pictures_that_are_all_broken_give_none(tmp_path):
    (tmp_path / "0.png").write_bytes(b"")
    (part,) = read_pictures([str(tmp_path / "0.png")], 8, progress=False)
    assert part.images.shape == (0, 8, 8, 3)


def test_decoding_waits_for_whoever_keeps_the_pictures(tmp_path, monkeypatch):
    waiting, submitted = [], ThreadPoolExecutor.submit

    def counted(pool, *work):
        waiting.append(submitted(pool, *work))
        return waiting[-1]

    monkeypatch.setattr(ThreadPoolExecutor, "submit", counted)
    monkeypatch.setattr(pictures, "_workers", ThreadPoolExecutor)
    monkeypatch.setattr(pictures, "_cores", lambda: 2)
    path = str(saved(tmp_path, Image.new("RGB", (1, 1))))
    parts = read_pictures([path] * 900, 8, progress=False)
    assert len(next(parts).images) == pictures.CHUNK
    assert len(waiting) == 5  # two for each worker, and the one that came
    assert len(list(parts)) == 7


def test_large_pictures_are_read_fewer_at_a_time(tmp_path):
    path = str(saved(tmp_path, Image.new("RGB", (2, 2))))
    parts = list(read_pictures([path] * 3, 2000, progress=False))
    assert [len(part.images) for part in parts] == [1, 1, 1]


def test_a_padded_picture_is_whole_in_the_middle_of_grey(tmp_path):
    image = Image.new("RGB", (96, 48), "black")
    image.paste("white", (0, 0, 48, 48))
    read, changes = read_picture(saved(tmp_path, image), 32, "pad")
    assert changes == ["padded to a square", "resized to 32x32"]
    assert (read[:8] == 128).all() and (read[24:] == 128).all()
    assert (read[8:24, :14] == 255).all() and (read[8:24, 18:] == 0).all()
    line = Image.new("RGB", (1000, 1), "white")
    read, _ = read_picture(saved(tmp_path, line), 32, "pad")
    assert (read[15] == 255).all() and (read[:15] == 128).all()


def test_what_needs_another_program_is_no_picture_whatever_it_is_called(
    tmp_path, monkeypatch
):
    def run(*_, **__):
        raise AssertionError("Ghostscript was asked")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    image = Image.new("RGB", (8, 8), "teal")
    image.save(tmp_path / "drawing.eps")
    path = (tmp_path / "drawing.eps").rename(tmp_path / "photograph.jpg")
    with pytest.raises(DataError, match="none of JPEG, PNG"):
        read_picture(path, 8)
    assert ".eps" not in picture_suffixes()


def test_every_picture_is_opened_in_one_place_which_names_the_formats():
    source = Path(pictures.__file__).parents[1]
    opening = [
        path.name
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open"
    ]
    assert opening == ["pictures.py"]


def test_an_error_without_words_is_named_by_its_kind(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(ImageOps, "fit", fail)
    with pytest.raises(DataError, match="as a picture: MemoryError"):
        read_picture(saved(tmp_path, Image.new("RGB", (9, 9))), 8)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no processes")
@pytest.mark.processes
def test_a_picture_that_kills_its_process_is_named_and_the_others_are_read(
    tmp_path, monkeypatch
):
    paths = [
        str(saved(tmp_path, Image.new("L", (8, 8), value), f"{value}.png"))
        for value in range(12)
    ]
    real = pictures._read

    def read(path, *arguments):
        if path.endswith(("/3.png", "/7.png")):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(path, *arguments)

    monkeypatch.setattr(pictures, "_read", read)
    monkeypatch.setattr(pictures, "CHUNK", 2)
    monkeypatch.setattr(pictures, "_cores", lambda: 2)
    parts = list(read_pictures(paths, 8, progress=False))
    places = [place for part in parts for place in part.places]
    assert places == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    levels = np.concatenate([part.images for part in parts])[:, 0, 0, 0]
    assert levels.tolist() == places
    unreadable = {
        place: why for part in parts for place, why in part.unreadable.items()
    }
    assert list(unreadable) == [3, 7]
    assert "3.png cannot be read as a picture: decoding it ended" in unreadable[3]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no processes")
@pytest.mark.processes
def test_an_interrupt_of_the_terminal_is_left_to_the_process_that_waits():
    """Ctrl-C reaches all processes, and each worker printed where it was."""
    signals = (signal.SIGINT, signal.SIGTERM)
    with pictures._workers(1) as pool:
        answers = [pool.submit(signal.getsignal, each).result() for each in signals]
    assert answers == [signal.SIG_IGN, signal.SIG_DFL]


def test_suffixes_are_those_of_pictures():
    suffixes = picture_suffixes()
    assert {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif"} <= suffixes
    assert suffixes.isdisjoint({".txt", ".pdf", ".db", ""})
