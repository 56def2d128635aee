"""A book of two tiny chapters, for tests of what executes and checks it."""

HEADER = """\
---
jupytext:
  formats: ipynb,md:myst
  notebook_metadata_filter: -jupytext.text_representation.jupytext_version
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

```{code-cell} ipython3
:tags: [parameters]

profile = "full"
data = None
```

```{code-cell} ipython3
import sys

print(profile, data, sys.executable)
print("a bar", file=sys.stderr)
```
"""
LAST = "```{code-cell} ipython3\nprofile\n```\n"


def write_book(folder):
    """Write a checkout with two chapters and nothing executed."""
    (folder / "book").mkdir()
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts: []\n", encoding="utf-8"
    )
    (folder / "pyproject.toml").write_text("[tool.ruff]\n", encoding="utf-8")
    for name in ("01_first", "02_second"):
        (folder / "book" / f"{name}.md").write_text(
            HEADER + "\n" + LAST, encoding="utf-8"
        )
    return folder
