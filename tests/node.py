"""Programs for Node: the page's modules without a page."""

import os
import shutil
import subprocess

import pytest


def require_node() -> None:
    """Skip a test where no Node is installed; in CI, let it fail instead."""
    if shutil.which("node") is None:
        message = "Node is not installed: apt-get install nodejs"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def run_node(program: str, *arguments: object) -> bytes:
    """Run a module that may write bytes; return what it wrote.

    Raises:
        AssertionError: if it fails or writes to its standard error, with what it wrote.
    """
    require_node()
    done = subprocess.run(
        ["node", "--input-type=module", "-", *map(str, arguments)],
        input=program.encode("utf-8"),
        capture_output=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr.decode("utf-8")
    return done.stdout
