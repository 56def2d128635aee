"""Commands from a mistake to a corrected folder: review, apply."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sightline.cli.group import console, main, print_next, resumable
from sightline.cli.options import PATH, pictures_for
from sightline.errors import DataError, SightlineError
from sightline.files import shell_line

if TYPE_CHECKING:  # importing torch takes seconds, which --help need not wait for
    from sightline.data.corrections import Plan

NAMED = 20  # moves that are printed


@main.command()
@click.argument("run", type=PATH)
@click.option("--data", show_default="those of RUN", help="a folder of pictures")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
@click.option("--precision", default="auto", help="auto, fp32, tf32 or bf16")
@click.option(
    "--most", type=click.IntRange(1), default=300, show_default=True, help="suspects"
)
@click.option("--before", type=PATH, help="an earlier review, to compare with")
@click.option("--out", type=PATH, help="folder for the page  [default: RUN/review]")
def review(
    run: Path,
    data: str | None,
    device: str,
    precision: str,
    most: int,
    before: Path | None,
    out: Path | None,
) -> None:
    """Doubt every label of the folder that RUN was trained on, on a page to decide on.

    Five short trainings like that of RUN, which take about as long, ask about each
    picture a network that never saw it. What was cut off goes on.
    """
    from sightline.data.check import check_folder
    from sightline.data.datasets import data_folder
    from sightline.files import claim
    from sightline.reports.review import (
        Doubts,
        agreements,
        before_and_after,
        write_review,
    )
    from sightline.training.folds import ask_out_of_fold, everything, shortened
    from sightline.training.run import Run

    trained, out = Run.open(run), out or run / "review"
    splits = pictures_for(trained, data, None)
    whole = everything(splits)
    if not whole.files:
        raise DataError(f"{splits.name} is no folder of pictures, which a review needs")
    recipe = shortened(trained.recipe, splits)
    if before:  # before it costs a training
        agreements(before)
    claim(out, "review")
    with resumable():
        shares = ask_out_of_fold(
            recipe, splits, out, device=device, precision=precision, say=console.print
        )
        folder, framing = Path(splits.source), recipe.framing
        size, keep_in = recipe.image_size, data_folder() / "decoded"
        result = check_folder(folder, image_size=size, framing=framing, keep_in=keep_in)
        doubts = Doubts(folder, whole, splits.classes, shares, result)
        page = write_review(doubts, out, shown=most)
    if before:
        console.print(before_and_after(before, out))
    console.print(f"the page: {page}\nlook at it: open it in a browser")
    print_next("apply", folder, "corrections.json", "--dry-run")


@main.command()
@click.argument("folder", type=PATH)
@click.argument("corrections", type=PATH, required=False)
@click.option("--dry-run", is_flag=True, help="say what it would do, and do nothing")
@click.option("--undo", is_flag=True, help="take the last corrections back")
def apply(folder: Path, corrections: Path | None, dry_run: bool, undo: bool) -> None:
    """Move the pictures of FOLDER as CORRECTIONS say, which `review` has made.

    Nothing is deleted, and no file replaces another one. What was cut off goes on
    when the same command is given again.
    """
    from sightline.data import corrections as moving

    if undo == bool(corrections):
        raise SightlineError("name either a file of corrections, or --undo")
    folder = folder.expanduser().resolve()
    if corrections is None:
        count = moving.undo(folder, dry_run=dry_run)
        would = "would be" if dry_run else "are"
        console.print(f"{count:,} files {would} back where they were in {folder}")
        return
    plan = moving.plan(folder, corrections)
    for line in sentences(plan):
        console.print(line)
    if dry_run or plan.done or not plan.moves:
        return
    with resumable():
        moving.apply(plan)
    console.print(f"done; it can be undone: {undo_line(folder)}")
    console.print(
        "next: sightline review RUN --before REVIEW --out ANOTHER, which says what it "
        f"brought; or {shell_line('sightline', 'all', folder)} --out ANOTHER"
    )


def sentences(plan: "Plan") -> list[str]:
    """Say what corrections will do, move by move for the first ones."""
    counts = ", ".join(f"{count:,} {name}" for name, count in plan.counts.items())
    lines = [f"{plan.folder}: {counts}"]
    if plan.begun:
        again = "and are in effect" if plan.done else "in part, and will be finished"
        lines.append(f"these corrections were applied before, {again}")
    return [
        *lines,
        *(f"  {move.source} → {move.target}" for move in plan.moves[:NAMED]),
        *[f"  and {len(plan.moves) - NAMED:,} more"] * (len(plan.moves) > NAMED),
        *[f"{plan.renamed:,} get another name, theirs is taken"] * bool(plan.renamed),
    ]


def undo_line(folder: Path) -> str:
    """Return the command that takes the last corrections back."""
    return shell_line("sightline", "apply", folder, "--undo")
