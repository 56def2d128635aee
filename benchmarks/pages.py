"""Measure what a page of a built site costs at first view: bytes, requests, time.

A plain server of this machine, which compresses nothing, and Chromium with an empty
cache, in a window of 1280 by 900 pixels. Most servers of static sites compress text,
so that a reader transfers about a third.
"""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from common import header, table

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browser import open_page  # noqa: E402
from engines import chromium  # noqa: E402
from server import serve  # noqa: E402

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
GOAL_BYTES, GOAL_PAINT = 2_000_000, 1000  # of each page; milliseconds


def main() -> None:
    """Print a line for every page of the site."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("site", type=Path, nargs="?", default=Path("_build/full/html"))
    words.add_argument("--rounds", type=int, default=3, help="the best paint counts")
    arguments = words.parse_args()
    if not (arguments.site / "index.html").exists():
        words.error(f"no site in {arguments.site}: make site, or name its folder")
    if None in chromium.programs():
        words.error("not installed: apt-get install chromium chromium-driver")
    header()
    with serve(arguments.site) as address:
        rows = asyncio.run(measure(address, arguments.site, arguments.rounds))
    table(rows, "first view, not compressed")
    over = [r["page"] for r in rows if r["kB"] * 1000 > GOAL_BYTES]
    slow = [r["page"] for r in rows if r["paint ms"] > GOAL_PAINT]
    print(f"over {GOAL_BYTES / 1e6:.0f} MB: {over or 'none'}")
    print(f"first paint after {GOAL_PAINT} ms: {slow or 'none'}")


async def measure(address: str, site: Path, rounds: int) -> list[dict]:
    """Open every page and return what it cost."""
    names = sorted(str(p.relative_to(site)) for p in site.glob("book/*.html"))
    rows = []
    async with open_page() as page:
        for name in [*names, "search.html"]:
            paints = []
            for _ in range(rounds):
                await page.visit(f"{address}/{name}", cold=True)
                paints.append(await page.value(FIRST_PAINT))
            rows.append(cost(name, page.bytes, min(paints)))
    return rows


def cost(name: str, transferred: Mapping[str, int], paint: float) -> dict:
    """Return a line of the table."""
    kinds = {"html": 0, "js": 0, "css": 0, "other": 0}
    for url, count in transferred.items():
        ending = Path(urlsplit(url).path).suffix.removeprefix(".")
        kinds[ending if ending in kinds else "other"] += count
    url, most = max(transferred.items(), key=lambda item: item[1])
    return {
        "page": name.removeprefix("book/").removesuffix(".html"),
        "kB": round(sum(transferred.values()) / 1000),
        "requests": len(transferred),
        **{f"{kind} kB": round(count / 1000) for kind, count in kinds.items()},
        "paint ms": round(paint),
        "largest": f"{Path(urlsplit(url).path).name[:24]} {most / 1000:.0f} kB",
    }


if __name__ == "__main__":
    main()
