"""How synthetic data says that it is synthetic: a file in the folder, and a line in every image's header."""

from __future__ import annotations

from pathlib import Path

from compress.data.nifti_file import opened, read_header
from compress.errors import DataError

MARKER = "PHANTOM.json"
"""The file that says that a data folder is synthetic."""

DESCRIPTION = b"cardiocompress phantom"
"""In every image's header: it survives copying, where the marker file does not."""


def is_phantom(folder: Path) -> bool:
    """Whether `folder`, its parent or its grandparent carries the marker of synthetic data."""
    here = Path(folder).resolve()
    return any((place / MARKER).is_file() for place in (here, *list(here.parents)[:2]))


def is_phantom_image(path: Path) -> bool:
    """Whether a NIfTI file's header says that the image is synthetic; False for a file that cannot be read."""
    try:
        with opened(Path(path)) as stream:
            return read_header(stream, path)["descrip"].item() == DESCRIPTION
    except DataError:
        return False
