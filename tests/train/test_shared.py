"""Several processes train what one would: the same loss step by step, no slice lost or doubled, stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from training_kit import RECIPE, trainer, training_data

from compress.train.group import ALONE, Group, SharedBatchNorm2d, share_statistics
from compress.train.loop import fit

LONG = replace(RECIPE, epochs=10, batch_size=3, average=0.5)
"""Twenty steps; three slices are shared unevenly by two processes."""
_STOP = 7


def train(state: Path, out: Path, *, stop_at: int = 0) -> None:
    """What process 0 does: train, from `state` where it is there, and write each step's loss and each epoch's Dice."""
    from compress.train.shared import dismiss, lead

    running, data = trainer(LONG), training_data(LONG)
    told: dict[str, list] = {"losses": [], "dice": []}
    if state.is_file():
        told = json.loads(out.read_text())
        running.restore(state)
    step = running._step

    def watched(batch):
        told["losses"].append(float(loss := step(batch)))
        if len(told["losses"]) == stop_at:
            signal.raise_signal(signal.SIGINT)
        return loss

    running._step = watched
    lead(running, data, workers=0)
    try:
        fit(
            running,
            data,
            callbacks=[lambda _, record: told["dice"].append(record["val_dice"])],
            on_stop=lambda now: now.save(state, extra={}),
        )
        dismiss()
    finally:
        out.write_text(json.dumps(told))


def one_process(argv: list[str]) -> None:
    """This file as a script: one of several processes."""
    from compress.train.group import joined
    from compress.train.shared import serve

    with joined() as group:
        if group.rank:
            serve()
        else:
            train(Path(argv[0]), Path(argv[1]), stop_at=int(argv[2]))


def together(processes: int, state: Path, out: Path, stop_at: int = 0) -> list[int]:
    """The exit codes of so many processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {**os.environ, "WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, __file__, str(state), str(out), str(stop_at)]
    started = [
        subprocess.Popen(command, env={**known, "RANK": str(rank)}, stderr=subprocess.PIPE, cwd=Path(__file__).parent)
        for rank in range(processes)
    ]
    codes = []
    for process in started:
        said = process.communicate(timeout=540)[1]
        assert process.returncode == 0 or b"KeyboardInterrupt" in said, said.decode()
        codes.append(process.returncode)
    return codes


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    folder = tmp_path_factory.mktemp("alone")
    train(folder / "state", folder / "out.json")
    return json.loads((folder / "out.json").read_text())


@pytest.mark.long
def test_two_processes_stopped_go_on_as_three_or_one_and_equal_one(alone, tmp_path: Path):
    """Stopped in the middle of an epoch with two; the rest with three, and with one."""
    state, out = tmp_path / "state.safetensors", tmp_path / "out.json"
    assert all(together(2, state, out, _STOP)) and state.is_file()
    assert len(json.loads(out.read_text())["losses"]) == _STOP
    by_one = tmp_path / "one.json"
    by_one.write_bytes(out.read_bytes())
    train(state, by_one)
    assert together(3, state, out) == [0, 0, 0]
    for found in (json.loads(path.read_text()) for path in (out, by_one)):
        assert len(found["losses"]) == len(alone["losses"]) == 20
        assert found["losses"] == pytest.approx(alone["losses"], abs=1e-5)
        assert found["dice"] == pytest.approx(alone["dice"], abs=1e-9)


@pytest.mark.parametrize(("count", "size"), [(16, 2), (3, 2), (7, 4), (5, 5), (16, 3), (2, 3)])
def test_shares_lose_and_double_nothing(count: int, size: int):
    shares = [list(Group(rank, size).share(range(count))) for rank in range(size)]
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_norm_of_all_images_is_that_of_one_process(tmp_path: Path):
    torch.manual_seed(0)
    plain, shared = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    images = torch.randn(4, 3, 5, 6)
    views = [images.clone().requires_grad_(), images.clone().requires_grad_()]
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        share_statistics(shared, torch.device("cpu"))
        assert type(shared[0]) is SharedBatchNorm2d
        outputs = [plain(views[0]), shared(views[1])]
        for output in outputs:
            (output * torch.arange(6.0)).square().sum().backward()
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(views[0].grad, views[1].grad, atol=1e-4, rtol=1e-4)
    finally:
        dist.destroy_process_group()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[f"0.{name}"], value)
    torch.testing.assert_close(shared.eval()(images), plain.eval()(images))


def test_one_process_is_no_group():
    values = torch.ones(2)
    assert ALONE.whole(values, 2) is values and ALONE.join([1]) == [1] and ALONE.any(True) and not ALONE.any(False)


if __name__ == "__main__":
    one_process(sys.argv[1:])
