"""What can be followed is followed; everything else is left whole by name, with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pruning_kit import images_like, largest_difference, silenced, unheard
from torch import nn
from torch.nn import functional as F

from compress.errors import PlanError
from compress.models.unet import UNet, dense_widths
from compress.prune import find_groups, rank, rebuild
from compress.prune.groups import ChannelGroups, Group

IMAGE = torch.zeros(1, 1, 8, 8)
Function = Callable[..., torch.Tensor]


class Middle(nn.Module):
    """What happens between two convolutions; its parts are what the function needs more."""

    def __init__(self, function: Function, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        return self.function(self, h)


class Net(nn.Module):
    """first (4 channels), middle, last."""

    def __init__(self, function: Function, *, arrive: int = 4, **parts: nn.Module) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(arrive, 2, 1)
        self.middle = Middle(function, **parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.first(x)))


def found_in(network: nn.Module) -> ChannelGroups:
    return find_groups(network.eval(), IMAGE)


def conv(inputs: int = 4, outputs: int = 4, **more: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, **more)


def _in_place(m: Middle, h: torch.Tensor) -> torch.Tensor:
    h += m.side(h)
    return h


def _excite(m: Middle, h: torch.Tensor) -> torch.Tensor:
    return h * torch.sigmoid(m.up(F.relu(m.down(h.mean((2, 3)))))).view(-1, h.shape[1], 1, 1)


FOLLOWED: dict[str, tuple[Callable[[], Net], dict[str, int]]] = {
    "residual sum": (lambda: Net(lambda m, h: h + m.side(h), side=conv()), {"first": 4}),
    "sum in place": (lambda: Net(_in_place, side=conv()), {"first": 4}),
    "product": (lambda: Net(lambda m, h: h * 2 * m.side(h), side=conv()), {"first": 4}),
    "larger of two": (lambda: Net(lambda m, h: torch.max(h, m.side(h)), side=conv()), {"first": 4}),
    "chunk": (lambda: Net(lambda m, h: torch.cat(h.chunk(2, dim=1)[::-1], dim=1)), {"first": 2}),
    "chunk, two uses": (
        lambda: Net(lambda m, h: torch.cat([m.side(h.chunk(2, 1)[0]), h.chunk(2, -3)[1]], 1), side=conv(2, 2)),
        {"first": 2, "middle.side": 2},
    ),
    "method calls": (lambda: Net(lambda m, h: h.relu().mul(2).clamp(max=3).contiguous()), {"first": 4}),
    "cat of rows": (lambda: Net(lambda m, h: torch.cat([h, h], dim=2)), {"first": 4}),
    "cat by keyword": (lambda: Net(lambda m, h: torch.cat(tensors=[h], dim=1)), {"first": 4}),
    "cat with itself": (lambda: Net(lambda m, h: torch.cat([h, h], dim=1), arrive=8), {"first": 4}),
    "group norm": (lambda: Net(lambda m, h: m.norm(h), norm=nn.GroupNorm(2, 4)), {"first": 2}),
    "grouped": (lambda: Net(lambda m, h: m.group(h), group=conv(groups=2)), {"first": 2}),
    "depthwise": (lambda: Net(lambda m, h: m.group(h), group=conv(groups=4)), {"first": 4}),
    "depthwise, doubled": (lambda: Net(lambda m, h: m.group(h), group=conv(4, 8, groups=4), arrive=8), {"first": 4}),
    "shared convolution": (lambda: Net(lambda m, h: m.two(m.two(h)), two=conv()), {"first": 4}),
    "shared norm": (lambda: Net(lambda m, h: m.bn(m.side(m.bn(h))), bn=nn.BatchNorm2d(4), side=conv()), {"first": 4}),
    "channel attention": (
        lambda: Net(_excite, down=nn.Linear(4, 3), up=nn.Linear(3, 4)),
        {"first": 4, "middle.down": 3},
    ),
    "flattened and back": (lambda: Net(lambda m, h: h.flatten(1).relu().view(-1, h.shape[1], 8, 8)), {"first": 4}),
    "rows as channels last": (
        lambda: Net(lambda m, h: m.line(h.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), line=nn.Linear(4, 4)),
        {"first": 4, "middle.line": 4},
    ),
    "pixel shuffle": (
        lambda: Net(lambda m, h: F.pixel_shuffle(m.wide(h), 2), wide=conv(4, 16)),
        {"first": 4, "middle.wide": 4},
    ),
    "pixel unshuffle": (lambda: Net(lambda m, h: F.pixel_unshuffle(h, 2), arrive=16), {"first": 4}),
    "channel shuffle": (lambda: Net(lambda m, h: F.channel_shuffle(h, 2)), {"first": 2}),
    "flip": (lambda: Net(lambda m, h: h.flip(1)), {"first": 4}),
    "slice of rows": (lambda: Net(lambda m, h: h[:, :, 2:, :-1]), {"first": 4}),
    "softmax over pixels": (lambda: Net(lambda m, h: h * h.flatten(2).softmax(-1).view_as(h)), {"first": 4}),
    "instance norm, functional": (
        lambda: Net(lambda m, h: F.instance_norm(m.side(F.instance_norm(h))), side=conv(4, 6), arrive=6),
        {"first": 4, "middle.side": 6},
    ),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_can_be_followed_is_pruned(name: str):
    make, expected = FOLLOWED[name]
    network = make()
    found = found_in(network)
    assert {g.name: g.width for g in found.groups} == expected
    assert [w.name for w in found.whole] == ["last"]
    plan = rank(network, IMAGE, ratio=0.5, align="none", criterion="random", groups=found)
    images = images_like(IMAGE)
    small = rebuild(network, plan)
    assert largest_difference(small, unheard(network, plan), images) <= 1e-5
    assert largest_difference(small, network, images) > 1e-3


def _attention(m: Middle, h: torch.Tensor) -> torch.Tensor:
    flat = h.flatten(2)
    return (torch.softmax(flat @ flat.transpose(1, 2), -1) @ flat).view(h.shape)


def _heads(m: Middle, h: torch.Tensor) -> torch.Tensor:
    tokens = h.flatten(2).transpose(1, 2)
    return m.heads(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).view(h.shape)


def _on_two_widths(m: Middle, h: torch.Tensor) -> torch.Tensor:
    return m.norm(m.side(m.norm(h)))


LEFT: dict[str, tuple[Callable[[], Net], str]] = {
    "attention over channels": (lambda: Net(_attention), r"matmul pairs channels with channels \(in middle\)"),
    "softmax over channels": (lambda: Net(lambda m, h: h.softmax(1)), r"softmax runs over the channels \(in middle\)"),
    "mean over channels": (lambda: Net(lambda m, h: h * h.mean(1, True)), r"mean runs over the channels \(in middle\)"),
    "deviation over everything": (lambda: Net(lambda m, h: h / torch.std(h, False)), r"std runs over the channels"),
    "deviation over channels": (lambda: Net(lambda m, h: h / h.std(1, keepdim=True)), r"std runs over the channels"),
    "LayerNorm": (
        lambda: Net(lambda m, h: m.norm(h), norm=nn.LayerNorm([4, 8, 8])),
        r"layer_norm runs over the channels \(in middle\.norm\)",
    ),
    "split": (
        lambda: Net(lambda m, h: torch.cat(h.split([1, 3], 1)[::-1], 1)),
        r"split_with_sizes takes them by their places \(in middle\)",
    ),
    "one channel": (lambda: Net(lambda m, h: h * h[:, 3].unsqueeze(1)), r"select takes them by their places"),
    "roll": (lambda: Net(lambda m, h: h.roll(1, 1)), r"roll takes them by their places \(in middle\)"),
    "unequal chunks": (
        lambda: Net(lambda m, h: torch.cat(h.chunk(3, 1)[::-1], 1)),
        r"chunk makes unequal parts \(in middle\)",
    ),
    "functional group norm": (
        lambda: Net(lambda m, h: F.group_norm(h, 2)),
        r"group_norm outside of a module keeps its number of groups \(in middle\)",
    ),
    "functional grouped convolution": (
        lambda: Net(lambda m, h: F.conv2d(h, m.side.weight, groups=2), side=conv(2, 4)),
        r"grouped convolution outside of a module keeps its number of groups \(in middle\)",
    ),
    "one norm for several widths": (
        lambda: Net(_on_two_widths, norm=nn.InstanceNorm2d(4), side=conv(4, 6), arrive=6),
        r"middle\.norm runs on several widths",
    ),
    "computed constant": (
        lambda: Net(lambda m, h: h * torch.arange(4.0).view(4, 1, 1)),
        r"mul with a computed constant \(in middle\)",
    ),
    "pixels as channels": (lambda: Net(lambda m, h: m.line(h), line=nn.Linear(8, 8)), "they can only leave together"),
    "every other channel": (
        lambda: Net(lambda m, h: torch.cat([h, h], 1)[:, ::2]),
        r"slice takes them by their places \(in middle\)",
    ),
}


@pytest.mark.filterwarnings("ignore:input's size at dim=1 does not match num_features")
@pytest.mark.parametrize("name", LEFT)
def test_what_cannot_be_followed_is_left_whole_with_the_reason(name: str):
    make, reason = LEFT[name]
    found = found_in(make())
    whole = {w.name: w for w in found.whole}
    assert "first" not in {g.name for g in found.groups}
    assert re.search(reason, whole["first"].reason), whole["first"].reason
    assert (whole["first"].channels, whole["last"].reason) == (4, "they leave the network")


def test_heads_of_torchs_own_attention_stay():
    found = found_in(Net(_heads, heads=nn.MultiheadAttention(4, 2, batch_first=True)))
    (whole,) = (w for w in found.whole if w.name == "middle.heads")
    assert "nn.MultiheadAttention takes the size of its heads from the width of its stream" in whole.reason
    assert whole.channels == 12, "queries, keys and values"


def test_what_is_left_whole_stands_in_the_plan():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Softmax(1), nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 2, 1))
    plan = rank(network, IMAGE, align="none")
    assert list(plan.groups) == ["2"]
    assert plan.whole == {
        "0": "softmax runs over the channels (in 1) (4 channels)",
        "4": "they leave the network (2 channels)",
    }


def test_control_flow_that_depends_on_values_is_refused():
    network = Net(lambda m, h: h if h.sum() > 0 else -h)
    with pytest.raises(PlanError, match=r"Net cannot be traced: .*torch\.export must be able to follow its forward"):
        found_in(network)


def test_a_network_of_which_nothing_can_be_pruned_is_refused():
    with pytest.raises(PlanError, match=r"Nothing in this network can be pruned \(0: they leave the network\)"):
        rank(nn.Sequential(nn.Conv2d(1, 4, 1)), IMAGE)
    with pytest.raises(PlanError, match="it has no layers with channels"):
        rank(nn.Sequential(nn.ReLU()), IMAGE)


class Branches(nn.Module):
    """A stem and two heads; `how` joins them."""

    def __init__(self, how: Callable[[torch.Tensor, torch.Tensor], object]) -> None:
        super().__init__()
        self.stem, self.one, self.two, self.how = conv(1), conv(4, 2), conv(4, 2), how

    def forward(self, x: torch.Tensor) -> object:
        x = self.stem(x)
        return self.how(self.one(x), self.two(x))


@pytest.mark.parametrize(
    "how",
    [
        lambda one, two: torch.cat([one, two], dim=1),
        lambda one, two: (one, two),
        lambda one, two: {"a": [one], "b": two},
        lambda one, two: one + two,
    ],
)
def test_what_leaves_the_network_stays_whole(how: Callable[[torch.Tensor, torch.Tensor], object]):
    found = found_in(Branches(how))
    assert [g.name for g in found.groups] == ["stem"]
    assert [(w.name, w.reason) for w in found.whole] == [(n, "they leave the network") for n in ("one", "two")]


def test_what_nobody_listens_to_stays_whole():
    found = found_in(Branches(lambda one, two: one))
    assert {w.name: w.reason for w in found.whole}["two"] == "nothing that could be followed consumes them"


class Supervised(nn.Module):
    """A head that exists in training mode only, and code that only evaluation can trace when `stubborn`."""

    def __init__(self, *, stubborn: bool = False) -> None:
        super().__init__()
        self.stem, self.inner, self.early, self.head = conv(1), conv(), conv(4, 2), conv(4, 2)
        self.stubborn = stubborn

    def forward(self, x: torch.Tensor) -> object:
        stem = torch.relu(self.stem(x))
        if not self.training:
            return self.head(self.inner(stem))
        if self.stubborn and stem.sum() > 0:
            stem = -stem
        return self.head(self.inner(stem)), self.early(stem)


def test_heads_of_training_mode_are_followed():
    network = Supervised()
    found = found_in(network)
    (stem,) = [g for g in found.groups if g.name == "stem"]
    assert {m.tensor for m in stem.members if m.role == "consumer"} == {"inner.weight", "early.weight"}
    assert {w.name for w in found.whole} == {"early", "head"}
    assert not network.training


def test_a_training_mode_that_cannot_be_followed_is_told():
    found = found_in(Supervised(stubborn=True))
    assert [g.name for g in found.groups] == ["stem", "inner"]
    (note,) = [w for w in found.whole if w.name == "Supervised"]
    assert note.reason.startswith("only evaluation mode was followed: Supervised cannot be traced")


def test_several_inputs():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = conv(1), conv(2), conv(4, 2)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.head(self.left(a) + self.right(b))

    example = (IMAGE, torch.zeros(1, 2, 8, 8))
    plan = rank(Two(), example, align="none")
    assert {name: len(g.kept) for name, g in plan.groups.items()} == {"left": 2}
    assert plan.inputs == ((1, 1, 8, 8), (1, 2, 8, 8))
    assert rebuild(Two(), plan).right.out_channels == 2


def test_channels_of_the_image_stay():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1, groups=3), conv(3), conv())
    found = find_groups(network, torch.zeros(1, 3, 8, 8))
    assert [g.name for g in found.groups] == ["2"]
    assert [(w.name, w.channels) for w in found.whole] == [("1", 3), ("3", 4)]


def test_ignored_modules_stay_with_all_that_is_below_them():
    network = nn.Sequential(nn.Sequential(conv(1), nn.ReLU(), conv()), nn.ReLU(), conv(), conv())
    found = find_groups(network, IMAGE, ignore=["0"])
    assert [g.name for g in found.groups] == ["2"]
    assert [w.reason for w in found.whole[:2]] == ["the caller asked for it"] * 2
    assert [g.name for g in find_groups(network, IMAGE, ignore=["0.2"]).groups] == ["0.0", "2"]
    with pytest.raises(PlanError, match=r"ignore names '0\.9', which the network does not have"):
        find_groups(network, IMAGE, ignore=["0.9"])


def members(group: Group) -> dict[tuple[str, int], list[int]]:
    return {(m.tensor, m.dim): m.index.ravel().tolist() for m in group.members}


def test_modules_are_ignored_whether_or_not_the_groups_are_given():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    image = torch.zeros(1, 1, 16, 16)
    plans = [rank(network, image, ignore=["0"], align="none", groups=g) for g in (None, find_groups(network, image))]
    assert [list(plan.kept) for plan in plans] == [["2"], ["2"]]
    assert all("the caller asked for it" in plan.whole["0"] for plan in plans)
    with pytest.raises(PlanError, match="'nope', which the network does not have"):
        rank(network, image, ignore=["nope"], align="none", groups=find_groups(network, image))


@pytest.mark.parametrize("example", [({"image": torch.zeros(1, 1, 8, 8)},), (torch.zeros(1, 1, 8, 8), None)])
def test_an_example_of_other_things_than_tensors_is_refused(example: Any):
    with pytest.raises(PlanError, match=r"example holds (dict|NoneType); .*Wrap the network"):
        find_groups(nn.Conv2d(1, 4, 3), example)


def test_members_tell_where_channels_come_from_and_go_to():
    network = UNet(1, 4, {**dense_widths([2]), "encoders.0": [3, 5]})
    groups = {g.name: g for g in find_groups(network, IMAGE).groups}
    assert list(groups) == [
        "encoders.0.conv1", "encoders.0.conv2", "bottleneck.conv1", "bottleneck.conv2",
        "decoders.0", "decoders.1.conv1", "decoders.1.conv2",
    ]  # fmt: skip
    skip = members(groups["encoders.0.conv2"])
    assert skip["bottleneck.conv1.weight", 1] == skip["decoders.1.conv1.weight", 1] == [0, 1, 2, 3, 4]
    assert {("encoders.0.norm2.weight", 0), ("encoders.0.norm2.running_var", 0)} <= set(skip)
    up = members(groups["decoders.0"])
    assert up["decoders.1.conv1.weight", 1] == [5, 6]
    assert up["decoders.0.weight", 1] == up["decoders.0.bias", 0] == [0, 1]


def test_following_leaves_the_network_alone():
    network = Supervised().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    names = set(vars(network))
    find_groups(network, IMAGE)
    assert network.training
    assert set(vars(network)) == names
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(tensor.grad is None and tensor.requires_grad for tensor in network.parameters())


def test_only_shape_and_type_of_the_example_matter():
    network = Net(lambda m, h: m.norm(h), norm=nn.BatchNorm2d(4)).double()
    first = found_in_double(network, torch.zeros(1, 1, 8, 8))
    second = found_in_double(network, torch.full((3, 1, 8, 8), torch.nan))
    assert first == second == [("first", 4)]


def found_in_double(network: nn.Module, example: torch.Tensor) -> list[tuple[str, int]]:
    return [(g.name, g.width) for g in find_groups(network, example.double()).groups]


def test_silenced_channels_are_zero_where_the_norm_has_no_shift():
    """The kit's own oracle, which the property tests rely on."""
    network = Net(lambda m, h: m.norm(h), norm=nn.BatchNorm2d(4, affine=False)).eval()
    network.middle.norm.running_mean.fill_(3.0)
    plan = rank(network, IMAGE, ratio=0.5, align="none")
    quiet = silenced(network, plan)
    gone = sorted(set(range(4)) - set(plan.kept["first"]))
    with torch.no_grad():
        values = quiet.middle(quiet.first(images_like(IMAGE)))
    assert values[:, gone].count_nonzero() == 0
    assert values[:, list(plan.kept["first"])].count_nonzero() > 0
