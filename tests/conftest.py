"""What holds for all tests."""

import os
from collections.abc import Iterator

import pytest
from browser import require_chromium


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory) -> Iterator[None]:
    """Keep the data folder of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look for what a test needs before anything is built for it."""
    if item.get_closest_marker("browser"):
        require_chromium()
    if item.get_closest_marker("processes") and os.name != "posix":
        pytest.skip("needs the signals and limits of a POSIX system")
