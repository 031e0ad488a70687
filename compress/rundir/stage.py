"""The folder of one trained network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.rundir.folder import At, Folder
from compress.rundir.parts import ScoreFiles


@dataclass(frozen=True)
class Stage(Folder):
    """The folder of one trained network."""

    final_name: str
    """Its end product."""

    initial = At("checkpoints/initial.safetensors", "weights before the first step")
    early = At("checkpoints/early.safetensors", "after `rewind_epoch` epochs: what rewinding returns to")
    best = At("checkpoints/best.safetensors", "of the epoch with the best validation Dice")
    resume = At("checkpoints/resume.safetensors", "weights, optimiser and schedule after the last finished epoch")
    metrics = At("metrics.jsonl", "one JSON line per epoch")
    curves = At("curves.png", "loss and validation Dice by epoch")
    tensorboard = At("tensorboard", "logs, where the logger `tensorboard` is asked for")
    record = At("stage.json", "what it was made from (digests) and what came out: decides whether it is current")
    parity = At(
        "parity.json", "the exported file beside torch: logits, flipped voxels, Dice, volumes and EF, for each provider"
    )
    evaluation = At("eval", "scores of the validation patients", holds=ScoreFiles)

    config = At("config.yaml", "the configuration that pruned it")
    plan = At("plan.json", "what was kept of each channel group, and why")
    masks = At("masks.json", "the same, layer by layer: true where a filter stays")
    meta = At("meta.json", "widths of every block after pruning")
    schematic = At("unet.png", "the U-Net before and after")
    raw_pruned = At("checkpoints/pruned_raw.safetensors", "before any retraining")
    start = At("checkpoints/start.safetensors", "what retraining starts from: kept, random or rewound weights")
    compensation = At("compensation.json", "output error of every convolution before and after")
    evaluation_after_pruning = At("eval_after_pruning", "scores from before any retraining", holds=ScoreFiles)
    pairs = At("beside_dense.png", "beside the dense network, on the patients that lost most")
    pairs_record = At("beside_dense.json", "what that picture was drawn from (digests)")

    @property
    def final(self) -> Path:
        """The end product: dense or pruned and retrained weights."""
        return self.root / self.final_name

    @property
    def onnx(self) -> Path:
        """The same as an exported file."""
        return self.final.with_suffix(".onnx")

    def onnx_files(self) -> list[Path]:
        """The exported file and what `quantize` made of it, as far as they are there."""
        return sorted(self.root.glob(f"{self.onnx.stem}*.onnx"))

    def quantize_records(self) -> list[Path]:
        """What `quantize` wrote beside its files."""
        return sorted(self.root.glob(f"*{QUANTIZE_RECORD}"))

    def epoch(self, number: int) -> Path:
        """Weights after epoch `number`, kept every `save_interval` epochs."""
        return self.root / "checkpoints" / f"epoch_{number:04d}.safetensors"

    def epochs(self) -> list[Path]:
        """Every such file that is there."""
        return sorted(self.root.glob("checkpoints/epoch_*.safetensors"))

    def round(self, number: int) -> Stage:
        """The network between two rounds of pruning, counted from 1; the last round is this stage itself."""
        return Stage(self.root / "rounds" / str(number), self.final_name)


QUANTIZE_RECORD = ".quantize.json"


def quantized_files(model: Path, kind: str, *, out: Path | None = None) -> tuple[Path, Path]:
    """(file, record) that `quantize` writes for an exported file: beside it as <stem>.<kind>.onnx, or `out`."""
    target = out or model.with_name(f"{model.stem}.{kind}.onnx")
    return target, quantize_record(target)


def quantize_record(model: Path) -> Path:
    """Where the record of a file that `quantize` wrote lies."""
    return model.with_name(f"{model.stem}{QUANTIZE_RECORD}")


def parity_beside(model: Path) -> Path:
    """Where `export` leaves the parity of a file."""
    return Stage(model.parent, "").parity
