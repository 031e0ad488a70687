"""Verifying a shipped bundle: its files, its signature, what it claims, and the self-test of every model in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from compress.bundle.contents import MODEL, VERDICT, missing
from compress.bundle.files import check_files
from compress.bundle.manifest import Manifest
from compress.bundle.signature import verifier
from compress.errors import InputError
from compress.files import read_json
from compress.runtime.card import read_card
from compress.runtime.modelfile import ModelFile, read_model_file
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
    key: str
    """The fingerprint of the public key by which the signature was verified; "" without one."""
    signer: str
    """The name that the signer gives, or whoever wrote the manifest; "" when none is given."""
    version: str
    """The version of cardiocompress that wrote the bundle, by its manifest; "" when that cannot be trusted."""
    date: str
    """The day on which it was written, by its manifest; "" when it says none."""
    rules: tuple[str, ...]
    """Where the gate judged by other settings than the default ones."""
    models: dict[str, Verification]
    """Model file -> its self-test; empty when the files are not as they were shipped."""
    reasons: tuple[str, ...]
    """Why it must not be used; empty otherwise."""

    @property
    def ok(self) -> bool:
        """Whether the bundle may be used here."""
        return not self.reasons

    @property
    def word(self) -> str:
        """Whose word all of this is."""
        if self.signature != SIGNED:
            return "consistent with its own list; nobody vouches for it"
        named = f", who gives the name {self.signer}" if self.signer else ""
        return f"vouched for by the holder of the key with SHA-256 {self.key}{named}"

    def to_json(self) -> dict[str, Any]:
        """Every field but the folder, and `ok`, ready for `json.dumps`."""
        return {
            "ok": self.ok,
            "gated": self.gated,
            "phantom": self.phantom,
            "files": self.files,
            "signature": self.signature,
            "word": self.word,
            "key": self.key,
            "signer": self.signer,
            "cardiocompress": self.version,
            "date": self.date,
            "rules": list(self.rules),
            "models": {name: found.to_json() for name, found in self.models.items()},
            "reasons": list(self.reasons),
        }


def verify_bundle(
    folder: Path,
    *,
    public_key: Path | None = None,
    not_before: date | None = None,
    provider: str = "cpu",
    threads: int | None = None,
) -> BundleVerification:
    """Check a bundle on this machine; with `public_key`, a bundle without a good signature by it is refused too.

    not_before: bundles that say an earlier day, or none, are refused: whoever can replace a bundle can put an old one
    there, and its signature is as good as ever.
    A model runs only when every file is as its manifest lists it. Raises `ModelFileError` for a folder that is no
    bundle, `InputError` for a key that is none, `EnvironmentFault` where `model-signing` is missing, and as `verify`
    does. Whatever is wrong with a readable bundle is a reason, no error.
    """
    check = None if public_key is None else verifier(public_key)
    found = check_files(folder)
    manifest, reasons = found.manifest, found.changes
    if manifest is None:
        return BundleVerification(folder, None, None, 0, BAD if check else UNCHECKED, "", "", "", "", (), {}, reasons)
    signature = UNCHECKED if manifest.signed else UNSIGNED
    if check is not None:
        fault = check(folder) if manifest.signed else "it is not signed"
        signature, reasons = (BAD, (*reasons, fault)) if fault else (SIGNED, reasons)
    if not_before is not None and (not manifest.date or date.fromisoformat(manifest.date) < not_before):
        reasons = (*reasons, f"it is of {manifest.date or 'a day that it does not say'}, not of {not_before} or later")
    models: dict[str, Verification] = {}
    if not reasons:
        files = {name: read_model_file(folder / name) for name in manifest.models}
        reasons = _false_claims(folder, manifest, files)
        if not reasons:
            models = {name: verify(file, provider=provider, threads=threads) for name, file in files.items()}
        reasons += tuple(f"{name} is broken here: {'; '.join(m.reasons)}" for name, m in models.items() if not m.ok)
    return BundleVerification(
        folder,
        manifest.gated,
        manifest.phantom,
        len(manifest.files),
        signature,
        check.fingerprint if check and signature == SIGNED else "",
        manifest.signer,
        manifest.version,
        manifest.date,
        manifest.rules,
        models,
        reasons,
    )


def _false_claims(folder: Path, manifest: Manifest, files: Mapping[str, ModelFile]) -> tuple[str, ...]:
    """What the manifest says and the files do not bear out, and what it ought to say."""
    digests = {entry.path: entry.sha256 for entry in manifest.files}
    false = [f"{name} is in no manifest" for name in missing(set(digests))]
    for name, file in files.items():
        if file.sha256 != digests[name]:
            false.append(f"{name} changed while it was checked")
        if file.graph_sha256 != manifest.models[name]:
            false.append(f"the manifest states another graph of {name}")
    file = files[MODEL]
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
