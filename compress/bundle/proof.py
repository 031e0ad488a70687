"""A gate's folder as evidence: judged again from its scores, and every document written anew from what was judged."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from compress.bundle.judged import Judged
from compress.errors import DataError
from compress.evaluate.again import departures, judge_again
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.evaluate.verdict_table import markdown
from compress.files import json_text, read_json
from compress.outside import MAX_DOCUMENT, is_there, read_bytes
from compress.rundir import GateFiles

_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"


def judged_anew(stored: Verdict, path: Path) -> Judged:
    """Judge again from the scores beside verdict.json at `path`, and write the folder's documents from that.

    Raises `DataError` when scores are missing or damaged, or do not give the stored verdict.
    """
    left = GateFiles(path.parent)
    short = [replace(side, name=side.name.rpartition("/")[2]) for side in (stored.baseline, stored.candidate)]
    stored = replace(stored, baseline=short[0], candidate=short[1])  # files of one name are told apart by folders
    baseline, candidate = _scores(left.baseline), _scores(left.candidate)
    try:
        verdict, settings = judge_again(stored, baseline, candidate)
    except DataError as fault:
        raise DataError(f"{path}: {fault.message}", cure=fault.cure) from None
    files = {
        left.verdict.name: json_text(verdict.to_json()),
        left.baseline.name: json_text(baseline.to_json()),
        left.candidate.name: json_text(candidate.to_json()),
    }
    if is_there(left.summary):
        files[left.summary.name] = markdown(verdict).encode()
    if is_there(left.overlays):
        files[left.overlays.name] = _picture(left.overlays)
    if is_there(left.report):
        files[left.report.name] = _page(files)
    return Judged(verdict, candidate, tuple(departures(settings)), files)


def _scores(path: Path) -> EvaluationReport:
    if not is_there(path):
        raise DataError(f"{path} is missing: without scores a verdict cannot be judged.", cure="Run the gate again.")
    try:
        return EvaluationReport.from_json(read_json(path))
    except DataError as fault:
        raise DataError(f"{path}: {fault.message}", cure=fault.cure) from None


def _picture(path: Path) -> bytes:
    content = read_bytes(path, most=MAX_DOCUMENT)
    if not content.startswith(_PNG) or not content.endswith(_PNG_END):
        raise DataError(f"{path} is no PNG picture.", cure="Run the gate again.")
    return content


def _page(files: dict[str, bytes]) -> bytes:
    """report.html, drawn from the other files alone."""
    from compress.report.gate_page import write_gate_page  # draws: seconds that most bundles need not wait for

    with tempfile.TemporaryDirectory() as scrap:
        for name, content in files.items():
            (Path(scrap) / name).write_bytes(content)
        return write_gate_page(Path(scrap)).read_bytes()
