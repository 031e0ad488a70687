"""Our docstrings as `readable` gives them, for mkdocstrings: an extension of griffe's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from generate.readable import readable


class Readable(griffe.Extension):
    """Rewrites every docstring that is loaded."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            call = obj.members.get("__init__", obj) if obj.is_class else obj
            names = [found.name for found in getattr(call, "parameters", ())]
            obj.docstring.value = readable(obj.docstring.value, names)
