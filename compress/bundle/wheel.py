"""The wheel of the program that runs here: a bundle carries what runs it, since no index has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib import metadata, util
from pathlib import Path

from compress import __version__
from compress.errors import EnvironmentFault
from compress.extras import install_command

_PACKAGES = ("compress", "cli")
_NOT_PACKED = (
    *("__pycache__", "*.py[co]", ".*"),
    *("node_modules", "src", "build.mjs", "package.json", "package-lock.json", "tsconfig.json"),
)
"""What a wheel does not hold: the second line is what segment.html is built from, which a checkout has beside it."""
_WHEEL = "Wheel-Version: 1.0\nGenerator: cardiocompress ship\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = "1577836800"
"""2020-01-01: wheels date their files, and equal programs shall give equal bytes."""


def wheel_name() -> str:
    """Its file name, without packing it."""
    return f"cardiocompress-{__version__}-py3-none-any.whl"


@cache
def own_wheel() -> tuple[str, bytes]:
    """Its file name and content, the same bytes for the same program wherever it was installed from.

    Raises `EnvironmentFault` when the program was not installed as a package, or in another version than the one that
    runs, and when the package that packs wheels is missing.
    """
    with tempfile.TemporaryDirectory(prefix="cardiocompress-wheel-") as scratch:
        unpacked = Path(scratch, f"cardiocompress-{__version__}")
        for name in _PACKAGES:
            _copy_package(name, unpacked / name)
        _describe(unpacked / f"{unpacked.name}.dist-info")
        _pack(unpacked, Path(scratch))
        (wheel,) = Path(scratch).glob("*.whl")
        return wheel.name, wheel.read_bytes()


def _copy_package(name: str, target: Path) -> None:
    """The package's own files with the modes that a wheel shall give them; nothing that a link leads to."""
    spec = util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFault(f"The package {name} was not found.", cure="Install the program again.")
    source = Path(spec.submodule_search_locations[0])
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_PACKED))
    for path in (target, *target.rglob("*")):
        if path.is_symlink():
            raise EnvironmentFault(
                f"{source / path.relative_to(target)} is a link, and no part of the program.", cure="Remove it."
            )
        path.chmod(0o755 if path.is_dir() else 0o644)


def _describe(folder: Path) -> None:
    """Write the dist-info, from the description that the program was installed with."""
    try:
        found = metadata.distribution("cardiocompress")
    except metadata.PackageNotFoundError:
        raise EnvironmentFault(
            "The program runs from a folder without being installed, so that no wheel can be made of it.",
            cure=f"Try: {install_command('train')}.",
        ) from None
    if found.version != __version__:
        raise EnvironmentFault(
            f"The program is version {__version__}, and was installed as {found.version}.",
            cure=f"Try: {install_command('train')}.",
        )
    described = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""  # the second: a folder's own egg-info
    texts = {"METADATA": described, "entry_points.txt": found.read_text("entry_points.txt") or "", "WHEEL": _WHEEL}
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
        (folder / name).chmod(0o644)


def _pack(unpacked: Path, target: Path) -> None:
    command = [sys.executable, "-P", "-m", "wheel", "pack", str(unpacked), "-d", str(target)]
    environment = os.environ | {"SOURCE_DATE_EPOCH": _EPOCH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise EnvironmentFault(f"No wheel of the program could be packed ({last}).", cure="Try: pip install wheel.")
