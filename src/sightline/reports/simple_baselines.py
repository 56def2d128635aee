"""Section of a report: the network beside classifiers that need none."""

from sightline.measures.inference import Effect, Verdict, effect, estimate
from sightline.reports.subject import Section, Subject
from sightline.reports.tables import markdown_table
from sightline.training.simple_baselines import MOST, fit_simple

__all__ = ["simple_baselines"]

# what the comparison says: the network is the first of the two
VERDICTS = {
    Verdict.LARGER: "The network beats it, by {} points: it has learned more.",
    Verdict.SMALLER: "The network does not beat it. It is worse, by {} points: these "
    "pictures do not need this network, or it was not trained well.",
    Verdict.OPEN: "The network does not beat it: the difference of {} points cannot be "
    "told from nothing. So the answers do not show that it has learned more than this.",
}


def simple_baselines(subject: Subject) -> Section:
    """Compare the network with regressions on colours and on edges."""
    test, fitted = subject.test, fit_simple(subject.splits)
    best = fitted[0]
    ahead = effect(test.right, best.right)
    rows = [["the network", estimate(test.right).written(), ""]]
    for each in fitted:
        validation = f"{100 * each.validation:.1f}, C = {each.strength:g}"
        rows.append([each.features, estimate(each.right).written(), validation])
    share = f"{best.trained_on:,} training pictures"
    if best.trained_on < len(subject.splits.train):
        share = f"{MOST:,} of {len(subject.splits.train):,} training pictures"
    parts = [
        f"Logistic regression on two kinds of simple features, fitted to {share}, the "
        "same test pictures. Accuracy in %, with the 95 % interval; C was chosen on "
        "the validation pictures.",
        markdown_table(["", "test", "validation"], rows),
        f"The better one on the validation pictures: {best.features}. "
        + verdict(ahead),
    ]
    numbers: dict[str, object] = {
        "ahead": ahead.difference,
        "low": ahead.low,
        "high": ahead.high,
        "verdict": ahead.verdict(),
        "trained_on": best.trained_on,
        "accuracy": {b.features: b.right.double().mean().item() for b in fitted},
    }
    return Section("Simple baselines", parts, numbers)


def verdict(ahead: Effect) -> str:
    """Say whether the network beats a simple baseline."""
    return VERDICTS[ahead.verdict()].format(ahead.written())
