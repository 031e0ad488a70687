"""The public names, for mkdocstrings to tell their docstrings."""

from __future__ import annotations

import importlib
from types import ModuleType

PUBLIC = ("compress.prune", "compress.runtime", "compress.errors")
_ENTRY = """::: {path}
    options:
      heading_level: 3
      show_root_heading: true
"""


def python() -> str:
    """One heading for each public module, below it every name that its `__all__` lists."""
    return "\n\n".join(_module(importlib.import_module(name)) for name in PUBLIC)


def _module(module: ModuleType) -> str:
    # By where it is defined: a function may be called as the module that it lies in.
    found = [getattr(module, name) for name in module.__all__]
    entries = "\n".join(_ENTRY.format(path=f"{value.__module__}.{value.__qualname__}") for value in found)
    return f"## `{module.__name__}` {{ #{module.__name__} }}\n\n{entries}"
