"""The blocks of a page: what a reader types, what he then sees, and running both in a folder of phantoms."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from page_files import ROOT


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int

    def lines(self) -> Iterator[str]:
        """The command lines of a block, those that a backslash continues joined."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if shlex.split(line, comments=True):
                yield line.strip()


def blocks_of(page: Path) -> list[Block]:
    """Every block of code, indented ones with the language ""."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    kinds = ("fence", "code_block")
    return [Block(t.info.partition(" ")[0], t.content, (t.map or [0])[0] + 1) for t in tokens if t.type in kinds]


@dataclass
class Reader:
    """Someone who types what a page says, in `folder`; `places` are the page's words for folders -> those here."""

    folder: Path
    places: dict[str, str]
    settings: tuple[str, ...]

    def type(self, line: str) -> str:
        """Type one command of ours. Returns what it printed; fails unless it exits as the line's comment says."""
        here = line
        for said, found in self.places.items():
            here = here.replace(said, found)
        words = shlex.split(here, comments=True)
        wanted = {int(code) for code in re.findall(r"# .*exit code (\d+)", line)} or {0}
        if "cuda" in words:
            wanted = {0, 3}  # 3 where there is no GPU
        code, said = run_command(words[1:], self.folder)
        assert code in wanted, f"{line}\n  exit code {code}, not {wanted}\n{said[-1500:]}"
        if words[1] == "init":
            self._make_small()
        return said

    def _make_small(self) -> None:
        """The configuration that `init` wrote, with the values of a network that trains in a second."""
        from compress.config.read import load_config, save_config

        path = self.folder / "cardiocompress.yaml"
        save_config(load_config(path, self.settings), path)
        ratios = self.folder / "ratios.yaml"
        if ratios.exists():
            ratios.write_text("default: 0.5\nalign: none\n", encoding="utf-8")


def run_command(words: list[str], folder: Path) -> tuple[int, str]:
    """(exit code, standard output and error) of a command, in this process."""
    from cli.app import main

    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["cardiocompress", *words])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0), said.getvalue()
    return 0, said.getvalue()


def unknown_words(shown: str, said: str) -> set[str]:
    """Words that a page shows as output and that were not printed; figures and names of files differ."""
    words = set(re.findall(r"[A-Za-z]{4,}", shown))
    return words - set(re.findall(r"[A-Za-z]{4,}", said))


def check_foreign(words: list[str]) -> str:
    """What is wrong with a command line of another program than ours, as far as that can be told without running it."""
    program, *rest = words
    if program == "make":
        return "" if re.search(rf"^{re.escape(rest[0])}:", (ROOT / "Makefile").read_text(), re.M) else "no such target"
    if program in ("bash", "python", "sh") and rest[0].endswith((".sh", ".py")):
        there = (ROOT / rest[0]).is_file() or rest[0].rpartition("/")[2] == "example.py"
        return "" if there else "no such script"
    if program == "pip":
        extras = set(re.findall(r"^([a-z]+) = \[", (ROOT / "pyproject.toml").read_text(), re.M))
        asked = [name for word in rest for part in re.findall(r"\[([a-z,]+)\]", word) for name in part.split(",")]
        return "" if set(asked) <= extras else "no such extra"
    return "" if program in ("source", "cd", "git", "mkdir") else "unknown program"
