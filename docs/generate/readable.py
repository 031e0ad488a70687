"""A docstring of ours as Markdown: examples as code, and each parameter that is explained on a line of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXAMPLE = re.compile(r"^(>>> .*(?:\n(?!\s*$).*)*)", re.M)


def readable(text: str, names: Sequence[str]) -> str:
    """The docstring of something with these parameters, as Markdown."""
    text = _EXAMPLE.sub(r"```pycon\n\1\n```", text)
    if not names:
        return text
    name = "|".join(map(re.escape, names))
    explained = re.compile(rf"(?:^|(?<=\. ))(?P<names>(?:{name})(?:, (?:{name}))*): ", re.M)
    return explained.sub(r"\n- **\g<names>**: ", text)
