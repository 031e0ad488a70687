"""Choice by name from a plain table, with an error that teaches the names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from compress.errors import ConfigError

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like `name`, or "" when none is close."""
    found = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return found[0] if found else ""


def pick(kind: str, table: Mapping[str, T], name: str) -> T:
    """`table[name]`, or a `ConfigError` such as "Unknown criterion 'l3'. Known: l1, l2."."""
    if name in table:
        return table[name]
    close = nearest(name, table)
    hint = f" Did you mean '{close}'?" if close else ""
    raise ConfigError(f"Unknown {kind} '{name}'. Known: {', '.join(sorted(table))}.{hint}")
