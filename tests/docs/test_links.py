"""Every link of a page leads somewhere, and every picture says what it shows and which script drew it."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

import pytest
from generate.links import LINK, target_of
from page_files import PAGES, ROOT

OTHERS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "artifacts/README.md")
DOCUMENTS = [*PAGES, *(ROOT / name for name in OTHERS), *sorted((ROOT / "benchmarks").glob("*.md"))]
SCRIPTS = re.compile(r"[\w/]+\.(?:py|sh)")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("page", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_link_leads_to_a_file(page: Path):
    here = PurePosixPath(page.relative_to(ROOT))
    targets = [target_of(here, link["target"]) for link in LINK.finditer(page.read_text())]
    assert [str(target) for target in targets if target and not (ROOT / target).exists()] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=names(DOCUMENTS))
def test_every_link_to_a_heading_leads_to_one(page: Path):
    here = PurePosixPath(page.relative_to(ROOT))
    for link in LINK.finditer(page.read_text()):
        path, _, anchor = link["target"].partition("#")
        target = target_of(here, path) if path else here
        if anchor and target and not {"reference", "concepts.md"} & set(target.parts):  # those are made by the code
            headings = re.findall(r"^#+ (.+)$", (ROOT / target).read_text(), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in headings}, link[0]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_picture_has_words_and_a_script(page: Path):
    text = page.read_text()
    for alt, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text):
        assert len(alt.split()) >= 8, f"{picture}: the text says what the picture shows"
        assert [name for name in SCRIPTS.findall(text) if (ROOT / name).is_file()], f"{picture}: which script draws it?"


def test_pages_that_the_program_names_exist():
    named = [
        (path, page)
        for package in ("compress", "cli")
        for path in (ROOT / package).rglob("*.py")
        for page in re.findall(r"(?:docs|benchmarks)/[\w/]+\.md", path.read_text())
    ]
    # What a benchmark writes is there once it has run; until then its template is.
    missing = [(path, page) for path, page in named if not (ROOT / page).is_file()]
    assert (
        named and [str(path) for path, page in missing if not (ROOT / page).with_suffix(".template.md").is_file()] == []
    )
