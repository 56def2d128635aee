"""The command line: one file for each group of commands.

========  =======================================================================
group     the group of all commands, and how a command ends
options   options that several commands share
training  recipes, train, lr-find
looking   evaluate, compare, explain, report, summary
folder    check, all, export
book      what makes the book
========  =======================================================================
"""

from sightline.cli import book, folder, looking, training
from sightline.cli.group import main

__all__ = ["book", "folder", "looking", "main", "training"]
