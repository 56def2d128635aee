"""Which course of the learning rate is best, each with its own best rate?

Two seeds search each schedule's rate, judged on validation images; five others train
with it and are compared on test images.

    python studies/schedules.py [--plan]
"""

from dataclasses import replace

from study import SMALL, Arm, Study, best, main

RATES = (0.0215, 0.0464, 0.1, 0.215, 0.464)
SCHEDULES = {
    "one cycle": {},
    "one cycle, momentum fixed": {"cycle_momentum": False},
    "warm-up, cosine": {"schedule": "warmup_cosine", "pct_start": 0.1},
    "cosine": {"schedule": "cosine"},
    "linear": {"schedule": "linear"},
    "constant": {"schedule": "constant"},
}
SEARCH = Study(
    name="schedule_rates",
    question="At which rate is each schedule best?",
    arms=[
        Arm(f"{name} {rate:g}", replace(SMALL, max_lr=rate, **changes))
        for rate in RATES
        for name, changes in SCHEDULES.items()
    ],
    seeds=range(2),
)


def final() -> Study:
    """Return the comparison, every schedule with the rate that the search prefers."""
    return Study(
        name="schedules",
        question="Which schedule is best, each with its own best rate?",
        arms=[
            replace(best(SEARCH, name), name=name)  # the rate is in the recipe
            for name in SCHEDULES
        ],
        seeds=range(2, 7),
    )


if __name__ == "__main__":
    if main(SEARCH):
        main(final())
