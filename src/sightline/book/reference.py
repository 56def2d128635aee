"""The pages of the library: every public name of a module, for Sphinx.

An extension with one directive, `public`, which lists what `__all__` names. autodoc
alone leaves out constants without a comment of their own, and the meaning of a
dataclass's fields.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Collection, Iterator, Mapping

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

__all__ = ["PublicNames", "setup"]


class PublicNames(SphinxDirective):
    """Document every name in the `__all__` of the module that is named."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of the names."""
        [module] = self.arguments
        lines = StringList(list(public_names(module)), source=module)
        found = nodes.Element()
        self.state.nested_parse(lines, self.content_offset, found)
        return found.children


def public_names(module_name: str) -> Iterator[str]:
    """Yield a module's documentation as lines of reStructuredText."""
    module = importlib.import_module(module_name)
    yield from (f".. automodule:: {module_name}", "")
    for name in module.__all__:
        value, full = getattr(module, name), f"{module_name}.{name}"
        if inspect.isclass(value):
            # the fields of a named tuple have no words of their own
            silent = ", ".join(getattr(value, "_fields", ()))
            yield from (f".. autoclass:: {full}", "   :members:")
            yield from (f"   :exclude-members: {silent}" if silent else "", "")
            yield from fields_of(value)
        elif inspect.isfunction(value):
            yield from (f".. autofunction:: {full}", "")
        else:
            yield from (f".. py:data:: {name}", "", f"   {contents(value)}", "")


def fields_of(value: type) -> Iterator[str]:
    """Yield the fields of a dataclass that say what they mean."""
    fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
    for field in fields:
        if "help" in field.metadata:
            # a bar would be read as the beginning of a substitution
            meaning = field.metadata["help"].replace("|", r"\|")
            yield f"   - ``{field.name}``: {meaning}"
    yield ""


def contents(value: object) -> str:
    """Return what a constant holds, in a line."""
    if isinstance(value, Mapping):
        return f"Keys: {', '.join(f'``{key}``' for key in value)}."
    if isinstance(value, Collection) and not isinstance(value, str):
        ordered = sorted(value) if isinstance(value, set | frozenset) else value
        return f"Values: {', '.join(f'``{entry}``' for entry in ordered)}."
    if isinstance(value, str | int | float):
        return f"``{value!r}``"
    return f"A type: ``{value}``".replace("collections.abc.", "")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("public", PublicNames)
    return {"parallel_read_safe": True}
