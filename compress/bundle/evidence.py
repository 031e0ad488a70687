"""The evidence that goes into a bundle: the gate's verdict, and documents about the very file that is shipped.

A JSON document about another file is refused (a text or a picture cannot say which it is about): a bundle must not
borrow the figures of its float parent or of last week.
What was not named by the user is data alone: every page and table of a gate or benchmark is written anew from its
JSON, and no link is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.bench.report import BenchReport
from compress.bench.table import markdown as bench_markdown
from compress.bundle.judged import Judged
from compress.bundle.manifest import check_name
from compress.errors import ConfigError, DataError, InputError
from compress.evaluate.quantized import QuantizeRecord, read_quantize_record
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.files import json_text, parse_json, read_json
from compress.outside import MAX_DOCUMENT, is_there, read_bytes
from compress.rundir import parity_beside, quantize_record
from compress.runtime.modelfile import ModelFile
from compress.text import every_text, short, without_folders

SUFFIXES = (".json", ".md", ".txt", ".csv", ".png", ".pdf")
"""What evidence may be: documents and pictures, nothing that a browser would run, no images of patients, no models."""

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Evidence:
    """What speaks for a file."""

    verdict: Verdict | None = None
    candidate: EvaluationReport | None = None
    """The candidate's scores on the gate's patients."""
    rules: tuple[str, ...] = ()
    """Where the gate judged by other settings than the default ones."""
    quantization: QuantizeRecord | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    """Name in the bundle's evidence folder -> content."""


def find_verdict(verdicts: Sequence[Path], file: ModelFile, baseline: ModelFile | None) -> Path | None:
    """The verdict that speaks of this file (and baseline); None when there is none.

    Raises `ConfigError` when several do: which one counts is the user's to say.
    """
    found = []
    for path in verdicts:
        verdict = _verdict_in(read_json(path), path)
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
    named: bool = True,
    given: Sequence[Path] = (),
    benchmarks: Sequence[Path] = (),
) -> Evidence:
    """All evidence about `file`: its verdict's folder, what `quantize` and `export` left beside it, and what is given.

    named: whether the user named the verdict, or it was found.
    Of the run's `benchmarks` those that measured the file are taken along, with their tables.

    Raises `DataError` for a document about another file or baseline, for a verdict that its scores do not bear out,
    and `InputError` for a document that cannot be read or is a link that nobody named.
    """
    files: dict[str, bytes] = {}
    judged = Judged()
    if verdict is not None:
        stored = _verdict_in(read_json(verdict, named=named), verdict)
        _check_subject(stored, verdict, file, baseline)
        from compress.bundle.proof import judged_anew  # with scipy: seconds that nobody waits for without a verdict

        judged = judged_anew(stored, verdict)
        files |= judged.files
    record = quantize_record(file.path)
    quantization = _quantization(record, file) if is_there(record) else None
    if quantization is not None:
        files["quantize.json"] = json_text(quantization.to_json())
    files |= _found(file, benchmarks)
    for path in given:
        name, content = _evidence_name(path), read_bytes(path, most=MAX_DOCUMENT, named=True)
        if files.get(name, content) != content:
            raise ConfigError(f"Two different documents would be evidence/{name}; {path} is one.", cure="Rename one.")
        _check_given(path, content, file, baseline)
        files[name] = content
    return Evidence(judged.verdict, judged.candidate, judged.rules, quantization, dict(sorted(files.items())))


def _verdict_in(document: Any, path: Path) -> Verdict:
    try:
        return Verdict.from_json(document)
    except DataError as fault:
        raise DataError(f"{path}: {fault.message}", cure=fault.cure) from None


def _check_subject(verdict: Verdict, path: Path, file: ModelFile, baseline: ModelFile | None) -> None:
    """The verdict must speak of these files and must not contradict itself."""
    if verdict.candidate.sha256 != file.sha256:
        raise _stranger(path, verdict.candidate.sha256, file)
    if baseline is not None and verdict.baseline.sha256 != baseline.sha256:
        raise _stranger(path, verdict.baseline.sha256, baseline)
    passed = bool(verdict.endpoints) and all(row.passed for row in (*verdict.endpoints, *verdict.limits))
    if verdict.accepted != (passed and not verdict.reasons):
        raise DataError(f"{path} contradicts itself: accepted is {verdict.accepted}.", cure="Run the gate again.")


def _found(file: ModelFile, benchmarks: Sequence[Path]) -> dict[str, bytes]:
    """Parity and benchmarks when they are about this file: a quantized one lies beside its parent's parity.json."""
    found = {}
    parity = parity_beside(file.path)
    if is_there(parity) and _speaks_of(document := read_json(parity), file):
        found[parity.name] = json_text(every_text(document, without_folders))
    for path in benchmarks:
        if _speaks_of(document := read_json(path), file):
            report = BenchReport.from_json(_short_names(every_text(document, without_folders)))
            found[path.name] = json_text(report.to_json())
            found[path.with_suffix(".md").name] = bench_markdown(report).encode()
    return found


def _short_names(benchmark: Any) -> Any:
    """A benchmark whose models are not called by their folders."""
    models = benchmark.get("models") if isinstance(benchmark, dict) else None
    names = [row["name"] for row in models or () if isinstance(row, dict) and isinstance(row.get("name"), str)]
    last = [name.rpartition("/")[2] for name in names]
    numbered = [name if last.count(name) == 1 else f"{number}:{name}" for number, name in enumerate(last, start=1)]
    table = {old: new for old, new in zip(names, numbered, strict=True) if "/" in old}

    def short_name(text: str) -> str:
        name, colon, rest = text.partition(": ")
        return table.get(name, name) + colon + rest

    return every_text(benchmark, short_name) if table else benchmark


def _evidence_name(path: Path) -> str:
    try:
        name = check_name(path.name)
    except ValueError as fault:
        raise ConfigError(f"Evidence {path} has {fault}.", cure="Rename it.") from None
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} is no evidence: {', '.join(SUFFIXES)} are taken.", cure="Leave it out.")
    return name


def _quantization(path: Path, file: ModelFile) -> QuantizeRecord:
    record = read_quantize_record(path)
    if record.file.sha256 != file.sha256:
        raise _stranger(path, record.file.sha256, file)
    return record


def _check_given(path: Path, content: bytes, file: ModelFile, baseline: ModelFile | None) -> None:
    """A JSON document must name the file's digest; a PNG must be one."""
    if path.suffix.lower() == ".png" and not content.startswith(_PNG):
        raise DataError(f"{path} is no PNG picture.", cure="Leave it out.")
    if path.suffix.lower() != ".json":
        return
    try:
        document = parse_json(content)
    except (ValueError, RecursionError) as fault:
        raise InputError(f"{path} is not readable JSON: {fault}.") from None
    if not any(_speaks_of(document, each) for each in (file, baseline) if each is not None):
        raise DataError(
            f"{path} speaks of another file: the SHA-256 of {file.path.name} ({short(file.sha256)}) is not in it.",
            cure="Measure this file, or leave the document out.",
        )


def _speaks_of(document: Any, file: ModelFile) -> bool:
    """Whether a JSON document holds the file's digest."""
    waiting, seen = [document], False
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
