"""The documents and the layout stay true: every test here fails when someone forgets one of them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from command_names import runnable

from compress import __version__

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("compress", "cli")
MAPPED = (*PACKAGES, "docs/generate")


def test_imports_follow_the_contracts():
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_no_module_imports_itself_by_a_detour():
    """Not even for types or inside a function; the import of a package that a submodule implies does not count."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > len(PACKAGES)
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as fault:
        pytest.fail(" -> ".join(fault.args[1]))


def test_the_readme_shows_every_command():
    text = (ROOT / "README.md").read_text()
    missing = [name for name in runnable() if f"cardiocompress {name}" not in text]
    assert not missing


def test_the_map_lists_every_file():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    files = [p for package in MAPPED for p in (ROOT / package).rglob("*.py") if p.name != "__init__.py"]
    missing = [str(p.relative_to(ROOT)) for p in files if f"`{p.name}`" not in text and f"/{p.name}`" not in text]
    assert not missing


def test_the_map_lists_no_file_that_is_gone():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"([a-z_0-9]+\.py)`", text))
    assert named <= {p.name for package in (*MAPPED, "tests") for p in (ROOT / package).rglob("*.py")}


def test_the_changelog_names_the_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_version_stands_once():
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in document["project"] and document["project"]["dynamic"] == ["version"]
    module, _, name = document["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert getattr(importlib.import_module(module), name) == __version__
    # A literal is read without importing the package, whose own needs are not there while it is being built.
    assert f'\n__version__ = "{__version__}"\n' in (ROOT / module / "__init__.py").read_text()


def test_the_guide_for_contributors_is_true():
    guide, makefile = (ROOT / "CONTRIBUTING.md").read_text(), (ROOT / "Makefile").read_text()
    targets = re.findall(r"(?:^    |`)make ([a-z]+)", guide, re.M)
    assert "check" in targets and all(f"\n{target}:" in makefile for target in targets)
    assert "make check" in (ROOT / ".ci/run").read_text()
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Where to add what")[2]
    named = re.findall(r"`([A-Z]+)`", guide)
    assert named and all(f"`{name}`" in table for name in named)


def test_the_benchmarks_import_what_is_there():
    """They run for hours on data that no test has: at least they begin."""
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
                module = importlib.import_module(str(node.module))
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert all(importlib.util.find_spec(f"{node.module}.{name}") for name in missing), (path.name, missing)


def test_pictures_that_the_readme_shows_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / path).is_file(), path


def test_telemetry_is_off_before_onnxruntime_can_be_imported():
    code = "import os; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import compress.runtime.session; "
    code += "import sys; sys.exit(os.environ['ORT_DISABLE_TELEMETRY'] != '1' or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_what_tests_share_loads_nothing_heavy_before_it_is_used():
    seen = "sys.exit(str({'torch', 'onnx', 'onnxruntime', 'scipy'} & set(sys.modules) or ''))"
    code = f"import sys; sys.path.insert(0, '.'); import conftest; {seen}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_no_layer_prints_below_the_command_line():
    for path in (ROOT / "compress").rglob("*.py"):
        if path.name != "memory_probe.py":  # a subprocess whose standard output is its answer
            assert not re.search(r"^\s*(print|sys\.exit|exit)\(", path.read_text(), re.M), path
