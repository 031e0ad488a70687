"""Sections of the configuration that say what becomes of a network: export, bench, quantization, gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.config.words import Batch, Calibration, Name, Positive, PositiveInt, Section, Seed

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Export(Section):
    postprocess: Literal["none", "auto", "small-pieces", "largest"] | dict[Name, Share] = "none"
    """none | small-pieces (below half of the largest piece: dropped) | auto (where that helps) | largest | LV: 0.5"""
    fill_holes: Literal["none", "auto", "all"] | tuple[Name, ...] | None = None
    """holes within a structure: none | all | auto (where that helps) | [LV]; null: auto where postprocess is auto"""
    drop_bare: Literal["none", "auto", "all"] | None = None
    """the LV in slices without myocardium around it goes: none | all | auto (where that helps); null: as fill_holes"""
    tta: bool | None = None
    """masks as means over mirror images; null: as nnU-Net does, for a network that was imported from it"""
    licence: Annotated[str, Field(max_length=500)] = "not stated"
    """of the weights; those trained on ACDC inherit CC BY-NC-SA 4.0"""
    intended_use: Annotated[str, Field(max_length=2000)] = (
        "Research use only; not a medical device. Segments RV, myocardium and LV in short-axis cine cardiac MRI; "
        "every result needs the eyes of a qualified reader."
    )

    @property
    def holes(self) -> str | tuple[str, ...]:
        """`fill_holes`, with what null stands for."""
        return self._unless_said if self.fill_holes is None else self.fill_holes

    @property
    def bare(self) -> str:
        """`drop_bare`, with what null stands for."""
        return self._unless_said if self.drop_bare is None else self.drop_bare

    @property
    def _unless_said(self) -> str:
        return "auto" if self.postprocess == "auto" else "none"

    @property
    def tidies(self) -> bool:
        """Whether masks may come out otherwise than the network makes them."""
        return any(rule != "none" for rule in (self.postprocess, self.holes, self.bare))


class Bench(Section):
    provider: str = "cpu"
    """{providers}"""
    threads: PositiveInt | None = None
    """null: every core that the process may use"""
    rounds: PositiveInt = 100
    """interleaved rounds, baseline and candidates in turn"""
    warmup: PositiveInt = 10
    batch_size: Batch = 1
    dice: bool = True
    """measure Dice through the session as well"""


class Quantization(Section):
    kind: Literal["int8", "fp16"] = "int8"
    """int8 (processors) | fp16 (NVIDIA GPUs)"""
    provider: str | None = None
    """where it must be faster; null: cpu for int8, cuda for fp16"""
    keep: bool = False
    """write the file even where it is not faster"""
    method: Calibration = "auto"
    """how ranges are found: {calibrations}; auto: best Dice of all"""
    weights: Literal["auto", 7, 8] = 7
    """bits of INT8 weights: 7 (right everywhere) | 8 (nearer to float32; needs VNNI) | auto: 8 where VNNI is"""
    slices: Annotated[int, Field(ge=4)] = 64
    """training slices that the ranges are measured on"""
    budget: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.003
    """largest loss of mean 3D Dice; layers stay in float until it holds"""
    float_layers: tuple[str, ...] | None = None
    """INT8: layers left in float32 for the sake of time, as `plan --precision int8` chose them; null: measured here"""


class GateMargins(Section):
    """By how much the mean may be worse: of Dice (lower), of distances and of absolute errors (higher)."""

    dice: Positive = 0.01
    """each structure"""
    hd95_mm: Positive = 1.0
    """each structure"""
    volume_ml: Positive = 5.0
    """absolute error of LV and RV at ED and ES"""
    ef_points: Positive = 2.0
    """absolute error of the ejection fractions"""
    mass_g: Positive = 5.0
    """absolute error of the myocardial mass"""


class GateLimits(Section):
    """By how much one structure, group or patient may be worse."""

    structure_dice: Positive = 0.02
    """one structure at one phase"""
    group_dice: Positive = 0.03
    """one disease group"""
    patient_dice: Positive = 0.1
    """one structure of one patient"""
    patient_volume_ml: Positive = 25.0
    """one patient's absolute error; the same below"""
    patient_ef_points: Positive = 10.0
    patient_mass_g: Positive = 25.0
    lost_structures: Annotated[int, Field(ge=0)] = 0
    """structures of which no voxel is found any more"""


class Gate(Section):
    margins: GateMargins = GateMargins()
    """by how much the mean over patients may be worse, shown with an interval"""
    limits: GateLimits = GateLimits()
    """by how much a part may be worse, as measured"""
    confidence: Annotated[float, Field(ge=0.8, le=0.999)] = 0.95
    """of the two-sided interval; its bad end decides (2.5%)"""
    resamples: Annotated[int, Field(ge=1000, le=100_000)] = 10_000
    seed: Seed = 0
    min_patients: Annotated[int, Field(ge=6)] = 10
    """fewer are refused; never below 6"""
