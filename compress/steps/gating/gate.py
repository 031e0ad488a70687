"""`gate`: may a candidate take the place of its baseline? Both files scored on one cohort, and judged per patient.

Files that were altered after their export are refused before anything is scored (`Segmenter` compares the digests in
their self-tests, `compress.runtime.golden.changes`): a verdict on them would be about nothing that was exported.
"""

from __future__ import annotations

from pathlib import Path

from compress.errors import ConfigError, InputError
from compress.evaluate.judging import judge
from compress.evaluate.verdict import Named, Verdict
from compress.evaluate.verdict_table import markdown
from compress.files import read_json, write_json, write_text
from compress.report.gate_page import write_gate_page
from compress.report.slice_pictures import save_slices
from compress.report.slices import pick_pairs, slices_of_cases
from compress.rundir import GateFiles
from compress.runtime.segmenter import Segmenter
from compress.steps.gating.refusals import check_cohort, open_pair
from compress.steps.gating.scores import Scored, score_file
from compress.steps.networks import display_names, folder_name
from compress.steps.workspace import Workspace


def gate(ws: Workspace, baseline: Path, candidate: Path, *, out: Path | None = None) -> tuple[Verdict, GateFiles]:
    """Score both files on `ws.evaluation`, judge, and write the folder of the verdict, accepted or not.

    out: the folder; None: the run's own, `gate/<candidate name>`. Provider and threads are those of `bench`.
    A refusal is a verdict, no error. Raises what `open_pair` and `check_cohort` raise, before anything is scored.
    """
    paths, bench = (baseline, candidate), ws.config.bench
    _check_out(out)
    models = open_pair(ws, paths, provider=bench.provider, threads=bench.threads)
    check_cohort(ws, models[0])
    names = display_names(ws, paths)
    cohort = ws.evaluation
    ws.record_config("bench", "evaluation", "gate")
    first = score_file(ws, models[0], cohort, name=names[0])
    same = models[0].session.file.sha256 == models[1].session.file.sha256
    second = first if same else score_file(ws, models[1], cohort, name=names[1])
    verdict = judge(
        first.report,
        second.report,
        ws.config.gate,
        names=(_named(names[0], models[0]), _named(names[1], models[1])),
        data=cohort.digest,
        phantom=cohort.phantom,
    )
    files = GateFiles(out) if out else ws.run.gate(folder_name(names[1]))
    _write(ws, files, verdict, first, second)
    return verdict, files


def _check_out(out: Path | None) -> None:
    """Fail before scoring if the output folder cannot be created."""
    blocking = next((path for path in (out, *out.parents) if path.exists()), None) if out else None
    if blocking is not None and not blocking.is_dir():
        raise ConfigError(f"The verdict cannot go to {out}: {blocking} is a file.", cure="Name a folder with --out.")


def _named(name: str, model: Segmenter) -> Named:
    return Named(name, model.session.file.sha256)


def _write(ws: Workspace, files: GateFiles, verdict: Verdict, baseline: Scored, candidate: Scored) -> None:
    """Order matters: delete the old verdict, write what it refers to, then the new verdict, then the page."""
    _warn_of_another(ws, files, verdict)
    files.verdict.unlink(missing_ok=True)
    write_json(files.baseline, baseline.report.to_json())
    write_json(files.candidate, candidate.report.to_json())
    write_text(files.summary, markdown(verdict))
    cases = ws.evaluation.cases
    masks = ((baseline.mask(index), candidate.mask(index)) for index in range(len(cases)))
    items = pick_pairs(slices_of_cases(cases, masks))
    names = verdict.baseline.name, verdict.candidate.name
    title = f"{names[1]} against {names[0]}: where they differ most"
    save_slices(files.overlays, items, title, ws.labels, columns=names, phantom=verdict.phantom)
    write_json(files.verdict, verdict.to_json())
    write_gate_page(files.root)


def _warn_of_another(ws: Workspace, files: GateFiles, verdict: Verdict) -> None:
    try:
        earlier = Verdict.from_json(read_json(files.verdict))
    except InputError:  # none, or a damaged one
        return
    if earlier.candidate.sha256 != verdict.candidate.sha256:
        ws.progress.warn(f"{files.root} held the verdict on another file ({earlier.candidate.sha256[:12]}): replaced.")
