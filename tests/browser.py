"""A few lines of Chromium's own protocol: enough to look at a page and listen."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--remote-debugging-port=0",
)
ERRORS = ("error", "assert", "warning")


def find_chromium() -> str | None:
    """Path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def require_chromium() -> None:
    """Skip a test where no Chromium is installed; in CI, let it fail instead."""
    if find_chromium() is None:
        message = "Chromium is not installed: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


class Page:
    """One tab: what it asked for, what it complained about."""

    def __init__(self, socket):
        self.socket = socket
        self.number = 0
        self.requests: list[str] = []
        self.failures: list[str] = []
        self.complaints: list[str] = []
        self.events: set[str] = set()
        self.urls: dict[str, str] = {}
        self.bytes: dict[str, int] = {}  # transferred for each address, last visit

    async def call(self, method: str, **params) -> dict:
        """Send a command, take in events until its answer comes."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        await self.socket.write_message(json.dumps(message))
        while True:
            answer = await self.listen()
            if answer.get("id") == self.number:
                return answer.get("result", {})

    async def listen(self) -> dict:
        """Take in one message."""
        message = json.loads(await self.socket.read_message())
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
            self.urls[params["requestId"]] = params["request"]["url"]
        elif method == "Network.loadingFinished":
            url = self.urls.get(params["requestId"], "")
            self.bytes[url] = self.bytes.get(url, 0) + params["encodedDataLength"]
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            self.failures.append(params["errorText"])
        elif (
            method == "Network.responseReceived" and params["response"]["status"] > 399
        ):
            self.failures.append(params["response"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:400])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ERRORS:
            self.complaints.append(json.dumps(params["args"])[:400])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ERRORS:
            self.complaints.append(params["entry"]["text"])
        elif method == "Page.lifecycleEvent":
            self.events.add(params["name"])
        return message

    async def visit(
        self, url: str, *, width: int = 1280, dark: bool = False, cold: bool = False
    ) -> None:
        """Open `url` in a window of that width and wait until it is quiet.

        With `cold`, nothing is taken from the browser's cache.
        """
        await self.call("Network.setCacheDisabled", cacheDisabled=cold)
        await self.show(width=width, dark=dark)
        await self.call("Page.navigate", url="about:blank")
        await asyncio.sleep(0)
        self.events.clear()
        self.bytes.clear()
        await self.call("Page.navigate", url=url)
        while "networkIdle" not in self.events:
            await asyncio.wait_for(self.listen(), timeout=30)

    async def show(self, *, width: int, dark: bool, paper: bool = False) -> None:
        """Give the window a width and a colour scheme, or show it as on paper."""
        scheme = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        ]
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1}
        await self.call(
            "Emulation.setDeviceMetricsOverride", mobile=width < 600, **metrics
        )
        media = "print" if paper else ""
        await self.call("Emulation.setEmulatedMedia", media=media, features=scheme)

    async def press(self, key: str, *, control: bool = False) -> None:
        """Press a key of the keyboard and let it go."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        pressed = {
            "key": key,
            "code": key if key in codes else f"Key{key.upper()}",
            "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper())),
            "modifiers": 2 if control else 0,
        }
        text = {"text": "\r"} if key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **pressed, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **pressed)

    async def value(self, expression: str):
        """Value of a JavaScript expression; a promise is awaited."""
        done = await self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        return done["result"].get("value")


@asynccontextmanager
async def open_page() -> AsyncIterator[Page]:
    """Start Chromium with one tab; nothing of it is left afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        command = [find_chromium(), *FLAGS, f"--user-data-dir={home}", "about:blank"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                socket = await connect(Path(home) / "DevToolsActivePort")
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.setLifecycleEventsEnabled", enabled=True)
                yield page
                socket.close()
                while await socket.read_message() is not None:
                    pass  # what was under way, until it is really closed
            finally:
                process.terminate()


async def connect(port_file: Path):
    """Connect to the first tab of a Chromium that has just been started."""
    for _ in range(300):
        if port_file.exists() and os.path.getsize(port_file):
            break
        await asyncio.sleep(0.1)
    port = port_file.read_text(encoding="utf-8").split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
    return await websocket_connect(
        tabs[0]["webSocketDebuggerUrl"], max_message_size=2**28
    )
