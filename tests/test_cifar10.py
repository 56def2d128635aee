"""CIFAR-10, from a small archive in its format."""

import hashlib
import io
import pickle
import tarfile
import urllib.error
import urllib.request
from unittest import mock

import numpy as np
import pytest
from faulty import Server, serve
from torchvision.datasets import CIFAR10

from sightline.data import cifar10, download
from sightline.data.datasets import load
from sightline.errors import DataError


@pytest.fixture
def offline(monkeypatch):
    """No network; the list of addresses that were asked for."""
    asked = []

    def refuse(request, *_, **__):
        asked.append(request.full_url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(download, "urlopen", refuse)
    return asked


@pytest.fixture
def archive(tmp_path, monkeypatch, offline):
    """A small archive in the data folder, whose checksums are taken for the real."""
    rng = np.random.default_rng(0)
    files = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        data = rng.integers(0, 256, (20, 3072), np.uint8)
        files[name] = {"data": data, "labels": [i % 10 for i in range(20)]}
    files["batches.meta"] = {"label_names": [f"class {i}" for i in range(10)]}
    packed = {name: pickle.dumps(content) for name, content in files.items()}
    path = tmp_path / "data" / cifar10.ARCHIVE
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {**packed, "readme.html": b"<p>"}.items():
            member = tarfile.TarInfo(f"{cifar10.FOLDER}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    sums = {name: hashlib.md5(content).hexdigest() for name, content in packed.items()}
    monkeypatch.setattr(cifar10, "MD5", sums)
    monkeypatch.setattr(cifar10, "SHA256", download.sha256(path))
    monkeypatch.setattr(cifar10, "SIZE", path.stat().st_size)
    return path, files


@pytest.fixture
def unpacked(archive):
    """The archive unpacked, as other programs leave it, and nothing else."""
    path, _ = archive
    with tarfile.open(path) as tar:
        tar.extractall(path.parent, filter="data")
    path.unlink()
    return path.parent / cifar10.FOLDER


def test_the_checksums_of_cifar10_are_those_that_torchvision_publishes():
    batches = [*CIFAR10.train_list, *CIFAR10.test_list]
    meta = (CIFAR10.meta["filename"], CIFAR10.meta["md5"])
    assert dict([*batches, meta]) == cifar10.MD5
    assert CIFAR10.url in cifar10.URLS


def test_cifar10_is_read_from_a_verified_archive(archive, offline):
    path, files = archive
    splits = load("cifar10", root=path.parent)
    assert offline == []
    assert splits.name == "cifar10"
    assert splits.classes == tuple(f"class {i}" for i in range(10))
    parts = splits.train, splits.validation, splits.test
    assert [len(part) for part in parts] == [90, 10, 20]
    assert splits.test.labels.tolist() == files["test_batch"]["labels"]
    expected = files["test_batch"]["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    assert np.array_equal(splits.test.images, expected)
    assert load("cifar10", root=path.parent).digest == splits.digest
    assert list(path.parent.iterdir()) == [path]


def test_cifar10_is_read_where_another_program_has_unpacked_it(archive, unpacked):
    path, files = archive
    splits = load("cifar10", root=path.parent)
    assert splits.test.labels.tolist() == files["test_batch"]["labels"]
    assert len(splits.train) == 90


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_beside_a_damaged_cifar10_file_the_archive_is_read(archive, name):
    path, _ = archive
    splits = load("cifar10", root=path.parent)
    with tarfile.open(path) as tar:
        tar.extractall(path.parent, filter="data")
    (path.parent / cifar10.FOLDER / name).write_bytes(b"damaged")
    assert load("cifar10", root=path.parent).digest == splits.digest


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        """Have the unpickler open the file for writing."""
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["data_batch_1", "batches.meta"])
def test_a_damaged_cifar10_is_never_unpickled(unpacked, tmp_path, name):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    (unpacked / name).write_bytes(trap)
    with pytest.raises(DataError, match="could not be read"):
        load("cifar10", root=unpacked.parent)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(trap).close()
    assert (tmp_path / "sprung").exists()  # the trap would have worked


def test_a_partial_archive_is_never_used_and_stays(archive, offline):
    path, _ = archive
    half = path.read_bytes()[:-100]
    path.write_bytes(half)
    with pytest.raises(DataError, match=f"{path.name} in it has other bytes than"):
        load("cifar10", root=path.parent)
    assert offline
    assert path.read_bytes() == half


def contents(folder):
    """Return the bytes of everything in a folder that is not hidden."""
    paths = [path for path in folder.rglob("[!.]*") if path.is_file()]
    return {path: path.read_bytes() for path in paths}


@pytest.mark.parametrize("online", [False, True])
def test_what_lies_beside_cifar10_is_never_touched(archive, monkeypatch, online):
    path, files = archive
    whole, folder = path.read_bytes(), path.parent / cifar10.FOLDER
    folder.mkdir()
    path.write_bytes(b"an archive of the user")
    (folder / "data_batch_1").write_bytes(b"a batch of the user")
    (folder / "my_own_notes.txt").write_text("a year of work", "utf-8")
    (path.parent / f"{path.name}.partial").write_bytes(b"of a browser")
    before = contents(path.parent)
    with serve(Server(whole)) as [url]:
        if online:
            monkeypatch.setattr(download, "urlopen", urllib.request.urlopen)
            monkeypatch.setenv("SIGHTLINE_CIFAR10_URL", url)
            splits = load("cifar10", root=path.parent)
            assert splits.test.labels.tolist() == files["test_batch"]["labels"]
            before[path.parent / cifar10.DOWNLOADED] = whole
        else:
            with pytest.raises(DataError, match="could not be read"):
                load("cifar10", root=path.parent)
    assert contents(path.parent) == before


def test_a_downloaded_cifar10_that_was_damaged_is_fetched_again(archive, monkeypatch):
    path, _ = archive
    own = path.rename(path.with_name(cifar10.DOWNLOADED))
    whole, digest = own.read_bytes(), load("cifar10", root=path.parent).digest
    own.write_bytes(whole[:-1])
    monkeypatch.setattr(download, "urlopen", urllib.request.urlopen)
    with serve(Server(whole)) as [url]:
        monkeypatch.setattr(cifar10, "URLS", (url,))
        assert load("cifar10", root=path.parent).digest == digest
    assert own.read_bytes() == whole


def test_the_address_in_the_environment_is_the_first(tmp_path, offline, monkeypatch):
    monkeypatch.setenv("SIGHTLINE_CIFAR10_URL", "https://example.org/copy")
    with pytest.raises(DataError):
        load("cifar10", root=tmp_path / "data")
    assert offline == ["https://example.org/copy", *cifar10.URLS]


def test_cifar10_without_a_network_says_what_helps(tmp_path, offline):
    with pytest.raises(DataError) as error:
        load("cifar10", root=tmp_path / "data")
    assert offline == list(cifar10.URLS)
    for words in (
        str(tmp_path / "data"),
        "Name or service not known",
        *cifar10.URLS,
        "SIGHTLINE_DATA",
        "SIGHTLINE_CIFAR10_URL",
        "shapes",
    ):
        assert words in str(error.value)
    assert str(error.value).count("CIFAR-10 could not be read") == 1


def test_a_full_disk_says_so(archive, monkeypatch):
    path, _ = archive
    whole = path.rename(path.with_name("elsewhere")).read_bytes()
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(download, "urlopen", urllib.request.urlopen)
    monkeypatch.setattr(download.os, "replace", mock.Mock(side_effect=full))
    with serve(Server(whole)) as [url]:
        monkeypatch.setenv("SIGHTLINE_CIFAR10_URL", url)
        with pytest.raises(DataError, match="No space left on device"):
            load("cifar10", root=path.parent)
