"""What the HTML pages tell, read from a run folder's own files; nothing is measured here but intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from compress.bench.machine_report import MachineBench
from compress.bench.report import BenchReport
from compress.bundle.files import read_manifest
from compress.bundle.manifest import Manifest
from compress.errors import InputError
from compress.evaluate.noninferiority import interval
from compress.evaluate.quantized import QuantizeRecord, read_quantize_record
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import digest_file, read_json
from compress.rundir import GateFiles, Stage
from compress.steps.benching.elsewhere import read_machine_bench
from compress.steps.networks import own_files, stages_of
from compress.steps.reporting.summary import summarise
from compress.steps.reuse import DAMAGED
from compress.steps.scoring.checkpoint import scores_of
from compress.steps.workspace import Workspace

T = TypeVar("T")
PerVolume = Mapping[str, float]
"""Volume name, such as "patient001_ED" -> mean 3D Dice."""


@dataclass(frozen=True)
class Network:
    """One finished network of the run."""

    name: str
    stage: Stage
    row: dict[str, Any]
    """See `compress.steps.reporting.summary.summarise`."""
    scores: EvaluationReport | None
    """On the validation patients; None when it was not evaluated."""
    whole: bool
    """Whether whole volumes were scored: only then do volumes in ml mean anything."""


@dataclass(frozen=True)
class Difference:
    """Mean paired difference of Dice over `patients`, with its 95% interval (None below two patients)."""

    mean: float
    low: float | None
    high: float | None
    patients: int


@dataclass(frozen=True)
class RunFacts:
    """Everything that the run's page shows."""

    title: str
    phantom: bool
    networks: list[Network]
    benches: dict[str, BenchReport]
    """Provider -> what was measured on it."""
    verdicts: list[tuple[str | None, Verdict]]
    """(address of its page from the run folder, None where there is no page; the verdict)."""
    quantized: list[tuple[str, QuantizeRecord]]
    """(network, what was measured of its quantized file)."""
    elsewhere: list[MachineBench]
    """What other machines measured of this run's files and sent back."""
    data: dict[str, Any]
    split: dict[str, Any]
    environment: dict[str, Any]
    bundles: list[tuple[str, Manifest]]
    """(folder below the run folder, what `ship` says of it)."""
    unread: list[str]
    """Files that are there and are not shown, in words: damaged, of another version, or about files that changed."""

    @property
    def dense(self) -> Network | None:
        return next((network for network in self.networks if network.name == "dense"), None)

    @property
    def compressed(self) -> list[Network]:
        return [network for network in self.networks if network.name != "dense"]


def gather(ws: Workspace) -> RunFacts:
    """Read the run folder. A benchmark, verdict or record of another version becomes a line in `unread`."""
    networks = [_network(ws, name, stage) for name, stage in stages_of(ws).items()]
    unread: list[str] = []
    present = {name: digest_file(path) for name, path in own_files(ws).items()}
    return RunFacts(
        title=ws.config.experiment.experiment_name,
        phantom=ws.training.phantom or any(network.row["phantom"] for network in networks),
        networks=networks,
        benches=dict(_each(lambda path: _bench(path, present), ws.run.benchmarks(), unread)),
        verdicts=_each(lambda path: _verdict(path, present), ws.run.verdicts(), unread),
        quantized=[
            (network.name, record)
            for network in networks
            for record in _each(_quantize_record, network.stage.quantize_records(), unread)
        ],
        elsewhere=_each(lambda path: _elsewhere(path, present), ws.run.all_measured_elsewhere(), unread),
        data=ws.data_facts(),
        split=asdict(ws.split),
        environment=_soft(lambda path: dict(read_json(path)), ws.run.environment, unread) or {},
        bundles=_each(lambda path: _bundle(ws, path), ws.run.bundles(), unread),
        unread=unread,
    )


def paired_difference(baseline: PerVolume, candidate: PerVolume) -> Difference | None:
    """Candidate minus baseline over the volumes that both have, averaged per patient first; None without any."""
    patients: dict[str, list[float]] = {}
    for volume in baseline.keys() & candidate.keys():
        patients.setdefault(re.sub(r"_(ED|ES)$", "", volume), []).append(candidate[volume] - baseline[volume])
    if not patients:
        return None
    # Sums of floats depend on their order, and the order of a set on nothing that is known.
    means = np.array([np.mean(sorted(patients[name])) for name in sorted(patients)])
    low, high = interval(means) if len(means) > 1 else (None, None)
    return Difference(float(means.mean()), low, high, len(means))


def dice_difference(report: BenchReport, model: str) -> Difference | None:
    """A model's Dice minus the baseline's in a benchmark; None where it was not measured."""
    measured = report.dice_per_volume
    if not {model, report.baseline} <= measured.keys():
        return None
    return paired_difference(measured[report.baseline], measured[model])


def dice_per_volume(scores: EvaluationReport) -> dict[str, float]:
    """Mean 3D Dice over structures, by volume name."""
    return {volume.name: volume.mean_dice for volume in scores.volumes}


def _network(ws: Workspace, name: str, stage: Stage) -> Network:
    row = summarise(ws, name, stage)
    whole = ws.config.evaluation.num_slices_per_volume is None
    return Network(name, stage, row, scores_of(ws, stage, name=name), whole)


def _soft(read: Any, path: Path, unread: list[str]) -> Any:
    try:
        return read(path)
    except DAMAGED as fault:
        reason = fault if isinstance(fault, InputError) else "It is damaged."
        unread.append(f"{path.parent.name}/{path.name} is not shown. {reason}")
        return None


def _each(read: Callable[[Path], T], paths: Iterable[Path], unread: list[str]) -> list[T]:
    return [found for path in paths if (found := _soft(read, path, unread)) is not None]


def _refuse_changed(measured: Mapping[str, str], present: Mapping[str, str], command: str) -> None:
    """Raise `InputError` where a file of the run is no longer the one that was measured."""
    for name, digest in measured.items():
        if present.get(name, digest) != digest:
            raise InputError(f"It speaks of an earlier file of {name}.", cure=f"Run `cardiocompress {command}` again.")


def _bench(path: Path, present: Mapping[str, str]) -> tuple[str, BenchReport]:
    report = BenchReport.from_json(read_json(path))
    _refuse_changed({model.name: model.sha256 for model in report.models}, present, "bench")
    return path.stem.removeprefix("bench-"), report


def _elsewhere(path: Path, present: Mapping[str, str]) -> MachineBench:
    """With the names that this run gives its files."""
    report = read_machine_bench(path)
    names = {digest: name for name, digest in present.items()}
    if not any(model.sha256 in names for model in report.models):
        raise InputError("It speaks of no file that this run holds now.", cure="Have the present files measured.")
    models = tuple(
        replace(model, name=names.get(model.sha256, f"{model.name} (not of this run)")) for model in report.models
    )
    return replace(report, models=models)


def _bundle(ws: Workspace, path: Path) -> tuple[str, Manifest]:
    return str(path.parent.relative_to(ws.run.root)), read_manifest(path.parent)


def _verdict(path: Path, present: Mapping[str, str]) -> tuple[str | None, Verdict]:
    verdict = Verdict.from_json(read_json(path))
    _refuse_changed({side.name: side.sha256 for side in (verdict.baseline, verdict.candidate)}, present, "gate")
    page = GateFiles(path.parent).report
    link = "/".join(map(quote, page.parts[-3:])) if page.is_file() else None
    return link, verdict


def _quantize_record(path: Path) -> QuantizeRecord:
    record = read_quantize_record(path)
    file = path.with_name(record.file.name)
    if not file.is_file() or digest_file(file) != record.file.sha256:
        raise InputError(f"It speaks of an earlier {file.name}.", cure="Quantize again.")
    return record
