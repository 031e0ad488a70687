"""What `gate` accepts, what it refuses, and what it will not judge."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from cli_kit import settings
from gate_models import carded, changed, without_rv, write_cohort, write_dense, write_pruned
from hostile_kit import snapshot

from compress.data.volume import ACDC_LABELS
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import digest_file
from compress.steps.workspace import Cohort


@dataclass(frozen=True)
class Files:
    root: Path
    dense: Path
    without_rv: Path
    pruned: Path
    cohort: Path
    runs: Path
    """Where the tests' verdicts go; scores of the baseline are shared."""

    def folder(self, name: str) -> Path:
        return self.runs / "cardiac" / "gate" / name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, tiny_phantom: Path) -> Files:
    """Three models, and six phantom patients whose references are the masks of the first. Tests must not write here."""
    root = tmp_path_factory.mktemp("gate")
    dense, checkpoint = write_dense(root / "dense.onnx")
    pruned = write_pruned(checkpoint, root / "pruned.onnx", ratio=0.95)
    damaged = changed(dense, root / "damaged.onnx", without_rv)
    return Files(
        root,
        dense,
        damaged,
        pruned,
        write_cohort(tiny_phantom, root / "cohort", dense),
        tmp_path_factory.mktemp("runs"),
    )


@pytest.fixture
def judge(experiment: Path, command, files: Files) -> Callable:
    """judge(baseline, candidate, "key=value", ...) on the cohort of six."""

    def call(baseline: Path, candidate: Path, *more: str, options: tuple[object, ...] = ()):
        chosen = (f"train.paths.save_root={files.runs}", "gate.min_patients=6", "gate.resamples=1000")
        chosen += (f"evaluation.paths.eval_dir={files.cohort}", *more)
        return command("gate", baseline, candidate, *options, *settings(*chosen))

    return call


def verdict_in(folder: Path) -> Verdict:
    return Verdict.from_json(json.loads((folder / "verdict.json").read_text()))


RESULTS = {"verdict.json", "baseline.json", "candidate.json", "verdict.md", "overlays.png", "report.html"}


def test_a_network_against_itself_is_accepted(judge, files: Files) -> None:
    done = judge(files.dense, files.dense)
    assert done.code == 0, done.err
    folder = files.folder("dense")
    assert {path.name for path in folder.iterdir()} >= RESULTS
    found = verdict_in(folder)
    assert found.accepted and found.phantom and found.patients == 6 and found.volumes == 12
    assert found.baseline.sha256 == found.candidate.sha256 == digest_file(files.dense)
    assert {(row.low, row.high) for row in found.endpoints} == {(0.0, 0.0)}
    assert EvaluationReport.from_json(json.loads((folder / "baseline.json").read_text())).mean_dice == 1.0
    assert done.out.strip().splitlines()[-1].startswith("Accepted (phantom): dense is no worse than dense")
    assert "phantom" in (folder / "verdict.md").read_text()


def test_a_damaged_rv_head_is_refused_by_name(judge, files: Files) -> None:
    done = judge(files.dense, files.without_rv)
    assert done.code == 4
    error = done.err.splitlines()[-1]
    assert error.startswith(
        "error: Refused (phantom): damaged against dense (6 patients, 12 volumes): Dice RV is lower"
    )
    found = verdict_in(files.folder("damaged"))
    assert not found.accepted
    failing = {row.name for row in found.endpoints if not row.passed}
    assert {"Dice RV", "HD95 RV", "RV EDV error"} <= failing
    lost = next(row for row in found.limits if row.name == "structures no longer found")
    assert (lost.value, lost.passed) == (12.0, False) and "patient001_ED RV" in lost.what
    assert next(row for row in found.limits if row.name == "worst structure").what.startswith("RV at E")


def test_pruning_by_95_percent_without_retraining_is_refused(judge, files: Files, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    done = judge(files.dense, files.pruned, options=("--out", out))
    assert done.code == 4 and "Refused (phantom)" in done.err
    found = verdict_in(out)
    assert all(not row.passed for row in found.endpoints if row.name.startswith("Dice"))
    assert found.reasons and len(found.sentence) < 600, "one line that can be read; all reasons are in the record"


def test_nothing_is_scored_twice(judge, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    from compress.steps.gating import scores as gate_scores

    scored: list[str] = []
    original = gate_scores.predictions

    def counted(*arguments: Any, name: str, **more: Any) -> EvaluationReport:
        scored.append(name)
        return original(*arguments, name=name, **more)

    first = judge(files.dense, files.without_rv)
    monkeypatch.setattr(gate_scores, "predictions", counted)
    mask = next(path for path in (files.folder(".scores")).glob("*/0003.npz") if _lacks_rv(path))
    mask.write_bytes(mask.read_bytes()[:50])
    again = judge(files.dense, files.without_rv)
    assert (first.code, again.code) == (4, 4) and "dense: scored before" in again.out
    assert scored == ["Scoring damaged"], "a damaged mask is made again, and that file's alone"
    assert judged(first.out) == judged(again.out)


def _lacks_rv(path: Path) -> bool:
    with path.open("rb") as stream, np.load(stream) as stored:
        return not (stored["mask"] == ACDC_LABELS["RV"]).any() and (stored["mask"] == ACDC_LABELS["LV"]).any()


def judged(out: str) -> str:
    return out[out.index("damaged against dense") :]


FAULTS: dict[str, tuple[Callable[[Files, Path], list[object]], int, str]] = {
    "altered candidate": (lambda f, t: [f.dense, _flipped(f.dense, t)], 2, "changed after export"),
    "other labels": (lambda f, t: [f.dense, _labels(f.dense, t)], 2, "the data has {'RV': 1"),
    "too few patients": (lambda f, t: [f.dense, f.dense, "--set", "gate.min_patients=7"], 2, "holds 6 patients"),
    "part of the slices": (lambda f, t: [f.dense, f.dense, "--set", _THIN], 2, "the gate needs whole volumes"),
    "out is a file": (lambda f, t: [f.dense, f.dense, "--out", f.dense / "x"], 2, "is a file"),
    "no cohort": (lambda f, t: [f.dense, f.dense, "--set", _EVAL + str(t / "x")], 2, "does not exist"),
    "validation of other data": (lambda f, t: [f.dense, f.dense, "--set", f"{_EVAL}null"], 2, "it was trained on"),
    "one file only": (lambda f, t: [f.dense], 2, "Missing argument"),
}  # fmt: skip
_EVAL = "evaluation.paths.eval_dir="
_THIN = "evaluation.num_slices_per_volume=2"


def _flipped(source: Path, folder: Path) -> Path:
    """One bit of a weight is another."""
    content = bytearray(source.read_bytes())
    weights = max((tensor.raw_data for tensor in onnx.load(source).graph.initializer), key=len)
    content[content.index(weights) + len(weights) // 2] ^= 1
    target = folder / "flipped.onnx"
    target.write_bytes(content)
    return target


def _labels(source: Path, folder: Path) -> Path:
    return carded(source, folder / "labels.onnx", labels={"LV": 1, "MYO": 2, "RV": 3})


def _trained(source: Path, folder: Path, digest: str) -> Path:
    return carded(source, folder / "trained.onnx", training={"data": digest, "phantom": True, "epochs": 1})


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_line_and_leaves_nothing(fault: str, files: Files, experiment: Path, command) -> None:
    words, code, says = FAULTS[fault]
    scrap = experiment / "scrap"
    scrap.mkdir()
    arguments = words(files, scrap)
    before = snapshot(files.root)
    chosen = ("gate.min_patients=6", "gate.resamples=1000", f"evaluation.paths.eval_dir={files.cohort}")
    result = command("gate", *settings(*chosen), *arguments)
    assert result.code == code, result
    assert says in result.err and result.err.count("\n") == 1 and result.err.startswith("error: "), result.err
    assert not (experiment / "artifacts" / "cardiac" / "gate").exists()
    assert snapshot(files.root) == before


def test_patients_of_the_training_are_never_scored(judge, files: Files, tiny_phantom: Path, experiment: Path) -> None:
    from compress.data.layouts import find_cases

    digest = Cohort(tiny_phantom, find_cases(tiny_phantom), True).digest
    model = _trained(files.dense, experiment, digest)
    same = judge(model, model, f"evaluation.paths.eval_dir={tiny_phantom}")
    assert same.code == 2 and f"the data that {model} was trained on" in same.err
    # Other references, the same patients: found by their images.
    seen = judge(model, model)
    assert seen.code == 2 and "are among those that the networks were trained on" in seen.err
    # Another share for validation would score what the run trained on.
    inputs = {"data": digest, "val_ratio": 0.5, "seed": 42}
    (files.runs / "cardiac" / "split.json").write_text(json.dumps({"inputs": inputs}))
    split = judge(model, model, "evaluation.paths.eval_dir=null")
    assert split.code == 2 and "was split with val_ratio 0.5, the configuration says 0.34" in split.err
    (files.runs / "cardiac" / "split.json").unlink()


def test_a_phantom_model_never_judges_patients(files: Files, experiment: Path) -> None:
    from compress.config.read import from_document
    from compress.errors import ConfigError
    from compress.runtime.segmenter import Segmenter
    from compress.steps.gating.refusals import check_cohort
    from compress.steps.workspace import Workspace

    gate = {"min_patients": 6}
    ws = Workspace(from_document({"gate": gate, "evaluation": {"paths": {"eval_dir": str(files.cohort)}}}))
    real = ws.evaluation
    ws.__dict__["evaluation"] = Cohort(real.folder, real.cases, phantom=False)
    with pytest.raises(ConfigError, match="was trained on the phantom"):
        check_cohort(ws, Segmenter(files.dense, threads=1))
