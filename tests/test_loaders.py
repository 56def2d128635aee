"""Batches of a resident split, and of albumentations' worker processes."""

import pytest
import torch

from sightline.data.augment import normalise_uint8
from sightline.data.augmentation import Augmentation
from sightline.data.loaders import BatchLoader, albumentations_loader
from sightline.data.split import Split
from sightline.data.transforms import train_transform

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def split(count: int) -> Split:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 32, 32, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Split(images, torch.arange(count))


def loader(**options) -> BatchLoader:
    return BatchLoader(split(23), batch_size=5, mean=MEAN, std=STD, **options)


def test_every_picture_comes_once_and_the_last_batch_is_short():
    batches = [labels for _, labels in loader(shuffle=True)]
    assert [len(b) for b in batches] == [5, 5, 5, 5, 3]
    assert len(loader()) == 5
    assert sorted(torch.cat(batches).tolist()) == list(range(23))


def test_without_shuffling_order_and_pixels_are_those_of_the_split():
    images = torch.cat([images for images, _ in loader()])
    labels = torch.cat([labels for _, labels in loader()])
    assert labels.tolist() == list(range(23))
    assert torch.equal(images, normalise_uint8(split(23).images, MEAN, STD))


def test_the_same_seed_repeats_an_epoch_and_another_does_not():
    def epoch(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [i for i, _ in loader(shuffle=True, augmentation=Augmentation())]
        )

    assert torch.equal(epoch(1), epoch(1))
    assert not torch.equal(epoch(1), epoch(2))


def test_two_epochs_in_a_row_differ():
    torch.manual_seed(0)
    batches = loader(augmentation=Augmentation())
    first, second = (torch.cat([i for i, _ in batches]) for _ in range(2))
    assert not torch.equal(first, second)


def test_an_evaluation_loader_leaves_the_generator_alone():
    before = torch.get_rng_state()
    list(loader())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.processes)])
def test_albumentations_gives_batches_of_the_same_shape_and_type(workers):
    transform = train_transform(Augmentation(), mean=MEAN, std=STD)
    batches = albumentations_loader(
        split(12), transform, batch_size=5, shuffle=True, workers=workers
    )
    shapes = [tuple(images.shape) for images, _ in batches]
    assert shapes == [(5, 3, 32, 32), (5, 3, 32, 32), (2, 3, 32, 32)]
    images, labels = next(iter(batches))
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
