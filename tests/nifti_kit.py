"""NIfTI files as they are on the disk, damaged ones too."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np


def raw_file(path: Path, array: np.ndarray, *, version: int = 1, endian: str = "<", **fields: object) -> Path:
    """(Z, Y, X) or (T, Z, Y, X) as NIfTI with any header fields, wrong ones too; packed when the name says .gz."""
    header = {1: nib.Nifti1Header, 2: nib.Nifti2Header}[version](endianness=endian)
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.T.shape)
    header["vox_offset"] = len(header.binaryblock) + 4
    for name, value in fields.items():
        header[name] = value
    content = header.binaryblock + b"\0\0\0\0" + array.astype(array.dtype.newbyteorder(endian)).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path
