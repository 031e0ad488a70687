"""Evaluate one network: scores, clinical agreement and overlays of the best, median and worst slices."""

from __future__ import annotations

from pathlib import Path

from compress.evaluate.summary import EvaluationReport, VolumeScore, evaluate
from compress.evaluate.surface import hd95
from compress.files import digest_json, read_json, write_text
from compress.models.checkpoint import Checkpoint, Meta, load, read_meta
from compress.report.slice_pictures import save_slices
from compress.report.slices import SlicePicture, pick_slices, slices_of
from compress.rundir import ScoreFiles, Stage
from compress.steps.exporting.pieces import tidy_rule
from compress.steps.reuse import Result, intact
from compress.steps.scoring.cohort import predictions, torch_run
from compress.steps.workspace import Cohort, Workspace
from compress.text import plain
from compress.train.device import resolve_device


def evaluate_checkpoint(
    ws: Workspace, checkpoint: Checkpoint, folder: Path, *, name: str, cohort: Cohort | None = None
) -> EvaluationReport:
    """Score a network on a cohort (None: the validation patients) and write metrics.json, metrics.md and pictures.

    Masks are tidied as `export` of the same configuration has it. Returns the stored report when weights, data and
    settings are the same as last time.
    """
    ws.check_labels(checkpoint.meta)
    cohort = cohort or ws.validation
    result = scores_result(ws, checkpoint.meta, folder, cohort)
    if (kept := result.stored(EvaluationReport.from_json)) is not None:
        return kept
    run = torch_run(checkpoint.network, resolve_device(ws.config.experiment.device))
    rules = ws.rules_of(checkpoint.meta)
    rule = tidy_rule(ws, ScoreFiles(folder).tried, checkpoint)
    tidy = rule.on(checkpoint.meta.labels)
    items: list[SlicePicture] = []
    scores: list[VolumeScore] = []
    for scored in predictions(ws, run, cohort, rules, name=f"Evaluating {name}", surface=hd95, tidy=tidy):
        items.extend(slices_of(scored.volume, [scored.mask]))
        scores.append(scored.score)
    report = evaluate(scores)
    _pictures(ws, items, folder, name, phantom=cohort.phantom)
    said = f"{_data_line(ws, cohort)} Masks: {rule}."
    heading = f"# {plain(name)}\n\n{said}\n\n"
    whole = ws.config.evaluation.num_slices_per_volume is None
    write_text(ScoreFiles(folder).table, heading + report.to_markdown(clinical=whole))
    clinical = {} if whole else {"clinical": None}
    result.store({"phantom": cohort.phantom, "postprocessing": str(rule), **report.to_json(), **clinical})
    return report


def scores_of(ws: Workspace, stage: Stage, *, name: str) -> EvaluationReport | None:
    """A finished network's scores on the validation patients; None when it was never evaluated.

    Scores that are no longer of this network and these patients are computed again.
    """
    if not ScoreFiles(stage.evaluation).scores.is_file():
        return None
    result = scores_result(ws, read_meta(stage.final), stage.evaluation, ws.validation)
    return result.stored(EvaluationReport.from_json) or evaluate_checkpoint(
        ws, load(stage.final), stage.evaluation, name=name
    )


def scores_after_pruning(ws: Workspace, stage: Stage) -> EvaluationReport | None:
    """The same right after pruning; None where they are not known any more, as that network is not kept."""
    result = scores_result(ws, read_meta(stage.final), stage.evaluation_after_pruning, ws.validation)

    def restore() -> EvaluationReport:
        document = read_json(result.path)
        if any(document["inputs"][key] != result.inputs[key] for key in ("data", "settings")):
            raise ValueError("of other patients")
        return EvaluationReport.from_json(document)

    return intact(restore)


def scores_result(ws: Workspace, meta: Meta, folder: Path, cohort: Cohort) -> Result:
    """Where a network's scores on a cohort are stored, and what they depend on."""
    rules = ws.rules_of(meta)
    settings = ws.config.evaluation.model_dump(include={"num_slices_per_volume", "num_visuals"})
    if ws.config.export.tidies:
        settings |= ws.config.export.model_dump(include={"postprocess", "fill_holes", "drop_bare"}, mode="json")
    inputs = {"network": meta.digest, "data": cohort.identity(rules), "settings": digest_json(settings)}
    return Result(ScoreFiles(folder).scores, inputs)


def _data_line(ws: Workspace, cohort: Cohort) -> str:
    patients = len({s.patient for s in cohort.cases})
    kind = "PHANTOM (synthetic) data: these figures say nothing about patients." if cohort.phantom else "Real data."
    thin = ws.config.evaluation.num_slices_per_volume
    note = f" Only {thin} slices per volume: no clinical volumes." if thin else ""
    return f"{kind} {patients} patients, {len(cohort.cases)} volumes.{note}"


def _pictures(ws: Workspace, items: list[SlicePicture], folder: Path, name: str, *, phantom: bool) -> None:
    for kind, chosen in pick_slices(items, ws.config.evaluation.num_visuals).items():
        path = ScoreFiles(folder).overlay(kind)
        path.unlink(missing_ok=True)
        if chosen:
            save_slices(path, chosen, f"{name}: {kind} slices", ws.labels, phantom=phantom)
