"""`gate --folds`: networks of one recipe, each judged on patients that it has not seen, all patients together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import settings

SMALL = ("train.folds=2", "train.parameters.num_epochs=1", "evaluation.num_visuals=0")
MODEL = "baseline/final_model.onnx"


@pytest.mark.usefixtures("without_pages")
def test_all_patients_are_judged_by_networks_that_have_not_seen_them(experiment: Path, command):
    runs = [experiment / "artifacts" / name for name in ("first", "second")]
    for number, run in enumerate(runs):
        chosen = settings(*SMALL, f"train.fold={number}", f"experiment.experiment_name={run.name}")
        for word in ("train", "export"):
            done = command(word, *chosen)
            assert done.code == 0, done.err
    splits = [json.loads((run / "split.json").read_text()) for run in runs]
    assert splits[0]["val"] == splits[1]["train"] and splits[1]["val"] == splits[0]["train"]

    folds = [part for run in runs for part in ("--folds", run)]
    more = settings("gate.min_patients=6", "gate.resamples=1000")[len(settings()) :]
    done = command("gate", MODEL, MODEL, *folds, *more)
    assert done.code == 0, done.err
    assert "6 patients in 2 folds, 12 volumes" in done.out
    verdict = json.loads((runs[0] / "gate/dense-folds/verdict.json").read_text())
    assert verdict["folds"] == 2 and verdict["baseline"]["sha256"] == verdict["candidate"]["sha256"]
    scored = json.loads((runs[0] / "gate/dense-folds/candidate.json").read_text())["volumes"]
    assert len({volume["patient"] for volume in scored}) == 6

    alone = command("gate", MODEL, MODEL, "--folds", runs[0], *more)
    assert alone.code == 2 and "holds 3 patients" in alone.err
    twice = command("gate", MODEL, MODEL, "--folds", runs[0], "--folds", runs[0], *more)
    assert twice.code == 2 and "validates in" in twice.err and "Give each fold once" in twice.err
    gone = command("gate", MODEL, MODEL, "--folds", experiment / "nowhere", *more)
    assert gone.code == 2 and "nowhere" in gone.err
    both = command("gate", MODEL, MODEL, *folds, "--config", "cardiocompress.yaml", *more)
    assert both.code == 2 and "Leave out --config" in both.err

    (runs[1] / MODEL).unlink()
    missing = command("gate", MODEL, MODEL, *folds, *more)
    assert missing.code == 2 and "second/baseline/final_model.onnx" in missing.err.replace("\n", "")
