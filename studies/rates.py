"""Which learning rate is best, by how much, and for which optimizer?

A fixed grid in thirds of a decade, wide enough for everything that a rule of the range
test says (`range_tests.py` makes those of the same recipes).

    python studies/rates.py [--plan] [sgd | adamw]
"""

from dataclasses import replace

from study import SMALL, Arm, Study, main

from sightline.book.studies import StudyRecord

ADAMW = replace(SMALL, optimizer="adamw", weight_decay=0.05)  # decoupled: see optim.py
GRIDS = {
    "sgd": (SMALL, [10 ** (-4 + k / 3) for k in range(15)]),  # 0.0001 to 4.6
    "adamw": (ADAMW, [10 ** (-5 + k / 3) for k in range(13)]),  # 0.00001 to 0.1
}


def best_rate(record: StudyRecord) -> dict[str, str]:
    """Compare every rate with the one of its optimizer that validates best."""
    controls = {}
    for optimizer in GRIDS:
        arms = [arm for arm in record.arms if arm.startswith(optimizer)]
        control = record.best(arms) if arms else None
        controls |= {arm: control for arm in arms if arm != control}
    return controls


STUDY = Study(
    name="rates",
    question="Which learning rate is best, and how far may one be off?",
    arms=[
        Arm(f"{optimizer} {rate:.2g}", replace(recipe, max_lr=float(f"{rate:.3g}")))
        for optimizer, (recipe, rates) in GRIDS.items()
        for rate in rates
    ],
    controls=best_rate,
)

if __name__ == "__main__":
    main(STUDY)
