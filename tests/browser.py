"""A tab in one of three engines, for tests that look at a page."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from engines import chromium, firefox, webkit
from engines.chromium import Chromium
from engines.firefox import Firefox
from engines.page import Page
from engines.webkit import WebKit

__all__ = ["ENGINES", "Page", "open_page", "require_engine"]

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


@asynccontextmanager
async def open_page(engine: str = "chromium") -> AsyncIterator[Page]:
    """Start a browser with one tab; nothing of it is left afterwards."""
    page = await asyncio.to_thread(ENGINES[engine][0])
    try:
        yield page
    finally:
        await asyncio.to_thread(page.close)
