"""One file from the first of several addresses that delivers it, resumed and verified.

pooch, torchvision and urlretrieve drop what has arrived of a download that is cut off,
and wait for a slow server as long as it likes.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from sightline.errors import DataError
from sightline.files import locked, sha256

__all__ = ["Patience", "download"]

BLOCK = 2**16  # bytes that are read at once, at most
WORTHWHILE = 0.01  # share of the file that a round must bring for another one
KEPT = "what was kept of an earlier start"  # a sender beside the addresses


@dataclass(frozen=True)
class Patience:
    """When an address is left for the next one."""

    timeout: float = 10.0  #: seconds without a byte
    window: float = 10.0  #: seconds over which the speed is measured
    speed: float = 500_000.0  #: bytes per second; below, others are tried first


PATIENCE = Patience()


class Undelivered(Exception):
    """Why an address was left."""


def download(
    urls: Sequence[str],
    path: Path,
    *,
    size: int,
    digest: str,
    patience: Patience = PATIENCE,
) -> None:
    """Bring a file from the first address that delivers it to `path`.

    An address that is slow, silent or sends other bytes is left for the next one; a
    slow one is taken again once the others have failed. What has arrived stays in a
    hidden file that ends in .partial, where the next address and the next start go on.

    Args:
        urls: addresses of the same bytes, the best one first.
        path: where the file is put, once its bytes are verified.
        size: of the file in bytes.
        digest: its SHA-256 in hexadecimal digits.
        patience: with slow and silent addresses.

    Raises:
        DataError: if no address delivers; the message says why of each.
        OSError: if the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    arrival = Arrival(partial, size, patience)
    with locked(path.with_name(f".{path.name}.lock")):
        if path.exists() and sha256(path) == digest:  # another process was quicker
            return
        tqdm.write(f"downloading {path.name}, {size / 1e6:.0f} MB", file=sys.stderr)
        while arrival.fill(urls):
            if sha256(partial) == digest:
                os.replace(partial, path)
                return
            urls = arrival.refuse(urls)
        if not arrival.length:
            partial.unlink(missing_ok=True)
    reasons = (f"  {url} {reason}" for url, reason in arrival.reasons.items())
    raise DataError("\n".join([f"no address delivers {path.name}:", *reasons]))


@dataclass
class Arrival:
    """A file that is arriving from several addresses, one after the other."""

    partial: Path  #: what has arrived
    size: int  #: of the whole file in bytes
    patience: Patience
    reasons: dict[str, str] = field(default_factory=dict)  #: why addresses were left
    senders: list[str] = field(default_factory=list)  #: of the bytes, in their order

    @property
    def length(self) -> int:
        """Return how many bytes have arrived."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def fill(self, urls: Sequence[str]) -> bool:
        """Let addresses send what is missing; return whether the file is full."""
        self.senders = [KEPT] if self.length else []
        minimum = self.patience.speed
        while urls and self.length < self.size:
            before = self.length
            urls = self.go_round(urls, minimum)
            if not minimum and self.length - before < WORTHWHILE * self.size:
                break
            minimum = 0  # slow is better than none
        return self.length >= self.size

    def go_round(self, urls: Sequence[str], minimum: float) -> list[str]:
        """Give each address its turn; return those that sent something, fastest first.

        A turn ends when the speed falls below `minimum` bytes per second.
        """
        speeds = {}
        for url in urls:
            before, began = self.length, time.monotonic()
            try:
                self.append(url, minimum)
            except Undelivered as reason:
                self.reasons[url] = str(reason)
                tqdm.write(f"{host(url)} {reason}", file=sys.stderr)
            if gain := self.length - before:
                self.senders.append(url)
                speeds[url] = gain / (time.monotonic() - began)
            if self.length >= self.size:
                break
        return sorted(speeds, key=speeds.__getitem__, reverse=True)

    def append(self, url: str, minimum: float) -> None:
        """Append what one address sends, until the file is full.

        Raises:
            Undelivered: if the address stops before, or is slower than `minimum`.
        """
        start, speed = self.length, Speed(self.patience.window)
        with (
            open(self.partial, "ab", buffering=0) as file,  # a kill loses nothing
            tqdm(
                desc=host(url),
                total=self.size,
                initial=start,
                unit="B",
                unit_scale=True,
                leave=False,
                disable=None,  # unless it is a terminal
            ) as bar,
        ):
            for place, block in receive(url, start, self.size, self.patience.timeout):
                fresh = block[max(0, start - place) :][: self.size - file.tell()]
                bar.update(file.write(fresh))
                if speed.measure(len(block)):
                    if bar.disable:
                        line = status(file.tell(), self.size, speed.value)
                        tqdm.write(f"{host(url)}: {line}", file=sys.stderr)
                    if speed.value < minimum:
                        raise Undelivered(
                            f"sends {speed.value / 1000:,.0f} kB/s only; "
                            "the next address is tried"
                        )
                if file.tell() >= self.size:
                    return
            raise Undelivered(f"stopped after {file.tell():,} of {self.size:,} bytes")

    def refuse(self, urls: Sequence[str]) -> list[str]:
        """Remove a file with other bytes; return the addresses that may try again.

        If several have sent it, nobody knows which was wrong: the last one, which
        delivers, gets another chance, alone.
        """
        self.partial.unlink()
        *others, last = self.senders
        wrong = [sender for sender in others if sender != last] or [last]
        self.reasons |= dict.fromkeys(wrong, "sent other bytes than were published")
        return [url for url in urls if url not in wrong]


def host(url: str) -> str:
    """Return the part of an address that people know."""
    return urlsplit(url).netloc or url


def status(arrived: int, size: int, speed: float) -> str:
    """Say how far a download is and how long the rest will take."""
    left = tqdm.format_interval((size - arrived) / max(speed, 1))
    return (
        f"{arrived / 1e6:,.1f} of {size / 1e6:,.1f} MB, "
        f"{speed / 1000:,.0f} kB/s, {left} left"
    )


class Speed:
    """Bytes per second, measured anew in every window of time."""

    def __init__(self, window: float):
        self.window = window  # seconds
        self.began = time.monotonic()
        self.count = 0
        self.value = 0.0  # of the last full window

    def measure(self, count: int) -> bool:
        """Count some bytes; return whether they end a window."""
        self.count += count
        passed = time.monotonic() - self.began
        if passed < self.window:
            return False
        self.value = self.count / passed
        self.began, self.count = time.monotonic(), 0
        return True


def receive(
    url: str, start: int, size: int, timeout: float
) -> Iterator[tuple[int, bytes]]:
    """Yield blocks of a file of `size` bytes and their places in it, as they arrive.

    They begin at `start` where the server can do so, at 0 where it cannot.

    Raises:
        Undelivered: if the address does not answer, or with another file.
    """
    headers = {"User-Agent": "sightline"}  # some hosts refuse Python's own
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with urlopen(Request(url, headers=headers), timeout=timeout) as response:
            place = check_answer(response, start, size)
            while block := response.read1(BLOCK):
                yield place, block
                place += len(block)
    except (OSError, HTTPException, ValueError) as error:
        reason = str(getattr(error, "reason", error)).rstrip(".") or repr(error)
        raise Undelivered(f"does not deliver: {reason}") from error


def check_answer(response: HTTPResponse, start: int, size: int) -> int:
    """Return the place in the file where the answer begins.

    Raises:
        OSError: if it is no part of a file of `size` bytes.
    """
    if response.status == 206:
        offered, expected = response.headers["Content-Range"], f"{start}-{size - 1}"
        if offered != f"bytes {expected}/{size}":
            raise OSError(f"it offers {offered} instead of bytes {expected}")
        return start
    offered = response.headers["Content-Length"]
    if offered not in (None, str(size)):
        raise OSError(f"it offers {offered} bytes instead of {size}")
    return 0
