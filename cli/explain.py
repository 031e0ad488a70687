"""`cardiocompress explain`."""

from __future__ import annotations

from typing import Annotated

import typer


def explain(
    word: Annotated[
        list[str] | None, typer.Argument(help="Such as: ratio, channel group. Without it: all words.")
    ] = None,
) -> None:
    """Say what a word of this program means, or list the words."""
    from cli.console import say
    from compress.glossary import entries, look_up

    known = entries()
    if not word:
        for each in known:
            say(each)
        return
    found = look_up(" ".join(word), known)
    say(f"{found}: {known[found]}")
