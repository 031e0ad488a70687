"""A run folder as a finished run leaves it, made in seconds: untrained networks and made-up times, but real files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from workspace_kit import tiny_workspace

from compress.bench.latency import LatencySamples
from compress.bench.memory import MemoryReport
from compress.bench.model_facts import ModelFacts
from compress.bench.report import build_report
from compress.config import Gate, Pruning, Ratios
from compress.evaluate.judging import judge
from compress.evaluate.metrics import METRICS, StructureScore
from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate
from compress.evaluate.verdict import Named, Verdict
from compress.files import write_json
from compress.models.checkpoint import read_meta, save
from compress.prune.rebuild import rebuild_checkpoint
from compress.report.schematic import unet_schematic
from compress.rundir import GateFiles
from compress.runtime.session import open_session
from compress.steps.pruning.ranking import rank
from compress.steps.scoring.checkpoint import scores_result
from compress.steps.training.dense import dense_checkpoint
from compress.steps.workspace import Workspace

HOSTILE = "<script>alert('x')</script>\"\x1b[31m\u202e"
MIB = 2**20
TWELVE = tuple(f"p{number:02d}" for number in range(12))


def finished_run(root: Path, data: Path, model: Path) -> Workspace:
    """Dense and pruned-none with made-up scores; a benchmark of them and of a network with a hostile name."""
    ws = tiny_workspace(root, data, features=(4, 8))
    ws.describe()
    dense, stage = dense_checkpoint(ws), ws.run.pruned("none")
    pruned = rebuild_checkpoint(dense, rank(ws, dense, Pruning(ratios=Ratios(default=0.5, align="none"))))
    save(stage.final, pruned.network, pruned.meta)
    unet_schematic(stage.schematic, *(c.meta.arguments["widths"] for c in (dense, pruned)), phantom=True)
    for found, dice in ((ws.run.baseline, 0.9), (stage, 0.8)):
        scores = cohort(dice, patients=ws.split.val)
        scores_result(ws, read_meta(found.final), found.evaluation, ws.validation).store(scores.to_json())
    write_bench(ws, model)
    return ws


def write_bench(ws: Workspace, model: Path, *, provider: str = "cpu") -> None:
    """bench-<provider>.json: pruned-none twice as fast as dense, the third four times."""
    dense = tuple(0.1 + 0.0001 * (i % 7) for i in range(20))
    speeds = {"dense": 1, "pruned-none": 2, HOSTILE: 4}
    samples = {name: tuple(t / speed for t in dense) for name, speed in speeds.items()}
    latency = LatencySamples((4, 1, 32, 32), "dense", samples, tuple(t * 1.01 for t in dense))
    session = open_session(model, threads=1)
    memory = MemoryReport(
        peak_bytes=100 * MIB, imports_bytes=40 * MIB, gpu_bytes=None, warnings=(f"{HOSTILE} in /etc/models/a",)
    )
    facts = {
        name: ModelFacts(4 * MIB // speed, 4_000 // speed, 8_000 // speed, {"head": 4})
        for name, speed in speeds.items()
    }
    dice = {name: 0.9 - 0.01 * speed for name, speed in speeds.items()}
    per_volume = {name: {f"p{i}_{phase}": v for i in range(9) for phase in ("ED", "ES")} for name, v in dice.items()}
    report = build_report(
        latency,
        dict.fromkeys(speeds, session),
        memory=dict.fromkeys(speeds, memory),
        facts=facts,
        dice={name: {"mean": value, "RV": value} for name, value in dice.items()},
        phantom=True,
    )
    write_json(ws.run.bench(provider).record, replace(report, dice_per_volume=per_volume).to_json())


def write_gate(
    folder: Path, *, dice: float = 0.9, names: tuple[str, str] = ("dense", "pruned-none"), phantom: bool = True
) -> Verdict:
    """The files of a verdict on a candidate of this Dice against a baseline of 0.9."""
    baseline, candidate, files = cohort(0.9), cohort(dice), GateFiles(folder)
    both = Named(names[0], "a" * 64), Named(names[1], "b" * 64)
    verdict = judge(baseline, candidate, Gate(), names=both, data="c" * 64, phantom=phantom)
    write_json(files.baseline, baseline.to_json())
    write_json(files.candidate, candidate.to_json())
    write_json(files.verdict, verdict.to_json())
    return verdict


def cohort(dice: float, *, patients: Sequence[str] = TWELVE) -> EvaluationReport:
    """Patients that differ from each other, all structures of one Dice."""
    volumes = {"ED": 120.0, "ES": 50.0}

    def structure(number: int, phase: str) -> StructureScore:
        found, reference = volumes[phase] + number % 5 - 2, volumes[phase] + number % 3
        return StructureScore(
            dict.fromkeys(METRICS, dice - 0.002 * (number % 4)), dice, 5.0 + number % 2, found, reference
        )

    return evaluate(
        VolumeScore(patient, phase, "NOR", {s: structure(n, phase) for s in ("RV", "MYO", "LV")}, True)
        for n, patient in enumerate(patients)
        for phase in volumes
    )
