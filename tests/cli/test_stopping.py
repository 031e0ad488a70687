"""Commands that are stopped, refused a folder or out of disk: one line, its exit code, and nothing lost."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_kit import settings
from safetensors import SafetensorError

from cli import app
from cli.stopping import what_to_type
from compress.files import digest_file
from compress.lock import locked
from compress.models import checkpoint
from compress.train.trainer import Trainer


def sent_at_step(number: int, what: int):
    """A training step after which this process gets a signal, once."""
    original, steps = Trainer._step, []

    def step(self, batch):
        loss = original(self, batch)
        steps.append(1)
        if len(steps) == number:
            signal.raise_signal(what)
        return loss

    return step


@pytest.mark.usefixtures("without_pages")
@pytest.mark.parametrize(("what", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_training_says_what_to_type_and_goes_on(what, code, trained_once, experiment, command, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", sent_at_step(3, what))
        stopped = command("train", "--restart", *settings())
    assert stopped.code == code
    assert "To go on: cardiocompress train --set" in stopped.err and stopped.err.endswith("--resume\n")
    assert "Traceback" not in stopped.err and signal.getsignal(signal.SIGTERM) == before
    stage = experiment / "artifacts/cardiac/baseline"
    assert (stage / "checkpoints/resume.safetensors").is_file()
    resumed = command("train", "--resume", *settings())
    assert resumed.code == 0 and "resuming after epoch 0 and 3 steps" in resumed.out, resumed.err
    whole = trained_once / "cardiac/baseline/final_model.safetensors"
    assert digest_file(stage / whole.name) == digest_file(whole)


def test_a_run_folder_that_another_process_holds_is_refused(experiment, command):
    with locked(experiment / "artifacts/cardiac"):
        for words in (["train"], ["prune"], ["bench"], ["export"]):
            refused = command(*words, *settings())
            assert refused.code == 2 and "Another process is writing to" in refused.err
    assert not (experiment / "artifacts").exists()


@pytest.mark.usefixtures("without_pages")
def test_what_a_killed_command_left_half_written_is_cleared(trained, command):
    left = trained / "baseline/checkpoints/.best.abcd_123.partial.safetensors"
    mine = trained / "baseline/.notes.mine_and.txt"
    for path in (left, mine):
        path.write_bytes(b"half")
    assert command("eval", "-n", "dense", *settings()).code == 0
    assert mine.is_file() and not left.exists()


@pytest.mark.usefixtures("without_pages")
def test_a_full_disk_leaves_the_last_good_checkpoint(experiment, command, monkeypatch):
    original, written = checkpoint.save_file, []

    def fills(tensors, path, metadata):
        written.append(path)
        original(tensors, path, metadata=metadata)
        if Path(path).name.startswith(".resume") and len(written) > 4:
            Path(path).write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    stage = experiment / "artifacts/cardiac/baseline"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fills)
        full = command("train", *settings())
    assert full.code == 3 and full.err.count("\n") == 1 and "No space left on device" in full.err
    assert not [path for path in stage.rglob(".*") if path.is_file()], "half a file is left"
    resumed = command("train", "--resume", *settings())
    assert resumed.code == 0 and "resuming after epoch 1." in resumed.out, resumed.err


def test_what_to_type_keeps_what_was_typed():
    resuming = {"train", "predict", "data convert"}
    assert what_to_type(["sweep", "-s", "a=b c"], resuming) == "cardiocompress sweep -s 'a=b c'"
    assert what_to_type(["predict", "m.onnx", "x", "--restart"], resuming) == "cardiocompress predict m.onnx x --resume"
    assert what_to_type(["data", "convert", "a", "b"], resuming) == "cardiocompress data convert a b --resume"
    assert what_to_type(["data", "check", "a"], resuming) == "cardiocompress data check a"
    assert {"train", "data convert"} <= app._resuming() and "data check" not in app._resuming()
    assert what_to_type(["train", "--extend", "3", "--rate=1e-3"], resuming) == "cardiocompress train --resume"
