"""A tab in one of three engines, for tests that look at a page."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from engines import chromium, firefox, webkit
from engines.chromium import Chromium
from engines.firefox import Firefox
from engines.page import Page
from engines.webkit import WebKit

__all__ = [
    "ENGINES",
    "Page",
    "doing",
    "file_names",
    "hosts",
    "open_page",
    "require_engine",
]

#: the class of each engine's tabs, the programs that it needs, and Debian's packages
ENGINES = {
    "chromium": (Chromium, chromium.programs, "chromium chromium-driver"),
    "firefox": (Firefox, firefox.programs, "firefox-esr"),
    "webkit": (WebKit, webkit.programs, "webkit2gtk-driver xvfb"),
}


def require_engine(name: str) -> None:
    """Skip a test where an engine is not installed; in CI, let it fail instead."""
    _, programs, packages = ENGINES[name]
    if None in programs():
        message = f"{name} is not installed: apt-get install {packages}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def doing(tools: str) -> Callable[[Page, str], Awaitable]:
    """Return what runs a script in a page, with `tools` at hand, for its value."""

    def do(page: Page, script: str) -> Awaitable:
        return page.value(f"(async () => {{ {tools} {script} }})()")

    return do


def hosts(urls: Iterable[str]) -> set[str]:
    """Return the servers of addresses; some, like those of data, have none."""
    return {urlsplit(url).netloc for url in urls} - {""}


def file_names(urls: Iterable[str]) -> set[str]:
    """Return the names of the files that a server was asked for."""
    parts = [urlsplit(url) for url in urls]
    return {part.path.rsplit("/", 1)[-1] for part in parts if part.scheme == "http"}


@asynccontextmanager
async def open_page(engine: str = "chromium") -> AsyncIterator[Page]:
    """Start a browser with one tab; nothing of it is left afterwards."""
    page = await asyncio.to_thread(ENGINES[engine][0])
    try:
        yield page
    finally:
        await asyncio.to_thread(page.close)
