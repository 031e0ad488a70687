"""A sweep on a cluster: the table of one machine, whatever becomes of the workers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from ray_kit import FakeRay, Killed
from workspace_kit import tiny_workspace

from compress import cluster, pipeline
from compress.errors import CardioCompressError, ConfigError, EnvironmentFault
from compress.models import factory
from compress.progress import Progress
from compress.steps.pruning import prune
from compress.steps.sweeping import engines, trial
from compress.steps.workspace import Workspace

SETTINGS = (
    *("sweep.inits=[keep]", "sweep.seeds=[1, 2]", "pruning.ratios.align=none", "pruning.ratios.default=0.5"),
    *("train.parameters.num_epochs=2", "train.parameters.augmentation=none", "train.parameters.save_interval=1"),
    *("train.num_slices_per_volume=1", "evaluation.num_visuals=0", "train.parameters.precision=fp32"),
)


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    warn = note


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As each trial has on the cluster: with another number of threads sums are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ws(tmp_path: Path, tiny_phantom: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A run whose dense network is there; of a trial, only pruning and retraining are done."""
    monkeypatch.setattr(pipeline, "train_dense", lambda ws, policy: None)
    monkeypatch.setattr(pipeline, "_pages", lambda ws: (Path(), Path()))
    monkeypatch.setattr(pipeline, "sweep_plot", lambda *_, **__: None)
    monkeypatch.setattr(trial, "export_stage", lambda ws, stage: None)
    monkeypatch.setattr(prune, "evaluate_checkpoint", lambda *_, **__: None)
    ws = tiny_workspace(tmp_path, tiny_phantom, *SETTINGS)
    ws.progress = Heard()
    return ws


def swept(ws: Workspace, engine: str = "ray") -> list[dict]:
    """The table without seconds."""
    found = pipeline.sweep(ws, engine=engine, needs=engines.needs_of(ws, engine, cpus=None, gpus=None)).rows
    return [{key: value for key, value in row.items() if key != "training_seconds"} for row in found]


def test_it_is_the_table_of_one_machine_and_a_killed_trial_goes_on(ws, tmp_path, monkeypatch):
    alone = swept(ws, "local")
    before = {path: path.stat().st_mtime_ns for path in ws.run.root.rglob("final_model.safetensors")}
    ray = FakeRay().install(monkeypatch)
    assert swept(ws) == alone, "with all finished"
    assert sum("already done" in line for line in ws.progress.lines) == 2
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing is trained again"

    for folder in (ws.run.root / "pruned").iterdir():
        folder.rename(tmp_path / folder.name)
    kill_once_after_an_epoch(monkeypatch, "config-keep-seed2")
    ws.progress.lines.clear()
    assert swept(ws) == alone
    assert ray.starts == {0: 2, 1: 3}, "each once more, and the killed one twice"
    assert [line for line in ws.progress.lines if "resuming" in line] == [
        "config-keep-seed2: Retraining config-keep-seed2: resuming after epoch 1."
    ]
    rows = json.loads(ws.run.sweep.results.read_text())["rows"]
    assert [row["seed"] for row in rows] == [1, 2], "in the order of the combinations"
    assert not list(ws.run.root.rglob(".*"))


def kill_once_after_an_epoch(patch: pytest.MonkeyPatch, name: str) -> None:
    from compress.train.callbacks import Checkpoints

    after_epoch, mark = Checkpoints.__call__, []

    def deadly(self, trainer, record):
        after_epoch(self, trainer, record)
        if self.stage.root.name == name and not mark:
            mark.append(name)
            (self.stage.root / ".metrics.abcdefgh.partial.jsonl").write_text("half")
            raise Killed

    patch.setattr(Checkpoints, "__call__", deadly)


def test_a_trial_that_is_lost_again_and_again_ends_the_sweep(ws, monkeypatch):
    ray = FakeRay().install(monkeypatch)

    def deadly(ws, trial):
        raise Killed

    monkeypatch.setattr(engines, "run_trial", deadly)
    with pytest.raises(EnvironmentFault, match=f"config-keep-seed[12] was lost {cluster.TRIES} times"):
        swept(ws)
    assert list(ray.starts.values()) == [cluster.TRIES]


def test_an_error_of_a_trial_is_that_of_the_sweep(ws, monkeypatch):
    FakeRay().install(monkeypatch)

    def refused(ws, trial):
        raise ConfigError("no such thing", cure="Try another.")

    monkeypatch.setattr(engines, "run_trial", refused)
    with pytest.raises(ConfigError, match="no such thing") as fault:
        swept(ws)
    assert fault.value.cure == "Try another."


@pytest.mark.parametrize(
    ("asked", "settings", "text"),
    [
        ({"engine": "slurm"}, (), "Unknown engine 'slurm'. Known: local, ray."),
        ({"engine": "local", "cpus": 2}, (), "Add --engine ray"),
        ({"engine": "ray"}, ("experiment.device=cuda:1",), "the cluster chooses each trial's GPU"),
    ],
)
def test_what_cannot_run_is_refused_before_any_training(tmp_path, tiny_phantom, monkeypatch, asked, settings, text):
    FakeRay().install(monkeypatch)
    ws = tiny_workspace(tmp_path, tiny_phantom, *settings)
    with pytest.raises(CardioCompressError) as fault:
        engines.needs_of(ws, **{"cpus": None, "gpus": None, **asked})
    assert text in str(fault.value)


def test_more_than_the_cluster_has_is_refused(ws, monkeypatch):
    FakeRay(cpus=2).install(monkeypatch)
    needs = engines.needs_of(ws, "ray", cpus=3, gpus=None)
    with pytest.raises(ConfigError, match="asks for 3 CPUs and 0 GPUs; the cluster has 2 and 0"):
        pipeline.sweep(ws, engine="ray", needs=needs)


def test_a_machine_of_the_cluster_runs_what_was_typed_where_the_sweep_was_called(ws, tmp_path, monkeypatch):
    """Its own process knows nothing of what a person has named, and modules of the folder never come first."""
    monkeypatch.setattr(factory, "_named", {})
    monkeypatch.setattr(engines, "run_trial", lambda ws, trial: {})
    monkeypatch.chdir(tmp_path)
    before, train = list(sys.path), ws.config.train
    model = train.model.model_copy(update={"factory": "net_of_mine:make"})
    config = ws.config.model_copy(update={"train": train.model_copy(update={"model": model})})
    engines._do(config, 1, trial.trials_of(ws)[0])
    assert factory._named == {"net_of_mine:make": str(tmp_path)}
    assert sys.path == before


def test_what_each_trial_takes_reaches_ray(ws, monkeypatch):
    ray = FakeRay(cpus=8, gpus=1).install(monkeypatch)
    monkeypatch.setattr(engines, "run_trial", lambda ws, trial: {"parameters": 1})
    monkeypatch.setattr(pipeline, "summarise", lambda ws, name, stage: {"parameters": 2, "dice": 1.0, "phantom": True})
    monkeypatch.setattr(pipeline, "_write_sweep", lambda ws, dense, rows: None)
    pipeline.sweep(ws, engine="ray", needs=engines.needs_of(ws, "ray", cpus=2, gpus=0.5))
    assert (ray.options["num_cpus"], ray.options["num_gpus"]) == (2, 0.5)
    assert ray.most_waiting == 2


def test_a_machine_that_does_not_see_the_run_folder_is_named(ws, monkeypatch):
    FakeRay().install(monkeypatch)
    monkeypatch.setattr(cluster.Path, "exists", lambda self: ".partial" not in self.name and self.is_dir())
    with pytest.raises(ConfigError, match=r"does not see .*sweep"):
        swept(ws)


@pytest.mark.long
def test_two_workers_of_a_real_cluster(ws, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray>=2.50', the extra [scale]")
    alone = swept(ws, "local")
    for stage in (ws.run.root / "pruned").iterdir():
        stage.rename(ws.run.root.parent / stage.name)
    assert [row["digest"] for row in swept(ws)] == [row["digest"] for row in alone]
