"""A gate's folder made by hand, and the places and processes that tests of bundles need."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from compress.bundle.ship import ShipRequest
from compress.config import Gate
from compress.data.volume import ACDC_LABELS, PHASES, Case, Volume
from compress.evaluate.interval import Interval
from compress.evaluate.judging import judge
from compress.evaluate.quantized import FileFacts, QuantizeRecord
from compress.evaluate.summary import EvaluationReport, evaluate, score_volume
from compress.evaluate.verdict import Named, Verdict
from compress.evaluate.verdict_table import markdown
from compress.files import digest_file, write_json, write_text

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""One grey pixel."""

ROOT = Path(__file__).resolve().parent.parent


PATIENTS = tuple(f"patient{number:03d}" for number in range(1, 11))
LOST = {True: 1, False: 48}
"""Voxels that the candidate misses in a slice of each structure; a gate accepts the first and refuses the second."""


def _distance(prediction: np.ndarray, reference: np.ndarray, spacing_mm: object) -> float:
    """In place of the true one, which takes seconds for so many masks."""
    return float(np.count_nonzero(prediction != reference)) / 1000


@cache
def scores(*, lost: int = 0) -> EvaluationReport:
    """Ten patients; of every structure `lost` voxels of each slice are missed."""
    reference = np.zeros((3, 24, 24), np.uint8)
    for value, column in enumerate((2, 9, 16), start=1):
        reference[:, 4:20, column : column + 6] = value
    prediction = reference.copy()
    for value in (1, 2, 3):
        for plane in prediction:
            plane.flat[np.flatnonzero(plane == value)[:lost]] = 0
    cases = [Case(name, phase, Path(name), None, "NOR") for name in PATIENTS for phase in PHASES]
    volumes = [Volume(case, reference, reference, (8.0, 1.5, 1.5), np.eye(4)) for case in cases]
    return evaluate(score_volume(prediction, volume, labels=ACDC_LABELS, surface=_distance) for volume in volumes)


def make_verdict(
    candidate: Path, baseline: Path, *, accepted: bool = True, phantom: bool = True, settings: Gate | None = None
) -> Verdict:
    """What the gate says of these files by the scores that `write_gate` leaves."""
    names = Named("dense", digest_file(baseline)), Named("pruned", digest_file(candidate))
    found = _judged(accepted, settings or Gate())
    assert found.accepted == accepted, found.why
    return replace(found, phantom=phantom, baseline=names[0], candidate=names[1])


@cache
def _judged_by(accepted: bool, settings: str) -> Verdict:
    names = Named("dense", ""), Named("pruned", "")
    gate = Gate.model_validate_json(settings)
    return judge(scores(), scores(lost=LOST[accepted]), gate, names=names, data="a" * 64, phantom=True)


def _judged(accepted: bool, settings: Gate) -> Verdict:
    return _judged_by(accepted, settings.model_dump_json())


def quantize_record(sha256: str, *, phantom: bool = False) -> QuantizeRecord:
    """What `quantize` would leave beside a file of this digest."""
    return QuantizeRecord(
        schema=1,
        phantom=phantom,
        kind="int8",
        improvement=True,
        file=FileFacts("pruned.int8.onnx", sha256, 1000),
        source=FileFacts("pruned.onnx", "a" * 64, 4000),
        method="entropy",
        float_layers=("head",),
        layers=23,
        dice_before={"mean": 0.9112},
        dice_after={"mean": 0.9101},
        volumes=4,
        speedup=Interval(2.31, 2.25, 2.36),
        control=Interval(1.0, 0.99, 1.01),
        latency_s={},
        warnings=(),
        environment={},
        trials=(),
        layer_errors={},
    )


def write_gate(folder: Path, verdict: Verdict) -> Path:
    """What `gate` leaves in a folder; returns verdict.json."""
    write_json(folder / "baseline.json", scores().to_json())
    write_json(folder / "candidate.json", scores(lost=LOST[verdict.accepted]).to_json())
    write_text(folder / "verdict.md", markdown(verdict))
    (folder / "overlays.png").write_bytes(PNG)
    return write_json(folder / "verdict.json", verdict.to_json())


def accepted_request(folder: Path, model: Path) -> ShipRequest:
    """Everything that a gated bundle of `model` against itself takes, written into `folder`."""
    path = write_gate(folder / "gate", make_verdict(model, model))
    return ShipRequest(model, baseline=model, verdict=path, out=folder / "bundle", threads=1)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in files}


def without_torch(script: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a Python script in a fresh process in which nothing of the training side can be imported."""
    blocked = ("torch", "monai", "onnx", "scipy", "pydantic", "yaml", "matplotlib", "jinja2")
    start = (
        "import runpy, sys\n"
        f"for name in {blocked}: sys.modules[name] = None\n"
        f"sys.argv = {[str(script), *map(str, words)]!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", start],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
