"""Averaged weights: the arithmetic, and that a resumed training has the same ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from training_kit import RECIPE, network, trainer, training_data

from compress.train.average import Average
from compress.train.loop import fit
from compress.train.recipe import Cycle
from compress.train.trainer import Trainer

AVERAGED = replace(RECIPE, average=0.9)


def result(found: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in found.result().items()}


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_average_of_known_weights():
    module = nn.BatchNorm1d(1)
    module.weight.data.fill_(0.0)
    average = Average(module, decay=0.5)
    expected = 0.0
    for step, value in enumerate((1.0, 3.0, -2.0), start=1):
        module.weight.data.fill_(value)
        average.add(module)
        keep = min(0.5, step / (step + 10))
        expected = keep * expected + (1 - keep) * value
        assert float(average.values["weight"]) == pytest.approx(expected)
    assert "running_var" in average.values and "num_batches_tracked" not in average.values


def test_the_result_is_the_average_and_the_network_trains_on_with_its_own_weights():
    found, plain = trainer(AVERAGED), trainer()
    fit(found, training_data())
    fit(plain, training_data())
    own = {name: value.clone() for name, value in found.network.state_dict().items()}
    assert equal(own, plain.network.state_dict()), "averaging changes nothing of the training"
    assert not equal(result(found), own)
    with found.averaged() as shown:
        assert equal(shown.state_dict(), result(found))
    assert equal(dict(found.network.state_dict()), own)


def test_validation_is_that_of_the_average():
    heard: list[float] = []
    found = trainer(AVERAGED)
    fit(found, training_data(), callbacks=[lambda t, record: heard.append(record["val_dice"])])
    alone = trainer()
    alone.network.load_state_dict(result(found))
    from compress.train.validate import grid_dice

    data = training_data()
    dice = grid_dice(alone.network, data.val, data.labels, device=alone.device, bf16=False)
    assert heard[-1] == dice["mean"]


def test_without_it_recipes_and_results_are_as_before():
    found = trainer()
    assert found.average is None and "average" not in RECIPE.to_json()
    assert equal(dict(found.result()), dict(found.network.state_dict()))


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_resumed_average_equals_an_uninterrupted_one(stop: int, tmp_path: Path):
    recipe = replace(AVERAGED, epochs=2, cycles=(Cycle(2, 0.004),))
    whole, begun = trainer(recipe), trainer(recipe)
    fit(whole, training_data())

    def interrupt(found: Trainer, _: object) -> None:
        if found.epoch == stop:
            found.save(tmp_path / "state.safetensors", extra={})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(begun, training_data(), callbacks=[interrupt])
    resumed = trainer(recipe, seed=9)
    resumed.restore(tmp_path / "state.safetensors")
    fit(resumed, training_data())
    assert equal(result(resumed), result(whole))


def test_an_extended_average_goes_on_from_what_was_left():
    short = trainer(replace(AVERAGED, epochs=2))
    fit(short, training_data())
    recipe = replace(AVERAGED, epochs=2, cycles=(Cycle(1, 0.004),))
    longer = trainer(recipe, seed=9)
    longer.network.load_state_dict(result(short))
    longer.begin_at(2)
    fit(longer, training_data())
    whole = trainer(recipe)
    fit(whole, training_data())
    assert equal(result(longer), result(whole))
    assert network(0).state_dict().keys() == result(whole).keys()
