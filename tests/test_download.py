"""A file arrives from several addresses: slow, silent, wrong, cut off, or dead."""

import hashlib
import os
import re
import subprocess
import sys
import time

import pytest
from faulty import Server, serve

from sightline.data.download import Patience, download
from sightline.errors import DataError

SLOW = 60e3  # bytes per second
CONTENT = os.urandom(2**20)  # 1 MiB
# a hundredth of the archive of CIFAR-10, and a fiftieth of the patience with it
PATIENCE = Patience(timeout=0.2, window=0.2, speed=500e3)
PROGRAM = """
import sys
from pathlib import Path
from sightline.data.download import download
url, path, size, digest = sys.argv[1:]
download([url], Path(path), size=int(size), digest=digest)
"""


def arrive(urls, path, content=CONTENT, patience=PATIENCE):
    """Download what should be `content`; return the seconds it took."""
    began = time.monotonic()
    digest = hashlib.sha256(content).hexdigest()
    download(urls, path, size=len(content), digest=digest, patience=patience)
    assert path.read_bytes() == content
    assert not list(path.parent.glob(".*.partial"))
    return time.monotonic() - began


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "file.tar.gz"


@pytest.fixture
def dead():
    """An address that nobody answers at."""
    with serve(server := Server(CONTENT)):
        pass
    return server.url


def keep(path, content):
    """Lay down what an earlier start received."""
    path.parent.mkdir(parents=True)
    path.with_name(f".{path.name}.partial").write_bytes(content)


@pytest.mark.parametrize("behaviour", [{"speed": SLOW}, {"hangs": True}])
def test_a_slow_or_silent_first_address_costs_less_than_a_minute(path, behaviour):
    # a twentieth of the size and of the patience: a minute is 3 s, at 10 MB/s
    content, patience = os.urandom(8_524_903), Patience(timeout=0.5, window=0.5)
    first, second = Server(content, **behaviour), Server(content)
    with serve(first, second) as urls:
        assert arrive(urls, path, content, patience) < 3
    kept = min(second.starts)
    assert first.sent - kept <= 2**11  # nothing that arrived is fetched twice
    assert bool(kept) == ("speed" in behaviour)


def test_a_slow_address_is_taken_when_the_others_are_worse(path, dead, capfd):
    content = CONTENT[:40_000]
    slower, slow = Server(content, speed=30e3), Server(content, speed=SLOW)
    with serve(slower, slow) as urls:
        arrive([dead, *urls], path, content)
    assert [len(slower.starts), len(slow.starts)] == [1, 2]  # the faster of the two
    lines = capfd.readouterr().err
    assert "kB/s only; the next address is tried" in lines
    assert "00:00 left" in lines


def test_the_time_left_is_printed(path, capfd):
    with serve(Server(CONTENT, speed=2e6)) as urls:
        arrive(urls, path, patience=Patience(window=0.05, speed=0))
    first, second, *_ = capfd.readouterr().err.splitlines()
    assert first == "downloading file.tar.gz, 1 MB"
    pattern = r"127.0.0.1:\d+: \d.\d of 1.0 MB, [\d,]+ kB/s, \d\d:\d\d left"
    assert re.fullmatch(pattern, second)


def test_an_address_that_breaks_off_is_left_and_its_bytes_stay(path):
    first, second = Server(CONTENT, stops=500_000), Server(CONTENT)
    with serve(first, second) as urls:
        arrive(urls, path)
    assert second.starts == [500_000]


def test_a_single_address_that_breaks_off_goes_on_as_long_as_it_delivers(path):
    server = Server(CONTENT, stops=300_000)
    with serve(server) as urls:
        arrive(urls, path)
    assert server.starts == [0, 300_000, 600_000, 900_000]


@pytest.mark.processes
def test_a_download_killed_at_half_goes_on_there(path):
    content = os.urandom(6_000_000)
    path.parent.mkdir()
    server = Server(content)
    digest = hashlib.sha256(content).hexdigest()
    with serve(server) as [url]:
        words = [url, str(path), str(len(content)), digest]
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *words], stderr=subprocess.DEVNULL
        )
        while server.sent < len(content) / 2:
            assert child.poll() is None
            time.sleep(0.001)
        child.kill()
        child.wait()
        arrive([url], path, content)
    assert server.sent <= 1.01 * len(content)


@pytest.mark.parametrize("place", [0, 2**19, 2**20 - 1])
def test_one_wrong_byte_is_refused_and_the_next_address_taken(path, place):
    wrong = bytearray(CONTENT)
    wrong[place] ^= 1
    first, second = Server(bytes(wrong)), Server(CONTENT)
    with serve(first, second) as urls:
        arrive(urls, path)
    assert second.starts == [0]


def test_one_wrong_byte_of_a_kept_part_does_not_blame_the_address(path):
    keep(path, bytes(1000))
    server = Server(CONTENT)
    with serve(server) as urls:
        arrive(urls, path)
    assert server.starts == [1000, 0]


def test_of_two_senders_the_one_that_delivers_gets_another_chance(path):
    first, second = Server(bytes(len(CONTENT)), stops=400_000), Server(CONTENT)
    with serve(first, second) as urls:
        arrive(urls, path)
    assert second.starts == [400_000, 0]


def test_wrong_bytes_everywhere_are_never_put_in_place(path):
    with (
        serve(Server(bytes(len(CONTENT)))) as urls,
        pytest.raises(DataError, match="sent other bytes than were published"),
    ):
        arrive(urls, path)
    assert [file.name for file in path.parent.iterdir()] == [".file.tar.gz.lock"]


def test_dead_addresses_are_named_in_one_message_each_with_its_reason(path, dead):
    keep(path, CONTENT[:1000])
    with (
        serve(Server(CONTENT, hangs=True), Server(b"<p>gone</p>", ranges=False)) as [
            silent,
            other,
        ],
        pytest.raises(DataError) as error,
    ):
        arrive([dead, silent, other, "no-address"], path)
    title, *lines = str(error.value).splitlines()
    assert title == "no address delivers file.tar.gz:"
    assert [line.split()[0] for line in lines] == [dead, silent, other, "no-address"]
    reasons = ("refused", "timed out", "11 bytes instead of", "unknown url type")
    for line, reason in zip(lines, reasons, strict=True):
        assert reason in line
    partial = path.with_name(".file.tar.gz.partial")
    assert partial.read_bytes() == CONTENT[:1000]  # kept for the next start


def test_a_server_that_ignores_ranges_is_read_from_its_beginning(path):
    keep(path, CONTENT[:500_000])
    server = Server(CONTENT, ranges=False)
    with serve(server) as urls:
        arrive(urls, path)
    assert server.starts == [0]


@pytest.mark.parametrize("claims", [10, 2**30])
def test_a_server_that_lies_about_the_length_is_left(path, claims):
    with serve(Server(CONTENT, claims=claims), Server(CONTENT)) as urls:
        arrive(urls, path)


@pytest.mark.parametrize("extra", [-100, 100])
def test_a_server_that_names_no_length_is_left_or_cut_at_the_size(path, extra):
    content = (CONTENT + bytes(100))[: len(CONTENT) + extra]
    with serve(Server(content, claims=None), Server(CONTENT)) as urls:
        arrive(urls, path)


def test_a_file_that_another_process_brought_is_taken(path, dead):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    arrive([dead], path)


def test_a_full_disk_is_not_the_fault_of_an_address(path, monkeypatch):
    path.parent.mkdir()
    path.with_name(f".{path.name}.partial").mkdir()  # as good as a full disk
    with serve(Server(CONTENT)) as urls, pytest.raises(OSError, match="partial"):
        arrive(urls, path)
