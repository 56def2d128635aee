"""Tables: every cell where it belongs, and marks that need no colour."""

import pytest
from rich.console import Console

from sightline.errors import SightlineError
from sightline.reports.tables import epoch_table, markdown_table, text_table

HISTORY = [
    {
        "epoch": epoch,
        "train_loss": 2 / epoch,
        "train_accuracy": 0.2 * epoch,
        "validation_loss": 2.5 / epoch,
        "validation_accuracy": accuracy,
        "lr": 0.1 / epoch,
        "last_lr": 1e-6,
        "seconds": 3.21,
    }
    for epoch, accuracy in ((1, 0.3), (2, 0.5), (3, 0.5), (4, 0.4))
]


def printed(table, width=80):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_epoch_table_has_a_line_per_epoch_and_marks_the_best_one():
    lines = printed(epoch_table(HISTORY)).splitlines()
    cells = [line.split() for line in lines if line.strip()[:1].isdigit()]
    assert [line[0] for line in cells] == ["1", "2", "3*", "4"]
    third = ["0.6667", "60.00%", "0.8333", "50.00%", "0.0333", "→", "1e-06", "3.2"]
    assert cells[2][1:] == third
    assert "* best validation accuracy" in lines[-1]


def test_epoch_table_says_when_the_test_images_were_watched():
    text = printed(epoch_table(HISTORY, watched="test"))
    assert "* best test accuracy" in text
    assert "validation" not in text


def test_epoch_table_of_no_epoch_is_refused():
    with pytest.raises(SightlineError, match="train at least one epoch"):
        epoch_table([])


def test_names_with_brackets_are_no_markup():
    assert "[red]a[/]" in printed(text_table(["run"], [["[red]a[/]"]]))


def test_a_table_that_is_too_wide_is_turned_round():
    header, rows = ["run", "w" * 30, "v" * 30], [["a", "1", "2"], ["b", "3", "4"]]
    wide = printed(text_table(header, rows, width=80)).split()
    assert wide[:3] == header
    turned = printed(text_table(header, rows, width=50), width=50).split()
    assert turned[:3] == ["run", "a", "b"]
    assert turned[-3:] == ["v" * 30, "2", "4"]


def test_a_markdown_table_keeps_its_columns_whatever_a_cell_holds():
    text = markdown_table(["run", "all\nseconds"], [["a|b", "1.0"]])
    assert text == "| run | all seconds |\n| --- | --: |\n| a\\|b | 1.0 |\n"
