"""Whatever a run folder holds as JSON may be cut short or be something else: the next command makes it again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_kit import settings

from compress.data.phantom import write_phantom
from compress.steps.reporting import refresh

DAMAGES = (lambda text: "[]", lambda text: "{}", lambda text: text[: len(text) // 2], lambda text: "")
OPTIONS = settings("gate.min_patients=6", "gate.resamples=1000", "pruning.compensate=true", "evaluation.num_visuals=0")
SHIFT = int(os.environ.get("DAMAGE_SHIFT", "0"))
"""Which file gets which damage; tests/steps/test_reuse.py holds every kind against the one rule."""


def chain(command, others: Path) -> None:
    """Every command that stores JSON in the run folder; the gate may refuse."""
    cohort = ["--set", f"evaluation.paths.eval_dir={others}"]
    run = Path("artifacts/cardiac")
    dense, small = run / "baseline" / "final_model.onnx", run / "pruned" / "keep" / "pruned_model.onnx"
    for words in (
        ("train",),
        ("sensitivity", "--slices", 8),
        ("plan", "--target", "macs=0.6x", "--slices", 8, "--align", 1),
        ("prune", "--ratios", "ratios.yaml", "--name", "keep", "--finetune", 1),
        ("inspect",),
        ("eval", "--network", "dense"),
        ("export",),
        ("quantize", small, "--keep", "--slices", 4, "--rounds", 2, "--budget", 0.9, "--method", "minmax"),
        ("bench",),
        ("gate", dense, small, *cohort),
    ):
        done = command(*words, *OPTIONS)
        assert done.code == 0 or (words[0] == "gate" and done.code == 4), (words, done.err)


def documents(folder: Path) -> dict[Path, Any]:
    return {path: json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))}


@pytest.mark.long
def test_every_stored_json_is_made_again(trained: Path, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, others = trained, write_phantom(tmp_path / "others", patients=6, seed=12)

    def once() -> None:
        """The chain, and the run's pages at its end alone, which take longer than most commands."""
        with monkeypatch.context() as patch:
            patch.setattr(refresh, "write_pages", lambda ws: None)
            chain(command, others)
        assert command("export", *OPTIONS).code == 0

    once()
    whole = documents(run)
    assert {path.name for path in whole} >= {"stage.json", "split.json", "verdict.json", "scores.json", "plan.json"}
    for index, path in enumerate([*whole, *run.rglob("metrics.jsonl")]):
        path.write_text(DAMAGES[(index + SHIFT) % len(DAMAGES)](path.read_text()))
    assert command("train", *OPTIONS).code == 0, "the pages bear all that the other commands have not made again"
    once()
    again = documents(run)
    assert again.keys() == whole.keys()
    for path, document in again.items():
        assert type(document) is type(whole[path]) and len(document) == len(whole[path]), path


def test_a_corrected_group_changes_scores_and_page(trained: Path, command, tiny_phantom: Path, tmp_path: Path):
    run, data = trained, shutil.copytree(tiny_phantom, tmp_path / "data")
    before = json.loads((run / "baseline" / "eval" / "metrics.json").read_text())
    split = json.loads((run / "split.json").read_text())
    info = next(data.rglob(f"{split['val'][0]}/Info.cfg"))
    lines = [
        f"Group: {'DCM' if 'DCM' not in line else 'HCM'}" if "Group" in line else line
        for line in info.read_text().splitlines()
    ]
    info.write_text("\n".join(lines) + "\n")
    # Any command would do: the page speaks of the data as it is now.
    assert command("export", *settings(f"train.paths.train_dir={data}")).code == 0
    after = json.loads((run / "baseline" / "eval" / "metrics.json").read_text())
    assert after["group_dice"].keys() != before["group_dice"].keys()
    assert after["mean_dice"] == before["mean_dice"]
    assert json.loads((run / "split.json").read_text()) == split, "patients that were trained on never validate"
