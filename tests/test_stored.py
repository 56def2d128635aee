"""Pictures in a file: indexed as tensors are, trained on bit for bit as in memory."""

import copy
import os
import pickle
from pathlib import Path

import pytest
import torch
from child import run_child
from safetensors.torch import load_file

from sightline.data import stored
from sightline.data.augmentation import Augmentation
from sightline.data.loaders import BatchLoader, albumentations_loader
from sightline.data.split import Split
from sightline.data.stored import HEADER, StoredImages, header, usable_memory
from sightline.data.transforms import train_transform
from sightline.errors import DataError

COUNT, SIDE = 23, 8
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def pixels(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (COUNT, SIDE, SIDE, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def store(path: Path, images: torch.Tensor, fingerprint: str = "a") -> StoredImages:
    shape = tuple(images.shape)
    first = header(fingerprint, {"images": shape})
    path.write_bytes(first + images.numpy().tobytes())
    return StoredImages.open(path, shape)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pictures.safetensors"


INDICES = {
    "a number": 3,
    "a negative number": -1,
    "a slice": slice(2, 20, 3),
    "everything": slice(None),
    "places in any order, some twice": torch.tensor([5, 0, 22, 5, 7, 6]),
    "a table of places": torch.tensor([[1, 2], [9, 0]]),
    "a mask": torch.arange(COUNT) % 3 == 0,
    "no place at all": torch.tensor([], dtype=torch.int64),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_every_index_reads_what_a_tensor_would_give(path, index):
    images = pixels()
    read = store(path, images)[index]
    assert torch.equal(read, images[index])
    assert (read.dtype, read.device) == (images.dtype, images.device)


def test_they_look_like_a_tensor_and_are_walked_through_like_one(path):
    images = pixels()
    on_disk = store(path, images)
    assert len(on_disk) == COUNT
    assert on_disk.shape == images.shape
    assert on_disk.dtype == images.dtype
    assert torch.equal(torch.stack(list(on_disk)), images)
    parts = zip(on_disk.split(5), images.split(5), strict=True)
    assert all(torch.equal(read, kept) for read, kept in parts)


def test_taking_reads_nothing_until_pictures_are_asked_for(path):
    images = pixels()
    split = Split(store(path, images), torch.arange(COUNT))
    away = path.rename(path.with_suffix(".away"))
    few = split.take(torch.tensor([20, 3, 11, 4])).take(torch.tensor([3, 0]))
    assert few.images.shape == (2, SIDE, SIDE, 3)
    assert few.labels.tolist() == [4, 20]
    away.rename(path)
    assert torch.equal(few.images[:], images[[4, 20]])


def test_parts_are_joined_without_reading(path):
    images = pixels()
    split = Split(store(path, images), torch.arange(COUNT))
    parts = [split.take(torch.tensor(places)) for places in ([4, 9], [1])]
    joined = parts[0].join(parts[1])
    assert isinstance(joined.images, StoredImages)
    assert torch.equal(joined.images[:], images[[4, 9, 1]])
    assert joined.labels.tolist() == [4, 9, 1]


def test_a_pixel_cannot_be_asked_for_by_mistake(path):
    with pytest.raises(TypeError, match="one index, not 2"):
        store(path, pixels())[..., 0]


def test_a_place_beyond_the_last_picture_is_an_index_error(path):
    with pytest.raises(IndexError):
        store(path, pixels())[COUNT]


def test_a_copy_for_another_process_reads_the_same(path):
    images = pixels()
    on_disk = store(path, images)
    for other in (pickle.loads(pickle.dumps(on_disk)), copy.deepcopy(on_disk)):
        assert torch.equal(other[4:9], images[4:9])


def test_the_file_is_one_that_safetensors_reads(path):
    images = pixels()
    store(path, images)
    assert torch.equal(load_file(path)["images"], images)
    assert path.stat().st_size == HEADER + images.numel()


def test_the_same_pictures_decoded_again_meanwhile_do_not_matter(path, tmp_path):
    images = pixels()
    on_disk = store(path, images)
    store(tmp_path / "again", images)
    os.replace(tmp_path / "again", path)
    assert torch.equal(on_disk[:], images)


def test_other_pictures_in_the_file_are_never_trained_on(path):
    on_disk = store(path, pixels())
    store(path, pixels(1), fingerprint="b")
    with pytest.raises(DataError, match="no longer holds the pictures .* load it"):
        on_disk[3]


def test_a_file_that_was_cut_off_or_removed_is_named(path):
    on_disk = store(path, pixels())
    path.write_bytes(path.read_bytes()[:-1])
    assert torch.equal(on_disk[0], pixels()[0])
    with pytest.raises(DataError, match="no longer holds"):
        on_disk[COUNT - 1]
    path.unlink()
    with pytest.raises(DataError, match=r"pictures.*No such file.* load the folder"):
        on_disk[0]


# batches


def epochs(images: torch.Tensor | StoredImages, **options) -> list[torch.Tensor]:
    """Return all tensors of two epochs."""
    torch.manual_seed(7)
    loader = BatchLoader(
        Split(images, torch.arange(COUNT)),
        batch_size=5,
        mean=MEAN,
        std=STD,
        **options,
    )
    return [tensor for _ in range(2) for batch in loader for tensor in batch]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("augmentation", [None, Augmentation(cutout=4)])
def test_batches_from_a_file_are_those_from_memory_bit_for_bit(
    path, shuffle, augmentation
):
    images = pixels()
    options = {"shuffle": shuffle, "augmentation": augmentation}
    resident = epochs(images, **options)
    streamed = epochs(store(path, images), **options)
    assert len(resident) == 2 * 2 * 5
    for mine, other in zip(streamed, resident, strict=True):
        assert torch.equal(mine, other)
        assert mine.stride() == other.stride()


def test_a_training_may_stop_in_the_middle_of_an_epoch(path):
    split = Split(store(path, pixels()), torch.arange(COUNT))
    loader = BatchLoader(split, batch_size=5, mean=MEAN, std=STD)
    for _ in range(3):
        batches = iter(loader)
        next(batches)
        batches.close()


def test_a_file_lost_in_training_stops_it_with_the_reason(path):
    split = Split(store(path, pixels()), torch.arange(COUNT))
    batches = iter(BatchLoader(split, batch_size=5, mean=MEAN, std=STD))
    next(batches)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        list(batches)


@pytest.mark.processes
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_worker_processes_read_the_same_pictures(path):
    images = pixels()
    nothing = Augmentation(crop_padding=0, flip=0)
    transform = train_transform(nothing, mean=MEAN, std=STD, image_size=SIDE)
    options = {"batch_size": 5, "shuffle": False, "workers": 2}
    both = [
        torch.cat(
            [batch for batch, _ in albumentations_loader(split, transform, **options)]
        )
        for split in (
            Split(images, torch.arange(COUNT)),
            Split(store(path, images), torch.arange(COUNT)),
        )
    ]
    assert torch.equal(*both)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_pages_that_were_read_do_not_count_as_memory_of_the_process(path):
    count, side = 300, 256  # 59 MB
    with path.open("wb") as file:
        file.write(header("a", {"images": (count, side, side, 3)}))
        for _ in range(count):
            file.write(bytes([7]) * side * side * 3)
    on_disk = StoredImages.open(path, (count, side, side, 3))
    on_disk[:8]
    before = resident()
    for images in on_disk.split(8):
        assert images[-1, -1, -1, -1] == 7
    assert resident() - before < 10_000_000


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# how much memory there is


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="Windows cannot be asked")
def test_usable_memory_is_at_most_that_of_the_machine():
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < usable_memory() <= machine


LIMITED = """
import resource
from sightline.data.stored import usable_memory

limit = usable_memory() - 1
resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
print(limit, usable_memory())
"""


@pytest.mark.processes
def test_a_limit_set_for_the_process_counts():
    pytest.importorskip("resource")
    limit, usable = run_child(LIMITED).split()
    assert usable == limit


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/job.slice/step", [3000, 4000]),
        ("4:memory:/box/gone\n1:cpu:/x\n0::/", [2000, 4000]),
        ("1:cpu:/", []),
    ],
    ids=["version 2", "version 1", "none of memory"],
)
def test_the_limits_of_control_groups_and_those_above_count(tmp_path, groups, limits):
    files = {
        "job.slice/step/memory.max": "max",
        "job.slice/memory.max": "3000",
        "memory.max": "4000",
        "memory/memory.limit_in_bytes": "2000",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n", encoding="utf-8")
    assert sorted(stored._group_limits(groups, tmp_path)) == sorted(limits)
