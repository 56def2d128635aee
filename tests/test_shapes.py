"""Drawn shapes: repeatable, balanced, and true about object and shortcut."""

import hashlib
import inspect

import numpy as np
import pytest
from child import run_child

from sightline.data.shapes import CLASSES, SIZE, draw_shapes

CORNER = (slice(26, 31), slice(26, 31))


def test_shapes_have_the_promised_sizes_types_and_classes():
    drawn = draw_shapes(20)
    assert len(CLASSES) == len(set(CLASSES)) == 10
    assert drawn.images.shape == (20, SIZE, SIZE, 3)
    assert drawn.masks.shape == drawn.shortcuts.shape == (20, SIZE, SIZE)
    assert drawn.images.dtype == np.uint8
    assert drawn.labels.dtype == np.int64
    assert drawn.masks.dtype == drawn.shortcuts.dtype == bool


def test_the_same_seed_draws_the_same_and_another_seed_does_not():
    first, again = draw_shapes(50, seed=3), draw_shapes(50, seed=3)
    for name in ("images", "labels", "masks", "shortcuts"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    other = draw_shapes(50, seed=4)
    assert not np.array_equal(first.images, other.images)
    assert not np.array_equal(first.labels, other.labels)


def test_two_parts_of_one_seed_are_different_pictures():
    train, test = draw_shapes(50, seed=(0, 0)), draw_shapes(50, seed=(0, 1))
    pictures = {image.tobytes() for image in (*train.images, *test.images)}
    assert len(pictures) == 100


def test_every_class_is_drawn_equally_often():
    assert np.bincount(draw_shapes(1_200).labels).tolist() == [120] * 10
    assert np.bincount(draw_shapes(23).labels).tolist() == [3] * 3 + [2] * 7


def test_objects_cover_the_recorded_share_of_the_picture():
    drawn = draw_shapes(2_000)
    assert drawn.masks.mean() == pytest.approx(0.117, abs=0.004)
    assert drawn.masks.sum((1, 2)).min() > 0


def test_the_mask_is_where_the_object_is_and_nowhere_else():
    # the same seed with more contrast draws the same scene in stronger colours:
    # what differs is the object
    weak = draw_shapes(200, noise=0, contrast=(0.1, 0.1))
    strong = draw_shapes(200, noise=0, contrast=(0.25, 0.25))
    assert np.array_equal(weak.masks, strong.masks)
    change = np.abs(strong.images.astype(int) - weak.images).max(-1)
    # the mask begins where the object covers half: half of 0.15 of 255 levels,
    # less only where a colour runs into black or white
    assert (change[weak.masks] >= 18).mean() > 0.97
    edge = np.zeros_like(weak.masks)  # pixels that the object covers in part
    for axis in (1, 2):
        for step in (-1, 1):
            edge |= np.roll(weak.masks, step, axis)
    assert change[~weak.masks].max() <= 20
    assert change[~weak.masks & ~edge].mean() < 0.1


def test_a_disc_has_the_area_of_a_disc():
    drawn = draw_shapes(500, radius=(8, 8))
    areas = drawn.masks[drawn.labels == CLASSES.index("disc")].sum((1, 2))
    assert areas.mean() == pytest.approx(np.pi * (0.9 * 8) ** 2, rel=0.02)


def test_colour_alone_does_not_tell_the_class():
    drawn = draw_shapes(2_000)
    means = drawn.images.mean((1, 2))
    by_class = np.array([means[drawn.labels == k].mean(0) for k in range(10)])
    assert by_class.std(0).max() < 0.2 * means.std(0).min()


def test_no_shortcut_is_planted_unless_asked_for():
    assert not draw_shapes(100).shortcuts.any()


def test_a_shortcut_is_planted_on_its_class_and_only_there():
    drawn = draw_shapes(500, shortcut_class=3)
    marked = drawn.shortcuts.any((1, 2))
    assert np.array_equal(marked, drawn.labels == 3)
    assert (drawn.shortcuts.sum((1, 2))[marked] == 25).all()
    assert drawn.shortcuts[marked][:, *CORNER].all()


def test_shortcut_probabilities_are_kept():
    drawn = draw_shapes(
        5_000, shortcut_class=3, shortcut_probability=0.9, other_probability=0.02
    )
    marked = drawn.shortcuts.any((1, 2))
    assert marked[drawn.labels == 3].mean() == pytest.approx(0.9, abs=0.04)
    assert marked[drawn.labels != 3].mean() == pytest.approx(0.02, abs=0.01)


def test_a_shortcut_changes_only_the_pixels_under_it():
    plain, marked = draw_shapes(100), draw_shapes(100, shortcut_on=True)
    chosen = np.arange(100) % 3 == 0
    some = draw_shapes(100, shortcut_on=chosen)
    of_class = draw_shapes(100, shortcut_class=3)
    assert np.array_equal(some.shortcuts.any((1, 2)), chosen)
    for drawn in (marked, some, of_class):
        same = (drawn.images == plain.images).all(-1)
        assert same[~drawn.shortcuts].all()
        assert same[drawn.shortcuts].mean() < 0.1


def test_a_mask_leaves_out_what_the_shortcut_hides():
    plain, marked = draw_shapes(300), draw_shapes(300, shortcut_on=True)
    assert (plain.masks & marked.shortcuts).any()
    assert np.array_equal(marked.masks, plain.masks & ~marked.shortcuts)


@pytest.mark.processes
def test_another_arithmetic_of_the_cpu_draws_the_same(monkeypatch):
    simd = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", " ".join(simd))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")  # no fused products
    program = """
        import hashlib
        from sightline.data.shapes import draw_shapes
        drawn = draw_shapes(3_000, seed=7)
        print(hashlib.sha256(drawn.images).hexdigest())
        print(hashlib.sha256(drawn.masks).hexdigest())
    """
    drawn = draw_shapes(3_000, seed=7)
    digests = [hashlib.sha256(each).hexdigest() for each in (drawn.images, drawn.masks)]
    assert run_child(inspect.cleandoc(program)).split() == digests
