"""Sections of the configuration that say what is removed and how the rest is trained again: pruning, sweep."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from compress.config.words import (
    INITS,
    Align,
    Init,
    Method,
    Name,
    PositiveInt,
    Ratio,
    Schedule,
    Scope,
    Section,
    Seed,
    check_align,
    init_word,
)


class CkptPath(Section):
    subfolder: Name = "baseline"
    ckpt_name: Name = "final_model.safetensors"


class SavePath(Section):
    subfolder: Name = "pruned"
    filename: Name = "pruned_model.safetensors"


class Ratios(Section):
    """The fraction of each block's filters that is REMOVED."""

    default: Ratio = 0.5
    """the fraction of filters that is REMOVED from blocks that are not listed"""
    block_ratios: dict[str, Ratio] = {}
    """a block (encoders.0) or a convolution inside it (encoders.0.conv1)"""
    align: Annotated[Align, BeforeValidator(check_align)] = "auto"
    """widths as multiples: auto (what bench.provider computes fastest) | none | 8 | 16"""
    single: tuple[str, ...] = ()
    """double convolutions that become single ones, such as decoders.9"""
    space_to_depth: bool = False
    """the level of full resolution goes: squares of 2x2 pixels become channels, and pixels again at the end"""
    precision: Literal["float32", "int8"] = "float32"
    """the arithmetic that `plan` chose the widths for; `quantize --ratios` takes int8 up"""
    float_layers: tuple[str, ...] = ()
    """precision int8: layers that are faster in float32, by the times that `plan` measured"""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.float_layers and self.precision != "int8":
            raise ValueError("float_layers are those that INT8 leaves in float32: precision must be int8")
        return self

    @property
    def depth(self) -> bool:
        """Whether a part of the network goes as a whole."""
        return bool(self.single) or self.space_to_depth


class Pruning(Section):
    """What pruning one network takes; `prune` and `sweep` ask for more networks by changing it."""

    name: Name | None = None
    """folder of the network; null: the word of reinitialize_weights"""
    method: Method = "l1"
    """{criteria}"""
    scope: Scope = "local"
    """local: each block loses its ratio | global: the least important channels of all"""
    floor: Ratio = 0.1
    """global: the share of its channels that every convolution keeps"""
    reinitialize_weights: Annotated[Init, BeforeValidator(init_word)] = "keep"
    """keep (trained weights stay) | random | rewind"""
    rewind_to: Literal["early", "initial"] = "early"
    """early (after rewind_epoch) | initial"""
    finetune_epochs: Annotated[int, Field(ge=0)] | Literal["auto"] | None = None
    """null: as many as num_epochs; auto: what the dense training cost pays for, at most 100; 0: no retraining"""
    schedule: Schedule = "lr-rewind"
    """lr-rewind: the full learning-rate schedule again | finetune: a constant tenth of it"""
    distill: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """share of the retraining loss that the dense network teaches, 0 (off) to 1"""
    distill_temperature: Annotated[float, Field(gt=0.0)] = 2.0
    """how soft its answers are made"""
    distill_unlabelled: str | None = None
    """a folder of images or cines without masks: the dense network answers for them; not for validation patients"""
    distill_frames: PositiveInt = 4
    """of each such cine, evenly spread"""
    average: Ratio | None = None
    """of the weights while retraining, as train.parameters.average; null: that"""
    rounds: PositiveInt = 1
    """N: prune in N steps; finetune_epochs are divided over them"""
    compensate: bool = False
    """kept weights: fit each convolution again to the dense network's outputs"""
    keep_nnunet_compatible: bool = False
    """one width per stage, so that a network of nnU-Net's can go back there (export-nnunet)"""
    seed: Seed | None = None
    """of random weights and of retraining; null: experiment.seed"""
    ckpt_path: CkptPath = CkptPath()
    save_path: SavePath = SavePath()
    ratios: Ratios = Ratios()
    """used by `prune` without --ratios"""

    @property
    def folder(self) -> str:
        """The network's folder below save_path.subfolder."""
        return self.name or self.reinitialize_weights

    @property
    def compensates(self) -> bool:
        """True when weights are fitted: compensation is wanted, and there are kept weights."""
        return self.compensate and self.reinitialize_weights == "keep"

    def but(self, **changed: Any) -> Pruning:
        """The same with other values, checked."""
        return type(self).model_validate({**self.model_dump(), **changed})


RECOVERY = ("compensate=true", "distill=0.5", "average=0.99", "finetune_epochs=auto")
"""Keys of `Pruning` as `prune --recover` sets them; benchmarks/HEADLINE.md shows what they give."""


class RatioSet(Section):
    name: Name
    ratios: Ratios


class Sweep(Section):
    inits: Annotated[list[Annotated[Init, BeforeValidator(init_word)]], Field(min_length=1)] = list(INITS)
    ratio_sets: list[RatioSet] = []
    seeds: Annotated[list[Seed], Field(min_length=1)] = [42]
