"""What came out of a folder of pictures: some lines, and the page that leads on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightline.files import shell_line
from sightline.measures.inference import estimate
from sightline.measures.metrics import balanced_accuracy, confusion_matrix
from sightline.reports.report import render
from sightline.reports.subject import Section
from sightline.reports.tables import code, markdown_table, plain
from sightline.training.choices import Choice
from sightline.training.run import Run

__all__ = ["index_page", "results"]


def results(run: Run) -> list[str]:
    """Say how good a network is on the test pictures, and what it confuses."""
    test, classes = run.test, run.classes
    counts = confusion_matrix(test.labels, test.predictions, len(classes))
    accuracy, pictures = estimate(test.right), len(test.labels)
    lines = [
        f"test accuracy {accuracy.written()} % on {pictures:,} "
        f"picture{'s' * (pictures > 1)}, balanced {balanced_accuracy(counts):.1%}"
    ]
    wrong = counts.clone().fill_diagonal_(0)
    most = int(wrong.max())
    if most:
        actual, predicted = divmod(int(wrong.argmax()), len(classes))
        lines.append(
            f"most often: {classes[actual]} taken for {classes[predicted]}, {most} of "
            f"{int(counts[actual].sum())}"
        )
    return lines


def index_page(
    title: str,
    out: Path,
    run: Run,
    *,
    check: Mapping[str, Any],
    rate: Choice,
    forecast: str = "",
) -> str:
    """Lay out the page that leads to everything in `out`, as HTML.

    Args:
        title: name of the pictures.
        out: where the page will lie, beside report/, demo/ and the figures.
        run: the training.
        check: what `check.json` holds.
        rate: the learning rate.
        forecast: what more pictures would bring, if that is known.
    """
    header, *rows = check["table"]
    findings = "".join(
        f"- **{plain(f['kind'])}**: {plain(f['words'])}. {plain(f['remedy'])}\n"
        for f in check["findings"]
    )
    curves = "![Range tests](rate.svg)" if (out / "rate.svg").exists() else ""
    again = code(f"{shell_line('sightline', 'explain', run.path)} PICTURE")
    outcome = [
        "".join(f"- {plain(line)}\n" for line in results(run)),
        "[Mistakes and heatmaps](report/report.html), and whether to believe them.",
        _demo_sentence(out),
        f"Look at any other picture: {again}",
    ]
    why = f"{rate.value:.2g}: {plain(rate.why)}."
    more = [plain(forecast), "![Learning curve](learning_curve.svg)"]
    sections = {
        "result": Section("Result", outcome),
        **({"more": Section("More pictures", more)} if forecast else {}),
        "pictures": Section("Pictures", [markdown_table(header, rows), findings]),
        "rate": Section("Learning rate", [why, curves]),
    }
    return render(title, sections)


def _demo_sentence(out: Path) -> str:
    """Say how to look at the demo, if there is one."""
    if not (out / "demo/model.json").exists():
        return "It was not exported.\n"
    server = code(shell_line("python", "-m", "http.server", "-d", out))
    return (
        "[The demo](demo/index.html) runs the network in the browser; it needs a "
        f"server: {server}\n"
    )
