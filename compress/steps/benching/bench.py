"""Measure ONNX files side by side: latency, memory, size, cost, and Dice through the session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from compress.bench.copies import without_copies
from compress.bench.latency import cpu_clock_of, measure_latency
from compress.bench.memory import measure_memory
from compress.bench.model_facts import read_facts
from compress.bench.report import BenchReport, build_report
from compress.bench.table import markdown
from compress.data.nnunet.tiles import mirrored
from compress.errors import CheckpointError, ModelFileError
from compress.evaluate.summary import EvaluationReport
from compress.files import write_json, write_text
from compress.report.plots import comparison_plot
from compress.rundir import quantized_files
from compress.runtime.card import KEY, ModelCard, read_card
from compress.runtime.modelfile import ModelFile, read_metadata, read_model_file, refuse_control_flow
from compress.runtime.proof import prove
from compress.runtime.providers import find_provider
from compress.runtime.segmenter import refuse_altered
from compress.runtime.session import Session, open_session
from compress.steps.exporting.export import export_stage
from compress.steps.scoring.cohort import score_cohort
from compress.steps.workspace import Workspace


def run_models(ws: Workspace) -> dict[str, Path]:
    """The run's own networks, exported where that has not been done: dense first, then every pruned one.

    After each its quantized files that suit the configured provider, where there are any and the file that they were
    made from is still the same. Raises `CheckpointError` when there is nothing to compare.
    """
    baseline, pruned = ws.run.baseline, ws.run.pruned_stages()
    if not pruned:
        raise CheckpointError(f"{ws.run.root} holds no pruned network.", cure="Run `cardiocompress prune` first.")
    models = {}
    for name, stage in {"dense": baseline, **{f"pruned-{s.root.name}": s for s in pruned}}.items():
        fresh = not stage.onnx.is_file()
        parity = export_stage(ws, stage)
        if fresh:
            ws.progress.note(
                f"Exported {stage.onnx}: torch and ONNX differ by {parity.max_abs_difference:.1e} at most."
            )
        models[name] = stage.onnx
        models |= {
            f"{name}-{kind}": path for kind, path in quantized_of(ws, stage.onnx, ws.config.bench.provider).items()
        }
    return models


def quantized_of(ws: Workspace, source: Path, provider: str) -> dict[str, Path]:
    """Kind -> file, of what `quantize` made of `source`; a file made of an earlier one is left out with a warning."""
    found = {}
    for kind in find_provider(provider).quantized:
        path, _ = quantized_files(source, kind)
        if not path.is_file():
            continue
        card = read_card(read_metadata(path), path)
        if (card.quantization or {}).get("source") == read_model_file(source).graph_sha256:
            found[kind] = path
        else:
            ws.progress.warn(f"{path} is left out: it was not made of the present {source.name}. Quantize it again.")
    return found


def bench(ws: Workspace, models: Mapping[str, Path]) -> BenchReport:
    """Measure as the configuration's `bench` section says; write the record, its table and plot into the run's folder.

    models: display name -> file; the first is the baseline.

    Raises `ProviderError` when the provider is not truly there, before anything is measured, and
    `ModelFileError` for a file that is not one of ours, or was altered after its export.
    """
    chosen = ws.config.bench
    prove(chosen.provider)
    files = {name: _whole(path) for name, path in models.items()}
    sessions = {
        name: open_session(file, provider=chosen.provider, threads=chosen.threads, spinning="per-run")
        for name, file in files.items()
    }
    shape = (chosen.batch_size, *_image_shape(ws, models))
    ws.progress.note(f"Timing {len(sessions)} models, {chosen.rounds} interleaved rounds each, batch {shape}.")
    latency = measure_latency(
        sessions,
        shape=shape,
        rounds=chosen.rounds,
        warmup=chosen.warmup,
        on_device=lambda name, images: without_copies(sessions[name], images),
        cpu_clock=cpu_clock_of(chosen.provider),
    )
    memory = {
        name: measure_memory(path, shape=shape, provider=chosen.provider, threads=chosen.threads)
        for name, path in models.items()
    }
    facts = {name: read_facts(path, shape=shape) for name, path in models.items()}
    scores = {name: score_session(ws, session, name) for name, session in sessions.items()} if chosen.dice else {}
    report = build_report(
        latency,
        sessions,
        memory=memory,
        facts=facts,
        dice={name: s.dice for name, s in scores.items()} or None,
        phantom=bool(scores) and ws.evaluation.phantom,
    )
    per_volume = {name: {v.name: round(v.mean_dice, 6) for v in s.volumes} for name, s in scores.items()}
    report = replace(report, dice_per_volume=per_volume)
    ws.record_config("bench")
    _write(ws, report, scores, chosen.provider)
    return report


def _whole(path: Path) -> ModelFile:
    """The file, as it was exported where it has a card that says so; files of others are timed as they are."""
    file = read_model_file(path)
    refuse_control_flow(file)
    if KEY in file.metadata:
        refuse_altered(file, read_card(file.metadata, path))
    return file


def _image_shape(ws: Workspace, models: Mapping[str, Path]) -> tuple[int, int, int]:
    """(channels, height, width) of the first file's images; of files without a card what the configuration says."""
    first = next(iter(models.values()))
    metadata = read_metadata(first)
    if KEY not in metadata:
        return 1, *ws.rules.size
    card = read_card(metadata, first)
    return card.channels, *(card.preprocessing.size if card.nnunet is not None else ws.rules.size)


def score_session(ws: Workspace, session: Session, name: str) -> EvaluationReport:
    """Per-patient 3D Dice of an ONNX file on the evaluation cohort, computed through its session."""
    card = card_inside(session.path)
    rules, tidy = card.preprocessing, card.tidy
    run = mirrored(session.run, card.mirrored)
    return score_cohort(ws, run, ws.evaluation, rules, name=f"Dice of {name}", tidy=tidy)


def card_inside(path: Path) -> ModelCard:
    """The model card inside an ONNX file. `ModelFileError` when it carries none."""
    metadata = read_metadata(path)
    if KEY not in metadata:
        raise ModelFileError(
            f"{path} does not say how its images are prepared, so its Dice cannot be measured.",
            cure="Export it with `cardiocompress export`, or pass --no-dice.",
        )
    return read_card(metadata, path)


def _write(ws: Workspace, report: BenchReport, scores: Mapping[str, EvaluationReport], provider: str) -> None:
    files = ws.run.bench(provider)
    write_text(files.table, markdown(report))
    if scores:
        rows = [
            {"name": m.name, "parameters": m.parameters, "dice": scores[m.name].mean_dice}
            | {f"dice_{k}": v for k, v in scores[m.name].structure_dice.items()}
            for m in report.models
        ]
        comparison_plot(files.plot, rows, phantom=report.phantom)
    write_json(files.record, report.to_json())
