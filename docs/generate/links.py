"""Links of Markdown pages, followed as files of the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import PurePosixPath

LINK = re.compile(r"\]\((?P<target>[^()\s]+)\)")
"""The target of a link or picture."""


def target_of(page: PurePosixPath, link: str) -> PurePosixPath | None:
    """The file that `link` on `page` leads to, both from the repository's root; None: none of ours."""
    path = link.partition("#")[0]
    if not path or re.match(r"[a-z]+:", path):
        return None
    return PurePosixPath(posixpath.normpath(page.parent / path))


def outside(target: PurePosixPath) -> bool:
    """Whether a file lies outside the site's own folder."""
    return target.parts[0] != "docs"
