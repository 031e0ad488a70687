"""What a run leaves where: <save_root>/<experiment_name>/, and the places beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from compress.config import Config
from compress.rundir.folder import At, Folder
from compress.rundir.parts import BenchFiles, GateFiles, GateScores, InspectFiles, Planning, SweepFiles
from compress.rundir.stage import Stage


@dataclass(frozen=True)
class RunDir(Folder):
    """The folder of one experiment."""

    baseline_name: str
    baseline_file: str
    pruned_name: str
    pruned_file: str

    config = At("config.yaml", "the resolved configuration, every default filled in")
    environment = At("environment.json", "versions and hardware")
    data = At("data.json", "digest of the data, and preprocessing")
    split = At("split.json", "who trains and who validates")
    report_json = At("report.json", "the table of networks, for programs")
    report_md = At("report.md", "the table of networks, the benchmarks and the pictures")
    report_html = At("report.html", "the whole run in one page")
    predictions = At("predictions", "masks, report and overlay of the demo's one study")
    bundle = At("bundle", "what the demo ships")

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

    def rebased(self, root: Path) -> RunDir:
        """The same names below another folder."""
        return replace(self, root=Path(root))

    @property
    def baseline(self) -> Stage:
        """The dense network."""
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
    def damaged(self) -> Stage:
        """The network that the demo damages; its file's name is what reports and pages call it."""
        return Stage(self.root / "damaged", "rv-removed-on-purpose.safetensors")

    def restructured(self, key: str) -> Path:
        """The dense network with less depth; `key` says which moves made it of which weights."""
        return self.root / "restructured" / f"{key}.safetensors"

    @property
    def planning(self) -> Planning:
        return Planning(self.root / "planning")

    def inspect(self, name: str) -> InspectFiles:
        """What `inspect` tells of one network."""
        return InspectFiles(self.root / "inspect" / name)

    @property
    def sweep(self) -> SweepFiles:
        return SweepFiles(self.root / "sweep")

    def bench(self, provider: str) -> BenchFiles:
        """The benchmark on one provider."""
        return BenchFiles(self.root / "bench", provider)

    def benchmarks(self) -> list[Path]:
        """The record of every benchmark of this run."""
        return sorted(self.root.glob("bench/bench-*.json"))

    def measured_elsewhere(self, key: str) -> Path:
        """What another machine measured of this run's files and sent back; `key` tells records apart."""
        return self.root / "bench" / "elsewhere" / f"{key}.json"

    def all_measured_elsewhere(self) -> list[Path]:
        """Every such record."""
        return sorted(self.root.glob("bench/elsewhere/*.json"))

    def gate(self, name: str) -> GateFiles:
        """The verdict on one candidate."""
        return GateFiles(self.root / "gate" / name)

    def verdicts(self) -> list[Path]:
        """Every verdict of this run, by name of its candidate."""
        return sorted(self.root.glob("gate/*/verdict.json"))

    def gate_scores(self, key: str) -> GateScores:
        """`key` names the file and the cohort."""
        return GateScores(self.root / "gate" / ".scores" / key)  # no candidate is called so: names start with no dot

    def bundles(self) -> list[Path]:
        """The manifest of every bundle that was shipped into this run folder."""
        return sorted([*self.root.glob("bundle/manifest.json"), *self.root.glob("**/*-bundle/manifest.json")])


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


def bundle_dir(model: Path) -> Path:
    """Where `ship` writes the bundle of an exported file that names no folder: beside it."""
    return model.with_name(f"{model.stem}-bundle")
