"""The words that readers type, as entries of the book's index: an extension of Sphinx.

`index_entries` in `_config.yml` lists them by page, or by section of a page. The search
ranks an entry first, and the page of the index lists it. They are not written into the
chapters, where a notebook would show them as code.
"""

from docutils import nodes
from sphinx.addnodes import index
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger
from sphinx.util.typing import ExtensionMetadata

__all__ = ["IndexEntries", "setup"]


class IndexEntries(SphinxTransform):
    """Put the entries of a page below the headings that they lead to."""

    default_priority = 500  # before Sphinx collects the entries of a page

    def apply(self, **kwargs: object) -> None:
        """Take the page's own entries from the configuration."""
        sections = list(self.document.findall(nodes.section))
        for place, words in self.config.index_entries.items():
            page, _, name = place.partition("#")
            if page != self.env.docname:
                continue
            homes = [s for s in sections if not name or name in s["ids"]]
            if not homes:
                getLogger(__name__).warning(
                    f"index_entries: {place!r} is no section: name one of the page's"
                )
                continue
            entries = [("single", word, name, "main", None) for word in words]
            homes[0].insert(1, index(entries=entries))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Tell Sphinx of the entries."""
    app.add_config_value("index_entries", {}, "env", types=[dict])
    app.add_transform(IndexEntries)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
