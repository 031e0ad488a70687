"""Scoring one file on a cohort for the gate, once: scores and masks stay in the run folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress import __version__
from compress.data.layouts import read_volume
from compress.data.nnunet.tiles import mirrored
from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate, score_volume
from compress.evaluate.surface import hd95
from compress.files import atomic_path, digest_json
from compress.rundir import GateScores
from compress.runtime.segmenter import Segmenter
from compress.steps.reuse import Result
from compress.steps.scoring.cohort import predictions
from compress.steps.workspace import Cohort, Workspace
from compress.vouch import read_sealed, write_sealed


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
    if (stored := result.stored(lambda document: _restore(document, folder, cohort))) is not None:
        ws.progress.note(f"{name}: scored before, see {result.path}.")
        return Scored(stored, folder)
    shutil.rmtree(folder.root, ignore_errors=True)  # what an interrupted gate left
    found: list[VolumeScore] = []
    rules, tidy = model.card.preprocessing, model.card.tidy
    run = mirrored(model.run, model.card.mirrored)
    for each in predictions(ws, run, cohort, rules, name=f"Scoring {name}", surface=hd95, tidy=tidy):
        path = folder.mask(len(found))
        with atomic_path(path) as temporary:
            write_sealed(temporary, _context(path), mask=each.mask)
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


def _restore(document: dict[str, Any], folder: GateScores, cohort: Cohort) -> EvaluationReport:
    """The scores, when the masks beside them give them again; `ValueError` where they do not."""
    report = EvaluationReport.from_json(document)
    masks = (_read_mask(folder.mask(index)) for index in range(len(cohort.cases)))
    volumes = map(read_volume, cohort.cases)
    pairs = zip(masks, volumes, strict=True)
    again = evaluate(score_volume(mask, volume, labels=cohort.labels, surface=hd95) for mask, volume in pairs)
    if again != report:
        raise ValueError("its masks give other scores")
    return again


def _context(path: Path) -> str:
    """Which mask of which file and cohort it is: the folder's name is the digest of both."""
    return f"{path.parent.name}/{path.name}"


def _read_mask(path: Path) -> np.ndarray:
    """The mask; `ValueError` for one that this user's gate did not write."""
    found = read_sealed(path, _context(path))
    if found is None:
        raise ValueError(f"{path} is not there, or was written by somebody else")
    return found["mask"]
