"""How the library tells whoever called it how far it is, without printing a word itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Task:
    """One counted piece of work."""

    def advance(self, steps: int = 1, *, info: str = "") -> None:
        """Say that `steps` more units are done; `info` is a short live figure such as a loss."""


class Progress:
    """The silent default. The CLI passes one that draws."""

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Task]:
        """A context in which `total` units of work called `name` are done."""
        yield Task()

    def note(self, text: str) -> None:
        """A line that the user should see, such as which device was chosen."""

    def warn(self, text: str) -> None:
        """A line that the user must see, such as duplicated patients."""


SILENT = Progress()
