"""Albumentations pipelines: exact numbers, loud mistakes, independent workers."""

import json
from collections import Counter
from dataclasses import replace

import albumentations as A
import numpy as np
import pytest
import torch
from child import run_child
from tolerance import rounding
from torch.utils.data import DataLoader

from sightline.data import transforms
from sightline.data.augmentation import Augmentation
from sightline.data.split import Split
from sightline.data.transforms import TransformedDataset, denormalise, normalise
from sightline.errors import SightlineError

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
CONSTANTS = {"mean": MEAN, "std": STD}


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=generator)


def as_float(images):
    return images.permute(0, 3, 1, 2) / 255


def test_normalised_images_have_mean_zero_and_deviation_one(images):
    pixels = as_float(images)
    mean = pixels.mean((0, 2, 3)).tolist()
    std = pixels.std((0, 2, 3), unbiased=False).tolist()
    out = normalise(pixels, mean, std)
    assert out.mean((0, 2, 3)).abs().max() < 1e-6
    assert (out.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-6


def test_denormalise_undoes_normalise(images):
    pixels = as_float(images)
    for given in (pixels, pixels[0], pixels.double()):
        back = denormalise(normalise(given, MEAN, STD), MEAN, STD)
        assert back.dtype == given.dtype
        assert (back - given).abs().max() < 1e-6


NOTHING = Augmentation(crop_padding=0, flip=0)


def test_with_everything_off_pictures_are_normalised_and_nothing_else(images):
    transform = transforms.train_transform(NOTHING, **CONSTANTS)
    expected = normalise(as_float(images), MEAN, STD)
    for image, normalised in zip(images, expected, strict=True):
        out = transform(image=image.numpy())["image"]
        assert out.shape == (3, 32, 32)
        assert out.dtype == torch.float32
        assert (out - normalised).abs().max() < 1e-6


def test_a_flip_of_probability_one_mirrors_left_and_right(images):
    image = images[0]
    flip = transforms.train_transform(replace(NOTHING, flip=1), **CONSTANTS)
    expected = normalise(as_float(images)[0].flip(-1), MEAN, STD)
    out = flip(image=image.numpy())["image"]
    assert (out - expected).abs().max() < 1e-6


def test_half_of_the_pictures_are_flipped(images):
    image = images[0].numpy()
    plain = transforms.train_transform(NOTHING, **CONSTANTS)(image=image)["image"]
    flip = transforms.train_transform(replace(NOTHING, flip=0.5), seed=0, **CONSTANTS)
    kept = sum(torch.equal(flip(image=image)["image"], plain) for _ in range(400))
    assert 160 < kept < 240


def test_shifts_stay_within_the_padding_and_reflect_the_border(images):
    image = images[0].numpy()
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = torch.stack(
        [
            torch.from_numpy(padded[y : y + 32, x : x + 32].copy())
            for y in range(5)
            for x in range(5)
        ]
    )
    allowed = normalise(as_float(windows), MEAN, STD)
    shift = transforms.train_transform(
        replace(NOTHING, crop_padding=2), seed=0, **CONSTANTS
    )
    seen = set()
    for _ in range(200):
        out = shift(image=image)["image"]
        distance = (allowed - out).abs().amax((1, 2, 3))
        assert distance.min() < 1e-6
        seen.add(int(distance.argmin()))
    assert len(seen) == 25


def test_cutout_is_one_hole_of_the_mean_colour(images):
    whole = replace(NOTHING, cutout=16, cutout_place="inside")
    cut = transforms.train_transform(whole, seed=0, **CONSTANTS)
    plain = transforms.train_transform(NOTHING, **CONSTANTS)
    for image in images:
        out = cut(image=image.numpy())["image"]
        hole = (out == 0).all(0)
        rows, columns = torch.nonzero(hole, as_tuple=True)
        assert hole.sum() == 16 * 16
        assert rows.max() - rows.min() == columns.max() - columns.min() == 15
        assert torch.equal(out[:, ~hole], plain(image=image.numpy())["image"][:, ~hole])
        grey = denormalise(out, MEAN, STD)[:, hole]
        assert (grey - torch.tensor(MEAN)[:, None]).abs().max() < 1e-6


def test_other_picture_sizes_keep_their_size():
    image = np.zeros((64, 64, 3), np.uint8)
    transform = transforms.train_transform(Augmentation(), image_size=64, **CONSTANTS)
    assert transform(image=image)["image"].shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("transform", "arguments"),
    [
        (A.CoarseDropout, {"max_holes": 1, "max_height": 16, "max_width": 16}),
        (A.PadIfNeeded, {"min_height": 40, "min_width": 40, "value": 0}),
        (A.GaussNoise, {"var_limit": (10, 50)}),
    ],
)
def test_arguments_of_albumentations_1_are_errors(transform, arguments):
    with pytest.raises(UserWarning, match=r"Argument\(s\)"):
        transform(**arguments)


@pytest.fixture(scope="module")
def fresh_import():
    """What a fresh Python sees that imports the library with no network."""
    program = """
import json, socket
calls = []
def refuse(*arguments, **options):
    calls.append(repr(arguments))
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
from sightline.data import transforms
import albumentations as A
try:
    A.CoarseDropout(max_holes=1, max_height=16, max_width=16)
    outcome = "ignored"
except UserWarning as error:
    outcome = str(error)
print(json.dumps({"calls": calls, "outcome": outcome}))
"""
    return json.loads(run_child(program))


@pytest.mark.processes
def test_importing_calls_no_network(fresh_import):
    assert fresh_import["calls"] == []


@pytest.mark.processes
def test_importing_turns_the_warning_about_arguments_into_an_error(fresh_import):
    assert "Argument(s) 'max_" in fresh_import["outcome"]


def test_a_transformed_dataset_gives_images_and_labels(images):
    split = Split(images, torch.arange(8))
    dataset = TransformedDataset(
        split, transforms.train_transform(NOTHING, **CONSTANTS)
    )
    image, label = dataset[5]
    assert len(dataset) == 8
    assert label == 5
    assert isinstance(label, int)
    expected = normalise(as_float(images), MEAN, STD)[5]
    # divide by 255, subtract the mean, divide by the deviation: three roundings
    assert torch.allclose(image, expected, rtol=0, atol=rounding(3, 1 / min(STD)))


def two_epochs(images, *, persistent=False):
    """All augmented pictures of two epochs with two workers, one after the other."""
    same = Split(images[:1].expand(8, -1, -1, -1), torch.zeros(8, dtype=torch.int64))
    transform = transforms.train_transform(Augmentation(cutout=8), seed=0, **CONSTANTS)
    torch.manual_seed(0)
    loader = DataLoader(
        TransformedDataset(same, transform),
        batch_size=2,
        num_workers=2,
        worker_init_fn=transforms.seed_worker,
        persistent_workers=persistent,
    )
    return torch.cat([batch for _ in range(2) for batch, _ in loader])


ON_ONE_CORE = pytest.mark.filterwarnings("ignore:This DataLoader will create 2")


@pytest.mark.processes
@ON_ONE_CORE
@pytest.mark.parametrize("persistent", [False, True])
def test_no_worker_and_no_epoch_repeats_the_randomness_of_another(images, persistent):
    pictures = two_epochs(images, persistent=persistent)
    assert len({picture.numpy().tobytes() for picture in pictures}) == 16


@pytest.mark.processes
@ON_ONE_CORE
def test_workers_repeat_themselves_after_manual_seed(images):
    assert torch.equal(two_epochs(images), two_epochs(images))


def test_a_hole_on_the_canvas_may_leave_the_crop(images):
    augmentation = Augmentation(
        crop_padding=8, flip=0, cutout=16, cutout_place="canvas"
    )
    cut = transforms.train_transform(augmentation, seed=0, **CONSTANTS)
    sizes = {
        int((cut(image=image.numpy())["image"] == 0).all(0).sum())
        for image in images
        for _ in range(20)
    }
    assert len(sizes) > 3
    assert max(sizes) <= 256


def test_a_border_in_one_colour_has_the_value_of_its_slip(images):
    augmentation = Augmentation(crop_padding=31, flip=0, border="raw_mean")
    pad = transforms.train_transform(augmentation, seed=0, **CONSTANTS)
    shown = torch.stack([pad(image=images[0].numpy())["image"] for _ in range(20)])
    raw = torch.tensor(MEAN)[None, :, None, None]
    assert ((shown - raw).abs() < 1e-6).all(1).float().mean() > 0.3


@pytest.mark.parametrize("side", [4, 5])
def test_every_pixel_is_the_centre_of_a_clipped_hole_equally_often(side):
    image, size = np.full((6, 6, 3), 200, np.uint8), 6
    cut = transforms.train_transform(
        replace(NOTHING, cutout=side), image_size=size, seed=0, **CONSTANTS
    )
    shapes = Counter(
        tuple(
            map(tuple, torch.nonzero((cut(image=image)["image"] == 0).all(0)).tolist())
        )
        for _ in range(3600)
    )
    reach = range(-(side // 2), side - side // 2)
    centres = [(y, x) for y in range(size) for x in range(size)]
    expected = {
        tuple(
            (y + down, x + right)
            for down in reach
            for right in reach
            if 0 <= y + down < size and 0 <= x + right < size
        )
        for y, x in centres
    }
    assert set(shapes) == expected
    # 100 each, with a standard deviation of 10
    assert all(50 < count < 150 for count in shapes.values())


def test_a_symmetric_border_repeats_the_edge_per_picture(images):
    image = images[0].numpy()
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    shift = transforms.train_transform(
        replace(NOTHING, crop_padding=2, border="symmetric"), seed=0, **CONSTANTS
    )
    windows = [padded[y : y + 32, x : x + 32] for y in range(5) for x in range(5)]
    allowed = normalise(as_float(torch.from_numpy(np.stack(windows))), MEAN, STD)
    for _ in range(50):
        out = shift(image=image)["image"]
        assert (allowed - out).abs().amax((1, 2, 3)).min() < 1e-6


def test_holes_of_albumentations_1_are_refused_per_picture():
    with pytest.raises(SightlineError, match="asymmetric needs workers 0"):
        transforms.train_transform(
            Augmentation(cutout=8, cutout_place="asymmetric"), **CONSTANTS
        )
