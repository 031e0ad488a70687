"""What can be followed is followed; everything else is refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from compress.errors import PlanError
from compress.models.unet import UNet, dense_widths
from compress.prune.graph import Segment, trace_channels


class Net(nn.Module):
    """Two convolutions around whatever `between` does; attributes are what a test needs more."""

    def __init__(self, between: Callable[[Net, torch.Tensor, torch.Tensor], object], **modules: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 1)
        self.between = between
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.between(self, self.first(x), x))


REFUSED = {
    "residual addition": (Net(lambda n, h, x: h + n.middle(h), middle=nn.Conv2d(4, 4, 1)), r"'add' \(addition\)"),
    "product": (Net(lambda n, h, x: h * 2), "'mul'"),
    "chunk": (Net(lambda n, h, x: torch.chunk(h, 2, dim=1)[0]), "'chunk'"),
    "method": (Net(lambda n, h, x: h.relu()), "'relu'"),
    "cat of rows": (Net(lambda n, h, x: torch.cat([h, h], dim=2)), "'cat'"),
    "cat by keyword": (Net(lambda n, h, x: torch.cat(tensors=[h], dim=1)), "'cat'"),
    "parameter": (Net(lambda n, h, x: n.first.weight), r"'first_weight'"),
    "group norm": (Net(lambda n, h, x: n.norm(h), norm=nn.GroupNorm(2, 4)), r"'norm' \(GroupNorm\)"),
    "linear": (Net(lambda n, h, x: n.linear(h), linear=nn.Linear(8, 8)), r"'linear' \(Linear\)"),
    "grouped": (Net(lambda n, h, x: n.group(h), group=nn.Conv2d(4, 4, 1, groups=2)), "group is a grouped convolution"),
    "shared convolution": (Net(lambda n, h, x: n.two(n.two(h)), two=nn.Conv2d(4, 4, 1)), "two is used more than once"),
    "shared norm": (Net(lambda n, h, x: n.bn(n.bn(h)), bn=nn.BatchNorm2d(4)), "bn is used more than once"),
    "control flow": (Net(lambda n, h, x: h if h.sum() > 0 else -h), "Channels of Net cannot be followed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_followed_is_named(name: str):
    network, message = REFUSED[name]
    with pytest.raises(PlanError, match=message):
        trace_channels(network, in_channels=1)


def test_several_outputs_are_refused():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 4, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.first(x), x

    with pytest.raises(PlanError, match="'output'"):
        trace_channels(Two(), in_channels=1)


def test_segments_tell_where_channels_come_from():
    flow = trace_channels(UNet(1, 4, {**dense_widths([2]), "encoders.0": [3, 5]}), in_channels=1)
    arriving = {touch.module: touch.inputs for touch in flow.convolutions}
    assert arriving["encoders.0.conv1"] == (Segment(None, 1),)
    assert arriving["encoders.0.conv2"] == (Segment("encoders.0.conv1", 3),)
    assert arriving["bottleneck.conv1"] == (Segment("encoders.0.conv2", 5),)
    assert arriving["decoders.1.conv1"] == (Segment("encoders.0.conv2", 5), Segment("decoders.0", 2))
    assert flow.outputs == {"head"}
    assert list(arriving) == [
        "encoders.0.conv1", "encoders.0.conv2", "bottleneck.conv1", "bottleneck.conv2",
        "decoders.0", "decoders.1.conv1", "decoders.1.conv2", "head",
    ]  # fmt: skip
    assert {t.module: t.inputs[0].producer for t in flow.norms}["bottleneck.norm2"] == "bottleneck.conv2"


def test_outputs_through_a_concatenation_stay_whole():
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return torch.cat([self.one(x), self.two(x)], dim=1)

    assert trace_channels(Heads(), in_channels=1).outputs == {"one", "two"}
