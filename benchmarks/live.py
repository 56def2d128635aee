"""Measure how fast the page of the live training learns in this machine's Chromium.

A whole training with each setting that is named, one after the other in one visit. The
clock runs while the network trains, the page's pictures and curves included; the
accuracy is that of the page's own test, on 1,000 pictures that it has not seen.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from common import header, table

from sightline.export.assets import copy_app, copy_training
from sightline.export.page import training_fragment

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browser import open_page  # noqa: E402
from engines import chromium  # noqa: E402
from server import serve  # noqa: E402

PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Live</title>{}'
GOAL = 0.85  # of pictures that were not seen
SWITCHES = ("mark", "norm", "shuffle")
LOAD = """(async () => {
  const root = document.querySelector(".tr-lesson");
  const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
  const begun = performance.now();
  root.querySelector(".sl-load").click();
  while (!root.lesson?.steps) await pause(10);
  return (performance.now() - begun) / 1000;
})()"""
TRAIN = """(async () => {{
  const root = document.querySelector(".tr-lesson");
  const find = (name) => root.querySelector(`.tr-${{name}}`);
  const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
  find("reset").click();
  for (const name of {switches})
    if (find(name).checked !== {on}.includes(name)) find(name).click();
  while (root.lesson.steps || !root.lesson.curves.unseen.length) await pause(10);
  const begun = performance.now();
  window.clock = {{}};
  const stop = setInterval(() => {{
    const seconds = (performance.now() - begun) / 1000;
    if (root.lesson.curves.unseen.at(-1)[1] >= {goal}) clock.reached ??= seconds;
    if (!["finished", "broken"].includes(root.dataset.state)) return;
    clearInterval(stop);
    const cells = ["all-plain", "all-marked", "verdict", "live"];
    for (const name of cells) clock[name] = find(name).textContent;
    clock.end = seconds;
  }}, 50);
  find("go").click();
}})()"""


def main() -> None:
    """Print a line for every training."""
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument(
        "switches",
        nargs="*",
        metavar="|".join(SWITCHES),
        help="also train with this one on (more than one may be named)",
    )
    arguments = words.parse_args()
    unknown = set(arguments.switches) - set(SWITCHES)
    if unknown:
        words.error(f"no such switch: {sorted(unknown)}; there are {SWITCHES}")
    if None in chromium.programs():
        words.error("not installed: apt-get install chromium chromium-driver")
    header()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as address:
        copy_app(Path(folder, "app"))
        copy_training(Path(folder, "app"))
        page = PAGE.format(training_fragment("app/"))
        Path(folder, "index.html").write_text(page, encoding="utf-8")
        asyncio.run(measure(address, arguments.switches))


async def measure(address: str, switches: list[str]) -> None:
    """Train as the page does, then with each switch in turn."""
    rows = []
    async with open_page() as page:
        await page.visit(f"{address}/index.html")
        print(f"from the button to the first steps: {await page.value(LOAD):.2f} s\n")
        for on in [[], *([switch] for switch in switches)]:
            program = TRAIN.format(switches=[*SWITCHES], on=on, goal=GOAL)
            await page.value(program)
            while "end" not in (seen := await page.value("clock")):
                await asyncio.sleep(1)
            print(seen["verdict"] or seen["live"])
            reached = seen.get("reached")
            rows.append(
                {
                    "switched on": ", ".join(on) or "nothing",
                    f"s to {GOAL:.0%} of 256": reached and round(reached, 1),
                    "s to the end": round(seen["end"], 1),
                    "test": seen["all-plain"],
                    "test with the mark": seen["all-marked"],
                }
            )
    table(rows, "one training each")


if __name__ == "__main__":
    main()
