"""The command line: one file for each group of commands.

========  =======================================================================
group     the group of all commands, and how a command ends
options   options that several commands share
training  recipes, train, lr-find
looking   evaluate, compare, report, summary
heatmaps  explain, trust
predict   predict
folder    check, all, export
review    review, apply
book      what makes the book
========  =======================================================================
"""

from sightline.cli import (
    book,
    folder,
    heatmaps,
    looking,
    predict,
    review,
    training,
)
from sightline.cli.group import main

__all__ = [
    "book",
    "folder",
    "heatmaps",
    "looking",
    "main",
    "predict",
    "review",
    "training",
]
