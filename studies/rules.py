"""What would each rule of the LR range test have cost, against the best rate?

Trains nothing: reads what `rates.py` and `range_tests.py` recorded. Every rule reads
each seed's own range test, and the network of that seed is trained at its suggestion:
what it answers is taken from the two rates of the grid around it; below the grid, from
its lowest rate, so that the loss is at least what is written.

    python studies/rules.py
"""

import math
from statistics import median

from arms import RESULTS
from rates import GRIDS
from rich.console import Console
from rich.table import Table

from sightline.book.studies import StudyRecord
from sightline.files import read_json
from sightline.measures.inference import effects
from sightline.training.lr_finder import RULES, RangeTest, recommended

MARGIN = 0.005  # of accuracy
SEEDS = 3  # a rate that was tried with fewer is left out, where others have more


def suggestions(optimizer: str) -> dict[str, list[float]]:
    """Return what each rule says about each seed's range test, in order of seeds."""
    rows = read_json(RESULTS / "range_tests.json")["tests"]
    rows = sorted(
        (r for r in rows if r["recipe"] == optimizer), key=lambda r: r["seed"]
    )
    tests = [RangeTest(row["lrs"], row["losses"], row["stopped"]) for row in rows]
    rules = {**RULES, "recommended": recommended}
    return {name: [rule(test) for test in tests] for name, rule in rules.items()}


def grid(record: StudyRecord, optimizer: str) -> dict[float, str]:
    """Return the arms of an optimizer by their rate."""
    seeds = {a: len(record.seeds(a)) for a in record.arms if a.startswith(optimizer)}
    enough = min(SEEDS, max(seeds.values(), default=0))
    return {record.recipe(a).max_lr: a for a, n in seeds.items() if n >= enough}


def main() -> None:
    """Print a table for each optimizer."""
    record = StudyRecord.of(read_json(RESULTS / "rates.json"))
    for optimizer in GRIDS:
        arms = grid(record, optimizer)
        if not arms:
            continue
        best, suggested = record.best(arms.values()), suggestions(optimizer)
        rows = {}
        for rule, rates in suggested.items():
            inside = [max(rate, 1.001 * min(arms)) for rate in rates]
            answers = record.between(arms, inside)
            rows[rule] = answers, record.answers(best)[: len(answers)].double()
        costs = effects(rows)
        table = Table(
            "rule", "suggestions", "median", "points", "from", "to", "verdict"
        )
        table.title = f"{optimizer}, against {best}"
        for rule, cost in costs.items():
            each = ", ".join(f"{rate:.2g}" for rate in suggested[rule])
            points = (cost.difference, cost.low, cost.high)
            numbers = [f"{100 * value:+.1f}" for value in points]
            if math.isnan(cost.difference):
                numbers = ["above the grid", "", ""]
            elif min(suggested[rule]) < min(arms):
                numbers[0] = f"at least {numbers[0]}"
            middle = f"{median(suggested[rule]):.2g}"
            verdict = "" if math.isnan(cost.difference) else cost.verdict(MARGIN)
            table.add_row(rule, each, middle, *numbers, verdict)
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
