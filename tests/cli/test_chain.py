"""What a user types, from init to the benchmark, on a tiny phantom."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli_kit import settings
from pictures import is_drawn

from compress.config.read import load_config
from compress.models.checkpoint import load
from compress.steps.sweeping.trial import trials_of
from compress.steps.workspace import Workspace


def test_the_three_commands_and_everything_around_them(trained, command):
    run = trained
    for name in ("initial", "early", "best"):
        load(run / "baseline" / "checkpoints" / f"{name}.safetensors")
    assert not (run / "baseline" / "checkpoints" / "resume.safetensors").exists()

    done = command("prune", "--ratios", "ratios.yaml", *settings())
    assert done.code == 0, done.err
    stage = run / "pruned" / "keep"
    masks = json.loads((stage / "masks.json").read_text())
    assert masks["encoders.1"].count(True) == 4 and len(masks["encoders.1"]) == 8
    meta = json.loads((stage / "meta.json").read_text())
    assert (meta["enc_features"], meta["bottleneck_out"]) == ([2, 4], 8)
    assert meta["dec_features"] == [4, 4, 2, 2]
    assert is_drawn(stage / "unet.png")
    pruned = load(stage / "pruned_model.safetensors")
    assert pruned.meta.arguments["widths"] == meta["widths"]

    again = command("prune", "--ratios", "ratios.yaml", *settings())
    assert "already done" in again.out

    refused = command("bench", "--provider", "cuda", *settings())
    assert refused.code == 3, refused.out
    assert "cuda" in refused.err and "provider 'cpu'" in refused.err
    assert not (run / "bench").exists()

    done = command("bench", *settings())
    assert done.code == 0, done.err
    report = json.loads((run / "bench" / "bench-cpu.json").read_text())
    assert [m["name"] for m in report["models"]] == ["dense", "pruned-keep"]
    assert report["phantom"] is True
    assert all(m["provider_proven"] == "cpu" for m in report["models"])
    dense_eval = json.loads((run / "baseline" / "eval" / "metrics.json").read_text())
    # The same network through torch and through ONNX Runtime gives the same Dice.
    assert report["models"][0]["dice"]["mean"] == pytest.approx(dense_eval["mean_dice"], abs=1e-3)
    text = (run / "report.md").read_text()
    assert "phantom" in text.lower() and "pruned-keep" in text
    for line in text.splitlines():
        if line.startswith("!["):
            assert (run / line.split("(")[1].rstrip(")")).is_file(), line
    page = (run / "report.html").read_text()
    assert "Page: artifacts/cardiac/report.html" in done.out.replace("\n", "")
    assert page.count("data:image/png") == 5 and "PHANTOM DATA" in page and str(run) not in page


@pytest.mark.usefixtures("without_pages")
def test_inspect_export_eval_and_finetune(trained, command):
    run = trained
    assert command("prune", "--finetune", "none", "--init", "random", *settings()).code == 0
    assert not (run / "pruned" / "random" / "metrics.jsonl").exists()
    done = command("finetune", "--name", "random", "--epochs", "1", *settings())
    assert done.code == 0, done.err
    assert len((run / "pruned" / "random" / "metrics.jsonl").read_text().splitlines()) == 1

    refused = command("finetune", "--name", "random", "--epochs", "2", *settings())
    assert refused.code == 2 and "--restart" in refused.err
    assert len((run / "pruned" / "random" / "metrics.jsonl").read_text().splitlines()) == 1

    done = command("inspect", "--layer", "bottleneck.conv1", *settings())
    assert done.code == 0, done.err
    assert done.out.count("removed") == 8
    for name in ("filters", "activations", "layers", "unet"):
        assert is_drawn(run / "inspect" / "dense" / f"{name}.png")

    assert command("export", *settings()).code == 0
    first = (run / "baseline" / "final_model.onnx").read_bytes()
    (run / "baseline" / "final_model.onnx").unlink()
    assert command("export", *settings()).code == 0
    assert (run / "baseline" / "final_model.onnx").read_bytes() == first

    done = command("eval", "--network", "dense", "--network", "random", *settings())
    assert done.code == 0, done.err
    assert "LV EF" in done.out and "correlation" in done.out

    thin = command("eval", *settings("evaluation.num_slices_per_volume=2"))
    assert thin.code == 0, thin.err
    assert "LV EF" not in thin.out and "LV EF" not in (run / "baseline" / "eval" / "metrics.md").read_text()


def _fail_after(epochs: int, original):
    """A training epoch that is interrupted, as by Ctrl-C, once `epochs` are done."""

    def interrupted(self, loader, task):
        if self.epoch == epochs:
            raise KeyboardInterrupt
        return original(self, loader, task)

    return interrupted


@pytest.mark.usefixtures("without_pages")
def test_an_interrupted_training_resumes_to_the_same_bits(trained, command, monkeypatch):
    from compress.train import trainer

    broken = settings("experiment.experiment_name=broken")
    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "run_epoch", _fail_after(1, trainer.Trainer.run_epoch))
        stopped = command("train", *broken)
    assert stopped.code == 130 and "--resume" in stopped.err

    refused = command("train", *broken)
    assert refused.code == 2 and "unfinished run (1 of 2 epochs)" in refused.err
    assert command("train", "--resume", *broken).code == 0

    runs = [run / "baseline" for run in (trained, trained.with_name("broken"))]
    weights = [load(run / "final_model.safetensors").network.state_dict() for run in runs]
    assert all(np.array_equal(weights[0][k].numpy(), weights[1][k].numpy()) for k in weights[0])
    texts = [(run / "metrics.jsonl").read_text() for run in runs]
    lines = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()] for text in texts
    ]
    assert lines[0] == lines[1]


def test_sweep_writes_one_table_and_repeats_nothing(trained, command):
    sets = "sweep.ratio_sets=[{name: half, ratios: {default: 0.5, align: none}}, {name: none, ratios: {default: 0.0}}]"
    every = Workspace(load_config(None, [sets, "sweep.inits=[keep, rewind]", "sweep.seeds=[1, 2]"]))
    asked = {
        (t.ratio_set, t.wanted.reinitialize_weights, t.wanted.seed, t.wanted.ratios.default) for t in trials_of(every)
    }
    assert asked == {
        (n, i, s, r) for n, r in (("half", 0.5), ("none", 0.0)) for i in ("keep", "rewind") for s in (1, 2)
    }

    one = "sweep.ratio_sets=[{name: half, ratios: {default: 0.5, align: none}}]"
    more = settings("pruning.finetune_epochs=1", "sweep.inits=[none, rewind]", one, "sweep.seeds=[1]")
    done = command("sweep", *more)
    assert done.code == 0, done.err
    folder = trained / "sweep"
    rows = json.loads((folder / "results.json").read_text())["rows"]
    found = [(r["init"], r["ratio_set"], r["seed"]) for r in rows]
    assert found == [("keep", "half", 1), ("rewind", "half", 1)], "none is an older word for keep"
    assert "phantom" in (folder / "table.md").read_text()
    assert is_drawn(folder / "sweep.png")
    again = command("sweep", *more)
    assert again.out.count("already done") == 3


@pytest.mark.long
@pytest.mark.usefixtures("without_pages")
def test_a_changed_configuration_never_overwrites_a_trained_network(trained, command, monkeypatch):
    other = settings("train.parameters.num_epochs=1")
    refused = command("train", *other)
    assert refused.code == 2 and "--restart" in refused.err
    assert command("train", "--restart", *other).code == 0
    stage = trained / "pruned" / "keep"
    assert command("prune", *settings()).code == 0
    replaced = command("prune", *settings("pruning.ratios.default=0.25"))
    assert replaced.code == 0 and "is replaced" in replaced.err

    from compress.train import trainer

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "run_epoch", _fail_after(1, trainer.Trainer.run_epoch))
        assert command("prune", *settings("pruning.ratios.default=0.75")).code == 130
    plan = (stage / "plan.json").read_bytes()
    for option in ([], ["--resume"]):
        refused = command("prune", *option, *settings())
        assert refused.code == 2 and "unfinished" in refused.err
    assert (stage / "plan.json").read_bytes() == plan
    assert command("prune", "--resume", *settings("pruning.ratios.default=0.75")).code == 0

    other = command("prune", *settings("train.model.features=[4, 4]"))
    assert other.code == 2 and "features" in other.err
