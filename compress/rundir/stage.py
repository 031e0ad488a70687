"""The folder of one trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """The folder of one trained network. `final` names its end product."""

    root: Path
    final_name: str

    @property
    def final(self) -> Path:
        """The end product: dense or pruned and retrained weights."""
        return self.root / self.final_name

    @property
    def initial(self) -> Path:
        """Weights before the first step."""
        return self.root / "checkpoints" / "initial.safetensors"

    @property
    def early(self) -> Path:
        """Weights after `rewind_epoch` epochs: what rewinding returns to."""
        return self.root / "checkpoints" / "early.safetensors"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the best validation Dice."""
        return self.root / "checkpoints" / "best.safetensors"

    def epoch(self, number: int) -> Path:
        """Weights after epoch `number`, kept every `save_interval` epochs."""
        return self.root / "checkpoints" / f"epoch_{number:04d}.safetensors"

    @property
    def resume(self) -> Path:
        """Weights, optimiser and schedule after the last finished epoch."""
        return self.root / "checkpoints" / "resume.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.root / "metrics.jsonl"

    @property
    def curves(self) -> Path:
        return self.root / "curves.png"

    @property
    def tensorboard(self) -> Path:
        return self.root / "tensorboard"

    @property
    def record(self) -> Path:
        """What the stage was made from (digests) and what came out: decides whether it is current."""
        return self.root / "stage.json"

    @property
    def onnx(self) -> Path:
        return self.root / f"{Path(self.final_name).stem}.onnx"

    @property
    def parity(self) -> Path:
        return self.root / "parity.json"

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def masks(self) -> Path:
        return self.root / "masks.json"

    @property
    def meta(self) -> Path:
        return self.root / "meta.json"

    @property
    def schematic(self) -> Path:
        return self.root / "unet.png"

    @property
    def pairs(self) -> Path:
        """This network beside the dense one, on the patients that lost most."""
        return self.root / "beside_dense.png"

    @property
    def pairs_record(self) -> Path:
        """What the picture was drawn from (digests): decides whether it is current."""
        return self.root / "beside_dense.json"

    @property
    def raw_pruned(self) -> Path:
        """The pruned network before any retraining."""
        return self.root / "checkpoints" / "pruned_raw.safetensors"

    @property
    def start(self) -> Path:
        """The weights that retraining starts from (kept, random or rewound)."""
        return self.root / "checkpoints" / "start.safetensors"

    @property
    def compensation(self) -> Path:
        """Output error of every convolution before and after least-squares compensation."""
        return self.root / "compensation.json"

    def round(self, number: int) -> Stage:
        """The network between two rounds of pruning, counted from 1; the last round is this stage itself."""
        return Stage(self.root / "rounds" / str(number), self.final_name)

    @property
    def evaluation(self) -> Path:
        """Scores on the validation patients: metrics.json, metrics.md and pictures."""
        return self.root / "eval"

    @property
    def evaluation_after_pruning(self) -> Path:
        """The same before any retraining."""
        return self.root / "eval_after_pruning"
