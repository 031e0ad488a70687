"""What users may import: three modules, each of which says what it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from compress import errors

ROOT = Path(__file__).resolve().parent.parent
PUBLIC = ("compress.errors", "compress.prune", "compress.runtime")


def _examples() -> list[ast.ImportFrom]:
    """The imports from this package in the README's Python examples."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    found = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    return [node for node in found if (node.module or "").partition(".")[0] == "compress"]


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_can_be_imported_alone(module):
    names = importlib.import_module(module).__all__
    assert names and len(set(names)) == len(names)
    code = f"from {module} import *\nfrom {module} import {', '.join(names)}\nassert set({names!r}) <= set(globals())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_explains_itself(module):
    found = importlib.import_module(module)
    assert [name for name in found.__all__ if not inspect.getdoc(getattr(found, name))] == []


def test_every_error_is_public():
    kinds = [name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)]
    assert sorted(errors.__all__) == sorted(kinds)


def test_the_architecture_names_what_is_public():
    section = (ROOT / "ARCHITECTURE.md").read_text().partition("## Public names")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"`(compress\.[a-z.]+)`", section)) == list(PUBLIC)


def test_the_readme_imports_only_public_names():
    examples = _examples()
    assert examples
    for node in examples:
        assert node.module in PUBLIC
        assert {name.name for name in node.names} <= set(importlib.import_module(node.module).__all__)


def test_the_types_are_part_of_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert [p.name for p in (ROOT / "compress").glob(settings["package-data"]["compress"][0])] == ["py.typed"]
