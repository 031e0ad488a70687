"""Hostile bundles for `verify FOLDER`: manifests that lie or lead elsewhere, strangers, links, keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile_kit import Maker, Place, Row
from hostile_ships import text
from shipping_kit import accepted_request

from compress.bundle.ship import ship
from compress.files import digest_bytes

VERIFY = ("verify",)

_SHIPPED: dict[str, dict[str, bytes]] = {}
"""By the model's digest: shipping once is enough."""


def _bundle(place: Place) -> Path:
    """Put a good bundle in the place of the model."""
    key = digest_bytes(place.model.read_bytes())
    if key not in _SHIPPED:
        folder = ship(accepted_request(place.root / "made", place.model)).folder
        _SHIPPED[key] = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    place.model = place.root / "bundle"
    for name, content in _SHIPPED[key].items():
        (place.model / name).parent.mkdir(parents=True, exist_ok=True)
        (place.model / name).write_bytes(content)
    return place.model


def _broken(name: str, change: Callable[[Path], object], *, instead: bool = False) -> Maker:
    def make(place: Place) -> None:
        path = _bundle(place) / name
        if instead:
            path.unlink()
        change(path)

    return make


def _manifest(change: Callable[[dict[str, Any]], object]) -> Maker:
    """A forged manifest, with the sums to match."""

    def make(place: Place) -> None:
        folder = _bundle(place)
        document = json.loads((folder / "manifest.json").read_text())
        change(document)
        _forged(json.dumps(document))(folder)

    return make


def _forged(content: str) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (folder / "manifest.json").write_text(content)
        sums = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
        kept = [line for line in sums if "manifest.json" not in line]
        (folder / "SHA256SUMS").write_text("".join(kept) + f"{digest_bytes(content.encode())}  manifest.json\n")

    return put


def _listed(path: str) -> Maker:
    return _manifest(lambda d: d["files"].append({"path": path, "size": 1, "sha256": "0" * 64}))


def _empty(place: Place) -> None:
    place.model = place.root / "bundle"
    place.model.mkdir()


def _public_key_for_a_file(place: Place) -> None:
    place.options += ["--public-key", "key.pem"]


def _no_public_key(place: Place) -> None:
    _bundle(place)
    place.options += ["--public-key", "/no/key.pem"]


def _unsigned(place: Place) -> None:
    pytest.importorskip("model_signing.signing", reason="the extra [signing] is not installed")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (place.root / "public.pem").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    _bundle(place)
    place.options += ["--public-key", str(place.root / "public.pem")]


def _many(folder: Path) -> None:
    for number in range(1000):
        (folder / f"{number}.txt").touch()


_NONE = "is no manifest of a bundle"
BUNDLES = [
    Row("an empty folder as bundle", _empty, 2, "it is a folder without manifest.json", VERIFY),
    Row("a pipe as manifest", _broken("manifest.json", os.mkfifo, instead=True), 2, "no regular", VERIFY),
    Row("a manifest without end", lambda p: _forged("[" * 10**6)(_bundle(p)), 2, _NONE, VERIFY),
    Row("a manifest of the future", _manifest(lambda d: d.update(schema=2)), 2, "reads schema 1", VERIFY),
    Row("a manifest of a strange day", _manifest(lambda d: d.update(date="2026-13-45")), 2, _NONE, VERIFY),
    Row("a signer of two lines", _manifest(lambda d: d.update(signer="a\nverified")), 2, "signer's name", VERIFY),
    Row("rules that are none", _manifest(lambda d: d.update(rules={"a": 1})), 2, "no list of texts", VERIFY),
    Row("a manifest that leads up", _listed("../heart.nii.gz"), 2, "no '..'", VERIFY),
    Row("a manifest with an escape", _listed("\x1b[2J"), 2, "\\x1b[2J", VERIFY),
    Row("a manifest of files that are not there", _listed("more"), 4, "more is missing", VERIFY),
    Row("a pipe as sums", _broken("SHA256SUMS", os.mkfifo, instead=True), 4, "no regular", VERIFY),
    Row("a stranger in a bundle", _broken("virus.py", text("x")), 4, "virus.py does not belong", VERIFY),
    Row("a thousand strangers", lambda p: _many(_bundle(p)), 4, "and 396 more", VERIFY),
    Row("a public key for a file", _public_key_for_a_file, 2, "is a file", VERIFY),
    Row("a public key that is missing", _no_public_key, 2, "Cannot read the key", VERIFY),
    Row("a public key for what is not signed", _unsigned, 4, "it is not signed", VERIFY),
]
