"""Signing a bundle with a private key, and checking the signature; `model-signing` does both, without a network.

A signature covers every file of the folder but itself. It is in the format of the OpenSSF Model Signing
specification, so `model_signing verify key` checks it as well.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from compress.bundle.contents import SIGNATURE
from compress.errors import EnvironmentFault, InputError
from compress.extras import install_command
from compress.files import check_regular

MAX_KEY = 2**16
"""Bytes of a key file; a device named as key must not be read for ever."""

_MAKE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
_DERIVE = "openssl ec -in key.pem -pubout -out public.pem"


def signer(private_key: Path) -> Callable[[Path], None]:
    """A function that writes model.sig into a folder, over all its other files.

    The key is a PEM file on the curve P-256, P-384 or P-521, without a password. Raises `InputError` for anything
    else, and `EnvironmentFault` where `model-signing` is not installed.
    """
    check_regular(private_key, most=MAX_KEY, what="the key")
    package = _package()
    with _as_key_fault(f"{private_key} is no private key for signing", f"Make one with: {_MAKE}"):
        config = package.signing.Config().use_elliptic_key_signer(private_key=private_key)
    covered = package.hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)

    def sign(folder: Path) -> None:
        config.set_hashing_config(covered).sign(folder, folder / SIGNATURE)

    return sign


def verifier(public_key: Path) -> Callable[[Path], str]:
    """A function that checks model.sig in a folder and says what is wrong; "" for a good signature.

    Raises as `signer` does, for a file that is no public key.
    """
    check_regular(public_key, most=MAX_KEY, what="the key")
    package = _package()
    with _as_key_fault(f"{public_key} is no public key for signatures", f"Derive it with: {_DERIVE}"):
        config = package.verifying.Config().use_elliptic_key_verifier(public_key=public_key)

    def check(folder: Path) -> str:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints warnings about old formats
                config.verify(folder, folder / SIGNATURE)
        except Exception as fault:  # a forged signature raises whatever its parsers raise
            return f"{SIGNATURE} is not a signature of this folder by this key ({_reason(fault)})"
        return ""

    return check


def _package() -> ModuleType:
    try:
        import model_signing.hashing  # pyright: ignore[reportMissingImports]
        import model_signing.signing  # pyright: ignore[reportMissingImports]
        import model_signing.verifying  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as fault:
        raise EnvironmentFault(
            f"Signatures need the package 'model-signing' ({fault.name} is not installed).",
            cure=f"Try: {install_command('signing')}.",
        ) from None
    return model_signing


@contextlib.contextmanager
def _as_key_fault(message: str, cure: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise InputError(f"{message}: {fault.strerror}.", cure="Check its permissions.") from None
    except Exception as fault:  # RSA keys, certificates, encrypted keys and garbage all raise something else
        raise InputError(f"{message} ({_reason(fault)}).", cure=f"{cure}.") from None


def _reason(fault: Exception) -> str:
    return " ".join(f"{type(fault).__name__}: {fault}".split())[:160].rstrip(" .:")
