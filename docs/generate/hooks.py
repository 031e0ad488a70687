"""MkDocs' hooks: tables where pages ask for them, and the repository's other documents as pages of the site."""

from __future__ import annotations

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from generate.links import LINK, outside, target_of  # noqa: E402
from generate.tables import filled  # noqa: E402

_ELSEWHERE = PurePosixPath("repository")
"""Where on the site what lies outside docs/ is."""


def on_files(files: Files, config: Any) -> Files:
    """Every document and script that a page links to, wherever it lies in the repository, becomes part of the site."""
    waiting = [PurePosixPath("docs", file.src_uri) for file in files.documentation_pages()]
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        for link in LINK.finditer((ROOT / page).read_text(encoding="utf-8")):
            target = target_of(page, link["target"])
            if target is None or target in seen or not outside(target) or not (ROOT / target).is_file():
                continue
            seen.add(target)
            files.append(File.generated(config, f"{_ELSEWHERE}/{target}", abs_src_path=str(ROOT / target)))
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Tables filled in; links as they lead inside the site."""
    uri = PurePosixPath(page.file.src_uri)
    here = PurePosixPath(Path(page.file.abs_src_path).relative_to(ROOT))

    def inside(link: re.Match[str]) -> str:
        target = target_of(here, link["target"])
        if target is None:
            return link[0]
        found = _ELSEWHERE / target if outside(target) else target.relative_to("docs")
        steps, (_, mark, anchor) = "../" * (len(uri.parts) - 1), link["target"].partition("#")
        return f"]({steps}{found}{mark}{anchor})"

    return filled(LINK.sub(inside, markdown))
