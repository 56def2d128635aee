"""Chapters that quote records run where there are none: Colab has no checkout."""

import ast

import jupytext
import matplotlib.pyplot as plt
import pytest

from sightline.book import notebook
from sightline.book.chapters import Book
from sightline.data.datasets import load_shapes

BOOK = Book()
READ = "notebook.recorded("


def names(tree, context):
    """Return the names that some code loads or binds, also by `def` and `import`."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, context):
            found.add(node.id)
        elif context is ast.Store and isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif context is ast.Store and isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif context is ast.Store and isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def quoting(cells):
    """Return the places of the cells that use a record, and of those that they need."""
    trees = [ast.parse(cell) for cell in cells]
    records = set()
    for node in (node for tree in trees for node in tree.body):
        is_read = isinstance(node, ast.Assign) and READ in ast.unparse(node)
        uses = isinstance(node, ast.FunctionDef) and names(node, ast.Load) & records
        records |= names(node, ast.Store) if is_read else {node.name} if uses else set()
    places = {i for i, tree in enumerate(trees) if names(tree, ast.Load) & records}
    places |= {i for i, cell in enumerate(cells) if READ in cell}
    waiting = sorted(places)
    while waiting:
        place = waiting.pop()
        needed = names(trees[place], ast.Load) - names(trees[place], ast.Store)
        for name in needed:
            before = [i for i in range(place) if name in names(trees[i], ast.Store)]
            if before and before[-1] not in places:
                places.add(before[-1])
                waiting.append(before[-1])
    return sorted(places)


def code(name):
    """Return the code cells of a chapter."""
    cells = jupytext.read(BOOK.source(name)).cells
    return [cell.source for cell in cells if cell.cell_type == "code"]


QUOTING = [name for name in BOOK.chapters if any(READ in cell for cell in code(name))]


def test_chapters_quote_records():
    assert "07_five_systems" in QUOTING and len(QUOTING) >= 4


@pytest.mark.parametrize("name", QUOTING)
def test_the_cells_that_quote_a_record_run_without_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # outside a checkout nothing is recorded
    small = load_shapes(training=100, test=20)
    monkeypatch.setattr(notebook, "load", lambda _: small)
    cells, namespace = code(name), {}
    for place in quoting(cells):
        source = cells[place].replace('profile = "full"', 'profile = "fast"')
        exec(compile(source, f"{name}, code cell {place}", "exec"), namespace)
    plt.close("all")
