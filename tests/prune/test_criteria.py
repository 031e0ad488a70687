"""Scores against sums by hand, and what must not change them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compress.choices import CRITERIA
from compress.errors import ConfigError, PlanError
from compress.models.unet import UNet, dense_widths
from compress.prune.criteria import Context, comparable, describe, needs_gradients, score, slice_norms
from compress.prune.groups import SILENCED, Group, find_groups

PINNED = [0.90004316, 0.29154913, 0.32568811, 0.34007041]
BY_WEIGHT = [name for name in CRITERIA if name != "random"]


def plain() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1))


def instance() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 1), nn.InstanceNorm2d(3, affine=True), nn.ReLU(), nn.Conv2d(3, 2, 1))


def bare() -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))


def unscaled() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3, affine=False), nn.Conv2d(3, 2, 1))


def grouped() -> nn.Sequential:
    """Two units of two channels each: a grouped convolution loses whole groups only."""
    first = nn.Conv2d(1, 4, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, groups=2, bias=False), nn.Conv2d(4, 2, 1))


def tripled() -> nn.Sequential:
    """Three units of two channels each."""
    return nn.Sequential(nn.Conv2d(1, 6, 1), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 1, groups=3), nn.Conv2d(6, 2, 1))


def unet() -> UNet:
    return UNet(1, 4, dense_widths([4]))


@functools.cache
def groups_of(build) -> dict[str, Group]:
    found = find_groups(build(), torch.zeros(1, 1, 8, 8))
    return {group.name: group for group in found.groups}


def only(build) -> Group:
    (group,) = groups_of(build).values()
    return group


def context(network: nn.Module, gradients: dict[str, torch.Tensor] | None = None, *, seed: int = 0) -> Context:
    return Context(network.state_dict(), gradients, seed)


@torch.no_grad()
def fill(tensor: torch.Tensor, values: Sequence[object]) -> None:
    tensor.copy_(torch.tensor(values).view(tensor.shape))


def hand_made() -> nn.Sequential:
    """Filters with norms 1, 2, 3 and consumers' slices (3, -3), (-1, 0), (1, 1)."""
    network = plain()
    fill(network[0].weight, [1.0, -2.0, 3.0])
    fill(network[0].bias, [100.0, 100.0, 100.0])
    fill(network[1].weight, [4.0, -1.0, 2.0])
    fill(network[1].running_var, [4.0, 0.25, 1.0])
    fill(network[3].weight, [[3.0, -1.0, 1.0], [-3.0, 0.0, 1.0]])
    return network


def test_l1_adds_filter_and_consumer_each_over_its_mean():
    scores = score("l1", only(plain), context(hand_made()))
    np.testing.assert_allclose(scores, np.array([1, 2, 3]) / 2 + np.array([6, 1, 2]) / 3)
    assert scores.dtype == np.float64


def test_l2_takes_euclidean_norms():
    consumer = np.sqrt([18, 1, 2])
    expected = np.array([1, 2, 3]) / 2 + consumer / consumer.mean()
    np.testing.assert_allclose(score("l2", only(plain), context(hand_made())), expected)


def test_bn_scale_is_the_l1_norm_of_the_folded_filter():
    folded = np.array([4 * 1 / np.sqrt(4 + 1e-5), 1 * 2 / np.sqrt(0.25 + 1e-5), 2 * 3 / np.sqrt(1 + 1e-5)])
    expected = folded / folded.mean()
    np.testing.assert_allclose(score("bn-scale", only(plain), context(hand_made())), expected, rtol=1e-6)


def test_bn_scale_equals_what_a_really_folded_convolution_has():
    network = hand_made().eval()
    folded = torch.nn.utils.fuse_conv_bn_eval(network[0], network[1]).weight
    expected = comparable(slice_norms(folded, 0))
    np.testing.assert_allclose(score("bn-scale", only(plain), context(network)), expected, rtol=1e-6)


def test_bn_scale_is_gamma_alone_where_the_norm_divides_the_filter_away():
    network = instance()
    fill(network[1].weight, [4.0, -1.0, 1.0])
    np.testing.assert_allclose(score("bn-scale", only(instance), context(network)), [2, 0.5, 0.5])
    assert describe("bn-scale", only(instance)) == "bn-scale"


def test_bn_scale_of_a_norm_without_gamma_still_folds_its_deviation():
    network = unscaled()
    fill(network[0].weight, [1.0, -2.0, 3.0])
    fill(network[1].running_var, [1.0, 4.0, 1.0])
    scores = score("bn-scale", only(unscaled), context(network))
    np.testing.assert_allclose(scores, np.array([1, 1, 3]) / (5 / 3), rtol=1e-4)
    assert describe("bn-scale", only(unscaled)) == "bn-scale"


def test_bn_scale_pairs_every_norm_with_its_own_filter():
    """A residual sum of two normalised convolutions."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm_a = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
            self.b, self.norm_b = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
            self.head = nn.Conv2d(2, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.relu(self.norm_a(self.a(x)) + self.norm_b(self.b(x))))

    network = Residual()
    fill(network.a.weight, [1.0, 3.0])
    fill(network.norm_a.weight, [1.0, 1.0])
    fill(network.b.weight, [5.0, 1.0])
    fill(network.norm_b.weight, [1.0, 15.0])
    (group,) = find_groups(network, torch.zeros(1, 1, 4, 4)).groups
    expected = np.array([1, 3]) / 2 + np.array([5, 15]) / 10
    np.testing.assert_allclose(score("bn-scale", group, context(network)), expected, rtol=1e-5)


def test_without_a_norm_bn_scale_is_l1_and_says_so():
    network, group = bare(), only(bare)
    np.testing.assert_array_equal(score("bn-scale", group, context(network)), score("l1", group, context(network)))
    assert describe("bn-scale", group) == "l1 (no norm with a scale)"
    assert [describe(name, group) for name in BY_WEIGHT if name != "bn-scale"] == ["l1", "l2", "fpgm", "taylor"]


def test_our_unet_has_such_groups_and_their_names_are_known():
    spoken = {name: describe("bn-scale", group) for name, group in groups_of(unet).items()}
    assert [name for name, words in spoken.items() if words != "bn-scale"] == ["decoders.0"]


def test_fpgm_sums_distances_to_all_other_filters():
    scores = score("fpgm", only(plain), context(hand_made()))  # filters 1, -2, 3 of mean norm 2
    np.testing.assert_allclose(scores, np.array([3 + 2, 3 + 5, 2 + 5]) / 2)


def test_fpgm_puts_coupled_filters_side_by_side():
    network = grouped()
    fill(network[0].weight, [0.0, 0.0, 3.0, 4.0])  # unit 0 owns the first two: norms 0 and 5, mean 2.5
    fill(network[2].weight, [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])  # norms 1 and 1
    expected = np.sqrt((3 / 2.5) ** 2 + (4 / 2.5) ** 2 + 1 + 1)
    np.testing.assert_allclose(score("fpgm", only(grouped), context(network)), [expected, expected])


def hand_made_gradients() -> dict[str, torch.Tensor]:
    """Products with the weights: filter 2, -4, 3; bias 1, 0, 0; gamma 4, 1, -2; beta (which is 0) nothing."""
    network = hand_made()
    values = {"0.weight": [2.0, 2.0, 1.0], "0.bias": [0.01, 0.0, 0.0], "1.weight": [1.0, -1.0, -1.0]}
    gradients = {name: torch.full_like(parameter, 7.0) for name, parameter in network.named_parameters()}
    for name, products in values.items():
        fill(gradients[name], products)
    return gradients


def test_taylor_is_the_sum_of_gradient_times_weight_over_all_that_makes_the_channel():
    scores = score("taylor", only(plain), context(hand_made(), hand_made_gradients()))
    np.testing.assert_allclose(scores, [2 + 1 + 4, abs(-4 + 1), 3 - 2], rtol=1e-6)


def test_taylor_averages_over_batches_after_the_absolute_value():
    once = hand_made_gradients()
    batches = {name: torch.stack([g, -3 * g]) for name, g in once.items()}
    mean = {name: g.mean(0) for name, g in batches.items()}
    scores = score("taylor", only(plain), context(hand_made(), once))
    np.testing.assert_allclose(score("taylor", only(plain), context(hand_made(), batches)), 2 * scores, rtol=1e-6)
    np.testing.assert_allclose(score("taylor", only(plain), context(hand_made(), mean)), scores, rtol=1e-6)


def test_taylor_without_gradients_says_what_to_give():
    with pytest.raises(PlanError, match=r"'taylor' needs gradients\. Give `data`: batches of \(inputs, targets\)\."):
        score("taylor", only(plain), context(hand_made()))
    with pytest.raises(PlanError, match=r"no gradient for any weight of 0\. Compute them on the network"):
        score("taylor", only(plain), context(hand_made(), {"other.weight": torch.ones(3)}))
    assert [name for name in CRITERIA if needs_gradients(name)] == ["taylor"]


def test_units_with_several_entries_gather_them():
    network, group = grouped(), only(grouped)
    fill(network[0].weight, [1.0, -2.0, 3.0, 0.0])
    fill(network[1].weight, [1.0, 2.0, 3.0, 4.0])
    fill(network[2].weight, [[3.0, 4.0], [0.0, 0.0], [6.0, 8.0], [0.0, 0.0]])
    fill(network[3].weight, [[1.0, 1.0, 0.0, 0.0], [0.0, -1.0, 3.0, 0.0]])
    assert (group.width, group.per_unit) == (2, 2)
    np.testing.assert_allclose(score("l1", group, context(network)), [1 + 7 / 10.5 + 1, 1 + 14 / 10.5 + 1])
    first, second, third = (np.array(v) / np.mean(v) for v in ([5**0.5, 3], [5, 10], [3**0.5, 3]))
    np.testing.assert_allclose(score("l2", group, context(network)), first + second + third)
    folded = np.array([1 * 1 + 2 * 2, 3 * 3 + 4 * 0])
    np.testing.assert_allclose(score("bn-scale", group, context(network)), folded / 7, rtol=1e-5)
    gradients = {name: torch.ones_like(p) for name, p in network.named_parameters()}
    expected = [abs(1 - 2 + 3 + 7), 3 + 7 + 14]  # first convolution, gamma, grouped convolution
    np.testing.assert_allclose(score("taylor", group, context(network, gradients)), expected)


def test_a_skip_connection_counts_both_consumers():
    group = groups_of(unet)["encoders.0.conv2"]
    tensors = {m.tensor: torch.zeros(12, 12, 1, 1) for m in group.members}
    tensors["bottleneck.conv1.weight"][:, 1] = 1
    tensors["decoders.1.conv1.weight"][:, 2] = 1
    np.testing.assert_allclose(score("l1", group, Context(tensors, None, 0)), [0, 4, 4, 0])


@functools.cache
def shapes_of(build) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in build().state_dict().items() if tensor.is_floating_point()}


def drawn(group: Group, build, seed: int) -> Context:
    """Random weights, statistics and gradients."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {n: torch.rand(shape, generator=generator) + 0.1 for n, shape in shapes_of(build).items()}
    signs = {n: torch.randn(shape, generator=generator) for n, shape in shapes_of(build).items()}
    return Context(tensors, {m.tensor: signs[m.tensor] for m in group.members if m.role in SILENCED}, seed)


def permuted(tensors: dict[str, torch.Tensor], group: Group, order: Sequence[int]) -> dict[str, torch.Tensor]:
    """The group's units in another order, in every tensor."""
    result = dict(tensors)
    for member in group.members:
        if member.tensor in result:
            index = np.arange(result[member.tensor].shape[member.dim])
            index[member.index.ravel()] = member.index[list(order)].ravel()
            result[member.tensor] = result[member.tensor].index_select(member.dim, torch.from_numpy(index))
    return result


@pytest.mark.parametrize("build", [plain, instance, tripled, unet])
@pytest.mark.parametrize("criterion", BY_WEIGHT)
@settings(max_examples=10)
@given(data=st.data())
def test_scores_move_with_the_channels(criterion: str, build, data: st.DataObject):
    group = data.draw(st.sampled_from(list(groups_of(build).values())))
    before = drawn(group, build, data.draw(st.integers(0, 1000)))
    order = data.draw(st.permutations(range(group.width)))
    after = Context(permuted(before.tensors, group, order), permuted(before.gradients, group, order), before.seed)
    scores = score(criterion, group, before)
    assert len(set(scores.round(12))) > 1
    np.testing.assert_allclose(score(criterion, group, after), scores[list(order)], rtol=1e-9)


@pytest.mark.parametrize("criterion", ["l1", "l2", "fpgm"])
@settings(max_examples=20)
@given(seed=st.integers(0, 1000), factors=st.lists(st.floats(1e-3, 1e3), min_size=9, max_size=9))
def test_the_scale_of_a_whole_tensor_is_not_seen(criterion: str, seed: int, factors: list[float]):
    group = groups_of(unet)["encoders.0.conv2"]
    before = drawn(group, unet, seed)
    scale = dict(zip([m.tensor for m in group.members], factors, strict=False))
    after = {name: tensor.double() * scale.get(name, 1.0) for name, tensor in before.tensors.items()}
    scores = score(criterion, group, before)
    np.testing.assert_allclose(score(criterion, group, Context(after, None, 0)), scores, rtol=1e-9)


@pytest.mark.parametrize("criterion", BY_WEIGHT)
def test_zero_weights_score_zero_not_nan(criterion: str):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in hand_made().state_dict().items()}
    assert score(criterion, only(plain), Context(zeros, zeros, 0)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn-scale", "fpgm"])
def test_scores_that_are_not_numbers_are_refused(criterion: str):
    network = hand_made()
    fill(network[0].weight, [1.0, float("nan"), 3.0])
    with pytest.raises(PlanError, match=rf"'{criterion}' gives \d of 3 channels of 0 a score that is not a number"):
        score(criterion, only(plain), context(network))


@pytest.mark.parametrize("ask", [lambda n: score(n, only(plain), context(plain())), needs_gradients])
def test_unknown_criteria_are_named(ask):
    known = rf"Known: {', '.join(sorted(CRITERIA))}\."
    with pytest.raises(ConfigError, match=rf"Unknown pruning\.method 'l3'\. {known} Did you mean 'l\d'\?"):
        ask("l3")


def test_describe_refuses_unknown_names_too():
    with pytest.raises(ConfigError, match=r"Unknown pruning\.method 'l1_norm'"):
        describe("l1_norm", only(plain))


def test_random_scores_depend_on_seed_and_group_alone():
    first, second = groups_of(unet)["encoders.0.conv1"], groups_of(unet)["encoders.0.conv2"]

    def scores(group: Group, seed: int) -> list[float]:
        return score("random", group, context(unet(), seed=seed)).tolist()

    assert scores(first, 5) == scores(first, 5)
    assert scores(first, 5) != scores(first, 6)
    assert scores(first, 5) != scores(second, 5)
    assert all(0 <= value < 1 for value in scores(first, 5))


def test_random_scores_are_pinned():
    """Published controls are repeated from their seed."""
    scores = score("random", groups_of(unet)["encoders.0.conv1"], Context({}, None, 42))
    np.testing.assert_allclose(scores, PINNED, atol=1e-8)


def test_comparable_scores_have_mean_one_and_keep_their_order():
    np.testing.assert_allclose(comparable(np.array([1.0, 2.0, 6.0])), [1 / 3, 2 / 3, 2])
    assert comparable(np.zeros(2)).tolist() == [0, 0]


@pytest.mark.parametrize("dim", [0, 1])
def test_slice_norms(dim: int):
    tensor = torch.arange(-6.0, 6.0).view(2, 3, 2, 1)
    axes = tuple(axis for axis in range(4) if axis != dim)
    np.testing.assert_array_equal(slice_norms(tensor, dim), tensor.abs().sum(axes).numpy())
    np.testing.assert_allclose(slice_norms(tensor, dim, order=2), tensor.square().sum(axes).sqrt().numpy(), rtol=1e-6)
    assert slice_norms(tensor, dim).dtype == np.float64
