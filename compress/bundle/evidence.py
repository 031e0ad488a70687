"""The evidence that goes into a bundle: the gate's verdict, and documents about the very file that is shipped.

A document about another file is refused: a bundle must not borrow the figures of its float parent or of last week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compress.bundle.manifest import check_name
from compress.errors import ConfigError, DataError
from compress.evaluate.quantized import QuantizeRecord, read_quantize_record
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import MAX_DOCUMENT, check_regular, read_json
from compress.rundir import GateFiles, parity_beside, quantize_record
from compress.runtime.modelfile import ModelFile
from compress.text import short

SUFFIXES = (".json", ".md", ".txt", ".csv", ".html", ".png", ".svg", ".pdf")
"""What evidence may be: documents and pictures, no images of patients and no models."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a file."""

    verdict: Verdict | None = None
    candidate: EvaluationReport | None = None
    """The candidate's scores on the gate's patients."""
    quantization: QuantizeRecord | None = None
    files: dict[str, Path] = field(default_factory=dict)
    """Name in the bundle's evidence folder -> source."""


def find_verdict(verdicts: Sequence[Path], file: ModelFile, baseline: ModelFile | None) -> Path | None:
    """The verdict that speaks of this file (and baseline); None when there is none.

    Raises `ConfigError` when several do: which one counts is the user's to say.
    """
    found = []
    for path in verdicts:
        verdict = _read_verdict(path)
        fits = baseline is None or verdict.baseline.sha256 == baseline.sha256
        if verdict.candidate.sha256 == file.sha256 and fits:
            found.append(path)
    if len(found) > 1:
        named = ", ".join(map(str, found))
        raise ConfigError(f"{len(found)} verdicts speak of {file.path.name}: {named}.", cure="Pass one with --verdict.")
    return found[0] if found else None


def gather(
    file: ModelFile,
    *,
    baseline: ModelFile | None,
    verdict: Path | None,
    given: Sequence[Path] = (),
    benchmarks: Sequence[Path] = (),
) -> Evidence:
    """All evidence about `file`: its verdict's folder, what `quantize` and `export` left beside it, and what is given.

    Of the run's `benchmarks` those that measured the file are taken along, with their tables.

    Raises `DataError` for a document about another file or baseline, and `InputError` for one that cannot be read.
    """
    files: dict[str, Path] = {}
    found = scores = None
    if verdict is not None:
        found = _checked_verdict(verdict, file, baseline)
        left = GateFiles(verdict.parent)
        files |= {path.name: path for path in left.named() if path.is_file()} | {left.verdict.name: verdict}
        scores = _scores(files.get(left.candidate.name))
    if (record := quantize_record(file.path)).is_file():
        files["quantize.json"] = record
    files |= _found(file, benchmarks)
    for path in given:
        name = _evidence_name(path)
        if name in files and not path.samefile(files[name]):
            raise ConfigError(f"Two documents would be evidence/{name}: {files[name]} and {path}.", cure="Rename one.")
        files[name] = path
    for path in files.values():
        check_regular(path, most=MAX_DOCUMENT)
    quantization = _quantization(files.get("quantize.json"), file)
    _check_subjects(files, file, baseline)
    return Evidence(found, scores, quantization, dict(sorted(files.items())))


def _read_verdict(path: Path) -> Verdict:
    try:
        return Verdict.from_json(read_json(path))
    except DataError as fault:
        raise DataError(f"{path}: {fault.message}", cure=fault.cure) from None


def _checked_verdict(path: Path, file: ModelFile, baseline: ModelFile | None) -> Verdict:
    """The verdict, when it speaks of these files and does not contradict itself."""
    verdict = _read_verdict(path)
    if verdict.candidate.sha256 != file.sha256:
        raise _stranger(path, verdict.candidate.sha256, file)
    if baseline is not None and verdict.baseline.sha256 != baseline.sha256:
        raise _stranger(path, verdict.baseline.sha256, baseline)
    passed = bool(verdict.endpoints) and all(row.passed for row in (*verdict.endpoints, *verdict.limits))
    if verdict.accepted != (passed and not verdict.reasons):
        raise DataError(f"{path} contradicts itself: accepted is {verdict.accepted}.", cure="Run the gate again.")
    return verdict


def _scores(path: Path | None) -> EvaluationReport | None:
    if path is None:
        return None
    try:
        return EvaluationReport.from_json(read_json(path))
    except DataError as fault:
        raise DataError(f"{path}: {fault.message}", cure=fault.cure) from None


def _found(file: ModelFile, benchmarks: Sequence[Path]) -> dict[str, Path]:
    """Parity and benchmarks when they are about this file: a quantized one lies beside its parent's parity.json."""
    found = {}
    for path in (parity_beside(file.path), *benchmarks):
        if path.is_file() and _speaks_of(path, file):
            found[path.name] = path
            if (table := path.with_suffix(".md")).is_file():
                found[table.name] = table
    return found


def _evidence_name(path: Path) -> str:
    try:
        name = check_name(path.name)
    except ValueError as fault:
        raise ConfigError(f"Evidence {path} has {fault}.", cure="Rename it.") from None
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} is no evidence: {', '.join(SUFFIXES)} are taken.", cure="Leave it out.")
    return name


def _quantization(path: Path | None, file: ModelFile) -> QuantizeRecord | None:
    if path is None:
        return None
    record = read_quantize_record(path)
    if record.file.sha256 != file.sha256:
        raise _stranger(path, record.file.sha256, file)
    return record


def _check_subjects(files: dict[str, Path], file: ModelFile, baseline: ModelFile | None) -> None:
    """Every JSON document must name the file's digest; scores come from the verdict's folder and name none."""
    subjects = [file] if baseline is None else [file, baseline]
    for name, path in files.items():
        own = name in ("baseline.json", "candidate.json") and "verdict.json" in files
        if path.suffix == ".json" and not own and not any(_speaks_of(path, each) for each in subjects):
            raise DataError(
                f"{path} speaks of another file: the SHA-256 of {file.path.name} ({short(file.sha256)}) is not in it.",
                cure="Measure this file, or leave the document out.",
            )


def _speaks_of(path: Path, file: ModelFile) -> bool:
    """Whether a JSON document holds the file's digest."""
    waiting, seen = [read_json(path)], False
    while waiting and not seen:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        else:
            seen = value == file.sha256
    return seen


def _stranger(path: Path, digest: str, file: ModelFile) -> DataError:
    return DataError(
        f"{path} speaks of another file ({short(digest)}) than {file.path.name} ({short(file.sha256)}).",
        cure="Measure this file, or leave the document out.",
    )
