"""The golden self-test inside an exported file: one tiny generated image, its mask and its logits.

It shows on the target machine that this build of the runtime still computes what it computed where the
file was made. The image is a generated phantom, never a patient's, so the file can travel.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import ModelFileError
from compress.files import digest_bytes, parse_json
from compress.runtime.card import KEY, ModelCard
from compress.runtime.modelfile import ModelFile

GOLDEN_KEY = "cardiocompress.golden"
SCHEMA = 1
STRIDE = 8
"""Every eighth logit along rows and columns is stored: enough to see a wrong kernel, small enough to travel."""

_MAX_VALUES = 2**22
_TYPES = {"uint8": np.uint8, "float32": np.float32}
_CURE = "Export the model again."
_DAMAGE = (
    *(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError),
    *(zlib.error, binascii.Error),
)


@dataclass(frozen=True)
class Golden:
    """What goes in and what came out where the file was made."""

    image: np.ndarray
    """(Z, Y, X) uint8 on a native grid."""
    spacing_mm: tuple[float, float, float]
    """Along (z, y, x)."""
    mask: np.ndarray
    """(Z, Y, X) uint8."""
    logits: np.ndarray
    """(N, C, H/STRIDE, W/STRIDE) float32, of every image that the network saw: a slice, or a tile of one."""
    logits_sha256: str
    """The digest of all logits, (Z, C, H, W) float32."""
    graph_sha256: str
    """The digest of the graph that computed them."""
    card_sha256: str
    """The digest of the model card's text."""

    def dumps(self) -> str:
        """As text for the file's metadata, equal for equal self-tests."""
        document = {
            "schema": SCHEMA,
            "source": "a generated phantom, no patient",
            "spacing_mm": list(self.spacing_mm),
            "image": _pack(self.image),
            "mask": _pack(self.mask),
            "logits": _pack(self.logits),
            "stride": STRIDE,
            "logits_sha256": self.logits_sha256,
            "graph_sha256": self.graph_sha256,
            "card_sha256": self.card_sha256,
        }
        return json.dumps(document, sort_keys=True)


def make_golden(image: np.ndarray, spacing_mm: tuple[float, float, float], computed: Computed, card: str) -> Golden:
    """The self-test of a file from what its model computed on the phantom `image` (Z, Y, X) uint8."""
    return Golden(
        image=image,
        spacing_mm=spacing_mm,
        mask=computed.mask,
        logits=thin(computed.logits),
        logits_sha256=digest_bytes(computed.logits.tobytes()),
        graph_sha256=computed.graph_sha256,
        card_sha256=digest_bytes(card.encode()),
    )


@dataclass(frozen=True)
class Computed:
    """What a model computes on the self-test's image."""

    mask: np.ndarray
    """(Z, Y, X) uint8."""
    logits: np.ndarray
    """(Z, C, H, W) float32."""
    graph_sha256: str


def thin(logits: np.ndarray) -> np.ndarray:
    """Every `STRIDE`th logit along rows and columns of (Z, C, H, W)."""
    return np.ascontiguousarray(logits[..., ::STRIDE, ::STRIDE])


def read_golden(file: ModelFile, card: ModelCard) -> Golden:
    """The self-test in a file. `ModelFileError` when there is none, or it is damaged."""
    text = file.metadata.get(GOLDEN_KEY)
    if text is None:
        raise ModelFileError(f"{file.path} carries no self-test.", cure="Export it with `cardiocompress export`.")
    try:
        golden = _parse(parse_json(text))
    except _DAMAGE as fault:
        reason = f"{type(fault).__name__}: {fault}"[:120]
        raise ModelFileError(f"The self-test in {file.path} is damaged ({reason}).", cure=_CURE) from None
    _check_shapes(golden, card, file.path)
    return golden


def changes(file: ModelFile, golden: Golden) -> tuple[str, ...]:
    """What of a file is not what its self-test was computed from, in words; empty for a file as it was exported."""
    parts = {
        "weights or graph": (file.graph_sha256, golden.graph_sha256),
        "model card": (digest_bytes(file.metadata.get(KEY, "").encode()), golden.card_sha256),
    }
    return tuple(f"its {what} changed after export" for what, (now, then) in parts.items() if now != then)


def _parse(document: dict[str, Any]) -> Golden:
    if document["schema"] != SCHEMA or document["stride"] != STRIDE:
        raise ValueError(f"schema {document['schema']!r}, this version reads {SCHEMA}")
    z, y, x = (float(size) for size in document["spacing_mm"])
    if not all(0 < size < 1000 for size in (z, y, x)):
        raise ValueError("voxel size out of range")
    return Golden(
        image=_unpack(document["image"]),
        spacing_mm=(z, y, x),
        mask=_unpack(document["mask"]),
        logits=_unpack(document["logits"]),
        logits_sha256=str(document["logits_sha256"]),
        graph_sha256=str(document["graph_sha256"]),
        card_sha256=str(document["card_sha256"]),
    )


def _check_shapes(golden: Golden, card: ModelCard, path: Path) -> None:
    height, width = (-(-side // STRIDE) for side in card.preprocessing.size)
    wanted, images = (card.heads, height, width), len(golden.logits)
    whole = images == len(golden.image) if card.nnunet is None else images % len(golden.image) == 0  # of tiles
    fits = golden.logits.ndim == 4 and golden.logits.shape[1:] == wanted and whole
    if golden.image.ndim != 3 or golden.mask.shape != golden.image.shape or not fits:
        shapes = [golden.image.shape, golden.mask.shape, golden.logits.shape]
        raise ModelFileError(f"The self-test in {path} does not fit its model: shapes {shapes}.", cure=_CURE)


def _pack(array: np.ndarray) -> dict[str, Any]:
    content = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
    return {"shape": list(array.shape), "type": array.dtype.name, "data": base64.b64encode(content).decode()}


def _unpack(packed: dict[str, Any]) -> np.ndarray:
    """The array; never inflates more than the shape promises."""
    shape = [int(n) for n in packed["shape"]]
    kind = np.dtype(_TYPES[packed["type"]])
    if not 1 <= len(shape) <= 4 or min(shape) < 1 or np.prod(shape, dtype=float) > _MAX_VALUES:
        raise ValueError(f"shape {shape[:6]}")
    size = int(np.prod(shape)) * kind.itemsize
    content = zlib.decompressobj().decompress(base64.b64decode(packed["data"], validate=True), size + 1)
    if len(content) != size:
        raise ValueError(f"holds {len(content)} bytes, not {size}")
    array = np.frombuffer(content, kind).reshape(shape)
    if kind.kind == "f" and not np.isfinite(array).all():
        raise ValueError("values that are not finite")
    return array
