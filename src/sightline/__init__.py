"""Sightline: train a ResNet, then see what it sees.

Eleven rooms, in the order in which the data flows; a room imports only from those
before it, and the docstring of each lists its files::

    measures   numbers from plain tensors
    models     the networks
    data       from files to batches
    training   a recipe in, a run out
    heatmaps   why, and whether to believe it
    plots      figures from plain data
    export     a run as a page
    reports    what a training came to, in words, tables and figures
    book       what makes the book
    pipeline   from a folder of pictures to a trained, explained, exported network
    cli        the command line

Beside them: `errors`, what is said when something is wrong; `files`, files that are
whole or absent.

The way through: `training.recipes.find_recipe` → `data.datasets.load` →
`training.train.train` → `training.run.Run` → `heatmaps.explain.explain` →
`plots.heatmaps`. `python -m sightline --help` lists the commands; each chapter of the
book shows the functions of one or two files.
"""

import os

# albumentations asks a package index for its newest version when imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__all__ = ["__version__"]
__version__ = "0.1.0"
