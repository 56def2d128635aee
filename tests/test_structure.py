"""The shape of the library: layers, documented names, short functions, no orphans."""

import ast
import importlib
import inspect
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "sightline"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# a module imports only from those before it
LAYERS = [
    *[
        "errors",
        "recipes",
        "shapes",
        "pictures",
        "stored",
        "folders",
        "datasets",
        "augment",
    ],
    *["transforms", "loaders", "models", "optim", "schedules", "runtime", "lr_finder"],
    *["engine", "checkpoint", "train", "metrics"],
    *["calibration", "label_errors", "corruptions", "duplicates", "folder_check"],
    *["explain", "classifier", "baselines", "localisation", "faithfulness", "plots"],
    *["tables", "comparison", "sections", "report", "explorers"],
    *["rounding", "graph", "demo", "export"],
    *[
        "journey",
        "notebook",
        "chapters",
        "manifest",
        "reference",
        "pages",
        "site",
        "bookrun",
        "__main__",
    ],
]
USERS_OF_RECIPES = {"train", "journey", "notebook", "__main__"}
SHOWN_LINES = 40  # of a function that a chapter shows, docstring included


def module_of(path: Path) -> str:
    """Name of the layer a file belongs to: models/resnet.py is of `models`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    """Layers of sightline that a file imports, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "sightline":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} if node.module.startswith("sightline.") else set()
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names if a.name.startswith("sightline.")}
    return {n.removeprefix("sightline.").split(".")[0] for n in names}


MODULES = [path for path in SOURCES if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_layers_below_it(path):
    layer = module_of(path)
    assert layer in LAYERS, f"{layer} has no place in the layers of design.md"
    above = {
        name
        for name in imports_of(path) - {layer, "__version__"}
        if LAYERS.index(name) >= LAYERS.index(layer)
    }
    assert not above, f"{layer} imports from above: {sorted(above)}"


def test_only_train_the_notebook_and_the_command_line_know_recipes():
    users = {module_of(p) for p in MODULES if "recipes" in imports_of(p)}
    assert users <= USERS_OF_RECIPES


def test_the_library_knows_neither_the_tests_nor_a_page_of_the_book():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                named = getattr(node, "module", None) or node.names[0].name
                assert named.split(".")[0] not in ("tests", "book"), path


def name_of(path: Path) -> str:
    """Dotted name under which a file is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_public_name_exists_and_is_documented(path):
    module = importlib.import_module(name_of(path))
    assert inspect.getdoc(module), f"{path} does not say what it is"
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{module.__name__}.{name} has no docstring"


def shown_names() -> set[str]:
    """Names that chapters hand to `show_source`, as `module.name` or `name`."""
    names = set()
    for chapter in sorted((ROOT / "book").glob("[0-9][0-9]_*.md")):
        for cell in jupytext.read(chapter).cells:
            if cell.cell_type != "code":
                continue
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and "show_source" in ast.unparse(
                    node.func
                ):
                    names |= {ast.unparse(a) for a in node.args}
    return names


def test_functions_that_chapters_show_are_at_most_forty_lines_long():
    shown, long = shown_names(), []
    for path in [path for path in MODULES if module_of(path) != "__main__"]:
        for node in ast.walk(ast.parse(path.read_text())):
            inside = [node] if isinstance(node, ast.FunctionDef) else []
            if isinstance(node, ast.ClassDef):
                inside = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            name = getattr(node, "name", None)
            if not {name, f"{module_of(path)}.{name}"} & shown:
                continue
            lengths = {n.name: n.end_lineno - n.lineno + 1 for n in inside}
            long += [
                f"{path.name}: {n} {v}" for n, v in lengths.items() if v > SHOWN_LINES
            ]
    assert not long


def test_every_file_is_used_by_another_one_or_by_a_chapter():
    chapters = "".join(p.read_text() for p in (ROOT / "book").glob("[0-9][0-9]_*.md"))
    chapters += (ROOT / "_config.yml").read_text()  # Sphinx uses `reference`
    used = {layer for p in MODULES for layer in imports_of(p) - {module_of(p)}}
    unused = [
        layer
        for layer in {module_of(p) for p in MODULES} - used - {"__main__"}
        if f"sightline.{layer}" not in chapters
    ]
    assert not unused, f"nothing uses {unused}"
