"""What a page asks for by a line such as `<!-- table: commands -->`."""

from __future__ import annotations

import re
from collections.abc import Callable

from compress.glossary import text
from generate.card import card
from generate.commands import commands
from generate.configuration import configuration
from generate.python import python
from generate.run_folder import run_folder

TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "configuration": configuration,
    "run folder": run_folder,
    "model card": card,
    "python": python,
    "glossary": text,
}
"""To add a reference, write its function and add its row."""
PLACE = re.compile(r"^<!-- table: ([a-z ]+) -->$", re.M)


def filled(markdown: str) -> str:
    """The page with its tables in their places."""
    return PLACE.sub(lambda place: TABLES[place[1]](), markdown)
