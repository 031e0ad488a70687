"""Figures of filters and activations against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning_kit import checkpoint
from torch import nn

from compress.errors import InputError
from compress.models.unet import dense_widths
from compress.prune.statistics import activation_statistics, filter_statistics

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)


def test_filter_statistics_are_of_l1_norms():
    network = checkpoint(dense_widths([4])).network
    found = {each.layer: each for each in filter_statistics(network)}
    assert list(found) == [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for layer, weight, axes in (
        ("encoders.0.conv2", network.encoders[0].conv2.weight, (1, 2, 3)),
        ("decoders.0", network.decoders[0].weight, (0, 2, 3)),
    ):
        norms = weight.detach().double().abs().sum(axes).numpy()
        each = found[layer]
        np.testing.assert_allclose(each.norms, norms)
        assert each.filters == 4
        assert (each.mean, each.std, each.minimum, each.median, each.maximum) == pytest.approx(
            (norms.mean(), norms.std(), norms.min(), np.median(norms), norms.max())
        )


def test_activation_statistics_describe_every_relu_and_upsampling():
    network = checkpoint(dense_widths([4])).network
    found = activation_statistics(network, IMAGES, bins=10)
    assert set(found) == {n for n, m in network.named_modules() if isinstance(m, nn.ReLU | nn.ConvTranspose2d)}
    with torch.no_grad():
        values = network.encoders[0](torch.from_numpy(IMAGES)[:, None])
    each = found["encoders.0.relu2"]
    assert each["mean"] == pytest.approx(float(values.mean()))
    assert each["std"] == pytest.approx(float(values.std()))
    assert each["zero_fraction"] == pytest.approx(float((values == 0).float().mean()))
    edges, counts = each["histogram"]
    assert (len(edges), len(counts)) == (11, 10)
    assert sum(counts) == values.numel()
    assert (edges[0], edges[-1]) == pytest.approx((float(values.min()), float(values.max())))


def test_dead_layers_have_a_histogram_too():
    network = checkpoint(dense_widths([2])).network
    with torch.no_grad():
        network.encoders[0].norm1.weight.zero_()
        network.encoders[0].norm1.bias.fill_(-1)
    each = activation_statistics(network, IMAGES)["encoders.0.relu1"]
    assert each["zero_fraction"] == 1.0
    assert sum(each["histogram"][1]) == 3 * 2 * 64


def test_watching_leaves_no_hooks_even_after_an_error():
    network = checkpoint(dense_widths([2])).network
    activation_statistics(network, IMAGES)
    with pytest.raises(InputError, match="7 x 7"):
        activation_statistics(network, IMAGES[:, :7, :7])
    assert not any(module._forward_hooks for module in network.modules())
