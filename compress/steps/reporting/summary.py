"""report.json and report.md: what a run folder holds, gathered from its own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compress.evaluate.summary import EvaluationReport
from compress.files import read_json, write_json, write_text
from compress.models.build import build
from compress.models.checkpoint import read_meta
from compress.models.cost import count_macs, count_parameters
from compress.rundir import Stage
from compress.steps.networks import stages_of
from compress.steps.workspace import Workspace
from compress.text import dash, link, markdown_table, phantom_mark, plain

COLUMNS = (
    "network",
    "parameters",
    "MACs",
    "Dice right after pruning",
    "Dice",
    "Dice RV",
    "Dice MYO",
    "Dice LV",
    "epochs",
    "minutes",
)

BENCH_NOTE = (
    "Parameters are those in the ONNX file, where every BatchNorm is folded into its convolution. "
    "Efficiency is the speed-up divided by the reduction of MACs: 1.0 means that every removed operation was saved."
)


def write_report(ws: Workspace) -> Path:
    """Write both files from what exists now, and return report.md."""
    stages = stages_of(ws)
    rows = [summarise(ws, name, stage) for name, stage in stages.items()]
    phantom = bool(rows) and bool(rows[0]["phantom"])
    bench = {p.stem: read_json(p) for p in sorted(ws.run.bench.glob("bench-*.json"))}
    document = {"experiment": ws.config.experiment.experiment_name, "phantom": phantom, "networks": rows}
    document |= {"data": read_json(ws.run.data), "environment": read_json(ws.run.environment)}
    document["benchmarks"] = {name: {k: v for k, v in b.items() if k != "models"} for name, b in bench.items()}
    write_json(ws.run.report_json, document)
    return write_text(ws.run.report_md, _markdown(ws, stages, rows, phantom=phantom))


def summarise(ws: Workspace, name: str, stage: Stage) -> dict[str, Any]:
    """One network's row: size, cost, Dice before and after retraining, effort and digests."""
    meta = read_meta(stage.final)
    network = build(meta.architecture, meta.arguments)
    record = read_json(stage.record) if stage.record.is_file() else {}
    final, raw = _evaluation(stage.evaluation), _evaluation(stage.evaluation_after_pruning)
    return {
        "name": name,
        "phantom": meta.phantom,
        "parameters": count_parameters(network),
        "macs": count_macs(network, size=ws.config.data.size),
        "dice": final.mean_dice if final else None,
        "structure_dice": final.structure_dice if final else None,
        "dice_after_pruning": raw.mean_dice if raw else None,
        "epochs": record.get("epochs", 0),
        "training_seconds": record.get("seconds", 0.0),
        "digest": meta.digest,
        "onnx_bytes": stage.onnx.stat().st_size if stage.onnx.is_file() else None,
        "folder": str(stage.root.relative_to(ws.run.root)),
    }


def comparison_rows(rows: list[dict[str, Any]], *, phantom: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the table of networks, for Markdown and the terminal alike."""
    heads = [f"{c}{phantom_mark(phantom and 'Dice' in c)}" for c in COLUMNS]
    return heads, [_cells(row) for row in rows]


def _cells(row: dict[str, Any]) -> list[str]:
    structures = row["structure_dice"] or {}
    return [
        row["name"],
        f"{row['parameters'] / 1e6:.3f} M",
        f"{row['macs'] / 1e9:.3f} G",
        dash(row["dice_after_pruning"], ".4f"),
        dash(row["dice"], ".4f"),
        *(dash(structures.get(s), ".4f") for s in ("RV", "MYO", "LV")),
        str(row["epochs"]),
        f"{row['training_seconds'] / 60:.1f}",
    ]


def _evaluation(folder: Path) -> EvaluationReport | None:
    stored = folder / "metrics.json"
    return EvaluationReport.from_json(read_json(stored)) if stored.is_file() else None


def _markdown(ws: Workspace, stages: dict[str, Stage], rows: list[dict[str, Any]], *, phantom: bool) -> str:
    heads, cells = comparison_rows(rows, phantom=phantom)
    lines = [f"# {plain(ws.config.experiment.experiment_name)}", ""]
    if phantom:
        lines += ["**Phantom (synthetic) data: the Dice figures below say nothing about patients.**", ""]
    lines += ["3D Dice on the validation patients, mean over patients, phases and structures.", ""]
    lines += [markdown_table(heads, cells), ""]
    for path in sorted(ws.run.bench.glob("bench-*.md")):
        lines += [f"## {plain(path.stem)}", "", BENCH_NOTE, "", path.read_text(encoding="utf-8"), ""]
        lines += _picture(ws, path.with_suffix(".png"), path.stem)
    for name, stage in stages.items():
        lines += [f"## {plain(name)}", ""]
        for path in (stage.schematic, stage.curves, *sorted(stage.evaluation.glob("overlays_*.png"))):
            lines += _picture(ws, path, f"{name} {path.stem}")
        table = stage.evaluation / "metrics.md"
        if table.is_file():
            lines += [f"Scores per structure and phase: {link('metrics', table.relative_to(ws.run.root))}", ""]
    for path in sorted(ws.run.sweep.glob("*.png")):
        lines += ["## Sweep", "", *_picture(ws, path, "sweep")]
    lines += [
        "Resolved configuration: config.yaml. Environment: environment.json. Data and split: data.json, split.json."
    ]
    return "\n".join(lines) + "\n"


def _picture(ws: Workspace, path: Path, caption: str) -> list[str]:
    return [f"!{link(caption, path.relative_to(ws.run.root))}", ""] if path.is_file() else []
