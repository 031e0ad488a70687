"""What retraining starts from, and BatchNorm recalibration."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning_kit import checkpoint, plan_for
from torch import nn

from compress.errors import ConfigError, DataError
from compress.models.checkpoint import Checkpoint
from compress.models.unet import UNet, dense_widths, initialise
from compress.prune import PruningPlan
from compress.prune.groups import sliced
from compress.prune.rebuild import rebuild_checkpoint
from compress.prune.recalibrate import recalibrate
from compress.prune.restart import restart


def nothing_early() -> Checkpoint:
    raise AssertionError("only rewinding needs early weights")


@pytest.fixture
def trained() -> Checkpoint:
    return checkpoint(dense_widths([4, 6]), seed=2)


@pytest.fixture
def plan(trained: Checkpoint) -> PruningPlan:
    return plan_for(trained)


@pytest.fixture
def pruned(trained: Checkpoint, plan: PruningPlan) -> Checkpoint:
    return rebuild_checkpoint(trained, plan)


def assert_same_state(mine: nn.Module, expected: dict[str, torch.Tensor]) -> None:
    state = mine.state_dict()
    assert state.keys() == expected.keys()
    assert not [name for name in state if not torch.equal(state[name], expected[name])]


def test_keep_keeps_the_trained_weights(pruned: Checkpoint, plan: PruningPlan):
    kept = restart("keep", pruned=pruned, early=nothing_early, plan=plan, seed=0)
    assert_same_state(kept.network, pruned.network.state_dict())


def test_random_draws_fresh_weights_of_the_pruned_shape(pruned: Checkpoint, plan: PruningPlan):
    first, again, other = (restart("random", pruned=pruned, early=nothing_early, plan=plan, seed=s) for s in (7, 7, 8))
    assert first.network.widths == pruned.network.widths == dense_widths([2, 3])
    assert_same_state(again.network, first.network.state_dict())
    assert first.meta == pruned.meta
    for name in ("encoders.0.conv1.weight", "decoders.0.weight", "head.weight"):
        weights = first.network.state_dict()[name]
        assert not torch.equal(weights, pruned.network.state_dict()[name])
        assert not torch.equal(weights, other.network.state_dict()[name])
    assert first.network.bottleneck.norm1.running_mean.count_nonzero() == 0


def test_random_is_not_the_initialisation_of_the_dense_run(pruned: Checkpoint, plan: PruningPlan):
    drawn = restart("random", pruned=pruned, early=nothing_early, plan=plan, seed=7).network
    dense = UNet(**pruned.meta.arguments)
    initialise(dense, seed=7)
    assert not torch.equal(drawn.head.weight, dense.head.weight)


def test_rewind_returns_exactly_the_sliced_early_weights(pruned: Checkpoint, plan: PruningPlan, trained: Checkpoint):
    early = checkpoint(dense_widths([4, 6]), seed=1)
    rewound = restart("rewind", pruned=pruned, early=lambda: early, plan=plan, seed=0)
    assert_same_state(rewound.network, sliced(early.network.state_dict(), plan.channel_groups, plan.kept))
    assert rewound.meta.extra == {"rewound_to_epoch": 1}
    assert rewound.meta.parent == trained.meta.digest


def test_rewinding_to_the_same_weights_is_keeping_them(pruned: Checkpoint, plan: PruningPlan, trained: Checkpoint):
    rewound = restart("rewind", pruned=pruned, early=lambda: trained, plan=plan, seed=0)
    assert_same_state(rewound.network, pruned.network.state_dict())


def test_unknown_restarts_are_named(pruned: Checkpoint, plan: PruningPlan):
    with pytest.raises(ConfigError, match=r"Unknown initialisation 'rewnd'\. Known: keep, random, rewind\. Did you"):
        restart("rewnd", pruned=pruned, early=nothing_early, plan=plan, seed=0)


IMAGES = np.random.default_rng(0).normal(1.0, 2.0, (6, 8, 8)).astype(np.float32)


def test_recalibration_changes_batchnorm_statistics_alone(trained: Checkpoint):
    before = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}
    recalibrate(trained.network, IMAGES, batch_size=4, seed=0)
    changed = {n for n, t in trained.network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {n for n in before if n.endswith(("running_mean", "running_var", "num_batches_tracked"))}
    assert not trained.network.training
    assert all(m.momentum == 0.1 for m in trained.network.modules() if isinstance(m, nn.BatchNorm2d))


def test_one_batch_gives_the_exact_mean_and_variance(trained: Checkpoint):
    norm, seen = trained.network.encoders[0].norm1, []
    hook = norm.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].clone()))
    recalibrate(trained.network, IMAGES, batch_size=6, seed=0)
    hook.remove()
    (values,) = seen
    assert len(values) == 6
    torch.testing.assert_close(norm.running_mean, values.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, values.var((0, 2, 3)))  # unbiased, as torch stores it


def test_several_batches_are_averaged_evenly(trained: Checkpoint):
    norm, seen = trained.network.encoders[0].norm1, []
    hook = norm.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].clone()))
    recalibrate(trained.network, IMAGES, batch_size=2, seed=0)
    hook.remove()
    assert [len(values) for values in seen] == [2, 2, 2]
    torch.testing.assert_close(norm.running_mean, torch.stack([v.mean((0, 2, 3)) for v in seen]).mean(0))
    recalibrate(trained.network, IMAGES, batch_size=2, batches=1, seed=0)
    assert norm.num_batches_tracked == 1


def test_recalibration_is_a_function_of_the_seed(trained: Checkpoint):
    def mean_of(seed: int) -> torch.Tensor:
        recalibrate(trained.network, IMAGES, batch_size=2, batches=1, seed=seed)
        return trained.network.encoders[0].norm1.running_mean.clone()

    assert torch.equal(mean_of(0), mean_of(0))
    assert not torch.equal(mean_of(0), mean_of(1))


def test_recalibration_repairs_statistics_that_pruning_broke(trained: Checkpoint, plan: PruningPlan):
    """A norm's output has the mean that its shift says only when its statistics are those of its input."""
    recalibrate(trained.network, IMAGES, batch_size=6, seed=0)
    small = rebuild_checkpoint(trained, plan).network
    norm, means = small.bottleneck.norm2, []
    norm.register_forward_hook(lambda _m, _i, output: means.append(output.mean((0, 2, 3))))

    def distance() -> float:
        with torch.no_grad():
            small(torch.from_numpy(IMAGES)[:, None])
        return float((means[-1] - norm.bias.detach()).abs().max())

    broken = distance()
    recalibrate(small, IMAGES, batch_size=6, seed=0)
    assert distance() < 0.1 * broken


def test_a_network_without_batchnorm_is_left_as_it_is():
    network = nn.Sequential(nn.Conv2d(1, 2, 1))
    before = network[0].weight.clone()
    recalibrate(network, IMAGES, seed=0)
    assert torch.equal(network[0].weight, before)


def test_every_image_counts_the_same_in_recalibration():
    norm = nn.BatchNorm2d(1)
    images = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32)
    recalibrate(norm, images, batch_size=2, seed=0)
    assert float(norm.running_mean) == pytest.approx(2.0) and norm.momentum == 0.1 and not norm.training


def test_a_batch_with_one_value_per_channel_is_refused():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1))
    with pytest.raises(DataError, match=r"batch of 1: one value per channel has no variance\. Give more images"):
        recalibrate(network, np.zeros((1, 4, 4), np.float32), seed=0)
    assert not network.training and network[1].momentum == 0.1
