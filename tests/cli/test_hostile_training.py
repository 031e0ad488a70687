"""Whatever `data check`, `train`, `prune`, `plan`, `sweep`, `bench` and their files are given: one line, exit code 2,
at most 1 GiB, nothing changed and no file left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_kit import settings
from hostile_datasets import ACDC, folder, good, link, pipe
from hostile_kit import native_stderr, snapshot
from hostile_layouts import MNMS, NNUNET, good_cine, good_raw
from hostile_settings import RATIOS, SETTINGS, WORDS, YAML
from hostile_weights import CHECKPOINTS
from limits_kit import within

LAYOUTS = {
    "ACDC": (ACDC, good, ""),
    "nnU-Net": (NNUNET, good_raw, "dataset.json"),
    "M&Ms": (MNMS, good_cine, "."),
}
"""Layout -> its rows, what makes a good folder, and the path in it that a row gets."""
DATASETS = [(layout, row) for layout, (rows, *_) in LAYOUTS.items() for row in rows]


def lying_there() -> dict[str, str]:
    """All but prepared volumes of sound cases, which the next training reads."""
    cached = ("artifacts", "artifacts/cache")
    found = snapshot(Path())
    return {path: kind for path, kind in found.items() if path not in cached and not path.startswith(f"{cached[1]}/")}


def refused(command, words: tuple[object, ...], says: str, *, code: int = 2) -> None:
    """The words end in one line that says so; the folder that is stood in stays as it is."""
    before = lying_there()
    with within(), native_stderr() as said:
        result = command(*words)
    assert (said, result.code) == ([""], code), result
    assert says in result.err + result.out, result
    *warnings, error = result.err.splitlines()
    assert all(line.startswith("warning: ") for line in warnings), result
    assert error.startswith("error: ") and error.isprintable() and len(error) <= 4004, result
    assert lying_there() == before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a configuration of nothing but defaults."""
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text("{}\n")
    return tmp_path


def on(data: Path | str, *more: str) -> tuple[str, ...]:
    return ("--config", "good.yaml", *settings(f"train.paths.train_dir={data}", *more))


@pytest.fixture(scope="module")
def good_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good folder of each layout."""
    place = tmp_path_factory.mktemp("good-data")
    for layout, (_, make, _) in LAYOUTS.items():
        make(place / layout)
    return place


@pytest.mark.parametrize(("layout", "row"), DATASETS, ids=[": ".join(each) for each in DATASETS])
def test_a_hostile_data_folder(layout: str, row: str, here: Path, good_data: Path, command) -> None:
    rows, _, inside = LAYOUTS[layout]
    damage, says = rows[row]
    shutil.copytree(good_data / layout, "data")
    damage(here / "data" / inside)
    refused(command, ("data", "check", "data"), says)
    refused(command, ("train", *on("data")), says)


@pytest.mark.parametrize("row", YAML)
def test_a_hostile_configuration_or_ratios(row: str, here: Path, tiny_phantom: Path, command) -> None:
    text, says = YAML[row]
    Path("bad.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(command, ("train", "--config", "bad.yaml"), says)
    refused(command, ("prune", "--ratios", "bad.yaml", *on(tiny_phantom)), says)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("make", [pipe, link("/dev/zero"), folder], ids=["pipe", "endless", "folder"])
def test_a_configuration_that_is_no_file(make, command) -> None:
    make(Path("bad.yaml"))
    refused(command, ("train", "--config", "bad.yaml"), "is no regular file")
    refused(command, ("prune", "--config", "good.yaml", "--ratios", "bad.yaml"), "is no regular file")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("row", SETTINGS)
def test_a_hostile_setting(row: str, tiny_phantom: Path, command) -> None:
    setting, says = SETTINGS[row]
    refused(command, ("train", *on(tiny_phantom, setting)), says)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("row", RATIOS)
def test_hostile_ratios(row: str, tiny_phantom: Path, command) -> None:
    text, says = RATIOS[row]
    Path("bad.yaml").write_text(text)
    refused(command, ("prune", "--ratios", "bad.yaml", *on(tiny_phantom)), says)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("row", WORDS)
def test_hostile_words(row: str, tiny_phantom: Path, command) -> None:
    words, says = WORDS[row]
    refused(command, (*words, *on(tiny_phantom)), says)


@pytest.mark.parametrize("row", CHECKPOINTS)
def test_a_hostile_checkpoint(row: str, here: Path, tiny_phantom: Path, command) -> None:
    make, says = CHECKPOINTS[row]
    make(here / "bad.safetensors")
    refused(command, ("train", "--from", "bad.safetensors", *on(tiny_phantom)), says)
