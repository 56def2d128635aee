"""Which normalisation is best, each with its own best rate?

Two seeds search each norm's rate on validation images; five others are compared.

    python studies/norms.py [--plan]
"""

from dataclasses import replace

from study import SMALL, Arm, Study, best, main

RATES = (0.0215, 0.0464, 0.1, 0.215, 0.464)
NORMS = ("batch", "group", "layer")
SEARCH = Study(
    name="norm_rates",
    question="At which rate is each norm best?",
    arms=[
        Arm(f"{norm} {rate:g}", replace(SMALL, norm=norm, max_lr=rate))
        for rate in RATES
        for norm in NORMS
    ],
    seeds=range(2),
)


def final() -> Study:
    """Return the comparison, every norm with the rate that the search prefers."""
    return Study(
        name="norms",
        question="Which norm is best, each with its own best rate?",
        arms=[replace(best(SEARCH, norm), name=norm) for norm in NORMS],
        seeds=range(2, 7),
    )


if __name__ == "__main__":
    if main(SEARCH):
        main(final())
