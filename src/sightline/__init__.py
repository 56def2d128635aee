"""Sightline: train a ResNet, then see what it sees.

Read the modules in the order in which the data flows::

    recipes → datasets → augment, loaders → models → lr_finder → schedules
            → engine → checkpoint → train → explain → plots

`python -m sightline --help` lists the commands; each chapter of the book
shows the functions of one or two modules.
"""

import os

# albumentations asks a package index for its newest version when imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__all__ = ["__version__"]
__version__ = "0.1.0"
