"""Verifying a shipped bundle: its files, its signature, what it claims, and the self-test of every model in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.bundle.contents import MODEL, VERDICT, missing
from compress.bundle.files import check_files
from compress.bundle.manifest import Manifest
from compress.bundle.signature import verifier
from compress.errors import InputError
from compress.files import read_json
from compress.runtime.card import read_card
from compress.runtime.modelfile import read_model_file
from compress.runtime.verify import Verification, verify

SIGNED, UNCHECKED, UNSIGNED, BAD = "verified", "not checked: no public key was given", "none", "bad"


@dataclass(frozen=True)
class BundleVerification:
    """What was found of a bundle."""

    folder: Path
    gated: bool | None
    """What the bundle says of itself; None when its manifest cannot be trusted."""
    phantom: bool | None
    files: int
    """Files that the manifest lists."""
    signature: str
    """"verified", "not checked: no public key was given", "none" or "bad"."""
    models: dict[str, Verification]
    """Model file -> its self-test; empty when the files are not as they were shipped."""
    reasons: tuple[str, ...]
    """Why it must not be used; empty otherwise."""

    @property
    def ok(self) -> bool:
        """Whether the bundle may be used here."""
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        """Every field but the folder, and `ok`, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "gated": self.gated,
            "phantom": self.phantom,
            "files": self.files,
            "signature": self.signature,
            "models": {name: found.to_json() for name, found in self.models.items()},
            "reasons": list(self.reasons),
        }


def verify_bundle(
    folder: Path, *, public_key: Path | None = None, provider: str = "cpu", threads: int | None = None
) -> BundleVerification:
    """Check a bundle on this machine; with `public_key`, a bundle without a good signature by it is refused too.

    A model runs only when every file is as it was shipped. Raises `ModelFileError` for a folder that is no bundle,
    `InputError` for a key that is none, `EnvironmentFault` where `model-signing` is missing, and as `verify` does.
    Whatever is wrong with a readable bundle is a reason, no error.
    """
    check = None if public_key is None else verifier(public_key)
    found = check_files(folder)
    manifest, reasons = found.manifest, found.changes
    if manifest is None:
        return BundleVerification(folder, None, None, 0, BAD if check else UNCHECKED, {}, reasons)
    signature = UNCHECKED if manifest.signed else UNSIGNED
    if check is not None:
        fault = check(folder) if manifest.signed else "it is not signed"
        signature, reasons = (BAD, (*reasons, fault)) if fault else (SIGNED, reasons)
    models = {}
    if not reasons:
        reasons = _false_claims(folder, manifest)
        models = {name: verify(folder / name, provider=provider, threads=threads) for name in manifest.models}
        reasons += tuple(f"{name} is broken here: {'; '.join(m.reasons)}" for name, m in models.items() if not m.ok)
    return BundleVerification(folder, manifest.gated, manifest.phantom, len(manifest.files), signature, models, reasons)


def _false_claims(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """What the manifest says and the files do not bear out, and what it ought to say."""
    false = [f"{name} is in no manifest" for name in missing({entry.path for entry in manifest.files})]
    for name, digest in manifest.models.items():
        if read_model_file(folder / name).graph_sha256 != digest:
            false.append(f"the manifest states another graph of {name}")
    file = read_model_file(folder / MODEL)
    if read_card(file.metadata, file.path).phantom != manifest.phantom:
        false.append(f"the manifest and {MODEL} contradict each other about phantom data")
    if manifest.gated and not _accepts(folder / VERDICT, file.sha256):
        false.append(f"the manifest says gated, but {VERDICT} does not accept {MODEL}")
    return tuple(false)


def _accepts(verdict: Path, sha256: str) -> bool:
    try:
        document = read_json(verdict)
        return document["accepted"] is True and document["candidate"]["sha256"] == sha256
    except (InputError, KeyError, TypeError):
        return False
