"""The group of all commands, and how a command ends."""

import io
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console

from sightline.errors import SightlineError

__all__ = ["main"]

console = Console()

INTERRUPTED = 130  # exit status that shells give to Ctrl-C


class Commands(click.Group):
    """A group whose commands end in one clear line when something is wrong."""

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
    click.secho(message, fg=colour, err=True)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline")
def main() -> None:
    """Train a ResNet, then see what it sees.

    First run: sightline train resnet10 --data shapes --out runs/first
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # may know neither → nor a file's name
        sys.stdout.reconfigure(errors="backslashreplace")


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


def shell_line(*words: object) -> str:
    """Join words to a line that a shell takes apart into the same words."""
    return shlex.join(map(str, words))


def print_next(*words: object) -> None:
    """Print the command that makes sense next, to be pasted into a shell."""
    print_line(f"next: {shell_line('sightline', *words)}")


def print_line(line: str) -> None:
    """Print a line as it is, however wide."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
