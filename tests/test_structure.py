"""The shape of the library: layers, documented names, short functions, no orphans."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sightline"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CHAPTERS = sorted((ROOT / "book").glob("[0-9][0-9]_*.md"))
# a room imports only from those before it
LAYERS = [
    *["errors", "files", "measures", "models", "data", "training", "heatmaps"],
    *["plots", "export", "reports", "book", "pipeline", "cli", "__main__"],
]
SHOWN_LINES = 40  # of a function that a chapter shows, docstring included


def room_of(path: Path) -> str:
    """Name of the room a file belongs to: models/resnet.py is of `models`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Files of sightline that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sightline"
        ):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            files = inner & NAMES
            names |= files or {node.module}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names if a.name.startswith("sightline.")}
    return {name.removeprefix("sightline.") for name in names - {"sightline"}}


def name_of(path: Path) -> str:
    """Dotted name under which a file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in SOURCES}
MODULES = [path for path in SOURCES if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_from_the_rooms_before_it(path):
    room = room_of(path)
    assert room in LAYERS, f"{room} has no place in the layers of design.md"
    rooms = {name.split(".")[0] for name in imports_of(path)} - {room}
    above = {name for name in rooms if LAYERS.index(name) >= LAYERS.index(room)}
    assert not above, f"{room} imports from above: {sorted(above)}"


def test_no_files_import_each_other_in_a_circle():
    names = {name_of(path).removeprefix("sightline."): path for path in MODULES}
    inner = {n: imports_of(p) - {n} for n, p in names.items() if p.stem != "__init__"}
    while leaves := [name for name, needs in inner.items() if not needs & set(inner)]:
        for name in leaves:
            del inner[name]
    assert not inner, f"imported in a circle: {sorted(inner)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_public_name_exists_and_is_documented(path):
    module = importlib.import_module(name_of(path))
    assert inspect.getdoc(module), f"{path} does not say what it is"
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{module.__name__}.{name} has no docstring"


def test_the_reference_describes_files_that_exist():
    pages = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("api_*.md")
    )
    described = set(re.findall(r"automodule:: (\S+)", pages))
    assert "sightline.training.train" in described
    assert not described - NAMES


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_comment_of_the_reference_has_a_colon(path):
    # the reference would show what precedes it as the type of the field or constant
    text = path.read_text(encoding="utf-8")
    comments = re.findall(r"#: (.*)", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and any(
            ast.unparse(decorator) == "property" for decorator in node.decorator_list
        ):
            comments.append(ast.get_docstring(node).splitlines()[0])
    assert not [comment for comment in comments if ": " in comment]


def shown_in(chapter: Path) -> dict[str, object]:
    """Everything that a chapter hands to `show_source`, by the name it has there."""
    cells = [c for c in jupytext.read(chapter).cells if c.cell_type == "code"]
    nodes = [n for cell in cells for n in ast.walk(ast.parse(cell.source))]
    names: dict = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sightline"):
            exec(ast.unparse(node), names)
    return {
        ast.unparse(node.args[0]): eval(ast.unparse(node.args[0]), names)
        for node in nodes
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "notebook.show_source"
    }


def test_chapters_1_to_9_show_what_they_have_built_as_the_library_has_it():
    shown = {chapter.stem[:2] for chapter in CHAPTERS if shown_in(chapter)}
    assert shown >= {f"{number:02}" for number in range(1, 10)}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_functions_that_a_chapter_shows_are_at_most_forty_lines_long(chapter):
    long = []
    for name, value in shown_in(chapter).items():
        inner = vars(value).values() if inspect.isclass(value) else [value]
        functions = [f for f in inner if inspect.isfunction(inspect.unwrap(f))]
        assert functions, f"{name} is no function and has none"
        lengths = {f.__name__: len(inspect.getsourcelines(f)[0]) for f in functions}
        long += [(name, f, n) for f, n in lengths.items() if n > SHOWN_LINES]
    assert not long


def test_every_file_is_used_by_another_one_by_a_chapter_or_to_build_the_book():
    pages = [*(ROOT / "book").glob("[0-9][0-9]_*.md"), ROOT / "_config.yml"]
    pages += (PACKAGE / "export/web").glob("*/*.mjs")  # say what wrote their graphs
    book = "".join(path.read_text(encoding="utf-8") for path in pages)
    files = [path for path in MODULES if path.stem not in ("__init__", "__main__")]
    used = {name for path in MODULES for name in imports_of(path)}
    names = {name_of(path).removeprefix("sightline.") for path in files}
    unused = [n for n in names - used if f"sightline.{n}" not in book]
    assert not unused, f"nothing uses {unused}"
