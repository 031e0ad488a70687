"""The parity report of an export: torch against ONNX Runtime on real validation volumes, provider by provider.

A provider that is not truly there is a row with the reason, never left out and never another one's figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from compress import records
from compress.data.cache import prepare
from compress.data.layouts import read_volume
from compress.data.prepared import Prepared, with_channels
from compress.data.rules import Rules, rules_from_json
from compress.data.tidy import AS_FOUND, Tidy
from compress.data.volume import Case, Volume
from compress.errors import ProviderError
from compress.export.mask_parity import MaskParity, VolumeParity, compare_masks, join_volumes
from compress.export.parity import LogitDifference, ParityReport, compare_logits, join_logits, reference_run
from compress.export.seal import golden_image
from compress.models.checkpoint import Checkpoint
from compress.rundir import cache_dir
from compress.runtime.predict import Run
from compress.runtime.proof import prove
from compress.runtime.providers import PROVIDERS, find_provider
from compress.runtime.session import Session, open_session
from compress.steps.workspace import Workspace

PARITY_PATIENTS = 4
"""Validation patients that parity is measured on, both phases of each: enough slices, a few seconds."""
SCHEMA = 1
"""The version of parity.json; raise when its meaning changes, and stored reports are measured again."""

SYNTHETIC = "a generated image"
"""What parity is measured on where no data can be read."""

Sample = tuple[Volume, Prepared]


@dataclass(frozen=True)
class ProviderParity:
    """One provider, measured."""

    logits: ParityReport
    masks: MaskParity

    @property
    def provider(self) -> str:
        return self.logits.provider

    @property
    def ok(self) -> bool:
        """True when the logits agree; then masks can only differ in near-ties."""
        return self.logits.ok

    def to_json(self) -> dict[str, Any]:
        facts = {"provider": self.provider, "measured": True, "ok": self.ok}
        return {**facts, "logits": self.logits.to_json(), "masks": self.masks.to_json()}


@dataclass(frozen=True)
class Unmeasured:
    """One provider that is not truly there."""

    provider: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"provider": self.provider, "measured": False, "reason": self.reason}


@dataclass(frozen=True)
class ParityDocument:
    """What parity.json holds: one row per known provider."""

    phantom: bool
    """True when the volumes are synthetic."""
    providers: tuple[ProviderParity | Unmeasured, ...]

    @property
    def measured(self) -> list[ProviderParity]:
        return [row for row in self.providers if isinstance(row, ProviderParity)]

    @property
    def unmeasured(self) -> list[Unmeasured]:
        return [row for row in self.providers if isinstance(row, Unmeasured)]

    @property
    def ok(self) -> bool:
        """True when every provider that could be measured agrees with torch."""
        return bool(self.measured) and all(row.ok for row in self.measured)

    @property
    def max_abs_difference(self) -> float:
        """The largest logit difference over the measured providers."""
        return max(row.logits.max_abs_difference for row in self.measured)

    @property
    def failure(self) -> str:
        """What differs from torch, a clause per failing provider; "" when the file is accepted."""
        mark = " phantom" if self.phantom else ""
        return "; ".join(
            f"by {row.logits.max_abs_difference:.2g} in its logits on '{row.provider}', where at most "
            f"{row.logits.bound:g} is accepted, and in the label of {row.masks.differing_voxels:,} of "
            f"{row.masks.voxels:,}{mark} voxels"
            for row in self.measured
            if not row.ok
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types without NaN, the verdict included."""
        rows = [row.to_json() for row in self.providers]
        return {"schema": SCHEMA, "phantom": self.phantom, "ok": self.ok, "providers": rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ParityDocument:
        """The document that `to_json` wrote, whatever else stands beside it; `DataError` when it is not one."""
        return records.from_json(cls, value, what="a parity report", cure="Export again.")


def measure_parity(
    ws: Workspace, checkpoint: Checkpoint, onnx_path: Path, *, name: str = "", tidy: Tidy = AS_FOUND
) -> ParityDocument:
    """Compare a checkpoint with its export on both phases of the first validation patients, on every provider.

    `name` is what progress calls the file ("": its own name).
    Raises `CheckpointError` when the network's labels are not the data's, `ModelFileError` when the CPU cannot
    open the file, and `InputError` for logits of another shape or that are not finite.
    """
    ws.check_labels(checkpoint.meta)
    rules = rules_from_json(checkpoint.meta.preprocessing)
    samples = _samples(ws, rules, name or onnx_path.name) if ws.readable else [_synthetic(checkpoint, rules)]
    return measure(
        checkpoint.network,
        onnx_path,
        samples,
        phantom=ws.training.phantom if ws.readable else True,
        batch_size=ws.config.evaluation.batch_size,
        tidy=tidy,
    )


def measure(
    network: nn.Module,
    onnx_path: Path,
    samples: Iterable[Sample],
    *,
    phantom: bool,
    batch_size: int = 16,
    providers: Sequence[str] = tuple(PROVIDERS),
    tidy: Tidy = AS_FOUND,
) -> ParityDocument:
    """As `measure_parity`, on labelled volumes given with their prepared slices; one is in memory at a time.

    `tidy` is what the file's card does to a mask: it is done on both sides.

    The CPU must be measurable; another provider that is not there becomes a row of its own with the reason.
    """
    opened = [_open(onnx_path, provider) for provider in providers]
    tallies = [_Tally(row) for row in opened if isinstance(row, Session)]
    reference = reference_run(network)
    for volume, prepared in samples:
        ours = _logits(reference, prepared, batch_size)
        mask = tidy(_mask(ours, prepared))
        for tally in tallies:
            theirs = _logits(tally.session.run, prepared, batch_size)
            tally.logits.append(compare_logits(ours, theirs, file=str(onnx_path)))
            found = tidy(_mask(theirs, prepared))
            tally.volumes.append(compare_masks(mask, found, volume))
    done = {tally.session.provider_proven: tally.report() for tally in tallies}
    return ParityDocument(
        phantom, tuple(row if isinstance(row, Unmeasured) else done[row.provider_proven] for row in opened)
    )


def restore_parity(document: Mapping[str, Any]) -> ParityDocument | None:
    """What a stored parity.json says; None when it must be measured again.

    That is: another version of the file wrote it, or a provider that was missing then is here now.
    """
    if document.get("schema") != SCHEMA:
        return None
    found = ParityDocument.from_json(document)
    measured = {row.provider for row in found.measured}
    return None if any(_is_here(name) for name in PROVIDERS if name not in measured) else found


@dataclass(frozen=True)
class _Tally:
    """What one session has computed so far."""

    session: Session
    logits: list[LogitDifference] = field(default_factory=list)
    volumes: list[VolumeParity] = field(default_factory=list)

    @property
    def bound(self) -> float:
        return find_provider(self.session.provider_proven).logit_bound

    def report(self) -> ProviderParity:
        return ProviderParity(join_logits(self.logits, self.session, bound=self.bound), join_volumes(self.volumes))


def _open(path: Path, provider: str) -> Session | Unmeasured:
    try:
        return open_session(path, provider=provider, tf32=False)
    except ProviderError as fault:
        if provider == "cpu":
            raise
        return Unmeasured(provider, fault.message)


def _is_here(provider: str) -> bool:
    try:
        prove(provider)
    except ProviderError:
        return False
    return True


def _logits(run: Run, prepared: Prepared, batch_size: int) -> np.ndarray:
    """(Z, C, H, W) float32."""
    images = np.ascontiguousarray(with_channels(prepared.images))
    return np.concatenate([run(images[i : i + batch_size]) for i in range(0, len(images), batch_size)])


def _synthetic(checkpoint: Checkpoint, rules: Rules) -> Sample:
    """A generated image for a network whose data is not read here: enough to compare logits, and nothing more."""
    image, spacing = golden_image()
    channels = [image.astype(np.float32)] * checkpoint.meta.arguments["in_channels"]
    voxels = np.stack(channels) if len(channels) > 1 else channels[0]
    case = Case("phantom", "", Path("phantom"), None, labels=checkpoint.meta.labels, values=checkpoint.meta.labels)
    volume = Volume(case, voxels, np.zeros(image.shape, np.uint8), spacing, np.eye(4))
    return volume, rules.forward(volume)


def _mask(logits: np.ndarray, prepared: Prepared) -> np.ndarray:
    """(Z, Y, X) on the native grid."""
    return prepared.geometry.place(prepared.geometry.labels(logits))


def _samples(ws: Workspace, rules: Rules, name: str) -> Iterator[Sample]:
    cases = ws.cases_of(ws.split.val[:PARITY_PATIENTS])
    with ws.progress.task(f"Parity of {name}", len(cases)) as task:
        for case in cases:
            yield read_volume(case), prepare(case, rules, cache=cache_dir(ws.config))
            task.advance(info=case.name)
