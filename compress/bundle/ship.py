"""`ship`: one folder with a model, what speaks for it and what it takes to run it; whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from compress import __version__
from compress.bundle.contents import BASELINE, EVIDENCE, EXAMPLE_IMAGE, MANIFEST, MODEL, SBOM, SIGNATURE, SUMS
from compress.bundle.documents import documents
from compress.bundle.evidence import Evidence, find_verdict, gather
from compress.bundle.example import example_bytes
from compress.bundle.files import extra_files, read_manifest
from compress.bundle.manifest import Manifest, check_signer
from compress.bundle.program import program_files
from compress.bundle.sbom import bundle_sbom
from compress.bundle.shipment import Shipment
from compress.bundle.signature import Signer, signer
from compress.bundle.web.page import web_files
from compress.bundle.wheel import wheel_name
from compress.bundle.writing import Writing, private, put_in_place
from compress.errors import ConfigError, GateError, ModelFileError
from compress.files import writing
from compress.progress import SILENT, Progress
from compress.rundir import RunDir, bundle_dir
from compress.runtime.card import read_card
from compress.runtime.modelfile import ModelFile, read_model_file, refuse_control_flow
from compress.runtime.verify import verify
from compress.runtime.versions import versions


@dataclass(frozen=True)
class ShipRequest:
    """What to ship, and what speaks for it."""

    candidate: Path
    baseline: Path | None = None
    verdict: Path | None = None
    """None: the one among `run`'s verdicts that speaks of the candidate."""
    evidence: tuple[Path, ...] = ()
    out: Path | None = None
    """None: <stem>-bundle beside the candidate."""
    run: RunDir | None = None
    sign_key: Path | None = None
    web: bool = False
    """Add segment.html, which segments in a browser, and the same as an ES module."""
    ungated: bool = False
    """Ship without an accepted verdict; every document says so."""
    restart: bool = False
    """Replace an earlier bundle."""
    threads: int | None = None
    signer: str = ""
    """The name that the signer gives; it stands in the manifest, which the signature covers."""
    wheels: bool = False
    """Collect the wheels of all that the bundle's program needs, for machines without a network."""


@dataclass(frozen=True)
class Shipped:
    """What was written."""

    folder: Path
    manifest: Manifest
    not_gated: str
    """Why the model is not gated; "" when an acceptance gate accepted it."""
    evidence: tuple[str, ...]
    key: str = ""
    """The fingerprint of the key that signed it; "" without a signature."""


def ship(request: ShipRequest, progress: Progress = SILENT) -> Shipped:
    """Write the bundle. Equal inputs on one day give equal bytes, but for a signature.

    The day is that of the environment variable SOURCE_DATE_EPOCH where it is set. Modes are as the umask has them.

    Raises `GateError` without an accepted verdict (unless `ungated`), and for a file that was altered after its
    export or whose self-test is broken here; `ModelFileError` for a file that is not one of ours; `ConfigError` when
    the folder is there; `InputError` and `DataError` for keys and evidence that do not fit; `EnvironmentFault` when
    the folder cannot be written or a package is missing. Whatever is raised, nothing of the bundle is left.
    """
    with writing(out := request.out or bundle_dir(request.candidate)):
        _check_place(out, restart=request.restart)
        if request.signer and request.sign_key is None:
            raise ConfigError("A signer's name means nothing without a signature.", cure="Pass --sign-key as well.")
        sign = None if request.sign_key is None else signer(request.sign_key)
        file, baseline = _sound(request.candidate), request.baseline and _sound(request.baseline)
        evidence = _evidence_of(request, file, baseline)
        shipment = _describe(request, file, baseline, evidence)
        if shipment.not_gated and not request.ungated:
            raise GateError(
                f"{file.path} is not shipped: {shipment.not_gated}.",
                cure="Let `cardiocompress gate` accept it (--verdict names a verdict), or pass --ungated.",
            )
        for each in filter(None, (file, baseline)):
            _prove(each, threads=request.threads)
        with private(out) as folder:
            manifest = _fill(folder, shipment, evidence, sign, progress)
            put_in_place(folder, out, restart=request.restart)
    return Shipped(out, manifest, shipment.not_gated, tuple(evidence.files), sign.fingerprint if sign else "")


def _sound(path: Path) -> ModelFile:
    file = read_model_file(path)
    refuse_control_flow(file)
    read_card(file.metadata, path)
    return file


def _prove(file: ModelFile, *, threads: int | None) -> None:
    """Raise `GateError` unless the file is as it was exported and its self-test holds here."""
    found = verify(file, threads=threads)
    if not found.ok:
        raise GateError(f"{file.path} is broken here: {'; '.join(found.reasons)}.", cure="Copy or export it again.")


def _evidence_of(request: ShipRequest, file: ModelFile, baseline: ModelFile | None) -> Evidence:
    verdicts, benchmarks = ([], []) if request.run is None else (request.run.verdicts(), request.run.benchmarks())
    verdict = request.verdict or find_verdict(verdicts, file, baseline)
    return gather(
        file,
        baseline=baseline,
        verdict=verdict,
        named=request.verdict is not None,
        given=request.evidence,
        benchmarks=benchmarks,
    )


def _describe(request: ShipRequest, file: ModelFile, baseline: ModelFile | None, evidence: Evidence) -> Shipment:
    card = read_card(file.metadata, file.path)
    return Shipment(
        file=file,
        card=card,
        version=__version__,
        not_gated=_why_not_gated(evidence, phantom=card.phantom),
        baseline=baseline,
        verdict=evidence.verdict,
        scores=evidence.candidate,
        quantization=evidence.quantization,
        evidence=tuple(evidence.files),
        signed=request.sign_key is not None,
        web=request.web,
        program=wheel_name(),
        wheels=request.wheels,
        signer=check_signer(request.signer),
        rules=evidence.rules,
        date=_today().isoformat(),
    )


def _today() -> date:
    """The day in UTC; that of SOURCE_DATE_EPOCH, where somebody wants equal bytes on another day."""
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not told:
        return datetime.now(UTC).date()
    if not (told.isascii() and told.isdecimal()) or len(told) > 11:
        raise ConfigError(f"SOURCE_DATE_EPOCH is {told[:20]!r}; seconds since 1970 are needed.", cure="Or unset it.")
    return datetime.fromtimestamp(int(told), UTC).date()


def _why_not_gated(evidence: Evidence, *, phantom: bool) -> str:
    verdict = evidence.verdict
    if verdict is None:
        return "no verdict of an acceptance gate speaks of it"
    if not verdict.accepted:
        return f"the gate refused it ({verdict.why})"
    if verdict.phantom and not phantom:
        return "its verdict was measured on generated images (phantom), which say nothing about patients"
    return ""


def _check_place(out: Path, *, restart: bool) -> None:
    """Raise `ConfigError` unless the folder is free, or is a bundle that may be replaced."""
    if not os.path.lexists(out):
        return
    if not restart:
        raise ConfigError(f"{out} is there already.", cure="Pass --restart to replace a bundle, or name another --out.")
    try:
        foreign = [str(out)] if out.is_symlink() or not out.is_dir() else extra_files(out, read_manifest(out))
    except ModelFileError:
        foreign = [str(out)]
    if foreign:
        raise ConfigError(
            f"{out} holds what `ship` did not write ({foreign[0]}) and is not replaced.", cure="Name another --out."
        )


def _fill(folder: Path, shipment: Shipment, evidence: Evidence, sign: Signer | None, progress: Progress) -> Manifest:
    """Write every file, the manifest and SHA256SUMS last of them; then sign what was written, and nothing else."""
    written = Writing(folder)
    models = {MODEL: shipment.file} | ({} if shipment.baseline is None else {BASELINE: shipment.baseline})
    for name, file in models.items():
        written.add(name, file.content)
    for name, content in evidence.files.items():
        written.add(f"{EVIDENCE}{name}", content)
    written.add(EXAMPLE_IMAGE, example_bytes(shipment.file, folder.parent))
    for name, content in program_files(shipment, folder.parent, progress):
        written.add(name, content)
    pages = web_files(shipment, shipment.file.content) if shipment.web else {}
    for name, text in (documents(shipment) | pages).items():
        written.add(name, text.encode())
    bill = bundle_sbom(models, software=versions(), licence=shipment.card.licence)
    written.add(SBOM, bill.encode())
    manifest = _manifest_of(written, shipment, models)
    content = manifest.dumps().encode()
    written.add(MANIFEST, content)
    written.add(SUMS, manifest.sums(content).encode())
    written.check_nothing_else()
    if sign is not None:
        sign(folder, {path: entry.sha256 for path, entry in written.entries.items()})
        written.check_nothing_else(signature=SIGNATURE)
    return manifest


def _manifest_of(written: Writing, shipment: Shipment, models: dict[str, ModelFile]) -> Manifest:
    return Manifest(
        gated=not shipment.not_gated,
        phantom=shipment.phantom,
        signed=shipment.signed,
        version=shipment.version,
        date=shipment.date,
        signer=shipment.signer,
        rules=shipment.rules,
        models={name: file.graph_sha256 for name, file in models.items()},
        files=tuple(entry for _, entry in sorted(written.entries.items())),
    )
