"""WebKitGTK, through its WebDriver, in a display that exists in memory only.

Its WebDriver tells nothing of requests and of the console. So its proxy, which is here,
notes every request, and puts a listener into each page that it hands on. Of a page from
a disk nobody sees which files it loads, or hears what its console says.
"""

import http.client
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from selenium.webdriver.webkitgtk.options import Options
from selenium.webdriver.webkitgtk.service import Service
from server import answering

from engines.page import HEIGHT, LONG, Driven, Look, until_quiet

# a hidden bar of the browser would keep its window from becoming narrow
STYLE = "searchbar * { min-width: 0; padding: 0; margin: 0; font-size: 1px }"
FLAGS = ("--automation", "--javascript-can-open-windows-automatically=true")
BROWSERS = ("lib/*/webkit2gtk-4.*/MiniBrowser", "libexec/webkit2gtk-4.*/MiniBrowser")
HERE = "127.0.0.1"
DOCTYPE = rb"(?i)<!doctype html[^>]*>"
LISTENER = b"""<script>{
const heard = window.heard = [], hear = (text) => heard.push(String(text));
for (const kind of ["error", "warn"]) {
  const say = console[kind];
  console[kind] = (...words) => { hear(words.join(" ")); say(...words); };
}
console.assert = (right, ...words) => right || hear(words.join(" "));
addEventListener("error", (e) => hear(e.message || e.target.outerHTML), true);
addEventListener("unhandledrejection", (e) => hear(e.reason));
addEventListener("securitypolicyviolation", (e) => hear(
  `${e.violatedDirective} refuses ${e.blockedURI}`));
}</script>"""


def programs() -> tuple[str | None, ...]:
    """Paths of browser, driver and display; None for what is not installed."""
    browsers = (str(path) for name in BROWSERS for path in Path("/usr").glob(name))
    return next(browsers, None), shutil.which("WebKitWebDriver"), shutil.which("Xvfb")


@contextmanager
def display() -> Iterator[str]:
    """Name of a display without a screen."""
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1600x1200x24"]
    with subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL) as x:
        os.close(writing)
        try:
            with open(reading, encoding="ascii") as file:
                yield f":{file.readline().strip()}"
        finally:
            x.terminate()


class Proxy(http.server.BaseHTTPRequestHandler):
    """Hands on what servers of this machine answer, and nothing else; tells `page`."""

    def __init__(self, page: "WebKit", *details):
        self.page = page
        super().__init__(*details)

    def do_GET(self) -> None:
        """Ask the server; tell the page."""
        self.page.under_way.append(self.path)
        self.page.note_request(self.path)
        try:
            if urlsplit(self.path).hostname == HERE:
                self.hand_on()
            else:
                self.page.note_failure(f"{self.path} is not on this machine")
                self.send_error(502)
        finally:
            self.page.under_way.remove(self.path)

    do_CONNECT = do_HEAD = do_POST = do_GET

    def hand_on(self) -> None:
        """Hand on an answer; a page gets a listener, behind its first line."""
        url = urlsplit(self.path)
        connection = http.client.HTTPConnection(url.netloc)
        path = url._replace(scheme="", netloc="").geturl()
        connection.request(self.command, path, headers=self.headers)
        answer = connection.getresponse()
        body, headers = answer.read(), answer.headers
        connection.close()
        size = len(body) + len(bytes(headers))
        self.page.note_answer(self.path, status=answer.status, size=size)
        if headers.get_content_type() == "text/html":
            headers.replace_header("Content-Type", "text/html; charset=utf-8")
            body = re.sub(DOCTYPE, lambda found: found[0] + LISTENER, body, count=1)
        self.send_response_only(answer.status)
        del headers["Content-Length"], headers["Connection"]
        for item in headers.items():
            self.send_header(*item)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """Say nothing on the terminal."""


class WebKit(Driven):
    """A tab of WebKitGTK's small browser, in a window without a tool bar."""

    emulates_media = False

    def __init__(self):
        super().__init__()
        self.under_way: list[str] = []
        with ExitStack() as stack:
            self.display = stack.enter_context(display())
            self.home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (self.home / "gtk-3.0").mkdir()
            (self.home / "gtk-3.0/gtk.css").write_text(STYLE, encoding="ascii")
            self.proxy = stack.enter_context(answering(partial(Proxy, self)))
            self.start(dark=False)
            self.stack = stack.pop_all()

    def start(self, dark: bool) -> None:
        """Start the browser."""
        self.dark, self.fresh = dark, True
        browser, driver, _ = programs()
        options = Options()
        options.binary_location = browser
        for flag in (*FLAGS, f"--proxy={self.proxy}", *["--dark-mode"] * dark):
            options.add_argument(flag)
        place = {"DISPLAY": self.display, "GDK_BACKEND": "x11"}
        place["XDG_CONFIG_HOME"] = str(self.home)
        self.service = Service(driver, env=os.environ | place)
        self.service.start()
        connection = RemoteConnection(
            client_config=ClientConfig(self.service.service_url)
        )
        self.driver = webdriver.Remote(connection, options=options)
        self.driver.set_script_timeout(LONG)
        (first,) = self.driver.window_handles
        self.driver.execute_script("open('about:blank', '', 'popup')")
        self.driver.close()
        (window,) = {*self.driver.window_handles} - {first}
        self.driver.switch_to.window(window)

    def stop(self) -> None:
        """End the browser."""
        self.driver.quit()
        self.service.stop()

    def prepare(self, *, dark: bool, cold: bool) -> None:
        """Start another browser where this one has other colours, or a cache."""
        if dark != self.dark or (cold and not self.fresh):
            self.stop()
            self.start(dark)

    def look(self, look: Look) -> None:
        """Make the window look so; its colours are those it has started with."""
        if look != Look(look.width, self.dark):
            raise NotImplementedError(f"only visit() changes colours in WebKit: {look}")
        self.driver.set_window_size(look.width, HEIGHT)
        for _ in range(100):
            if self.evaluate("innerWidth") == look.width:
                break
            time.sleep(0.02)

    def load(self, url: str | None) -> None:
        """Open an address and wait until it is loaded; None loads the page again."""
        self.fresh = False
        super().load(url)

    def wait(self) -> None:
        """Wait until nothing is under way."""
        until_quiet(lambda: set(self.under_way))

    def listen(self) -> None:
        """Take in what the page has asked for and said."""
        for words in self.evaluate("window.heard?.splice(0) ?? []"):
            self.note_complaint(words)

    def end(self) -> None:
        """End the browser, its proxy and its display."""
        self.stop()
        self.stack.close()
