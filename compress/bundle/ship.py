"""`ship`: one folder with a model, what speaks for it and what it takes to run it; whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from compress import __version__
from compress.bundle.contents import BASELINE, EXAMPLE_IMAGE, MANIFEST, MODEL, SUMS
from compress.bundle.documents import documents
from compress.bundle.evidence import Evidence, find_verdict, gather
from compress.bundle.example import write_example
from compress.bundle.files import extra_files, read_manifest
from compress.bundle.manifest import Entry, Manifest
from compress.bundle.shipment import Shipment
from compress.bundle.signature import signer
from compress.bundle.web.page import web_files
from compress.errors import ConfigError, GateError, InputError, ModelFileError
from compress.files import digest_bytes, digest_file, writing
from compress.lock import locked
from compress.rundir import RunDir, bundle_dir
from compress.runtime.card import read_card
from compress.runtime.modelfile import ModelFile, read_model_file, refuse_control_flow
from compress.runtime.verify import verify

_MODES = {True: 0o755, False: 0o644}
_EARLIER = ".earlier"


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


@dataclass(frozen=True)
class Shipped:
    """What was written."""

    folder: Path
    manifest: Manifest
    not_gated: str
    """Why the model is not gated; "" when an acceptance gate accepted it."""
    evidence: tuple[str, ...]


def ship(request: ShipRequest) -> Shipped:
    """Write the bundle. Equal inputs give equal bytes, but for a signature.

    Raises `GateError` without an accepted verdict (unless `ungated`), and for a file that was altered after its
    export or whose self-test is broken here; `ModelFileError` for a file that is not one of ours; `ConfigError` when
    the folder is there; `InputError` and `DataError` for keys and evidence that do not fit; `EnvironmentFault` when
    the folder cannot be written or a package is missing. Whatever is raised, nothing is left.
    """
    with writing(out := request.out or bundle_dir(request.candidate)):
        _check_place(out, restart=request.restart)
        sign = None if request.sign_key is None else signer(request.sign_key)
        file, baseline = _sound(request.candidate), request.baseline and _sound(request.baseline)
        evidence = _evidence_of(request, file, baseline)
        shipment = _describe(file, baseline, evidence, signed=sign is not None, web=request.web)
        if shipment.not_gated and not request.ungated:
            raise GateError(
                f"{file.path} is not shipped: {shipment.not_gated}.",
                cure="Let `cardiocompress gate` accept it (--verdict names a verdict), or pass --ungated.",
            )
        for each in filter(None, (file, baseline)):
            _prove(each, threads=request.threads)
        with _hidden(out) as folder:
            manifest = _fill(folder, shipment, evidence)
            if sign is not None:
                sign(folder)
            _fix_modes(folder)
            _swap(folder, out)
    return Shipped(out, manifest, shipment.not_gated, tuple(evidence.files))


def _sound(path: Path) -> ModelFile:
    file = read_model_file(path)
    refuse_control_flow(file)
    read_card(file.metadata, path)
    return file


def _prove(file: ModelFile, *, threads: int | None) -> None:
    """Raise `GateError` unless the file is as it was exported and its self-test holds here."""
    found = verify(file.path, threads=threads)
    if found.model != file.sha256:
        raise InputError(f"{file.path} changed while it was read.", cure="Ship it again.")
    if not found.ok:
        raise GateError(f"{file.path} is broken here: {'; '.join(found.reasons)}.", cure="Copy or export it again.")


def _evidence_of(request: ShipRequest, file: ModelFile, baseline: ModelFile | None) -> Evidence:
    verdicts, benchmarks = ([], []) if request.run is None else (request.run.verdicts(), request.run.benchmarks())
    verdict = request.verdict or find_verdict(verdicts, file, baseline)
    return gather(file, baseline=baseline, verdict=verdict, given=request.evidence, benchmarks=benchmarks)


def _describe(file: ModelFile, baseline: ModelFile | None, evidence: Evidence, *, signed: bool, web: bool) -> Shipment:
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
        signed=signed,
        web=web,
    )


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


@contextmanager
def _hidden(out: Path) -> Iterator[Path]:
    """An empty folder of the same name inside a hidden one beside `out`, for this process alone; gone at the end.

    What a killed process left there is removed first.
    """
    scrap = out.with_name(f".{out.name}.partial")
    made = [parent for parent in out.parents if not parent.exists()]
    with ExitStack() as undo:
        for parent in (*reversed(made), scrap):
            undo.callback(_remove_empty, parent)
        undo.enter_context(locked(scrap))
        for name in (out.name, _EARLIER):
            shutil.rmtree(scrap / name, ignore_errors=True)
            undo.callback(shutil.rmtree, scrap / name, ignore_errors=True)
        (scrap / out.name).mkdir()
        yield scrap / out.name


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # the bundle is in it
        return


def _fill(folder: Path, shipment: Shipment, evidence: Evidence) -> Manifest:
    """Write every file; the manifest and SHA256SUMS last."""
    models = {MODEL: shipment.file} | ({} if shipment.baseline is None else {BASELINE: shipment.baseline})
    for name, file in models.items():
        shutil.copyfile(file.path, folder / name)
        if digest_file(folder / name) != file.sha256:
            raise InputError(f"{file.path} changed while it was copied.", cure="Ship it again.")
    for name, source in evidence.files.items():
        (folder / "evidence").mkdir(exist_ok=True)
        (folder / "evidence" / name).write_bytes(source.read_bytes())
    write_example(folder / MODEL, folder / EXAMPLE_IMAGE)
    pages = web_files(shipment, (folder / MODEL).read_bytes()) if shipment.web else {}
    for name, text in (documents(shipment) | pages).items():
        (folder / name).write_bytes(text.encode())
    manifest = _manifest_of(folder, shipment, models)
    content = manifest.dumps().encode()
    (folder / MANIFEST).write_bytes(content)
    (folder / SUMS).write_bytes(manifest.sums(content).encode())
    return manifest


def _manifest_of(folder: Path, shipment: Shipment, models: dict[str, ModelFile]) -> Manifest:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return Manifest(
        gated=not shipment.not_gated,
        phantom=shipment.phantom,
        signed=shipment.signed,
        version=shipment.version,
        models={name: file.graph_sha256 for name, file in models.items()},
        files=tuple(Entry(name, len(content), digest_bytes(content)) for name, content in sorted(contents.items())),
    )


def _fix_modes(folder: Path) -> None:
    """The same modes whatever the umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(_MODES[path.is_dir()])


def _swap(folder: Path, out: Path) -> None:
    """Give the finished folder its name; an earlier bundle goes only when this succeeds."""
    earlier = folder.with_name(_EARLIER)
    try:
        if out.is_dir():
            out.rename(earlier)
        folder.rename(out)
    except BaseException:
        if earlier.is_dir() and not out.is_dir():
            earlier.rename(out)
        raise
