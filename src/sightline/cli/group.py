"""The group of all commands, and how a command ends."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sightline.errors import SightlineError
from sightline.files import printable, shell_line

__all__ = ["main"]


class Terminal(Console):
    """Prints words as they are: names are no markup, and nothing in them is obeyed.

    Lines are as long as they are; only tables know the width.
    """

    def __init__(self, *, stderr: bool = False):
        super().__init__(
            markup=False, emoji=False, highlight=False, soft_wrap=True, stderr=stderr
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Lay out anything that is printed, all words made printable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


console = Terminal()
notes = Terminal(stderr=True)

INTERRUPTED = 130  # exit status that shells give to Ctrl-C


class Commands(click.Group):
    """A group whose commands end in one clear line when something is wrong."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Start where any name can be printed, whatever letters the terminal knows."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # in a notebook it is none
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; turn expected errors into a message and a status."""
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            last_words(f"sightline: {error}", "red")
            ctx.exit(1)


def last_words(message: str, colour: str) -> None:
    """Print why this process ends, unless another one of the same job did so."""
    if "WORLD_SIZE" in os.environ:  # of torchrun
        for number in (signal.SIGINT, signal.SIGTERM):  # what it sends meanwhile
            signal.signal(number, signal.SIG_IGN)
        from sightline.training.distributed import first_to_speak, tell_torchrun

        if not first_to_speak():
            return
        tell_torchrun(message)
    notes.print(message, style=colour)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline")
def main() -> None:
    """Train a ResNet, then see what it sees.

    First run: sightline train resnet10 --data shapes --out runs/first
    """


@contextmanager
def resumable(*more: str) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM with the command that goes on, `more` words added."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        command = shell_line("sightline", *sys.argv[1:], *more)
        if "WORLD_SIZE" in os.environ:
            processes = os.environ["LOCAL_WORLD_SIZE"]
            command = f"torchrun --nproc-per-node {processes} -m {command}"
        last_words(f"\ninterrupted; go on with: {command}", "yellow")
        sys.exit(INTERRUPTED)


def print_next(*words: object) -> None:
    """Print the command that makes sense next, to be pasted into a shell."""
    console.print(f"next: {shell_line('sightline', *words)}")
