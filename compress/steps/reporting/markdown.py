"""report.json and report.md: what a run folder holds, in the words of its page without the pictures drawn for it."""

from __future__ import annotations

from pathlib import Path

from compress.bench.table import markdown
from compress.files import write_json, write_text
from compress.rundir import ScoreFiles, Stage
from compress.steps.reporting.facts import RunFacts
from compress.steps.reporting.summary import BENCH_NOTE, comparison_rows
from compress.steps.workspace import Workspace
from compress.text import link, markdown_table, plain

_LONG = ("models", "dice_per_volume")
"""What of a benchmark is left to its own file."""


def write_report(ws: Workspace, facts: RunFacts) -> Path:
    """Write both files from `facts`, and return report.md."""
    benchmarks = {
        ws.run.bench(provider).name: {k: v for k, v in bench.to_json().items() if k not in _LONG}
        for provider, bench in facts.benches.items()
    }
    document = {
        "experiment": facts.title,
        "phantom": facts.phantom,
        "networks": [network.row for network in facts.networks],
        "data": facts.data,
        "environment": facts.environment,
        "benchmarks": {
            name: {k: v for k, v in b.items() if k not in ("models", "dice_per_volume")}
            for name, b in benchmarks.items()
        },
    }
    write_json(ws.run.report_json, document)
    return write_text(ws.run.report_md, "\n".join(_lines(ws, facts)) + "\n")


def _lines(ws: Workspace, facts: RunFacts) -> list[str]:
    lines = [f"# {plain(facts.title)}", ""]
    if facts.phantom:
        lines += ["**Phantom (synthetic) data: the Dice figures below say nothing about patients.**", ""]
    lines += ["3D Dice on the validation patients, mean over patients, phases and structures.", ""]
    heads, cells = comparison_rows([network.row for network in facts.networks], phantom=facts.phantom)
    lines += [markdown_table(heads, cells), ""]
    for provider, bench in facts.benches.items():
        files = ws.run.bench(provider)
        lines += [f"## {plain(files.name)}", "", BENCH_NOTE, "", markdown(bench), ""]
        lines += _picture(ws, files.plot, files.name)
    for network in facts.networks:
        lines += [f"## {plain(network.name)}", "", *_pictures(ws, network.name, network.stage)]
    if ws.run.sweep.plot.is_file():
        lines += ["## Sweep", "", *_picture(ws, ws.run.sweep.plot, "sweep")]
    if facts.unread:
        lines += ["## Not shown", "", *(f"- {plain(text)}" for text in facts.unread), ""]
    told = "Resolved configuration: config.yaml. Environment: environment.json. Data and split: data.json, split.json."
    return [*lines, told]


def _pictures(ws: Workspace, name: str, stage: Stage) -> list[str]:
    scores = ScoreFiles(stage.evaluation)
    paths = (stage.schematic, stage.curves, *scores.overlays())
    lines = [line for path in paths for line in _picture(ws, path, f"{name} {path.stem}")]
    if scores.table.is_file():
        lines += [f"Scores per structure and phase: {link('metrics', scores.table.relative_to(ws.run.root))}", ""]
    return lines


def _picture(ws: Workspace, path: Path, caption: str) -> list[str]:
    return [f"!{link(caption, path.relative_to(ws.run.root))}", ""] if path.is_file() else []
