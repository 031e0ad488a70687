"""Parameters and multiply-adds against counts by hand."""

from __future__ import annotations

import pytest
from torch import nn

from compress.models.cost import count_macs, count_parameters, layer_costs
from compress.models.unet import UNet, dense_widths


def hand_counted() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.ConvTranspose2d(3, 5, 2, stride=2),
        nn.Conv2d(5, 2, 1),
    )


def test_macs_and_parameters_equal_a_hand_count():
    layers = layer_costs(hand_counted(), size=(8, 6))
    # Per output pixel 1*9 per filter at 8x6; transposed: every one of 4x3 inputs meets 3*5 kernels of 2x2; 1x1 at 8x6.
    assert [layer.macs for layer in layers] == [9 * 3 * 48, 3 * 5 * 4 * 12, 5 * 2 * 48]
    assert [layer.parameters for layer in layers] == [27, 3 * 5 * 4 + 5, 5 * 2 + 2]
    assert [(layer.name, layer.kind, layer.width) for layer in layers] == [
        ("0", "Conv2d", 3),
        ("4", "ConvTranspose2d", 5),
        ("5", "Conv2d", 2),
    ]
    assert count_macs(hand_counted(), size=(8, 6)) == sum(layer.macs for layer in layers)
    assert count_parameters(hand_counted()) == 27 + 2 * 3 + 65 + 12, "BatchNorm's running statistics are no parameters"


def test_counting_leaves_the_network_as_it_was():
    network = UNet(1, 4, dense_widths([2]))
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert count_macs(network, size=(8, 8)) > 0
    assert network.training
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("factor", [2, 3])
def test_macs_grow_with_the_area(factor: int):
    network = UNet(1, 4, dense_widths([2, 3]))
    assert count_macs(network, size=(8 * factor, 8)) == factor * count_macs(network, size=(8, 8))
