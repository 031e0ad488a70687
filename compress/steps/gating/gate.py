"""`gate`: may a candidate take the place of its baseline? Both files scored on one cohort, and judged per patient.

Files that were altered after their export are refused before anything is scored (`Segmenter` compares the digests in
their self-tests, `compress.runtime.golden.changes`): a verdict on them would be about nothing that was exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import ConfigError, InputError
from compress.evaluate.judging import judge
from compress.evaluate.summary import EvaluationReport, evaluate
from compress.evaluate.verdict import Named, Verdict
from compress.evaluate.verdict_table import markdown
from compress.files import digest_json, read_json, write_json, write_text
from compress.report.gate_page import write_gate_page
from compress.report.slice_pictures import save_slices
from compress.report.slices import SlicePicture, pick_pairs, slices_of_cases
from compress.rundir import GateFiles
from compress.runtime.segmenter import Segmenter
from compress.steps.gating.refusals import check_cohort, check_folds, check_size, open_pair
from compress.steps.gating.scores import Scored, score_file
from compress.steps.networks import display_names, folder_name
from compress.steps.workspace import Workspace


def gate(ws: Workspace, baseline: Path, candidate: Path, *, out: Path | None = None) -> tuple[Verdict, GateFiles]:
    """Score both files on `ws.evaluation`, judge, and write the folder of the verdict, accepted or not.

    out: the folder; None: the run's own, `gate/<candidate name>`. Provider and threads are those of `bench`.
    A refusal is a verdict, no error. Raises what `open_pair`, `check_cohort` and `check_size` raise, before anything is
    scored.
    """
    return gate_pairs([Pair(ws, baseline, candidate)], out=out)


@dataclass(frozen=True)
class Pair:
    """Two files that are compared on one run's cohort."""

    ws: Workspace
    baseline: Path
    candidate: Path


def gate_pairs(pairs: Sequence[Pair], *, out: Path | None = None) -> tuple[Verdict, GateFiles]:
    """As `gate`, of one pair or of several that were trained by one recipe: judged on the patients of all together.

    Settings, names and the default folder (`gate/<candidate name>-folds`) are the first's. Raises `ConfigError` also
    for pairs that share patients, and for runs of different data.
    """
    ws, bench = pairs[0].ws, pairs[0].ws.config.bench
    _check_out(out)
    models = []
    for pair in pairs:
        paths = pair.baseline, pair.candidate
        models.append(open_pair(pair.ws, paths, provider=bench.provider, threads=bench.threads))
        check_cohort(pair.ws, models[-1][0])
    check_folds([pair.ws for pair in pairs])
    cases = [case for pair in pairs for case in pair.ws.evaluation.cases]
    check_size(cases, ws.config.gate)
    names = display_names(ws, (pairs[0].baseline, pairs[0].candidate))
    scored = [_score(pair, both, names) for pair, both in zip(pairs, models, strict=True)]
    first, second = (evaluate(v for each in side for v in each.report.volumes) for side in zip(*scored, strict=True))
    cohorts = [pair.ws.evaluation.digest for pair in pairs]
    verdict = judge(
        first,
        second,
        ws.config.gate,
        names=(_named(names[0], [both[0] for both in models]), _named(names[1], [both[1] for both in models])),
        data=cohorts[0] if len(pairs) == 1 else digest_json(cohorts),
        phantom=any(pair.ws.evaluation.phantom for pair in pairs),
        folds=len(pairs),
    )
    name = folder_name(names[1]) + ("-folds" if len(pairs) > 1 else "")
    files = GateFiles(out) if out else ws.run.gate(name)
    ws.record_config("bench", "evaluation", "gate")
    masks = ((one.mask(index), two.mask(index)) for one, two in scored for index in range(len(one.report.volumes)))
    _write(ws, files, verdict, (first, second), slices_of_cases(cases, masks))
    return verdict, files


def _score(pair: Pair, models: tuple[Segmenter, Segmenter], names: tuple[str, str]) -> tuple[Scored, Scored]:
    first = score_file(pair.ws, models[0], pair.ws.evaluation, name=names[0])
    same = models[0].session.file.sha256 == models[1].session.file.sha256
    return first, first if same else score_file(pair.ws, models[1], pair.ws.evaluation, name=names[1])


def _check_out(out: Path | None) -> None:
    """Fail before scoring if the output folder cannot be created."""
    blocking = next((path for path in (out, *out.parents) if path.exists()), None) if out else None
    if blocking is not None and not blocking.is_dir():
        raise ConfigError(f"The verdict cannot go to {out}: {blocking} is a file.", cure="Name a folder with --out.")


def _named(name: str, models: Sequence[Segmenter]) -> Named:
    """One file by its own digest; those of folds by the digest of all: such a verdict is on none of them."""
    digests = [model.session.file.sha256 for model in models]
    return Named(name, digests[0] if len(digests) == 1 else digest_json(digests))


def _write(
    ws: Workspace,
    files: GateFiles,
    verdict: Verdict,
    reports: tuple[EvaluationReport, EvaluationReport],
    slices: Iterable[SlicePicture],
) -> None:
    """Order matters: delete the old verdict, write what it refers to, then the new verdict, then the page."""
    _warn_of_another(ws, files, verdict)
    files.verdict.unlink(missing_ok=True)
    write_json(files.baseline, reports[0].to_json())
    write_json(files.candidate, reports[1].to_json())
    write_text(files.summary, markdown(verdict))
    names = verdict.baseline.name, verdict.candidate.name
    title = f"{names[1]} against {names[0]}: where they differ most"
    save_slices(files.overlays, pick_pairs(slices), title, ws.labels, columns=names, phantom=verdict.phantom)
    write_json(files.verdict, verdict.to_json())
    write_gate_page(files.root)


def _warn_of_another(ws: Workspace, files: GateFiles, verdict: Verdict) -> None:
    try:
        earlier = Verdict.from_json(read_json(files.verdict))
    except InputError:  # none, or a damaged one
        return
    if earlier.candidate.sha256 != verdict.candidate.sha256:
        ws.progress.warn(f"{files.root} held the verdict on another file ({earlier.candidate.sha256[:12]}): replaced.")
