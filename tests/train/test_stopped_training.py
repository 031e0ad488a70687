"""Ctrl-C and SIGTERM while a network trains: the step ends, the state is written, and the run goes on bit for bit."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader
from training_kit import RECIPE, network, trainer, training_data

from compress.data.dataset import epoch_loader, sample_seed
from compress.data.preprocess import Prepared
from compress.stopping import held
from compress.train.loop import TrainingData, fit
from compress.train.recipe import Cycle
from compress.train.trainer import Trainer

LONG = replace(RECIPE, epochs=3, batch_size=2, average=0.5, cycles=(Cycle(1, 0.02),))
"""Three steps an epoch."""


def weights(running: Trainer) -> list[float]:
    return [value for tensor in running.result().values() for value in tensor.double().flatten().tolist()]


def records(running: Trainer, data: TrainingData, **options: object) -> list[dict]:
    seen: list[dict] = []
    fit(running, data, callbacks=[lambda _, record: seen.append({**record, "seconds": 0})], **options)
    return seen


class Stopping(Trainer):
    """Is sent SIGINT in one of its steps."""

    at = 0

    def _step(self, batch):
        loss = super()._step(batch)
        if self.begun.steps + 1 == self.at and self.epoch == 1:
            signal.raise_signal(signal.SIGINT)
        return loss


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(at: int, tmp_path: Path):
    whole, expected = trainer(LONG), []
    expected = records(whole, training_data(LONG))
    stopped = Stopping(network(0), LONG, steps_per_epoch=3, device=whole.device)
    stopped.at, state = at, tmp_path / "resume.safetensors"
    first: list[dict] = []
    with pytest.raises(KeyboardInterrupt):
        first = records(stopped, training_data(LONG), on_stop=lambda now: now.save(state, extra={}))
    assert not first and (stopped.epoch, stopped.begun.steps) == (1, at)
    resumed = trainer(LONG, seed=1)
    resumed.restore(state)
    assert (resumed.epoch, resumed.begun.steps) == (1, at)
    assert records(resumed, training_data(LONG)) == expected[1:]
    assert weights(resumed) == weights(whole)


def test_a_signal_during_validation_loses_no_step(tmp_path: Path):
    state, data = tmp_path / "resume.safetensors", training_data(LONG)

    class Signalling(list[Prepared]):
        def __getitem__(self, index):
            signal.raise_signal(signal.SIGINT)
            return super().__getitem__(index)

    running = trainer(LONG)
    with pytest.raises(KeyboardInterrupt):
        fit(running, replace(data, val=Signalling(data.val)), on_stop=lambda now: now.save(state, extra={}))
    resumed = trainer(LONG)
    resumed.restore(state)
    assert (resumed.epoch, resumed.begun.steps) == (0, 3)
    assert records(resumed, data) == records(trainer(LONG), training_data(LONG))


def test_callbacks_are_not_torn():
    done: list[int] = []

    def slow(running: Trainer, _: dict) -> None:
        signal.raise_signal(signal.SIGINT)
        done.append(running.epoch)

    with pytest.raises(KeyboardInterrupt):
        fit(trainer(), training_data(), callbacks=[slow])
    assert done == [1]


def test_batches_are_those_that_a_shuffling_loader_draws():
    data = training_data().train
    for epoch in (1, 2):
        generator = torch.Generator().manual_seed(sample_seed(data.seed, epoch))
        plain = DataLoader(range(len(data)), batch_size=2, shuffle=True, generator=generator)  # type: ignore[arg-type]
        assert list(epoch_loader(data, batch_size=2, epoch=epoch).batch_sampler) == [b.tolist() for b in plain]


class TestHeld:
    def test_the_second_signal_takes_effect_at_once(self):
        reached = False
        with pytest.raises(KeyboardInterrupt), held():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            reached = True
        assert not reached

    def test_what_is_ignored_stays_ignored(self):
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        try:
            with held() as stop:
                signal.raise_signal(signal.SIGTERM)
            assert stop.caught is None and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGTERM, before)

    def test_another_thread_trains_without_signals(self):
        found: list[object] = []

        def work() -> None:
            with held() as stop:
                found.append(stop.caught)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [None]
