"""What holds for all tests."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from browser import ENGINES, require_engine

LONGEST = ("test_site", "test_demo", "test_colab")  # files that take minutes
EMULATING = [name for name, (kind, *_) in ENGINES.items() if kind.emulates_media]


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory) -> Iterator[None]:
    """Keep the data folder of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", params=ENGINES)
def engine(request) -> str:
    """Each engine in turn, for tests that hold in all of them."""
    return request.param


@pytest.fixture(scope="session", params=EMULATING)
def emulating_engine(request) -> str:
    """Each engine that can be told of forced colours and of reduced motion."""
    return request.param


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is alone with it at the end."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for what a test needs before anything is built for it."""
    if item.get_closest_marker("browser"):
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        engine = parameters.get("emulating_engine", "chromium")
        engine = parameters.get("engine", engine)
        require_engine(engine)
        item.user_properties.append(("engine", engine))
    if item.get_closest_marker("processes") and os.name != "posix":
        pytest.skip("needs the signals and limits of a POSIX system")


def pytest_terminal_summary(terminalreporter) -> None:
    """Say how many tests have run in each engine, and how long they took."""
    counts, seconds = Counter(), Counter()
    for report in itertools.chain(*terminalreporter.stats.values()):
        engine = dict(getattr(report, "user_properties", ())).get("engine")
        if engine and not report.skipped:
            counts[engine] += report.when == "call"
            seconds[engine] += report.duration
    if counts:
        words = (f"{e} {n} tests in {seconds[e]:.0f} s" for e, n in counts.items())
        terminalreporter.write_line(f"engines: {', '.join(words)}")
