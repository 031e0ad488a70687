"""Is a bundle's folder what its manifest says? Nothing is followed, and nothing that may block is opened."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compress.bundle.contents import MANIFEST, SIGNATURE, SUMS
from compress.bundle.manifest import MAX_FILES, MAX_MANIFEST, Entry, Manifest
from compress.errors import InputError, ModelFileError
from compress.files import digest_bytes
from compress.outside import opened, read_bytes

_CURE = "Ask for the bundle again."


@dataclass(frozen=True)
class CheckedFiles:
    """What was found in a bundle's folder."""

    manifest: Manifest | None
    """None when manifest.json itself is not what SHA256SUMS says."""
    changes: tuple[str, ...]
    """What is not as it was shipped, in words; empty for an intact bundle."""


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a bundle's folder; `ModelFileError` when there is none, or it is damaged."""
    return Manifest.loads(_manifest_bytes(folder), folder / MANIFEST)


def check_files(folder: Path) -> CheckedFiles:
    """Compare every file below `folder` with the manifest.

    Missing, extra and changed files, links and whatever is no regular file are `changes`. Raises `ModelFileError`
    when the folder is no bundle or its manifest asks for what no manifest may ask for.
    """
    text = _manifest_bytes(folder)
    sums = _small(folder / SUMS)
    if _said(sums) not in (None, digest_bytes(text)):
        return CheckedFiles(None, (f"{MANIFEST} or {SUMS} changed: they contradict each other",))
    manifest = Manifest.loads(text, folder / MANIFEST)
    changes = list(_differences(folder, manifest))
    if sums is not None and sums != manifest.sums(text).encode():
        changes.append(f"{SUMS} changed")
    return CheckedFiles(manifest, tuple(changes))


def extra_files(folder: Path, manifest: Manifest) -> list[str]:
    """Paths below `folder` that do not belong to the bundle, links and devices included; the first few."""
    belong = _belonging(manifest)
    found = []
    for path in paths_below(folder):
        if path not in belong:
            found.append(path)
        if len(found) > MAX_FILES:
            break
    return sorted(found)


def _belonging(manifest: Manifest) -> set[str]:
    return {entry.path for entry in manifest.files} | {MANIFEST, SUMS} | ({SIGNATURE} if manifest.signed else set())


def _differences(folder: Path, manifest: Manifest) -> Iterator[str]:
    yield from (f"{path} does not belong to the bundle" for path in extra_files(folder, manifest))
    for name in sorted(_belonging(manifest) - {entry.path for entry in manifest.files}):
        if fault := _kind_fault(folder, name):
            yield f"{name} {fault}"
    for entry in manifest.files:
        if fault := _fault(folder, entry):
            yield f"{entry.path} {fault}"


def _fault(folder: Path, entry: Entry) -> str:
    path = folder / entry.path
    if fault := _kind_fault(folder, entry.path):
        return fault
    try:
        with opened(path, most=None) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size != entry.size:  # before anything is read: a file may be of any size
                return f"changed: {size} bytes instead of {entry.size}"
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except (InputError, OSError) as fault:
        return f"cannot be read: {getattr(fault, 'strerror', None) or fault}"
    return "" if found == entry.sha256 else "changed: its SHA-256 is another"


def _kind_fault(folder: Path, name: str) -> str:
    """Why a name is no regular file reached through folders alone; "" when it is one."""
    here = folder
    for part in name.split("/"):
        here = here / part
        try:
            mode = here.lstat().st_mode
        except OSError:
            return "is missing"
        if stat.S_ISLNK(mode):
            return "is a link"
    return "" if stat.S_ISREG(mode) else "is no regular file"


def paths_below(folder: Path) -> Iterator[str]:
    """All but folders, relative to `folder`, with "/"; links to folders are not followed."""
    waiting = [(folder, "")]
    while waiting:
        place, prefix = waiting.pop()
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((place / entry.name, f"{prefix}{entry.name}/"))
                    else:
                        yield f"{prefix}{entry.name}"
        except OSError as fault:
            raise ModelFileError(f"Cannot look into {place}: {fault.strerror}.", cure=_CURE) from None


def _manifest_bytes(folder: Path) -> bytes:
    if not (folder / MANIFEST).is_symlink() and not (folder / MANIFEST).exists():
        raise ModelFileError(f"{folder} is no bundle: it is a folder without {MANIFEST}.", cure="Check the path.")
    text = _small(folder / MANIFEST)
    if text is None:
        raise ModelFileError(
            f"{folder / MANIFEST} is no regular, readable file of at most {MAX_MANIFEST} bytes.", cure=_CURE
        )
    return text


def _small(path: Path) -> bytes | None:
    """The content of a regular file of the manifest's kind of size; None for anything else."""
    try:
        return read_bytes(path, most=MAX_MANIFEST)
    except InputError:
        return None


def _said(sums: bytes | None) -> str | None:
    """The manifest's digest by SHA256SUMS; None when it says none."""
    for line in (sums or b"").decode("ascii", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if name == MANIFEST:
            return digest
    return None
