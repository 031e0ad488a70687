"""Names of files and texts out of models, made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with what would steer a terminal, end a line or cannot be encoded spelt out, as in `\\x1b`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
