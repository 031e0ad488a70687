"""Scoring one file on a cohort for the gate, once: scores and masks stay in the run folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress import __version__
from compress.data.nnunet.tiles import mirrored
from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate
from compress.evaluate.surface import hd95
from compress.files import atomic_path, digest_json
from compress.rundir import GateScores
from compress.runtime.segmenter import Segmenter
from compress.steps.reuse import Result
from compress.steps.scoring.cohort import predictions
from compress.steps.workspace import Cohort, Workspace


@dataclass(frozen=True)
class Scored:
    """One file's scores on a cohort, and where its masks lie."""

    report: EvaluationReport
    folder: GateScores

    def mask(self, index: int) -> np.ndarray:
        """(Z, Y, X) uint8 of the cohort's case number `index`."""
        return _read_mask(self.folder.mask(index))


def score_file(ws: Workspace, model: Segmenter, cohort: Cohort, *, name: str) -> Scored:
    """Dice, HD95 and volumes of every case through the file's session, by the rules inside the file.

    What was scored before with the same file, data, provider and version is read back: a second candidate does not
    score its baseline again, and an interrupted gate goes on after its last finished file.
    """
    inputs = _inputs(model, cohort)
    folder = ws.run.gate_scores(digest_json(inputs)[:16])
    result = Result(folder.scores, inputs)
    if (stored := result.stored(lambda document: _restore(document, folder, len(cohort.cases)))) is not None:
        ws.progress.note(f"{name}: scored before, see {result.path}.")
        return Scored(stored, folder)
    shutil.rmtree(folder.root, ignore_errors=True)  # what an interrupted gate left
    found: list[VolumeScore] = []
    rules, pieces = model.card.preprocessing, model.card.pieces
    run = mirrored(model.run, model.card.mirrored)
    for each in predictions(ws, run, cohort, rules, name=f"Scoring {name}", surface=hd95, pieces=pieces):
        with atomic_path(folder.mask(len(found))) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, mask=each.mask)
        found.append(each.score)
    report = evaluate(found)
    result.store(report.to_json())
    return Scored(report, folder)


def _inputs(model: Segmenter, cohort: Cohort) -> dict[str, object]:
    """All that the scores depend on."""
    return {
        "file": model.session.file.sha256,
        "provider": model.session.provider_proven,
        "data": cohort.identity(model.card.preprocessing),
        "version": __version__,
    }


def _restore(document: dict[str, Any], folder: GateScores, volumes: int) -> EvaluationReport:
    """The scores, when every mask is there as well."""
    report = EvaluationReport.from_json(document)
    for index in range(volumes):
        _read_mask(folder.mask(index))
    if len(report.volumes) != volumes:
        raise ValueError(f"scores of {len(report.volumes)} volumes")
    return report


def _read_mask(path: Path) -> np.ndarray:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:  # numpy leaves a damaged path open
        return stored["mask"]
