"""What commands print: every name as words, on any terminal, in one line."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.table import Table

from sightline.cli.group import Commands, console, notes, print_next
from sightline.errors import SightlineError

HOSTILE = {
    "markup": "[/bold]folder [red]x[/blue]",
    "emoji": ":dog:",
    "escape sequence": "\x1b[31mred\x1b]0;title\x07",
    "turned round": "gpj.\u202eexe",
    "no text": "caf\udce9",
    "carriage return": "safe\rrm",
}


def printed(
    *things: object, error: str = "", charset: str = "utf-8"
) -> tuple[str, str]:
    """Print as a command does, and end with an error, if any."""

    @click.group(cls=Commands)
    def group() -> None:
        pass

    @group.command()
    def show() -> None:
        for thing in things:
            console.print(thing)
        notes.print(*things)
        if error:
            raise SightlineError(error)

    result = CliRunner(charset=charset).invoke(group, ["show"])
    assert not isinstance(result.exception, UnicodeError), result.exception
    return result.stdout, result.stderr


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_is_printed_as_words_and_nothing_in_it_is_obeyed(name):
    table = Table(name, title=name)
    table.add_row(name)
    for text in printed(name, table, error=name):
        assert not [
            letter for letter in text if not letter.isprintable() and letter > "\n"
        ]
    if "[" in name and "\x1b" not in name:
        text, errors = printed(name, table, error=name)
        assert text.count(name) == 4
        assert f"sightline: {name}" in errors


def test_what_cannot_be_printed_is_written_out():
    assert "\\x1b[31mred" in printed(HOSTILE["escape sequence"])[0]
    assert "gpj.\\u202eexe" in printed(HOSTILE["turned round"])[0]
    assert ":dog:" in printed(HOSTILE["emoji"])[0]


def test_a_line_is_not_folded_where_nobody_looks():
    line = "→ " + "long/" * 60 + "name.png"
    assert printed(line)[0] == f"{line}\n"


def test_the_next_command_can_be_pasted_whatever_a_folder_is_called(capsys):
    print_next("all", Path("xss <b>&folder $(touch x)"))
    assert capsys.readouterr().out == (
        "next: sightline all 'xss <b>&folder $(touch x)'\n"
    )


def test_a_terminal_that_knows_only_ascii_gets_every_line():
    out, errors = printed("→ † café", error="3 × 3", charset="ascii")
    assert out == "\\u2192 \\u2020 caf\\xe9\n"
    assert "sightline: 3 \\xd7 3" in errors
