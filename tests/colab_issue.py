"""What the weekly job tells of `colab_path.py`: one issue, or the date of a pass.

    python tests/colab_issue.py REPORTS IMAGE    prints the text of the issue

REPORTS holds a folder for each way, with a JSON file for each chapter. If all chapters
ran both ways, the date goes to book/results/colab.json, from where every page of the
full edition quotes it; if not, the exit status is 1. Needs the standard library only.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "book/results/colab.json"
WAYS = {
    "image": "in Colab's own image",
    "bare": "with the packages of our lock that Colab brings",
}
HEAD = """\
The weekly job ran every chapter of the last commit as Colab does. These did not come to
their end. The job keeps this text up to date, and closes the issue once all of them do.

| how | chapter | stage | cell | its first line | error |
|---|---|---|--:|---|---|
"""
NO_REPORT = {"stage": "start", "error": "the job ended before it could report"}


def main(reports: Path, image: str) -> int:
    """Print the text of the issue, or record the date."""
    notebooks = sorted((ROOT / "book").glob("*.ipynb"))
    rows = failures(reports, [path.stem for path in notebooks])
    if rows:
        print(HEAD + "\n".join(rows))
        return 1
    today = datetime.now(UTC).date().isoformat()
    text = json.dumps({"date": today, "image": image}, indent=2) + "\n"
    RECORD.write_text(text, encoding="utf-8", newline="\n")
    return 0


def failures(reports: Path, chapters: list[str]) -> list[str]:
    """Return a row of the table for each way and chapter that failed."""
    rows = []
    for way, words in WAYS.items():
        for chapter in chapters:
            file = reports / way / f"{chapter}.json"
            trial = json.loads(file.read_text("utf-8")) if file.exists() else NO_REPORT
            if trial["stage"]:
                cell = trial.get("cell") or ""
                texts = [code(trial.get(key, "")) for key in ("code", "error")]
                columns = [words, f"`{chapter}`", trial["stage"], cell, *texts]
                rows.append("| " + " | ".join(map(str, columns)) + " |")
    return rows


def code(text: str) -> str:
    """Write a line as code in a table of Markdown."""
    line = " ".join(text.split())[:200].replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
