"""Signing a bundle with a private key, and checking the signature; `model-signing` does both, without a network.

A signature covers every file of the folder but itself. It is in the format of the OpenSSF Model Signing
specification, so `model_signing verify key` checks it as well.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from compress.bundle.contents import SIGNATURE
from compress.errors import EnvironmentFault, InputError
from compress.extras import install_command
from compress.files import digest_bytes
from compress.outside import read_bytes

MAX_KEY = 2**16
"""Bytes of a key file; a device named as key must not be read for ever."""

_MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
_DERIVE = "openssl ec -in key.pem -pubout -out public.pem"


@dataclass(frozen=True)
class Signer:
    """Writes model.sig into a folder, over files whose digests are known."""

    fingerprint: str
    """Of the public key that belongs to the private one; see `fingerprint_of`."""
    config: Any
    hashing: Any

    def __call__(self, folder: Path, digests: Mapping[str, str]) -> None:
        """Sign. Raises `InputError` when the folder holds anything but files of these SHA-256, by their paths."""
        self.config.set_hashing_config(_Expecting(self.hashing, digests)).sign(folder, folder / SIGNATURE)


@dataclass(frozen=True)
class _Expecting:
    """What hashes a folder for `model-signing`, and refuses every file that is not as it was written."""

    hashing: Any
    digests: Mapping[str, str]

    def hash(self, folder: Path, **words: Any) -> Any:
        found = self.hashing.hash(folder, **words)
        there = {each.identifier: each.digest.digest_hex for each in found.resource_descriptors()}
        if odd := sorted(dict(there.items() ^ self.digests.items())):
            raise InputError(
                f"{folder} changed while it was written ({odd[0]}); it is not signed.",
                cure="Name an --out in a folder that nobody else may write to.",
            )
        return found


def signer(private_key: Path) -> Signer:
    """What signs with a private key.

    The key is a PEM file on the curve P-256, P-384 or P-521, without a password. Raises `InputError` for anything
    else, and `EnvironmentFault` where `model-signing` is not installed.
    """
    content = read_bytes(private_key, most=MAX_KEY, what="the key", named=True)
    package = _package()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    with _as_key_fault(f"{private_key} is no private key for signing", f"Make one with: {_MAKE}"):
        config = _with(package.signing.Config(), _signer=package.curves.Signer(_Read(content)))
        fingerprint = fingerprint_of(load_pem_private_key(content, None).public_key())
    covered = package.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    return Signer(fingerprint, config, covered)


@dataclass(frozen=True)
class Verifier:
    """Checks model.sig in a folder."""

    fingerprint: str
    """Of the public key; see `fingerprint_of`."""
    config: Any

    def __call__(self, folder: Path) -> str:
        """What is wrong; "" for a good signature."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints warnings about old formats
                self.config.verify(folder, folder / SIGNATURE)
        except Exception as fault:  # a forged signature raises whatever its parsers raise
            return f"{SIGNATURE} is not a signature of this folder by this key ({_reason(fault)})"
        return ""


def verifier(public_key: Path) -> Verifier:
    """What checks signatures by a key.

    Raises as `signer` does, for a file that is no public key.
    """
    content = read_bytes(public_key, most=MAX_KEY, what="the key", named=True)
    package = _package()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    with _as_key_fault(f"{public_key} is no public key for signatures", f"Derive it with: {_DERIVE}"):
        checks = package.curves.Verifier(_Read(content))
        config = _with(package.verifying.Config(), _verifier=checks, _uses_sigstore=False)
        return Verifier(fingerprint_of(load_pem_public_key(content)), config)


@dataclass(frozen=True)
class _Read:
    """A key's bytes where `model-signing` expects its path, which may lead to something else a moment later."""

    content: bytes

    def read_bytes(self) -> bytes:
        return self.content


def _with(config: Any, **parts: object) -> Any:
    """`config` with what its `use_elliptic_key_...` would set from a path; it has no way to be given bytes."""
    if missing := sorted(parts.keys() - vars(config).keys()):  # it would ask a network instead
        raise EnvironmentFault(
            f"This version of 'model-signing' is not known here: its configuration has no {missing[0]}.",
            cure=f"Try: {install_command('signing')}.",
        )
    vars(config).update(parts)
    return config


def fingerprint_of(public_key: Any) -> str:
    """SHA-256 of a public key in DER, as `openssl pkey -pubin -in public.pem -outform der | sha256sum` gives it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return digest_bytes(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


@dataclass(frozen=True)
class _Package:
    """The parts of `model-signing`."""

    hashing: ModuleType
    signing: ModuleType
    verifying: ModuleType
    curves: ModuleType


def _package() -> _Package:
    try:
        from model_signing import hashing, signing, verifying  # pyright: ignore[reportMissingImports]
        from model_signing._signing import sign_ec_key  # pyright: ignore[reportMissingImports]
    except ImportError as fault:
        told = f"{fault.name} is not installed" if isinstance(fault, ModuleNotFoundError) else _reason(fault)
        raise EnvironmentFault(
            f"Signatures need the package 'model-signing' ({told}).",
            cure=f"Try: {install_command('signing')}.",
        ) from None
    return _Package(hashing, signing, verifying, sign_ec_key)


@contextlib.contextmanager
def _as_key_fault(message: str, cure: str) -> Iterator[None]:
    try:
        yield
    except EnvironmentFault:
        raise
    except Exception as fault:  # RSA keys, certificates, encrypted keys and garbage all raise something else
        raise InputError(f"{message} ({_reason(fault)}).", cure=f"{cure}.") from None


def _reason(fault: Exception) -> str:
    return " ".join(f"{type(fault).__name__}: {fault}".split())[:160].rstrip(" .:")
