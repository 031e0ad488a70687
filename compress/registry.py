"""Choice by name from a plain table, with an error that teaches the names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

from compress.errors import ConfigError

T = TypeVar("T")
_LONGEST = 100
"""Characters of a name that is compared with others, which takes their product."""


class Explained(Protocol):
    """A row that says in a few words what it is."""

    @property
    def help(self) -> str: ...


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like `name`, or "" when none is close, or it is too long to be a slip."""
    if len(str(name)) > _LONGEST:
        return ""
    found = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return found[0] if found else ""


def explained(table: Mapping[str, Explained]) -> str:
    """Every name with its row's help, for help texts: "cpu (any processor), cuda (an NVIDIA GPU)"."""
    return ", ".join(f"{name} ({row.help})" for name, row in table.items())


def pick(kind: str, table: Mapping[str, T], name: str) -> T:
    """`table[name]`, or a `ConfigError` such as "Unknown criterion 'l3'. Known: l1, l2."."""
    if name in table:
        return table[name]
    close = nearest(name, table)
    hint = f" Did you mean '{close}'?" if close else ""
    raise ConfigError(f"Unknown {kind} '{name}'. Known: {', '.join(sorted(table))}.{hint}")
