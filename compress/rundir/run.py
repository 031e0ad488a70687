"""What a run leaves where.

<save_root>/<experiment_name>/
    config.yaml environment.json data.json split.json report.json report.md report.html cache/
    baseline/            a Stage (the dense network)
    pruned/<init>/       a Stage with masks, plan and schematic beside it; rounds/<i>/ of iterative pruning
    scratch/             a Stage: the pruned shape trained from scratch (control)
    inspect/ bench/ gate/ sweep/ planning/ predictions/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compress.config import Config
from compress.rundir.parts import GateFiles, Planning
from compress.rundir.stage import Stage


@dataclass(frozen=True)
class RunDir:
    """The folder of one experiment."""

    root: Path
    baseline_name: str
    baseline_file: str
    pruned_name: str
    pruned_file: str

    @classmethod
    def of(cls, config: Config) -> RunDir:
        """The run folder that a configuration names."""
        pruning = config.pruning
        return cls(
            Path(config.train.paths.save_root) / config.experiment.experiment_name,
            pruning.ckpt_path.subfolder,
            as_checkpoint_name(pruning.ckpt_path.ckpt_name),
            pruning.save_path.subfolder,
            as_checkpoint_name(pruning.save_path.filename),
        )

    @property
    def baseline(self) -> Stage:
        return Stage(self.root / self.baseline_name, self.baseline_file)

    def pruned(self, name: str) -> Stage:
        """A pruned network; `name` is its initialisation (keep, random, rewind) or the user's --name."""
        return Stage(self.root / self.pruned_name / name, self.pruned_file)

    def pruned_stages(self) -> list[Stage]:
        """Every pruned network of this run that is finished, by name."""
        folder = self.root / self.pruned_name
        names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        return [stage for stage in map(self.pruned, names) if stage.final.is_file()]

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def data(self) -> Path:
        return self.root / "data.json"

    @property
    def split(self) -> Path:
        return self.root / "split.json"

    @property
    def inspect(self) -> Path:
        return self.root / "inspect"

    @property
    def bench(self) -> Path:
        return self.root / "bench"

    def gate(self, name: str) -> GateFiles:
        """The verdict on one candidate."""
        return GateFiles(self.root / "gate" / name)

    def verdicts(self) -> list[Path]:
        """Every verdict of this run, by name of its candidate."""
        return sorted(self.root.glob("gate/*/verdict.json"))

    def benchmarks(self) -> list[Path]:
        """The record of every benchmark of this run."""
        return sorted(self.bench.glob("bench-*.json"))

    def gate_scores(self, key: str) -> Path:
        """Scores and masks of one file on one cohort, kept so that no file is scored twice."""
        return self.root / "gate" / ".scores" / key  # no candidate is called so: their names start with no dot

    @property
    def predictions(self) -> Path:
        """Masks, report and overlay of the demo's one study."""
        return self.root / "predictions"

    @property
    def bundle(self) -> Path:
        """What the demo ships."""
        return self.root / "bundle"

    def bundles(self) -> list[Path]:
        """The manifest of every bundle that was shipped into this run folder."""
        return sorted([*self.root.glob("bundle/manifest.json"), *self.root.glob("**/*-bundle/manifest.json")])

    @property
    def damaged(self) -> Stage:
        """The network that the demo damages; its file's name is what reports and pages call it."""
        return Stage(self.root / "damaged", "rv-removed-on-purpose.safetensors")

    @property
    def sweep(self) -> Path:
        return self.root / "sweep"

    @property
    def planning(self) -> Planning:
        return Planning(self.root / "planning")

    @property
    def report_json(self) -> Path:
        return self.root / "report.json"

    @property
    def report_md(self) -> Path:
        return self.root / "report.md"

    @property
    def report_html(self) -> Path:
        """The whole run in one page."""
        return self.root / "report.html"


def external_evaluation(config: Config, *, stage: Stage) -> Path:
    """Where `eval` writes scores on `evaluation.paths.eval_dir`: apart from the validation patients'."""
    root = Path(config.evaluation.paths.save_root or config.train.paths.save_root)
    run = Path(config.train.paths.save_root) / config.experiment.experiment_name
    inside = stage.root.relative_to(run) if stage.root.is_relative_to(run) else Path(stage.root.name)
    return (
        root / config.experiment.experiment_name / inside / f"eval-{Path(config.evaluation.paths.eval_dir or '').name}"
    )


def as_checkpoint_name(name: str) -> str:
    """Checkpoints are written as safetensors whatever suffix the configuration gives them."""
    return f"{Path(name).stem}.safetensors"


def cache_dir(config: Config) -> Path:
    """Prepared volumes, shared by the experiments of one save_root."""
    return Path(config.data.cache_dir or Path(config.train.paths.save_root) / "cache")


def phantom_dir(config: Config) -> Path:
    """Where the embedded phantom of this size and seed is generated."""
    phantom = config.data.phantom
    return Path(config.train.paths.save_root) / f"phantom-{phantom.patients}-seed{phantom.seed}"


def quantized_files(model: Path, kind: str, *, out: Path | None = None) -> tuple[Path, Path]:
    """(file, record) that `quantize` writes for an exported file: beside it as <stem>.<kind>.onnx, or `out`."""
    target = out or model.with_name(f"{model.stem}.{kind}.onnx")
    return target, target.with_name(f"{target.stem}.quantize.json")


def bundle_dir(model: Path) -> Path:
    """Where `ship` writes the bundle of an exported file that names no folder: beside it."""
    return model.with_name(f"{model.stem}-bundle")
