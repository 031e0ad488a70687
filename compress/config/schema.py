"""The whole configuration: its sections, and what they must be together.

The key names are the thesis's, so that its file loads as it stands. `compress.config.read` reads files
and `--set`, and turns faults into one message.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import model_validator

from compress.config.learning import Data, Evaluation, Experiment, Train
from compress.config.pruning import Pruning, Sweep
from compress.config.shipping import Bench, Export, Gate, Quantization
from compress.config.words import Section


class Config(Section):
    """Everything that one experiment can be told."""

    experiment: Experiment = Experiment()
    data: Data = Data()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()
    pruning: Pruning = Pruning()
    export: Export = Export()
    """what exported files say of themselves"""
    bench: Bench = Bench()
    quantization: Quantization = Quantization()
    """what `quantize` may do to an exported file"""
    gate: Gate = Gate()
    """what a candidate may lose against its baseline; benchmarks/GATE.md says why"""
    sweep: Sweep = Sweep()
    """`sweep` trains every combination; `run` uses inits"""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        divisor = 2 ** len(self.train.model.features)
        if any(n % divisor for n in self.data.size):
            faults.append(
                f"data.size {list(self.data.size)} must be multiples of {divisor}: "
                f"{len(self.train.model.features)} encoders halve it {len(self.train.model.features)} times"
            )
        if self.train.fold >= (self.train.folds or 1):
            faults.append(f"train.fold {self.train.fold} is none of the {self.train.folds or 1} parts, counted from 0")
        if self.train.parameters.rewind_epoch > self.train.parameters.num_epochs:
            faults.append(
                f"train.parameters.rewind_epoch {self.train.parameters.rewind_epoch} lies beyond "
                f"num_epochs {self.train.parameters.num_epochs}"
            )
        names = [s.name for s in self.sweep.ratio_sets]
        if len(set(names)) != len(names):
            faults.append(f"sweep.ratio_sets has a name twice: {names}")
        if faults:
            raise ValueError(*faults)
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, every default filled in."""
        return self.model_dump(mode="json")

    def without_paths(self) -> dict[str, Any]:
        """The same without the keys that name folders and files: they can name a user, a study or a patient."""
        return _without(self.to_json(), PATH_KEYS)


PATH_KEYS = ("train_dir", "label_dir", "eval_dir", "save_root", "cache_dir", "checkpoint", "distill_unlabelled")
"""The keys of a configuration that hold paths."""


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _without(found, keys) for key, found in value.items() if key not in keys}
    return value
