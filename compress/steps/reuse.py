"""May a stored result be kept? One rule for all of them.

What was made from the same inputs, in the same schema, is kept. Whatever is missing, damaged, of another schema or
made from other inputs is made again: never a traceback, never a stale answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

from compress.errors import CardioCompressError
from compress.files import read_json, write_json

T = TypeVar("T")

DAMAGED = (CardioCompressError, OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, BadZipFile)
"""What reading a file can raise that is cut short, of another form, or not there."""


def intact(read: Callable[[], T]) -> T | None:
    """What `read` returns; None where the file that it reads is missing, damaged or of another form."""
    try:
        return read()
    except DAMAGED:
        return None


@dataclass(frozen=True)
class Result:
    """One JSON document, and all that its content is made from."""

    path: Path
    inputs: Mapping[str, Any]
    """Digests and plain values. A schema number among them is raised when the content changes its meaning."""

    def stored(self, restore: Callable[[dict[str, Any]], T] = dict) -> T | None:
        """What `restore` makes of the stored document; None when it must be made again.

        Whatever `restore` raises of a damaged document counts as damage.
        """
        return intact(lambda: restore(self._current()))

    def store(self, content: Mapping[str, Any]) -> None:
        """Write `content` with the inputs before it, whole or not at all."""
        write_json(self.path, {"inputs": self._plain(), **content})

    def _current(self) -> dict[str, Any]:
        document = read_json(self.path)
        if document["inputs"] != self._plain():
            raise ValueError("made from other inputs")
        return document

    def _plain(self) -> dict[str, Any]:
        return json.loads(json.dumps(dict(self.inputs)))  # tuples come back from a file as lists
