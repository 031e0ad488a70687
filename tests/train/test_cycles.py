"""Training that goes on after its schedule has ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from training_kit import RECIPE, network, trainer, training_data

from compress.data.dataset import epoch_loader
from compress.train.loop import fit
from compress.train.recipe import Cycle
from compress.train.trainer import Trainer

TWO = replace(RECIPE, epochs=2, cycles=(Cycle(2, 0.004), Cycle(1, 0.002)))


def weights(found: Trainer) -> dict[str, list[float]]:
    return {name: value.flatten().tolist() for name, value in found.network.state_dict().items()}


def test_a_recipe_knows_its_cycles():
    assert (RECIPE.total, TWO.total) == (4, 5)
    assert [TWO.cycle_at(epoch) for epoch in range(6)] == [
        *[(Cycle(2, 0.01), 0)] * 2,
        *[(Cycle(2, 0.004), 2)] * 2,
        *[(Cycle(1, 0.002), 4)] * 2,
    ]


def test_a_recipe_of_one_cycle_reads_as_before():
    assert not {"cycles", "seen"} & RECIPE.to_json().keys()
    assert TWO.to_json()["cycles"] == [{"epochs": 2, "learning_rate": 0.004}, {"epochs": 1, "learning_rate": 0.002}]


def test_every_cycle_has_a_schedule_and_an_optimiser_of_its_own():
    found, rates = trainer(TWO), []
    fit(found, training_data(TWO), callbacks=[lambda _, record: rates.append(record["learning_rate"])])
    first, second, third = rates[0], rates[2], rates[4]
    assert second == pytest.approx(0.4 * first) and third == pytest.approx(0.2 * first)
    assert found.epoch == 5
    (step,) = {int(state["step"]) for state in found.optimizer.state.values()}
    assert step == training_data(TWO).steps_per_epoch(TWO.batch_size), "of the last cycle alone"


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_cycles_resumed_anywhere_equal_uninterrupted_ones(stop: int, tmp_path: Path):
    whole, begun = trainer(TWO), trainer(TWO)
    fit(whole, training_data(TWO))

    def interrupt(found: Trainer, _: object) -> None:
        if found.epoch == stop:
            found.save(tmp_path / "state.safetensors", extra={})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(begun, training_data(TWO), callbacks=[interrupt])
    resumed = trainer(TWO, seed=9)
    resumed.restore(tmp_path / "state.safetensors")
    fit(resumed, training_data(TWO))
    assert weights(resumed) == weights(whole)


def test_a_finished_training_that_is_trained_on_equals_one_that_was_asked_for_at_once():
    short = trainer(replace(TWO, cycles=()))
    fit(short, training_data(TWO))
    longer = trainer(TWO, seed=9)
    longer.network.load_state_dict(short.network.state_dict())
    longer.begin_at(2)
    fit(longer, training_data(TWO))
    whole = trainer(TWO)
    fit(whole, training_data(TWO))
    assert weights(longer) == weights(whole)


def test_epochs_seen_before_are_not_drawn_again():
    def images(epoch: int) -> list[float]:
        batches = epoch_loader(training_data().train, batch_size=3, epoch=epoch)
        return [value for batch in batches for value in batch.images.flatten().tolist()]

    drawn: list[list[float]] = []

    class Watched(Trainer):
        def run_epoch(self, loader, task):
            batches = list(loader)
            drawn.append([value for batch in batches for value in batch.images.flatten().tolist()])
            return super().run_epoch(batches, task)

    recipe = replace(RECIPE, epochs=1, seen=7)
    found = trainer(recipe)
    fit(Watched(network(0), recipe, steps_per_epoch=2, device=found.device), training_data(recipe))
    assert drawn == [images(8)] != [images(1)]
