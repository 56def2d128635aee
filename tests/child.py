"""Programs in a process of their own: for what must not happen to the one of pytest."""

import os
import subprocess
import sys
from pathlib import Path


def run_child(program: str, *arguments: object) -> str:
    """Run some lines of Python that may import what tests share; return its output.

    Raises:
        AssertionError: if it fails or writes to its standard error, with what it wrote.
    """
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout
