"""What each word of this project means: `compress/glossary.md`, which the pages and `explain` read alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from compress.errors import InputError
from compress.registry import nearest

_ENTRY = re.compile(r"^### (?P<words>.+)\n(?P<meaning>(?:(?!^#).*\n?)*)", re.M)


def text() -> str:
    """The whole document: a heading for each kind of word, below it one for each entry."""
    return files("compress").joinpath("glossary.md").read_text(encoding="utf-8")


def entries() -> dict[str, str]:
    """Every entry's words, such as "unit, channel group" -> what they mean, in one paragraph."""
    return {found["words"]: " ".join(found["meaning"].split()) for found in _ENTRY.finditer(text())}


def look_up(word: str, known: Mapping[str, str]) -> str:
    """The entry that `word` belongs to, whatever its case, hyphens and plural.

    Raises `InputError` with the nearest word, or all of them.
    """
    names = {_plain(name): entry for entry in known for name in entry.split(", ")}
    asked = _plain(word)
    for form in (asked, asked.removesuffix("s")):
        if form in names:
            return names[form]
    close = nearest(asked, names)
    cure = f"Did you mean '{close}'?" if close else f"Known: {'; '.join(known)}."
    raise InputError(f"The glossary has no word '{word[:60]}'.", cure=cure)


def _plain(word: str) -> str:
    return " ".join(re.split(r"[\s_-]+", word.strip().lower()))
