"""A run folder that comes from a stranger: whatever stands in the place of one of its files, the command that reads it
makes the file again or ends in one line; it does not hang, takes no gigabyte and leaves nothing half-done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_kit import exit_code, settings
from hostile_kit import native_stderr, snapshot
from hostile_runs import DAMAGES, READERS
from limits_kit import within

RUN = Path("artifacts/cardiac")
OPTIONS = settings("gate.min_patients=6", "gate.resamples=1000")
MADE_BY = (
    ("plan", "--target", "macs=0.6x", "--slices", "8", "--align", "1"),
    ("prune", "--ratios", "ratios.yaml", "--name", "keep", "--finetune", "1"),
    ("inspect", "--network", "dense"),
    ("export",),
    ("bench", "--no-dice"),
)
EVERY = [(file, damage) for file in READERS for damage in DAMAGES]
ONE_EACH = list(zip(READERS, [*DAMAGES, *DAMAGES], strict=False))
"""Each file once, and each kind of damage at least once."""


@pytest.fixture(scope="module")
def without_any_pages() -> Iterator[pytest.MonkeyPatch]:
    from compress.steps.reporting import refresh

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "write_pages", lambda ws: None)
        yield patch


@pytest.fixture(scope="module")
def finished(
    trained_once: Path,
    tiny_phantom: Path,
    tmp_path_factory: pytest.TempPathFactory,
    without_any_pages: pytest.MonkeyPatch,
) -> Path:
    """A folder to stand in, with a run of every file that `READERS` names."""
    place = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert exit_code(patch, "init", "--data", tiny_phantom) == 0
        Path("ratios.yaml").write_text("default: 0.5\nalign: none\n")
        shutil.copytree(trained_once, "artifacts")
        for words in MADE_BY:
            assert exit_code(patch, *words, *OPTIONS) == 0, words
    return place


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_again_or_refused(file: str, damage: str, command) -> None:
    DAMAGES[damage](RUN / file)
    before = snapshot(Path())
    with within(60), native_stderr() as said:
        result = command(*READERS[file], *OPTIONS)
    after = snapshot(Path())
    assert said == [""], said
    assert before.keys() <= after.keys(), "nothing that lay there is gone"
    assert not [path for path in after if "partial" in path or "tmp" in path], after
    if result.code in (0, 4):
        return
    *warnings, error = result.err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings), result
    assert result.code in (2, 3) and error.startswith("error: "), result  # 3: a folder where a file should be written
    assert error.isprintable() and len(error) <= 4004, result


def test_every_file_and_every_damage_has_its_turn() -> None:
    assert {file for file, _ in ONE_EACH} == READERS.keys()
    assert {damage for _, damage in ONE_EACH} == DAMAGES.keys()


@pytest.mark.usefixtures("here", "without_any_pages")
@pytest.mark.parametrize(("file", "damage"), ONE_EACH, ids=[": ".join(each) for each in ONE_EACH])
def test_a_file_that_a_stranger_put_there(file: str, damage: str, command) -> None:
    made_again_or_refused(file, damage, command)


@pytest.mark.long
@pytest.mark.usefixtures("here", "without_any_pages")
@pytest.mark.parametrize(("file", "damage"), EVERY, ids=[": ".join(each) for each in EVERY])
def test_every_file_in_every_way(file: str, damage: str, command) -> None:
    made_again_or_refused(file, damage, command)
