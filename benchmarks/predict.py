"""Measure how fast `sightline predict` answers, and that its memory does not grow.

The same pictures are named on standard input once, then again and again. CPU seconds
are of all processes together, and mean more than the wall clock on a machine that has
other work; memory is that of the largest process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import header, save, table

from sightline.data.walk import picture_files

GOAL = 10_000  # pictures a minute


def main() -> None:
    """Predict once, then several times as many pictures; print a table."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--run", required=True, help="folder of a run")
    words.add_argument("--data", required=True, help="a folder of pictures")
    words.add_argument("--times", type=int, nargs="+", default=[1, 4])
    words.add_argument("--json", type=Path, help="write the table there, too")
    arguments = words.parse_args()
    header()
    names = list(picture_files([arguments.data]))
    rows = [measure(arguments.run, names * times) for times in arguments.times]
    table(rows, f"sightline predict; the goal is {GOAL:,} pictures a minute")
    save(arguments.json, rows=rows)


def measure(run: str, names: list[str]) -> dict[str, float]:
    """Predict in a process of its own; return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "names").write_text("\n".join(names), encoding="utf-8")
        command = (sys.executable, "-m", "sightline", "predict", run, "-", "--out")
        out = f"{folder}/predictions.csv"
        began = time.perf_counter()
        with open(f"{folder}/names", "rb") as file:
            process = subprocess.Popen(
                [*command, out], stdin=file, stdout=subprocess.DEVNULL
            )
            _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            raise SystemExit(f"sightline predict ended with status {status}")
    cpu = used.ru_utime + used.ru_stime
    return {
        "pictures": len(names),
        "seconds": round(seconds, 1),
        "pictures a minute": round(60 * len(names) / seconds),
        "CPU s per 10,000": round(1e4 * cpu / len(names), 1),
        "memory, MB": round(used.ru_maxrss / 1000),
    }


if __name__ == "__main__":
    main()
