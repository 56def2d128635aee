"""Chromium, through its WebDriver; what that cannot say, its log of events does.

Of what a worker asks for, the log has the worker's own file alone.
"""

import asyncio
import json
import shutil
import time

from selenium import webdriver

from engines.page import HEIGHT, LONG, PATIENCE, Driven, Look

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
)


def programs() -> tuple[str | None, ...]:
    """Paths of the browser and of its driver; None for what is not installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browsers = filter(None, map(shutil.which, names))
    return next(browsers, None), shutil.which("chromedriver")


class Chromium(Driven):
    """A tab of Chromium, to which `call` speaks the browser's own protocol."""

    def __init__(self):
        super().__init__()
        browser, driver = programs()
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in FLAGS:
            options.add_argument(flag)
        logs = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(driver))
        self.driver.set_script_timeout(LONG)
        self.order("Page.setLifecycleEventsEnabled", enabled=True)
        self.urls: dict[str, str] = {}
        self.stages: set[str] = set()  # of its life, that the document has reached

    async def call(self, method: str, **params) -> dict:
        """Send a command of the browser's own protocol; other engines have none."""
        return await asyncio.to_thread(self.order, method, **params)

    def order(self, method: str, **params) -> dict:
        """Send a command of the browser's own protocol."""
        return self.driver.execute_cdp_cmd(method, params)

    def prepare(self, *, dark: bool, cold: bool) -> None:
        """Use the cache, or do not."""
        self.order("Network.setCacheDisabled", cacheDisabled=cold)

    def look(self, look: Look) -> None:
        """Make the window look so; below 600 pixels it is that of a phone."""
        size = {"width": look.width, "height": HEIGHT, "deviceScaleFactor": 1}
        phone = look.width < 600
        self.order("Emulation.setDeviceMetricsOverride", mobile=phone, **size)
        features = {
            "prefers-color-scheme": "dark" if look.dark else "light",
            "forced-colors": "active" if look.forced else "none",
            "prefers-reduced-motion": "reduce" if look.still else "no-preference",
        }
        self.order(
            "Emulation.setEmulatedMedia",
            media="print" if look.paper else "",
            features=[{"name": n, "value": v} for n, v in features.items()],
        )

    def wait(self) -> None:
        """Wait until the browser says that the network is idle."""
        end = time.monotonic() + PATIENCE
        while "networkIdle" not in self.stages:
            if time.monotonic() > end:
                raise TimeoutError(f"the page has only reached {self.stages}")
            time.sleep(0.02)
            self.listen()

    def listen(self) -> None:
        """Take in what the page has asked for and said."""
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            self.note(event["method"], event["params"])
        for entry in self.driver.get_log("browser"):
            if entry["level"] in ("SEVERE", "WARNING"):
                self.note_complaint(entry["message"])

    def note(self, method: str, params: dict) -> None:
        """Note one event."""
        if method == "Network.requestWillBeSent":
            self.urls[params["requestId"]] = params["request"]["url"]
            self.note_request(params["request"]["url"])
        elif method == "Network.responseReceived":
            answer = params["response"]
            self.note_answer(answer["url"], status=answer["status"])
        elif method == "Network.loadingFinished":
            url = self.urls.get(params["requestId"], "")
            self.note_answer(url, size=params["encodedDataLength"])
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            self.note_failure(params["errorText"])
        elif method == "Page.lifecycleEvent":
            if params["name"] == "init":  # of a new document
                self.stages.clear()
            self.stages.add(params["name"])
