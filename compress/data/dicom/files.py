"""Which files of a folder are DICOM, and of which kind, told by their first bytes alone."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from compress.data.scan import unusable
from compress.errors import DataError
from compress.outside import leads_out, opened

MAX_FILES = 200_000
"""Files below one folder; an examination has some hundreds to thousands."""

_META = 2**16
"""Bytes in which a file says of what kind it is; that takes some hundreds."""
_LONG = {b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"}
"""Value representations whose length has four bytes."""
_CLASS, _SYNTAX = (2, 0x0002), (2, 0x0010)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM (Part 10) by the four letters behind its preamble; pipes and devices are not opened."""
    if unusable(path):
        return False
    try:
        return _first(path, 132)[128:] == b"DICM"
    except (DataError, OSError):
        return False


def kind_of(path: Path) -> tuple[str, str]:
    """(SOP class, transfer syntax) of a DICOM file, as UIDs; "" for what it does not say.

    They are always written in the same way (explicit, little endian), whatever follows: so an image of no interest
    costs one short read, and data that are packed are never unpacked before their kind is known.
    """
    block = _first(path, _META)
    told = {tag: value.rstrip(b"\0 ").decode("ascii", "replace") for tag, value in _meta_elements(block)}
    return told.get(_CLASS, ""), told.get(_SYNTAX, "")


def _first(path: Path, count: int) -> bytes:
    """Links are followed: what leads out of the folder is refused where the files are found."""
    with opened(path, most=None, named=True, fault=DataError) as stream:
        return stream.read(count)


def _meta_elements(block: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    place = 132
    while place + 8 <= len(block):
        group, element = struct.unpack_from("<HH", block, place)
        if group != 2:
            return
        is_long = block[place + 4 : place + 6] in _LONG
        start = place + (12 if is_long else 8)
        if start > len(block):
            return
        (length,) = struct.unpack_from("<I" if is_long else "<H", block, place + (8 if is_long else 6))
        yield (group, element), block[start : start + length]
        place = start + length


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, sorted, without hidden ones; links to folders are not followed.

    Raises `DataError` for more than `MAX_FILES`.
    """
    count = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            count += 1
            if count > MAX_FILES:
                raise DataError(f"{folder} holds more than {MAX_FILES} files.", cure="Give one examination's folder.")
            path = Path(place, name)
            if path.is_symlink() and leads_out(path, folder):
                raise DataError(f"{path} is a link that leads out of {folder}.", cure="Put the file itself there.")
            yield path


def holds_dicom(folder: Path) -> bool:
    """Whether any file below a folder is DICOM."""
    return any(is_dicom(path) for path in files_below(folder))
