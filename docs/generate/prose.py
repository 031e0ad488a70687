"""Sentences of the code as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from compress.text import Markdown, code, plain


def prose(text: str) -> Markdown:
    """One line in which only what stands in backticks is markup."""
    parts = " ".join(text.split()).split("`")
    return Markdown("".join(code(part) if index % 2 else _spaced(part) for index, part in enumerate(parts)))


def _spaced(text: str) -> str:
    """`text` as text, with the spaces at its ends."""
    return re.sub(r"\S(?:.*\S)?", lambda inner: plain(inner[0]), text)


def codes(values: Iterable[str]) -> Markdown:
    """Every value in type of its own."""
    return Markdown(", ".join(map(code, values)))
