"""The networks of a run by name, and what files are called that a person gives."""

from __future__ import annotations

import re
from pathlib import Path

from compress.bench.names import named_models
from compress.rundir import Stage
from compress.steps.workspace import Workspace


def stages_of(ws: Workspace) -> dict[str, Stage]:
    """Finished networks by display name, dense first."""
    found = {"dense": ws.run.baseline} if ws.run.baseline.final.is_file() else {}
    return found | {f"pruned-{s.root.name}": s for s in ws.run.pruned_stages()}


def display_names(ws: Workspace, paths: tuple[Path, Path]) -> tuple[str, str]:
    """What the two are called: a run's own networks as in its reports, other files by their shortest paths."""
    own = _own_name(ws, paths[0]), _own_name(ws, paths[1])
    if paths[0] == paths[1]:
        return own[0] or paths[0].stem, own[0] or paths[0].stem
    first, second = named_models(paths)
    return own[0] or first, own[1] or second


def own_files(ws: Workspace) -> dict[str, Path]:
    """Every ONNX file of the run's networks by the name that benchmarks and verdicts give it.

    Such as "dense", "pruned-keep" or, for what `quantize` made of it, "pruned-keep-int8".
    """
    return {
        name + path.stem.removeprefix(stage.onnx.stem).replace(".", "-"): path
        for name, stage in stages_of(ws).items()
        for path in stage.onnx_files()
    }


def _own_name(ws: Workspace, path: Path) -> str | None:
    return next((name for name, own in own_files(ws).items() if own.resolve() == path.resolve()), None)


def folder_name(name: str) -> str:
    """A display name as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "candidate"
