"""Whoever types what the pages say gets what they say: every command line and every Python block, on tiny hearts."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from blocks import Reader, blocks_of, check_foreign, run_command, unknown_words
from page_files import PAGES, ROOT

pytest.importorskip("torch")

FIRST = ROOT / "docs/guides/researcher.md"
"""Its blocks make the run that all other pages go on from."""
BY_ITS_OWN_TEST = {"docs/any_network.md"}
"""Python blocks that another test runs: tests/prune/test_door.py."""
TOO_LONG = (
    "cardiocompress demo",
    "cardiocompress prune --ratios artifacts/cardiac/planning",
    "cardiocompress plan",
    "cardiocompress sweep",
    "cardiocompress run",
)
"""Run with the real-data mark alone: each takes minutes, or trains several networks."""
ELSEWHERE = {
    "cardiocompress import-nnunet": "tests/cli/test_nnunet.py",
    "cardiocompress import-torch": "tests/cli/test_brought_chain.py",
}
"""What a block begins with that goes on from a network of another program -> the tests that make one and type that."""
SETTINGS = (
    "data.size=[32, 32]",
    "data.spacing_mm=[6.0, 6.0]",
    "train.val_ratio=0.5",
    "train.batch_size=8",
    "train.model.features=[8, 16]",
    "train.parameters.num_epochs=6",
    "train.parameters.learning_rate=0.01",
    "train.parameters.precision=fp32",
    "train.parameters.augmentation=none",
    "experiment.device=cpu",
    "evaluation.num_visuals=1",
    "pruning.ratios.align=none",
    "pruning.finetune_epochs=1",
    "pruning.compensate=true",
    "bench.rounds=3",
    "bench.warmup=1",
    "bench.threads=1",
    "quantization.slices=4",
    "quantization.method=minmax",
    "quantization.budget=0.9",
    "quantization.keep=true",
    "gate.min_patients=6",
    "gate.resamples=1000",
    *(f"gate.margins.{name}=10000" for name in ("dice", "hd95_mm", "volume_ml", "ef_points", "mass_g")),
    *(f"gate.limits.{part}_dice=10000" for part in ("structure", "group", "patient")),
    *(f"gate.limits.patient_{name}=10000" for name in ("volume_ml", "ef_points", "mass_g")),
    "gate.limits.lost_structures=10000",
)
"""A network that trains in a second, and a gate that lets it through."""
PRUNED = "artifacts/cardiac/pruned/keep/pruned_model.onnx"


@pytest.fixture(scope="module", autouse=True)
def _quick_pages():
    """Commands do not draw the run's pages, which takes longer than what most of them do."""
    import compress.pipeline  # noqa: F401 (it keeps the real one: what `run` and `demo` print needs the pages)
    from compress.steps.reporting import refresh

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refresh, "write_pages", lambda ws: None)
        yield


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A folder in which someone has followed the first page; tests copy it."""
    from dicom_kit import write_study
    from tiny_hearts import write_hearts, write_nnunet

    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("world")
    hearts = write_hearts(data / "ACDC", patients=12)
    places = {
        "/path/to/nnUNet_raw/Dataset027_ACDC": write_nnunet(hearts, data / "nnunet"),
        "/path/to/ACDC": hearts,
        "/path/to/images": hearts / "training" / "patient001",
        "/path/to/dicom": write_study(data / "dicom"),
    }
    reader = Reader(folder, {said: str(path) for said, path in places.items()}, SETTINGS)
    follow(FIRST, reader)
    code, said = run_command(["ship", PRUNED, "--out", "bundle"], folder)
    assert code == 0, said
    shutil.copy(folder / PRUNED, folder / "model.onnx")
    for name in ("rewind", "random"):  # every command that takes all networks would take these, too
        shutil.rmtree(folder / "artifacts/cardiac/pruned" / name)
    return reader


def follow(page: Path, reader: Reader, *, long: bool = False) -> None:
    """Type every command line of a page, run its Python blocks as one script, and compare what it shows as output."""
    said, names = "", {"__name__": "page"}
    for block in blocks_of(page):
        where = f"{os.path.relpath(page, ROOT)}:{block.line}"
        if block.language == "bash":
            lines = [line for line in block.lines() if long or not is_long(line)]
            if not block.text.startswith(tuple(ELSEWHERE)):
                said = "".join(_typed(line, reader, where) for line in lines)
        elif block.language == "text" and said:
            assert unknown_words(block.text, said) == set(), f"{where} shows what is not printed:\n{said[-1500:]}"
        elif block.language == "python" and os.path.relpath(page, ROOT) not in BY_ITS_OWN_TEST:
            with contextlib.chdir(reader.folder), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, where, "exec"), names)


def is_long(line: str) -> bool:
    return line.startswith(TOO_LONG)


def _typed(line: str, reader: Reader, where: str) -> str:
    words = shlex.split(line, comments=True)
    if words[0] == "cardiocompress":
        return reader.type(line)
    fault = check_foreign(words)
    assert not fault, f"{where}: {line}: {fault}"
    return ""


def copy_of(world: Reader, folder: Path, page: Path) -> Reader:
    """The same folder again; without the configuration where the page writes it."""
    shutil.copytree(world.folder, folder, dirs_exist_ok=True)
    if "cardiocompress init" in page.read_text():
        for name in ("cardiocompress.yaml", "ratios.yaml"):
            (folder / name).unlink()
    return Reader(folder, world.places, world.settings)


def test_what_the_pages_say_works(world: Reader, tmp_path: Path) -> None:
    """One test for all pages: shared out among processes, each of them would make the first page's run again."""
    faults = {}
    for number, page in enumerate(page for page in PAGES if blocks_of(page) and page != FIRST):
        try:
            follow(page, copy_of(world, tmp_path / str(number), page))
        except (AssertionError, SystemExit) as fault:
            faults[str(page.relative_to(ROOT))] = str(fault)
        shutil.rmtree(tmp_path / str(number))
    assert faults == {}


@pytest.mark.acdc
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_long_lines_of_a_page_work(page: Path, world: Reader, tmp_path: Path, acdc_dir: Path) -> None:
    lines = [line for block in blocks_of(page) if block.language == "bash" for line in block.lines() if is_long(line)]
    reader = copy_of(world, tmp_path, FIRST)
    if lines:
        reader.type(f"cardiocompress init --data {acdc_dir}")
        reader.type("cardiocompress train --restart")  # the folder's own network knows other hearts
    for line in lines:
        reader.type(line)


def test_what_is_too_long_is_on_a_page():
    lines = [line for page in PAGES for block in blocks_of(page) for line in block.text.splitlines()]
    assert [name for name in TOO_LONG if not any(line.startswith(name) for line in lines)] == []
    assert all((ROOT / page).is_file() for page in BY_ITS_OWN_TEST)
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block that is neither typed nor compared would grow old unseen."""
    assert [(b.line, b.language) for b in blocks_of(page) if b.language not in ("bash", "python", "text", "yaml")] == []


def test_a_page_that_is_wrong_fails(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {}, SETTINGS)
    page = tmp_path / "page.md"
    wrong = {
        "```bash\ncardiocompress explain ratoi\n```\n": "exit code 2",
        "```bash\nmake nothing\n```\n": "no such target",
        "```bash\npip install '.[nothing]'\n```\n": "no such extra",
        "```bash\nbash benchmarks/nothing.sh\n```\n": "no such script",
        "```bash\nrm -rf x\n```\n": "unknown program",
        "```bash\ncardiocompress explain ratio\n```\n\n```text\nsomething\n```\n": "is not printed",
        "```python\nraise AssertionError('python runs')\n```\n": "python runs",
    }
    for text, fault in wrong.items():
        page.write_text(text)
        with pytest.raises(AssertionError, match=re.escape(fault)):
            follow(page, reader)
