"""Names of files and texts out of models, made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` in one line; what would steer a terminal, or cannot be encoded, is spelt out as in `\\x1b`."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))
