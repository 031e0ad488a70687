"""A network whose code looks at the number of its channels is never pruned to another function."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from pruning_kit import largest_difference, unheard
from torch import nn

from compress.errors import PlanError
from compress.prune import PruningPlan, rank, rebuild
from compress.prune.same_function import check_same_function

IMAGE = torch.zeros(1, 1, 16, 16)


class Net(nn.Module):
    """Two convolutions with something between them, and a head."""

    def __init__(self, between: Callable[[Net, torch.Tensor], torch.Tensor], **more: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 4, 1)
        self.between = between
        for name, module in more.items():
            self.add_module(name, module)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(self.between(self, self.first(image).relu())).relu())


def one() -> nn.Module:
    return nn.Conv2d(16, 16, 1)


DEPENDS: dict[str, Callable[[], nn.Module]] = {
    "a scale by the width": lambda: Net(lambda n, h: h * h.shape[1] ** -0.5),
    "a division by size(1)": lambda: Net(lambda n, h: h / h.size(1)),
    "a branch on the width": lambda: Net(lambda n, h: n.extra(h) if h.shape[1] > 8 else h, extra=one()),
    "a kernel size from the width": lambda: Net(
        lambda n, h: nn.functional.avg_pool2d(h, 3 if h.shape[1] > 8 else 1, 1, 1 if h.shape[1] > 8 else 0)
    ),
    "in_channels in arithmetic": lambda: Net(lambda n, h: n.extra(h) / n.extra.in_channels, extra=one()),
    "the length of a bias": lambda: Net(lambda n, h: n.extra(h) * len(n.extra.bias), extra=one()),
    "the number of weights": lambda: Net(lambda n, h: n.extra(h) / n.extra.weight.numel(), extra=one()),
    "a logarithm of the width": lambda: Net(lambda n, h: h * torch.log(torch.tensor(float(h.shape[1])))),
}


def untried(network: nn.Module) -> PruningPlan:
    """A plan that halves every group without having been tried, as one from a file may be for this code."""
    plan = rank(network, IMAGE, ratio=0.0, align="none")
    halves = {n: replace(g, kept=g.kept[: g.width // 2]) for n, g in plan.groups.items()}
    return replace(plan, groups=halves)


@pytest.mark.parametrize("name", DEPENDS)
def test_code_that_depends_on_the_width_is_left_whole(name: str):
    network = DEPENDS[name]()
    plan = rank(network, IMAGE, align="none")
    blamed = "extra" if name == "the length of a bias" else "first"
    assert blamed not in plan.groups and len(plan.kept["second"]) == 8
    # With fewer channels the branch leaves out a layer: alone it does not even run.
    what = "does not run in second: Given groups=1" if "branch" in name else "computes something else .* differ by "
    assert re.match(f"the network {what}.*16 channels", plan.whole[blamed])
    images = torch.randn(2, 1, 16, 16).double()
    assert largest_difference(rebuild(network, plan).double(), unheard(network, plan).double(), images) < 1e-12


@pytest.mark.parametrize("name", DEPENDS)
def test_a_plan_that_was_not_tried_is_refused(name: str):
    network = DEPENDS[name]()
    with pytest.raises(PlanError, match=r"computes something else .* differ by .* name those modules in `ignore`"):
        rebuild(network, untried(network))


def test_the_cure_works():
    network = DEPENDS["a scale by the width"]()
    plan = rank(network, IMAGE, align="none", ignore=["first"])
    small = rebuild(network, plan)
    assert list(plan.kept) == ["second"]
    images = torch.randn(2, 1, 16, 16)
    assert largest_difference(small.double(), unheard(network, plan).double(), images.double()) < 1e-12


def test_a_network_of_its_own_precision_is_checked_in_it():
    network = Net(lambda n, h: nn.functional.conv2d(h, torch.ones(1, h.shape[1], 1, 1)).expand(-1, h.shape[1], -1, -1))
    fixed = Net(lambda n, h: h + nn.functional.conv2d(h[:, :1], torch.full((1, 1, 1, 1), 0.5)))
    for each, ignored in ((fixed, []), (network, ["first"])):
        plan = rank(each, IMAGE, align="none", ignore=ignored)
        small = rebuild(each, plan)
        assert largest_difference(small, unheard(each, plan), torch.randn(2, 1, 16, 16)) < 1e-5


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.inner, self.head = nn.Embedding(9, 16), nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.inner(self.embedding(tokens))))


def test_whole_numbers_stay_whole_numbers():
    network = Tokens()
    plan = rank(network, torch.tensor([[1, 2, 3]]), align="none")
    small = rebuild(network, plan)
    assert plan.types == ("int64",) and PruningPlan.from_json(plan.to_json()).types == plan.types
    assert small.inner.out_features == 16
    assert "types" not in rank(Net(lambda n, h: h), IMAGE, align="none").to_json()


def test_a_nan_of_the_pruned_network_alone_is_a_difference():
    network = Net(lambda n, h: h)
    plan = rank(network, IMAGE, align="none")
    small = rebuild(network, plan)
    with torch.no_grad():
        small.head.bias[0] = float("nan")
    with pytest.raises(PlanError, match="differ by inf"):
        check_same_function(network, small, plan)


def test_the_module_that_fails_is_named():
    class Checks(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.shape[1] != 16:
                raise ValueError("16 channels, please")
            return image

    network = Net(lambda n, h: n.guard(h), guard=Checks())
    with pytest.raises(PlanError, match=r"does not run in guard: 16 channels, please"):
        rebuild(network, untried(network))
    whole = rank(network, IMAGE, align="none").whole
    assert whole["first"] == "the network does not run in guard: 16 channels, please (16 channels)"


def test_checking_leaves_networks_and_random_numbers_alone():
    network = Net(lambda n, h: n.drop(h), drop=nn.Dropout(0.5)).train()
    plan = rank(network, IMAGE, align="none")
    before = torch.get_rng_state()
    small = rebuild(network, plan)
    assert torch.equal(before, torch.get_rng_state())
    assert network.training and network.drop.training and small.head.weight.dtype == torch.float32
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in small.modules())
