"""`cardiocompress explain`, as a user types it."""

from __future__ import annotations

import subprocess
import sys

from compress.glossary import entries


def explain(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv = ['cardiocompress', 'explain', *sys.argv[1:]]; from cli.app import main; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_a_word_is_explained_by_the_glossary_s_paragraph():
    done = explain("channel", "groups")
    assert (done.returncode, done.stderr) == (0, "")
    assert " ".join(done.stdout.split()) == f"unit, channel group: {entries()['unit, channel group']}"


def test_without_a_word_all_are_listed():
    assert explain().stdout.splitlines() == list(entries())


def test_an_unknown_word_is_exit_code_two():
    done = explain("ratoi")
    assert done.returncode == 2 and "Did you mean 'ratio'?" in done.stderr
