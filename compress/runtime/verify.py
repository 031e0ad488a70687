"""Does this machine still compute what was computed where the file was made?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import DataError
from compress.files import digest_bytes
from compress.runtime.card import ModelCard, read_card
from compress.runtime.golden import Computed, changes, read_golden, thin
from compress.runtime.modelfile import ModelFile, read_model_file, refuse_control_flow
from compress.runtime.predict import predict_mask
from compress.runtime.providers import find_provider
from compress.runtime.segmenter import Segmenter
from compress.runtime.versions import versions

BIT_EQUAL, WITHIN, BROKEN = "bit-equal", "within tolerance", "broken"
ROUNDED = "another rounding of whole numbers"
"""An INT8 file on another provider than it was made for: no fault, but the card's figures are not its figures there."""

FLIPPED_VOXELS = 1e-3
"""Largest share of the self-test's voxels that may change their label within tolerance: ties at contours."""
ROUNDED_VOXELS = 0.02
"""The same where an INT8 file is rounded another way; at most 0.018 was seen, of a network trained for minutes."""


@dataclass(frozen=True)
class Verification:
    """The verdict with its numbers."""

    verdict: str
    """"bit-equal", "within tolerance", "another rounding of whole numbers" or "broken"."""
    reasons: tuple[str, ...]
    """Why it is broken; empty otherwise."""
    differing_voxels: int
    voxels: int
    max_logit_difference: float | None
    """The largest difference over the stored logits; None when the model returned none that are finite."""
    logit_bound: float
    provider: str
    """The provider that was proven to compute."""
    model: str
    """SHA-256 of the file."""
    versions: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether the model may be used here."""
        return self.verdict != BROKEN

    def to_json(self) -> dict[str, Any]:
        """Every field and `ok`, ready for `json.dumps`."""
        return {**asdict(self), "ok": self.ok}


def verify(model: Path | ModelFile, *, provider: str = "cpu", threads: int | None = None) -> Verification:
    """Run the file's self-test on this machine; `model` is a path, or what `read_model_file` found at it.

    Raises `ModelFileError` for a file without one, `ProviderError` when the provider is not truly there.
    A self-test that fails is no error: its verdict is "broken". An INT8 file on another provider than it was made for
    is "another rounding of whole numbers" unless it is bit-equal, while only few voxels differ. A file that was altered
    is broken too, and nothing of it runs: whoever altered it may have asked for all memory.
    """
    row = find_provider(provider)
    file = model if isinstance(model, ModelFile) else read_model_file(model)
    refuse_control_flow(file)
    card = read_card(file.metadata, file.path)
    golden = read_golden(file, card)
    bound = card.logit_bound(row.logit_bound)
    found = partial(
        Verification,
        voxels=golden.mask.size,
        logit_bound=bound,
        provider=row.name,
        model=file.sha256,
        versions=versions(),
    )
    if altered := changes(file, golden):
        return found(BROKEN, altered, golden.mask.size, max_logit_difference=None)
    segmenter = Segmenter(file, provider=provider, threads=threads, altered=True)  # it was not: see above
    reasons: tuple[str, ...] = ()
    try:
        computed = compute(segmenter, golden.image, golden.spacing_mm)
    except DataError as fault:
        return found(BROKEN, (*reasons, str(fault)), golden.mask.size, max_logit_difference=None)
    flipped = int(np.count_nonzero(computed.mask != golden.mask))
    difference = float(np.abs(thin(computed.logits) - golden.logits).max())
    if difference > bound:
        reasons += (f"logits differ by {difference:.2g}, at most {bound:g} is accepted",)
    if flipped > FLIPPED_VOXELS * golden.mask.size:
        reasons += (f"{flipped} of {golden.mask.size} voxels have another label",)
    equal = flipped == 0 and digest_bytes(computed.logits.tobytes()) == golden.logits_sha256
    # Self-tests are computed on the CPU, whatever provider a file is made for.
    elsewhere = not same_rounding(card, row.name)
    rounded = (elsewhere and not equal) or bool(reasons and card.weight_bits and row.name != "cpu")
    if rounded and flipped <= ROUNDED_VOXELS * golden.mask.size:
        return found(ROUNDED, (), flipped, max_logit_difference=difference)
    verdict = BROKEN if reasons else BIT_EQUAL if equal else WITHIN
    return found(verdict, reasons, flipped, max_logit_difference=difference)


def same_rounding(card: ModelCard, provider: str) -> bool:
    """Whether an INT8 file is rounded on `provider` as where its Dice and bounds were measured.

    True for every other file. Files of before the card said where were measured on the CPU.
    """
    about = card.quantization or {}
    if about.get("kind") != "int8":
        return True
    return provider == about.get("provider", "cpu")


def rounding_note(card: ModelCard, provider: str) -> str:
    """What a user must know before an INT8 file runs on `provider`; "" where it was measured there."""
    if same_rounding(card, provider):
        return ""
    measured = (card.quantization or {}).get("provider", "cpu")
    return (
        f"INT8 was made for and measured on '{measured}'; '{provider}' rounds whole numbers another way, so the Dice "
        "and the bounds that the model card tells are not those of these masks."
    )


def compute(segmenter: Segmenter, image: np.ndarray, spacing_mm: tuple[float, float, float]) -> Computed:
    """Mask and logits of one volume (Z, Y, X), through the whole chain."""
    channels = segmenter.card.channels
    prepared = segmenter.prepare(image if channels == 1 else np.stack([image] * channels), spacing_mm, name="self-test")
    kept: list[np.ndarray] = []

    def run(images: np.ndarray) -> np.ndarray:
        kept.append(segmenter.run(images))
        return kept[-1]

    # The same batches everywhere: sums keep their order.
    mask = predict_mask(run, prepared, batch_size=1, tidy=segmenter.card.tidy)
    return Computed(mask, np.concatenate(kept), segmenter.session.file.graph_sha256)
