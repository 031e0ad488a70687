"""Recovery after pruning as a user asks for it: rounds, teacher, schedule and compensation, interrupted and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_kit import settings

from compress.models.checkpoint import load, read_meta

ONE_EPOCH = settings(
    "train.parameters.num_epochs=1",
    "train.num_slices_per_volume=4",
    "evaluation.num_slices_per_volume=2",
    "evaluation.num_visuals=0",
)
ASKED = ("--rounds", "2", "--distill", "0.5", "--compensate", "--schedule", "finetune", "--finetune", "3")


def read(path: Path):
    return json.loads(path.read_text())


def weights(stage: Path) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in load(stage / "pruned_model.safetensors").network.state_dict().items()}


@pytest.mark.usefixtures("without_pages")
def test_rounds_with_a_teacher_resume_to_the_same_bits(experiment, command, monkeypatch):
    from compress.train.trainer import Trainer

    run = experiment / "artifacts" / "cardiac"
    whole, broken = run / "pruned" / "whole", run / "pruned" / "broken"
    assert command("train", *ONE_EPOCH).code == 0
    done = command("prune", "--name", "whole", "--init", "none", *ASKED, *ONE_EPOCH)
    assert done.code == 0, done.err

    recipe = read(whole / "stage.json")["inputs"]["recipe"]
    dense = read_meta(run / "baseline" / "final_model.safetensors")
    assert (recipe["distill"], recipe["teacher"], recipe["temperature"]) == (0.5, dense.digest, 2.0)
    assert (recipe["epochs"], recipe["schedule"], recipe["learning_rate"]) == (2, "constant", 0.0001)
    assert read(whole / "rounds" / "1" / "stage.json")["epochs"] == 1
    assert read(whole / "stage.json")["epochs"] == 3, "the record tells the effort of all rounds"

    first, last = (read(folder / "plan.json")["groups"] for folder in (whole / "rounds" / "1", whole))
    widths = [[len(plan[name]["kept"]) for name in ("encoders.1.conv2", "bottleneck.conv1")] for plan in (first, last)]
    assert widths == [[6, 11], [4, 8]]
    assert all(set(last[name]["kept"]) <= set(first[name]["kept"]) for name in last)
    final = read_meta(whole / "pruned_model.safetensors")
    assert final.arguments["widths"]["bottleneck"] == [8, 8] and final.plan["default"] == 0.5
    fitted = {row["layer"]: row for row in read(whole / "compensation.json")}
    assert fitted["head"]["after"] < fitted["head"]["before"]

    epochs, original = [], Trainer.run_epoch

    def interrupted(self, loader, task):
        if len(epochs) == 2:  # one of the first round, one of the second
            raise KeyboardInterrupt
        epochs.append(self.epoch)
        return original(self, loader, task)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", interrupted)
        assert command("prune", "--name", "broken", *ASKED, *ONE_EPOCH).code == 130
    other = command("prune", "--resume", "--name", "broken", *ASKED, "--method", "random", *ONE_EPOCH)
    assert other.code == 2 and "another pruning plan" in other.err
    resumed = command("prune", "--resume", "--name", "broken", *ASKED, *ONE_EPOCH)
    assert resumed.code == 0, resumed.err
    assert resumed.out.count("already done") == 1, "the first round is not trained again"
    left, right = weights(whole), weights(broken)
    assert all(np.array_equal(left[name], right[name]) for name in left)
    assert read(broken / "stage.json")["epochs"] == 3


def test_rounds_need_epochs(experiment, command):
    refused = command("prune", "--rounds", "3", "--finetune", "2", *ONE_EPOCH)
    assert refused.code == 2 and "3 rounds of pruning need at least 3 epochs of retraining, got 2" in refused.err
    assert not (experiment / "artifacts").exists()


@pytest.mark.usefixtures("without_pages")
def test_one_word_recovers_and_what_is_said_beside_it_wins(trained, command):
    more = settings("pruning.average=0.5", "pruning.distill_temperature=3.0")
    done = command("prune", "--recover", "--finetune", "1", "--name", "short", *more)
    assert done.code == 0, done.err
    recipe = read(trained / "pruned/short/stage.json")["inputs"]["recipe"]
    assert (recipe["distill"], recipe["average"], recipe["temperature"], recipe["epochs"]) == (0.5, 0.5, 3.0, 1)
    assert (trained / "pruned/short/compensation.json").is_file()
    assert list((trained.parent / "cache").glob("answers-*.npy")), "the teacher's answers are kept for the next student"

    done = command("prune", "--finetune", "auto", "--name", "long", *settings())
    assert done.code == 0, done.err
    macs = read(trained / "pruned/long/meta.json")
    assert read(trained / "pruned/long/stage.json")["epochs"] == round(2 * macs["dense"]["macs"] / macs["macs"]) > 2
