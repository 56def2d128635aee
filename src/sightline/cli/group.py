"""The group of all commands, and how a command ends."""

import os
import signal
import sys

import click
from rich.console import Console

from sightline.errors import SightlineError

__all__ = ["main"]

console = Console()


INTERRUPTED = 130  # exit status that shells give to Ctrl-C


class Commands(click.Group):
    """A group whose commands end in one clear line when something is wrong."""

    def invoke(self, context: click.Context):
        """Run the command; turn expected errors into a message and a status."""
        try:
            return super().invoke(context)
        except SightlineError as error:
            last_words(f"sightline: {error}", "red")
            context.exit(1)


def last_words(message: str, colour: str) -> None:
    """Say why this process ends, unless another one of the same job has said so."""
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


def run_by_first_process() -> bool:
    """Tell whether this process speaks for those that `torchrun` started with it."""
    return os.environ.get("RANK", "0") == "0"


def command_line() -> str:
    """Return the command that started this process, or all of them."""
    command = f"sightline {' '.join(sys.argv[1:])}".rstrip()
    if "WORLD_SIZE" not in os.environ:
        return command
    processes = os.environ["LOCAL_WORLD_SIZE"]
    return f"torchrun --nproc-per-node {processes} -m {command}"


def say_plainly(line: str) -> None:
    """Print a line as it is, however wide."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
