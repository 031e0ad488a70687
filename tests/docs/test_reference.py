"""The reference pages say all that the code's own tables hold, and other pages name nothing that is not there."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from generate.card import card
from generate.commands import commands
from generate.configuration import configuration
from generate.readable import readable
from generate.run_folder import run_folder
from generate.tables import PLACE, TABLES, filled
from page_files import PAGES, ROOT

from cli.app import app
from compress.config import Config
from compress.glossary import entries
from compress.rundir import RunDir
from compress.rundir.folder import At, Folder
from compress.runtime.card import ModelCard, read_card
from compress.runtime.modelfile import read_model_file

_OTHERS = {"--no-deps", "--nproc-per-node", "--help", "--install-completion", "--show-completion", "--version"}
"""Options that the pages show of other programs, and of typer itself."""


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for inner, found in command.commands.items():
            yield from _commands(found, f"{name} {inner}".strip())
    else:
        yield name, command


def _options() -> dict[str, list[str]]:
    root = typer.main.get_command(app)
    return {
        name: [opt for p in found.params for opt in (*p.opts, *p.secondary_opts)] for name, found in _commands(root)
    }


def _leaves(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, found in value.items():
            yield from _leaves(found, f"{path}.{key}".lstrip("."))
    else:
        yield path


def test_every_option_of_every_command_is_told_with_its_help():
    parts = dict(re.findall(r"^### `cardiocompress ([a-z -]+)`(.*?)(?=^##|\Z)", commands(), re.M | re.S))
    assert parts.keys() == _options().keys()
    for name, options in _options().items():
        missing = [option for option in options if option.startswith("-") and option not in parts[name]]
        assert not missing, (name, missing)
        rows = [line for line in parts[name].splitlines() if line.startswith("| `")]
        assert all(re.split(r"(?<!\\)\|", row)[2].strip() for row in rows), f"an option of {name} has no help"


def test_every_key_of_the_configuration_is_told():
    page = configuration()
    keys = [key for key in _leaves(Config().to_json()) if not key.startswith("pruning.ratios.block_ratios.")]
    assert len(keys) > 80 and [key for key in keys if f"| `{key}` |" not in page] == []
    assert "{" not in re.sub(r"`[^`]*`", "", page), "words in braces are filled in"


def test_every_file_of_a_run_folder_says_what_it_is():
    kinds = [Folder]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert RunDir in kinds
    page = run_folder()
    for kind in kinds:
        for name, member in vars(kind).items():
            if isinstance(member, At):
                assert member.what, f"compress.rundir: {kind.__name__}.{name} has no text"
                assert f"| `{member.below}" in page, (kind, name)


def test_every_field_of_the_card_is_told(sealed_path: Path):
    page = card()
    real = read_card(read_model_file(sealed_path).metadata, sealed_path)
    free = ("architecture.", "provenance.versions.", "training.", "labels.", "colours.")
    missing = [key for key in _leaves(real.to_json()) if not key.startswith(free) and f"| `{key}" not in page]
    assert not missing
    assert [name for name in ModelCard.__dataclass_fields__ if f"`ModelCard.{name}`" not in page] == []


def test_every_table_has_a_page_and_every_place_a_table():
    asked = [name for page in PAGES for name in PLACE.findall(page.read_text())]
    assert sorted(asked) == sorted(TABLES)
    assert filled("a\n<!-- table: glossary -->\nb").count("### ") == len(entries())


def test_public_names_are_those_of_the_modules():
    table = TABLES["python"]()
    for module in ("compress.prune", "compress.runtime", "compress.errors"):
        for name in importlib.import_module(module).__all__:
            assert re.search(rf"^::: [a-z._]*\.{name}$", table, re.M), name


def test_docstrings_become_lists_and_code():
    said = readable(
        "Does it.\n\nimage: a volume. size, pad: in mm.\nother: text.\n\n>>> f(1)\n2\n\nEnd.", ["image", "size", "pad"]
    )
    assert "\n- **image**: a volume. \n- **size, pad**: in mm.\nother: text." in said
    assert "```pycon\n>>> f(1)\n2\n```\n\nEnd." in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_option_that_is_gone(page: Path):
    known = {option for options in _options().values() for option in options} | _OTHERS
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page.read_text()))
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_no_key_that_is_gone(page: Path):
    keys = list(_leaves(Config().to_json()))
    known = {".".join(key.split(".")[:depth]) for key in keys for depth in range(1, 6)}
    sections = "|".join(Config.model_fields)
    named = re.findall(rf"(?<![\w./-])(?:{sections})(?:\.[a-z_0-9]+)+", page.read_text())
    files = (".py", ".json", ".md", ".yaml", ".jsonl")
    gone = {name for name in named if not name.endswith(files) and name not in known}
    assert gone == set()


def _said_by_the_program() -> str:
    """Every text in the program, one on each line; a dot stands for what is filled in."""
    found = []
    for package in ("compress", "cli"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [part.value if isinstance(part, ast.Constant) else "." for part in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(text.replace("\n", " ") for text in found)


def test_messages_that_a_page_quotes_are_those_of_the_program():
    """In tables headed "you see": words in backticks; three dots stand for what differs."""
    said = _said_by_the_program()
    for page in PAGES:
        for table in re.findall(r"^\| you see \|.*\n(?:\|.*\n)+", page.read_text(), re.M):
            for cell in re.findall(r"^\| ([^|]*)\|", table, re.M):
                for quoted in re.findall(r"`([^`]*)`", cell):
                    pattern = ".*".join(re.escape(part.strip()) for part in quoted.split("…"))
                    assert re.search(pattern, said), f"{page.name} quotes what the program does not say: {quoted}"
