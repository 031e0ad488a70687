"""Help texts, completion in the shell, and that asking for either stays quick."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from command_names import runnable, top_level

HEADINGS = ["Prepare", "Train and prune", "Export and prove", "Deploy"]
_HEAVY = ("torch", "monai", "onnxruntime", "scipy", "matplotlib", "numpy")
_RUN = f"""
import sys
sys.argv[0] = "cardiocompress"
from cli.app import main
try:
    main()
finally:
    loaded = [name for name in {_HEAVY} if name in sys.modules]
    print(f"loaded: {{loaded}}", file=sys.stderr)
"""


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a fresh process; its standard error ends with the heavy packages that it loaded."""
    return subprocess.run(
        [sys.executable, "-c", _RUN, *words],
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", runnable())
def test_every_command_explains_itself(command, name):
    result = command(*name.split(), "--help")
    assert result.code == 0
    head, _, options = result.out.partition("╭")
    usage, said, *_ = re.split(r"\n\s*\n", head.strip())
    assert f"Usage: cardiocompress {name}" in usage
    assert re.match(r"[A-Z].*[.?]$", " ".join(said.split()))
    assert "--help" in options


def test_every_command_stands_under_one_heading():
    lines = run("--help").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    panels: dict[str, list[str]] = {}
    for line in lines:
        if heading := re.match(r"╭─ ([^─]+) ─", line):
            panels[heading[1]] = []
        elif panels and (named := re.match(r"│ ([a-z][a-z-]*) ", line)):
            panels[list(panels)[-1]].append(named[1])
    assert list(panels) == ["Options", *HEADINGS]
    assert sorted(name for names in panels.values() for name in names) == sorted(top_level())
    order = [name for names in panels.values() for name in names]
    chain = ["init", "train", "plan", "prune", "finetune", "eval", "export", "quantize", "bench", "gate", "ship"]
    assert [name for name in order if name in chain] == chain, "the order of the work"


def test_help_loads_nothing_heavy():
    done = run("--help")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "loaded: []")


def test_the_shell_completes_commands_and_options():
    def complete(line: str) -> list[str]:
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        done = run(**environment, _CARDIOCOMPRESS_COMPLETE="complete_bash")
        assert done.stderr.splitlines()[-1] == "loaded: []"
        return done.stdout.split()

    assert sorted(complete("cardiocompress pr")) == ["predict", "prune"]
    assert complete("cardiocompress data ph") == ["phantom"]
    assert complete("cardiocompress prune --rat") == ["--ratios"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_can_be_printed(shell):
    done = run("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0
    assert f"_CARDIOCOMPRESS_COMPLETE=complete_{shell}" in done.stdout


_POLICY = """
import os, subprocess, sys
from cli.app import main
assert "torch" not in sys.modules and "onnxruntime" not in sys.modules
sys.argv = ["cardiocompress", "--version"]
try:
    main()
except SystemExit:
    pass
child = "import os; print(os.environ['OMP_WAIT_POLICY'])"
sys.exit(subprocess.run([sys.executable, "-c", child]).returncode)
"""


@pytest.mark.parametrize(("own", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_of_the_command_and_its_processes_sleep(own, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    if own:
        environment["OMP_WAIT_POLICY"] = own
    command = [sys.executable, "-c", _POLICY]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[-1:]) == (0, [expected]), done.stderr


def test_the_library_alone_leaves_the_policy_to_its_user():
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    code = "import os, compress.runtime.segmenter; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


def test_version_is_the_package_version(command):
    from compress import __version__

    assert command("--version").out.strip() == f"cardiocompress {__version__}"


def test_unknown_command_is_exit_code_two(command):
    assert command("prunne").code == 2
