"""The manifest of a shipped bundle: which files belong to it, their sizes and digests; reading it with suspicion.

`manifest.json` is the single source of truth. `SHA256SUMS` says the same for `sha256sum -c`, the manifest's own
digest included, and is derived from it. Neither is a signature: whoever can write the folder can write both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from compress.bundle.contents import BASELINE, MANIFEST, MODEL, OWN
from compress.errors import ConfigError, ModelFileError
from compress.files import digest_bytes, parse_json

SCHEMA = 1
"""Raised whenever a field changes its meaning."""
KIND = "cardiocompress bundle"

MAX_FILES = 200
MAX_BYTES = 2**31 - 1
"""The largest size of one file: no ONNX file is larger."""
MAX_TOTAL = 2**33
"""The largest size of all files: digests of more would take minutes, and a sparse file costs its forger
nothing."""
MAX_MANIFEST = 2**20
_MAX_SIGNER = 100

_PART = r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}"
_PATH = re.compile(rf"{_PART}(/{_PART}){{0,3}}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CURE = "Ask for the bundle again."


@dataclass(frozen=True)
class Entry:
    """One file of a bundle."""

    path: str
    """Below the bundle's folder, with "/" between its parts."""
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says that it holds."""

    gated: bool
    """Whether an acceptance gate accepted the model."""
    phantom: bool
    """Whether the model was trained on generated images."""
    signed: bool
    """Whether a signature belongs to it."""
    version: str
    """The version of cardiocompress, which wrote it."""
    models: dict[str, str]
    """Model file -> SHA-256 of its graph, weights included."""
    files: tuple[Entry, ...]
    """Sorted by path."""
    date: str = ""
    """The day on which it was written, such as "2026-11-27"; "": an earlier version did not say."""
    signer: str = ""
    """The name that the signer gives; "" when none was given."""
    rules: tuple[str, ...] = ()
    """Where the gate judged by other settings than the default ones."""

    def dumps(self) -> str:
        """The text of manifest.json, equal for equal manifests."""
        document = {
            "schema": SCHEMA,
            "kind": KIND,
            "gated": self.gated,
            "phantom": self.phantom,
            "signed": self.signed,
            "cardiocompress": self.version,
            "date": self.date,
            "signer": self.signer,
            "rules": list(self.rules),
            "models": self.models,
            "files": [asdict(entry) for entry in self.files],
        }
        return json.dumps(document, indent=2) + "\n"

    def sums(self, manifest: bytes) -> str:
        """The text of SHA256SUMS; `manifest` is the content of manifest.json."""
        lines = [(entry.path, entry.sha256) for entry in self.files] + [(MANIFEST, digest_bytes(manifest))]
        return "".join(f"{digest}  {path}\n" for path, digest in sorted(lines))

    @classmethod
    def loads(cls, text: bytes, path: Path) -> Manifest:
        """The manifest in `text`; `ModelFileError` names `path` and the first thing that is wrong."""
        try:
            document = parse_json(text)
            found = _read(document)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ConfigError) as fault:
            reason = f"no key {fault}" if isinstance(fault, KeyError) else str(fault)
            raise ModelFileError(f"{path} is no manifest of a bundle: {reason[:200]}.", cure=_CURE) from None
        return found


def check_name(path: str) -> str:
    """A file name that bundles may hold; `ValueError` for one that leads elsewhere or some system cannot hold."""
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ValueError(f"the path {str(path)[:60]!r}; letters, digits and '_. -' are allowed, no '..', no root")
    return path


def _read(document: Mapping[str, Any]) -> Manifest:
    if (document["kind"], document["schema"]) != (KIND, SCHEMA) or document["schema"] is True:
        raise ValueError(f"schema {str(document['schema'])[:40]}; this version reads schema {SCHEMA} of '{KIND}'")
    files = tuple(_entry(**entry) for entry in document["files"])
    _check_files(files)
    models = {str(name): _digest(digest) for name, digest in document["models"].items()}
    if MODEL not in models or not set(models) <= {MODEL, BASELINE} & {entry.path for entry in files}:
        raise ValueError(f"its models are {', '.join(models)[:80] or 'none'}")
    said = [document[key] for key in ("gated", "phantom", "signed")]
    if not all(isinstance(value, bool) for value in said):
        raise ValueError("gated, phantom and signed must be true or false")
    return Manifest(
        *said,
        version=str(document["cardiocompress"])[:40],
        models=models,
        files=files,
        date=_day(document.get("date", "")),
        signer=check_signer(document.get("signer", "")),
        rules=_rules(document.get("rules", [])),
    )


def _day(text: Any) -> str:
    if text == "":
        return text
    if not isinstance(text, str) or date.fromisoformat(text).isoformat() != text:
        raise ValueError(f"the date {str(text)[:40]!r}")
    return text


def check_signer(name: Any) -> str:
    """The name of a signer; `ConfigError` for one that is no line of at most 100 characters that can be seen."""
    if not isinstance(name, str) or len(name) > _MAX_SIGNER or not name.isprintable():
        raise ConfigError(
            f"The signer's name {str(name)[:_MAX_SIGNER]!r} is no line of at most {_MAX_SIGNER} characters.",
            cure="Shorten it.",
        )
    return name


def _rules(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) > MAX_FILES or not all(isinstance(each, str) for each in found):
        raise ValueError("its rules are no list of texts")
    return tuple(found)


def _entry(path: str, size: int, sha256: str) -> Entry:
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MAX_BYTES:
        raise ValueError(f"a size of {str(size)[:40]} bytes; from 0 to {MAX_BYTES} are allowed")
    return Entry(check_name(path), size, _digest(sha256))


def _digest(text: Any) -> str:
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ValueError(f"the digest {str(text)[:80]!r}")
    return text


def _check_files(files: tuple[Entry, ...]) -> None:
    names = [entry.path.lower() for entry in files]  # some file systems do not tell cases apart
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]} stands there twice")
    if own := set(names) & {name.lower() for name in OWN}:
        raise ValueError(f"it lists {min(own)}")
    if len(files) > MAX_FILES or sum(entry.size for entry in files) > MAX_TOTAL:
        raise ValueError(f"{len(files)} files; at most {MAX_FILES} of together {MAX_TOTAL} bytes are allowed")
