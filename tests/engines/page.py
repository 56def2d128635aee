"""One tab of a browser: what a reader does in it, what it asks for and says."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.command import Command
from selenium.webdriver.remote.webdriver import WebDriver

HEIGHT = 900  # of the window, in CSS pixels
LONG = 100  # seconds that a script may take
PATIENCE = 30  # seconds until a page must be quiet
PAUSE = 0.5  # seconds without a request, after which it is
AS_JSON = """Promise.resolve((
%s
)).then((value) => JSON.stringify(value))"""
KEYS = {"Enter": Keys.RETURN}
KEYS |= {
    name: getattr(Keys, name.upper())
    for name in ("Backspace", "Delete", "End", "Escape", "Home", "Space", "Tab")
}
KEYS |= {
    f"Arrow{way}": getattr(Keys, way.upper()) for way in ("Down", "Left", "Right", "Up")
}


@dataclass(frozen=True)
class Look:
    """What a window is like, and what style sheets are told."""

    width: int  # in CSS pixels
    dark: bool = False
    paper: bool = False
    forced: bool = False  # colours, of the reader's choice
    still: bool = False  # for who does not want things to move


class Page(ABC):
    """What every engine can do; each has its own way to it."""

    #: Whether it shows pages as on paper, in forced colours, or without movement.
    emulates_media = True

    def __init__(self):
        self.closed = False
        self._requests: list[str] = []
        self._failures: list[str] = []
        self._complaints: list[str] = []
        self._bytes: dict[str, int] = {}

    @property
    def requests(self) -> list[str]:
        """Addresses that were asked for."""
        self.take_in()
        return self._requests

    @property
    def failures(self) -> list[str]:
        """Addresses or errors of requests that brought nothing."""
        self.take_in()
        return self._failures

    @property
    def complaints(self) -> list[str]:
        """Errors and warnings of the console."""
        self.take_in()
        return self._complaints

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes transferred for each address since the last visit."""
        self.take_in()
        return self._bytes

    async def visit(
        self, url: str, *, width: int = 1280, dark: bool = False, cold: bool = False
    ) -> None:
        """Open `url` in a window of that width and wait until it is quiet.

        With `cold`, nothing is taken from the browser's cache.
        """

        def go() -> None:
            self.take_in()
            self.prepare(dark=dark, cold=cold)
            self.look(Look(width, dark))
            self.load("about:blank")
            self.take_in()
            self._bytes.clear()
            self.load(url)
            self.wait()

        await asyncio.to_thread(go)

    async def reload(self) -> None:
        """Load the page again, as a person does, and wait until it is quiet."""

        def go() -> None:
            self.take_in()
            self.load(None)
            self.wait()

        await asyncio.to_thread(go)

    async def show(self, *, width: int, dark: bool, **more: bool) -> None:
        """Change the window's width and colour scheme, or another part of its look."""
        await asyncio.to_thread(self.look, Look(width, dark, **more))

    async def value(self, expression: str):
        """Value of a JavaScript expression as JSON would give it; a promise is awaited.

        Raises:
            WebDriverException: It throws.
        """
        return await asyncio.to_thread(self.evaluate, expression)

    async def run(self, script: str) -> None:
        """Run statements in the page, for example a library."""
        await asyncio.to_thread(self.execute, script)

    async def press(
        self, key: str, *, control: bool = False, shift: bool = False
    ) -> None:
        """Press a key of the keyboard and let it go: `a`, `Tab`, `ArrowLeft`."""
        keys = [Keys.CONTROL] * control + [Keys.SHIFT] * shift
        keys.append(key if len(key) == 1 else KEYS[key])
        steps = [{"type": "keyDown", "value": value} for value in keys]
        steps += [{"type": "keyUp", "value": value} for value in reversed(keys)]
        keyboard = {"type": "key", "id": "keyboard", "actions": steps}
        await asyncio.to_thread(self.act, [keyboard])

    async def drag(self, *places: tuple[float, float], finger: bool = False) -> None:
        """Press the mouse, or a finger, at the first place; let it go at the last.

        Places are (x, y) in CSS pixels of the window; a single one is a click.
        """
        moves = [
            {"type": "pointerMove", "x": round(x), "y": round(y)} for x, y in places
        ]
        down, up = ({"type": f"pointer{kind}", "button": 0} for kind in ("Down", "Up"))
        kind = "touch" if finger else "mouse"
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}}
        steps = [moves[0], down, *moves[1:], up]
        await asyncio.to_thread(self.act, [{**pointer, "actions": steps}])

    def take_in(self) -> None:
        """Listen, as long as there is somebody to listen to."""
        if not self.closed:
            self.listen()

    def close(self) -> None:
        """End the browser; what it asked for and said stays."""
        try:
            self.take_in()
        finally:
            self.closed = True
            self.end()

    def note_request(self, url: str) -> None:
        """Note that something is asked for."""
        self._requests.append(url)

    def note_answer(self, url: str, *, status: int = 200, size: int = 0) -> None:
        """Note the status of an answer, or a part of its bytes."""
        if status > 399:
            self._failures.append(url)
        self._bytes[url] = self._bytes.get(url, 0) + size

    def note_failure(self, error: str) -> None:
        """Note that a request has had no answer."""
        self._failures.append(error)

    def note_complaint(self, words: str) -> None:
        """Note what the console says."""
        self._complaints.append(words[:400])

    @abstractmethod
    def prepare(self, *, dark: bool, cold: bool) -> None:
        """Do what must be done before a visit."""

    @abstractmethod
    def look(self, look: Look) -> None:
        """Make the window look so."""

    @abstractmethod
    def load(self, url: str | None) -> None:
        """Open an address and wait until it is loaded; None loads the page again."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until nothing is under way."""

    @abstractmethod
    def listen(self) -> None:
        """Take in what the page has asked for and said."""

    @abstractmethod
    def evaluate(self, expression: str):
        """Return the value of an expression."""

    @abstractmethod
    def execute(self, script: str) -> None:
        """Run statements."""

    @abstractmethod
    def act(self, sources: list[dict]) -> None:
        """Perform actions, as the WebDriver standard writes them."""

    @abstractmethod
    def end(self) -> None:
        """End the browser."""


class Driven(Page):
    """A tab behind a WebDriver."""

    driver: WebDriver

    def load(self, url: str | None) -> None:
        """Open an address and wait until it is loaded; None loads the page again."""
        if url is None:
            self.driver.refresh()
        else:
            self.driver.get(url)

    def evaluate(self, expression: str):
        """Return the value of an expression."""
        return json.loads(
            self.driver.execute_script(f"return {AS_JSON % expression}") or "null"
        )

    def execute(self, script: str) -> None:
        """Run statements."""
        self.driver.execute_script(script)

    def act(self, sources: list[dict]) -> None:
        """Perform actions, as the WebDriver standard writes them."""
        self.driver.execute(Command.W3C_ACTIONS, {"actions": sources})

    def end(self) -> None:
        """End the browser."""
        self.driver.quit()


def until_quiet(under_way: Callable[[], set[str]]) -> None:
    """Wait until no request has been under way for half a second."""
    busy = start = time.monotonic()
    while (now := time.monotonic()) < busy + PAUSE:
        if requests := under_way():
            busy = now
        if now > start + PATIENCE:
            raise TimeoutError(f"still under way: {sorted(requests)}")
        time.sleep(0.02)
