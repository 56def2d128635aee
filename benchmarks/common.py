"""What every benchmark prints: on which machine, how busy, and a table.

A number without these lines cannot be compared with another one.
"""

import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from sightline.runtime import choose_runtime, describe

__all__ = ["header", "table"]

BUSY = 1.2  # 1-minute load above which other work disturbs timings, per 2 cores


def header() -> None:
    """Print machine, versions, threads and the load of the last minute."""
    about = describe(choose_runtime())
    for name in ("device", "precision", "threads", "torch", "python", "revision"):
        print(f"{name:10} {about[name]}")
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    busy = "  (other work runs: times are too long)" if load > BUSY * cores / 2 else ""
    print(
        f"{'load':10} {load:.2f} over the last minute, {cores} cores{busy}", flush=True
    )


def table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    """Print rows under the names of the first one's fields; numbers to the right."""
    grid = Table(title=title or None, title_justify="left")
    for name, value in rows[0].items():
        right = isinstance(value, int | float)
        grid.add_column(name, justify="right" if right else "left")
    for row in rows:
        grid.add_row(*(written(value) for value in row.values()))
    # wide enough for a log file, where rich would otherwise assume 80 columns
    Console(width=None if os.isatty(1) else 120).print(grid)


def written(value: object) -> str:
    """Write a number as people read it: thousands apart, four digits at most."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
