"""A tiny run and its export, which two test files look at."""

from pathlib import Path

import tiny

from sightline.export.export import export
from sightline.training.run import Run
from sightline.training.train import train


def exported(folder: Path, bits: int = 4) -> tuple[Run, dict, Path]:
    """Train for a second, export; return the run, its description and the folder."""
    run = train(tiny.RECIPE, tiny.splits(), out=folder / "run", **tiny.ON_CPU)
    about = export(run, tiny.splits(), folder / "page", bits=bits)
    return run, about, folder / "page"
