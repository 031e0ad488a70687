"""`train --extend` and `train --from`: a network is trained on, and its epochs and parents are told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from cli_kit import settings

from compress.models.checkpoint import load, read_meta

pytestmark = pytest.mark.usefixtures("without_pages")


def weights(stage: Path) -> dict[str, list[float]]:
    network = load(stage / "final_model.safetensors").network
    return {name: value.flatten().tolist() for name, value in network.state_dict().items()}


def record(stage: Path) -> dict:
    return json.loads((stage / "stage.json").read_text())


def test_an_extended_run_equals_one_that_was_asked_for_at_once(trained: Path, command) -> None:
    short = read_meta(trained / "baseline" / "final_model.safetensors")
    done = command("train", "--extend", 1, "--rate", 0.004, *settings())
    assert done.code == 0 and "going on after epoch 2" in done.err + done.out, done.err
    stage = trained / "baseline"
    assert record(stage)["epochs"] == read_meta(stage / "final_model.safetensors").epoch == 3
    assert [json.loads(line)["epoch"] for line in (stage / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert read_meta(stage / "final_model.safetensors").digest != short.digest

    again = command("train", *settings())
    assert again.code == 0 and "already done" in again.err + again.out, "a run keeps the cycles that it was given"
    written = yaml.safe_load((trained / "config.yaml").read_text())
    assert written["train"]["cycles"] == [{"epochs": 1, "learning_rate": 0.004}]

    at_once = settings("experiment.experiment_name=at_once", "train.cycles=[{epochs: 1, learning_rate: 0.004}]")
    assert command("train", *at_once).code == 0
    assert weights(trained.with_name("at_once") / "baseline") == weights(stage)

    assert command("train", "--restart", *settings()).code == 0
    assert record(stage)["epochs"] == 2 and read_meta(stage / "final_model.safetensors").digest == short.digest


def test_an_interrupted_extension_resumes_to_the_same_bits(trained: Path, command, monkeypatch) -> None:
    from compress.train import trainer

    original = trainer.Trainer.run_epoch

    def interrupted(self, loader, task):
        if self.epoch == 3:
            raise KeyboardInterrupt
        return original(self, loader, task)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "run_epoch", interrupted)
        assert command("train", "--extend", 2, *settings()).code == 130
    stage = trained / "baseline"
    assert record(stage)["epochs"] == 2, "the finished network stays until the next one is there"
    refused = command("train", *settings())
    assert refused.code == 2 and "unfinished run (3 of 4 epochs)" in refused.err
    twice = command("train", "--extend", 2, *settings())
    assert twice.code == 2 and "no finished training to extend" in twice.err
    assert command("train", "--resume", *settings()).code == 0
    at_once = settings("experiment.experiment_name=at_once", "train.cycles=[{epochs: 2}]")
    assert command("train", *at_once).code == 0
    assert weights(trained.with_name("at_once") / "baseline") == weights(stage)


def test_a_network_begins_from_another_s_weights(trained: Path, command) -> None:
    source = trained / "baseline" / "final_model.safetensors"
    child = settings("experiment.experiment_name=child", "train.parameters.num_epochs=1")
    done = command("train", "--from", source, *child)
    assert done.code == 0, done.err
    stage = trained.with_name("child") / "baseline"
    begun = load(stage / "checkpoints" / "initial.safetensors")
    assert all(
        value.equal(begun.network.state_dict()[name]) for name, value in load(source).network.state_dict().items()
    )
    assert (record(stage)["epochs"], read_meta(stage / "final_model.safetensors").epoch) == (3, 3)
    assert read_meta(stage / "final_model.safetensors").parent == read_meta(source).digest
    written = yaml.safe_load((trained.with_name("child") / "config.yaml").read_text())
    assert written["train"]["start"]["checkpoint"] == str(source)

    counted = settings("experiment.experiment_name=counted", "train.parameters.num_epochs=1", "train.start.epochs=40")
    assert command("train", "--from", source, *counted).code == 0
    assert record(trained.with_name("counted") / "baseline")["epochs"] == 41


def test_other_labels_get_a_new_head(trained: Path, command, tmp_path: Path) -> None:
    from dataclasses import replace

    from compress.models.checkpoint import save

    source = load(trained / "baseline" / "final_model.safetensors")
    other = tmp_path / "other.safetensors"
    save(other, source.network, replace(source.meta, labels={"LV": 1, "MYO": 2, "scar": 3}))
    child = settings("experiment.experiment_name=child", "train.parameters.num_epochs=1")
    done = command("train", "--from", other, *child)
    assert done.code == 0 and "its head is made anew" in done.err + done.out
    begun = load(trained.with_name("child") / "baseline" / "checkpoints" / "initial.safetensors").network.state_dict()
    same = {name for name, value in source.network.state_dict().items() if value.equal(begun[name])}
    assert begun.keys() - same == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--extend", "1", "--resume"), "Leave out --resume"),
        (("--rate", "0.1"), "Give --extend as well"),
        (("--extend", "0"), "x>=1"),
        (("--from", "absent.safetensors"), "absent.safetensors"),
        (("--extend", "1", "--set", "experiment.experiment_name=new"), "no finished training to extend"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(arguments: tuple[str, ...], said: str, trained: Path, command) -> None:
    before = sorted(path for path in trained.parent.rglob("*"))
    done = command("train", *settings(), *arguments)
    assert done.code == 2 and said in done.err
    assert sorted(path for path in trained.parent.rglob("*")) == before


def test_other_widths_are_refused(trained: Path, command) -> None:
    source = trained / "baseline" / "final_model.safetensors"
    wider = settings("experiment.experiment_name=wider", "train.model.features=[8, 8]")
    done = command("train", "--from", source, *wider)
    assert done.code == 2 and "encoder widths" in done.err
    assert not trained.with_name("wider").exists()


@pytest.mark.usefixtures("without_pages")
def test_faulty_volumes_are_left_out_and_listed(experiment, tiny_phantom, command):
    data = experiment / "data"
    shutil.copytree(tiny_phantom, data)
    broken = [
        sorted((data / "training").glob(pattern))[0] for pattern in ("patient002/*[0-9].nii.gz", "patient003/*_gt*")
    ]
    broken[0].write_bytes(broken[0].read_bytes()[:400])
    broken[1].unlink()
    asked = settings(f"train.paths.train_dir={data}", "train.parameters.num_epochs=1", "evaluation.num_visuals=0")
    refused = command("train", *asked)
    assert refused.code == 2 and refused.err.count("\n") == 1
    done = command("train", "--skip-bad", *asked)
    assert done.code == 0, done.err
    assert done.err.count("Left out:") == 2 and all(path.parent.name in done.err for path in broken)
    facts = json.loads((experiment / "artifacts/cardiac/data.json").read_text())
    assert len(facts["skipped"]) == 2 and facts["volumes"] in (9, 10)
    assert "skip_bad: true" in (experiment / "artifacts/cardiac/config.yaml").read_text()
