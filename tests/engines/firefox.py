"""Firefox, through WebDriver BiDi, which it speaks itself, without geckodriver.

Of the files that a page from a disk loads it tells nothing.
"""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from selenium.common import WebDriverException
from selenium.webdriver.common.bidi.browsing_context import BrowsingContext
from selenium.webdriver.common.bidi.common import command_builder
from selenium.webdriver.common.bidi.input import Input
from selenium.webdriver.common.bidi.log import Log
from selenium.webdriver.common.bidi.network import (
    FetchErrorParameters,
    Network,
    ResponseCompletedParameters,
)
from selenium.webdriver.common.bidi.script import Script
from selenium.webdriver.remote.websocket_connection import WebSocketConnection

from engines.page import AS_JSON, HEIGHT, LONG, PATIENCE, Look, Page, until_quiet

FLAGS = (
    "--headless",
    "--no-remote",
    "--remote-debugging-port=0",
    "--remote-allow-system-access",  # to the window around the page, which `look` needs
)
PREFERENCES = {
    "ui.useOverlayScrollbars": 1,  # which take no width
    "security.fileuri.strict_origin_policy": True,  # as for readers
    "toolkit.shutdown.fastShutdownStage": 3,
}
# what the window tells the page, as its developer tools would do
LOOK = """(look => {
  for (const [name, value] of look.preferences) Services.prefs.setIntPref(name, value);
  gBrowser.selectedBrowser.browsingContext.mediumOverride = look.medium;
  gBrowser.selectedBrowser.focus();  // which the field for addresses had
})(%s)"""
# the page, which is a process of its own, hears of it a little later
MEDIA = """["(prefers-color-scheme: dark)", "print", "(forced-colors: active)",
  "(prefers-reduced-motion: reduce)"].map((query) => matchMedia(query).matches)"""
ABORTED = "NS_BINDING_ABORTED"


def programs() -> tuple[str | None, ...]:
    """Path of the browser; None if it is not installed."""
    return (shutil.which("firefox-esr") or shutil.which("firefox"),)


class Firefox(Page):
    """A tab of Firefox."""

    def __init__(self):
        super().__init__()
        self.started: set[str] = set()  # requests; events come in any order
        self.ended: set[str] = set()
        self.home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        lines = [
            f"user_pref({json.dumps(n)}, {json.dumps(v)});"
            for n, v in PREFERENCES.items()
        ]
        Path(self.home.name, "user.js").write_text("\n".join(lines), encoding="utf-8")
        command = [*programs(), *FLAGS, "--profile", self.home.name]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, **silent)
        try:
            self.connect()
        except BaseException:
            self.end()
            raise

    def connect(self) -> None:
        """Start a session, and listen."""
        file = Path(self.home.name) / "WebDriverBiDiServer.json"
        end = time.monotonic() + PATIENCE
        while not file.exists() or not file.read_text(encoding="utf-8"):
            if time.monotonic() > end:
                raise TimeoutError("Firefox has not started")
            time.sleep(0.05)
        port = json.loads(file.read_text(encoding="utf-8"))["ws_port"]
        address = f"ws://127.0.0.1:{port}/session"
        self.connection = WebSocketConnection(address, timeout=LONG, interval=0.002)
        self.order("session.new", capabilities={})
        self.tabs = BrowsingContext(self.connection)
        self.script = Script(self.connection)
        self.network = Network(self.connection)
        self.tab, self.window = (
            self.order("browsingContext.getTree", **scope)["contexts"][0]["context"]
            for scope in ({}, {"moz:scope": "chrome"})
        )
        self.network.add_event_handler("before_request", self.start_request)
        self.network.add_event_handler("response_completed", self.end_request)
        self.network.add_event_handler("fetch_error", self.end_request)
        Log(self.connection).add_event_handler("entry_added", self.hear)

    def order(self, method: str, **params) -> dict:
        """Send a command for which the library has no function."""
        return self.connection.execute(command_builder(method, params))

    def ask(self, expression: str, context: str):
        """Return the value of an expression in a context."""
        place = {"context": context}
        answer = self.script.evaluate(AS_JSON % expression, place, await_promise=True)
        if answer["type"] == "exception":
            raise WebDriverException(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def evaluate(self, expression: str):
        """Return the value of an expression."""
        return self.ask(expression, self.tab)

    def execute(self, script: str) -> None:
        """Run statements."""
        self.ask(f"(() => {{\n{script}\n}})()", self.tab)

    def act(self, sources: list[dict]) -> None:
        """Perform actions, as the WebDriver standard writes them."""
        Input(self.connection).perform_actions(self.tab, sources)

    def prepare(self, *, dark: bool, cold: bool) -> None:
        """Use the cache, or do not."""
        self.network.set_cache_behavior("bypass" if cold else "default")

    def look(self, look: Look) -> None:
        """Make the window look so."""
        size = {"width": look.width, "height": HEIGHT}
        self.tabs.set_viewport(self.tab, size)
        preferences = {
            "layout.css.prefers-color-scheme.content-override": 0 if look.dark else 1,
            "browser.display.document_color_use": 2 if look.forced else 0,
            "ui.prefersReducedMotion": int(look.still),
        }
        told = {"preferences": [*preferences.items()]}
        told["medium"] = "print" if look.paper else ""
        self.ask(LOOK % json.dumps(told), self.window)
        end = time.monotonic() + PATIENCE
        while self.evaluate(MEDIA) != [look.dark, look.paper, look.forced, look.still]:
            if time.monotonic() > end:
                raise TimeoutError(f"Firefox does not come to look so: {look}")
            time.sleep(0.02)

    def load(self, url: str | None) -> None:
        """Open an address and wait until it is loaded; None loads the page again."""
        if url is None:
            self.tabs.reload(self.tab, wait="complete")
        else:
            self.tabs.navigate(self.tab, url, wait="complete")

    def wait(self) -> None:
        """Wait until nothing is under way."""
        until_quiet(lambda: self.started - self.ended)

    def listen(self) -> None:
        """Do nothing: the browser says what happens when it happens."""

    def start_request(self, event: dict) -> None:
        """Note that something is asked for."""
        self.started.add(event["request"]["request"])
        self.note_request(event["request"]["url"])

    def end_request(
        self, event: ResponseCompletedParameters | FetchErrorParameters
    ) -> None:
        """Note what came of it."""
        if isinstance(event, ResponseCompletedParameters):
            status, size = (event.response[k] for k in ("status", "bytesReceived"))
            self.note_answer(event.request["url"], status=status, size=size)
        elif event.error_text != ABORTED:
            self.note_failure(event.error_text)
        self.ended.add(event.request["request"])

    def hear(self, entry: dict) -> None:
        """Note what the console says."""
        if entry["level"] in ("error", "warn"):
            self.note_complaint(entry["text"])

    def end(self) -> None:
        """End the browser, and with it the connection."""
        self.process.terminate()
        self.process.wait()
        self.home.cleanup()
