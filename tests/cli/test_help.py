"""Help texts, and that asking for them stays quick."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = (
    "init",
    "train",
    "inspect",
    "sensitivity",
    "plan",
    "prune",
    "finetune",
    "eval",
    "export",
    "quantize",
    "predict",
    "info",
    "verify",
    "ship",
    "bench",
    "gate",
    "sweep",
    "run",
    "demo",
    "data check",
    "data phantom",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command, name):
    result = command(*name.split(), "--help")
    assert result.code == 0
    assert "Usage" in result.out
    assert len(result.out.split()) > 25


def test_help_loads_neither_torch_nor_monai():
    code = (
        "import sys; sys.argv = ['cardiocompress', '--help']\n"
        "from cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'monai', 'onnxruntime', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_is_the_package_version(command):
    from compress import __version__

    assert command("--version").out.strip() == f"cardiocompress {__version__}"


def test_unknown_command_is_exit_code_two(command):
    assert command("prunne").code == 2
