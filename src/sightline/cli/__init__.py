"""The command line: `sightline train`, `lr-find`, `evaluate`, `compare`, and more."""

from sightline.cli.commands import main

__all__ = ["main"]
