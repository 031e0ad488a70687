"""What a bundle's documents speak of: the shipped file and all that is known of it. Nothing here is invented."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from compress.evaluate.quantized import QuantizeRecord
from compress.evaluate.summary import EvaluationReport
from compress.evaluate.verdict import Verdict
from compress.runtime.card import ModelCard
from compress.runtime.modelfile import ModelFile

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Shipment:
    """One file that is shipped, and what speaks for it."""

    file: ModelFile
    card: ModelCard
    version: str
    """The version of cardiocompress, which writes the bundle."""
    not_gated: str = ""
    """Why it is not gated, in words; "" when an acceptance gate accepted it."""
    baseline: ModelFile | None = None
    verdict: Verdict | None = None
    scores: EvaluationReport | None = None
    """The file's scores on the gate's patients."""
    quantization: QuantizeRecord | None = None
    evidence: tuple[str, ...] = field(default=())
    """Names in the bundle's evidence folder."""
    signed: bool = False
    web: bool = False
    """Whether the bundle has a page that segments in a browser."""
    signer: str = ""
    """The name that the signer gives."""
    rules: tuple[str, ...] = ()
    """Where the gate judged by other settings than the default ones."""
    date: str = UNKNOWN
    """The day on which it is written."""
    program: str = ""
    """The wheel in the bundle that runs the model; "" when none is in it."""
    wheels: bool = False
    """Whether the bundle holds all that the wheel needs, for machines without a network."""

    @property
    def sbom(self) -> bool:
        """Every bundle has one; those of before 0.5 had none."""
        return True

    @property
    def phantom(self) -> bool:
        """Whether the model was trained on generated images."""
        return self.card.phantom

    @property
    def measured_on_phantom(self) -> bool:
        """Whether the gate's figures come from generated images."""
        return self.verdict is not None and self.verdict.phantom

    @property
    def acdc(self) -> bool:
        """Whether the card's licence says that the training data is ACDC; nothing else may say so."""
        return not self.phantom and re.search(r"\bACDC\b", self.card.licence) is not None

    @property
    def share_alike(self) -> bool:
        """Whether the stated licence is CC BY-NC-SA, or the training data is ACDC, which is under it."""
        return self.acdc or self.licence_id.startswith("cc-by-nc-sa")

    @property
    def licence_id(self) -> str:
        """The Hugging Face identifier of the card's licence; see `licence_id`."""
        return licence_id(self.card.licence)

    @property
    def kind(self) -> str:
        """Such as "unet, pruned, int8"."""
        words = [str(self.card.architecture.get("name", UNKNOWN))]
        words += ["pruned"] if self.card.pruning else []
        words += [str(self.card.quantization.get("kind"))] if self.card.quantization else []
        return ", ".join(words)

    @property
    def structures(self) -> str:
        """Such as "RV, MYO and LV"."""
        *first, last = self.card.labels
        return f"{', '.join(first)} and {last}" if first else last


def banners(shipment: Shipment) -> list[str]:
    """What every document says first, as text; empty for a model of real images, gated by the default rules."""
    found = []
    if shipment.phantom:
        found.append(
            "PHANTOM: this model was trained on generated images of no patient. It shows how the software works; "
            "never use its results."
        )
    if shipment.not_gated:
        found.append(f"NOT GATED: {shipment.not_gated}.")
    if shipment.rules and not shipment.not_gated:
        found.append(f"GATED BY OTHER RULES than the default ones: {'; '.join(shipment.rules)}.")
    return found


def licence_id(licence: str) -> str:
    """The Hugging Face identifier of a stated licence: "other" where it is none that is known, "unknown" without."""
    if licence.strip().lower().rstrip(".") in ("", "not stated", "none"):
        return "unknown"
    name = "-".join(re.split(r"[(,;]", licence, maxsplit=1)[0].lower().split())
    return name if name in _LICENCES else "other"


_LICENCES = (
    *("cc-by-nc-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-sa-4.0", "cc-by-4.0", "cc0-1.0"),
    *("apache-2.0", "mit", "bsd-3-clause", "gpl-3.0"),
)
