"""The pages are built without a fault, load nothing from the network, and search works without a server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from page_files import ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("material")
pytest.importorskip("mkdocstrings")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr  # a link or an anchor that leads nowhere is a fault
    return folder


def test_nothing_is_loaded_from_the_network(site: Path):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]  # for servers alone
    assert len(pages) > 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\ssrc=\"?([^\s\">]+)", text)
        loaded += re.findall(r"<link[^>]*rel=\"?stylesheet[^>]*href=\"?([^\s\">]+)", text)
        assert loaded and [url for url in loaded if re.match(r"(https?:)?//", url)] == [], page
        assert all((page.parent / url.partition("?")[0]).is_file() for url in loaded if not url.startswith("data:")), (
            page
        )


def test_every_table_of_the_code_is_on_its_page_and_in_the_search(site: Path):
    assert "<!-- table:" not in "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    for word in (
        "pruning.ratios.align",
        "--compensate",
        "cardiocompress explain",
        "channel group",
        "parity.json",
        "GroupSparsity",
    ):
        assert word in index, word
