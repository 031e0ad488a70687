"""A gate's folder made by hand, and the places and processes that tests of bundles need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from compress.bundle.ship import ShipRequest
from compress.data.volume import ACDC_LABELS, PHASES, Case, Volume
from compress.evaluate.interval import Interval
from compress.evaluate.quantized import FileFacts, QuantizeRecord
from compress.evaluate.summary import EvaluationReport, evaluate, score_volume
from compress.evaluate.verdict import SCHEMA, Endpoint, LimitCheck, Named, Verdict
from compress.evaluate.verdict_table import markdown
from compress.files import digest_file, write_json, write_text

ROOT = Path(__file__).resolve().parent.parent


def scores(*, lost: int = 0) -> EvaluationReport:
    """Two patients; the last `lost` rows of every structure are missed."""
    reference = np.zeros((3, 24, 24), np.uint8)
    for value, column in enumerate((2, 9, 16), start=1):
        reference[:, 4:20, column : column + 6] = value
    prediction = reference.copy()
    prediction[:, 20 - lost : 20] = 0
    cases = [Case(name, phase, Path(name), None, "NOR") for name in ("patient001", "patient002") for phase in PHASES]
    volumes = [Volume(case, reference, reference, (8.0, 1.5, 1.5), np.eye(4)) for case in cases]
    return evaluate(score_volume(prediction, volume, labels=ACDC_LABELS) for volume in volumes)


def make_verdict(candidate: Path, baseline: Path, *, accepted: bool = True, phantom: bool = True) -> Verdict:
    """A verdict on these files that agrees with itself."""
    endpoint = Endpoint("Dice RV", "", 2, 0, 0.91, 0.905, -0.005, -0.009, -0.001, 0.01, "lower", accepted)
    return Verdict(
        schema=SCHEMA,
        accepted=accepted,
        phantom=phantom,
        baseline=Named("dense", digest_file(baseline)),
        candidate=Named("pruned", digest_file(candidate)),
        confidence=0.95,
        resamples=1000,
        seed=0,
        patients=2,
        volumes=4,
        data="a" * 64,
        unseen_share=0.78,
        endpoints=(endpoint,),
        limits=(LimitCheck("worst structure", "RV", 0.005, 0.02, "", True),),
        reasons=() if accepted else ("Dice RV: -0.0090 does not stay above -0.0100",),
    )


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
    write_json(folder / "candidate.json", scores(lost=2).to_json())
    write_text(folder / "verdict.md", markdown(verdict))
    (folder / "overlays.png").write_bytes(b"\x89PNG\r\n\x1a\n")
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
