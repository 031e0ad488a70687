"""A plan is tried before it is handed out: what a network cannot lose is left whole, and the rest is pruned."""

from __future__ import annotations

import pytest
import torch
from pruning_kit import largest_difference, unheard
from torch import nn

from compress.errors import PlanError
from compress.prune import rank, rebuild, trial
from compress.prune.plan import PruningPlan

IMAGE = torch.zeros(1, 1, 8, 8)


class Guard(nn.Module):
    """Insists on the number of its channels, as windowed attention and some norms do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != self.width:
            raise ValueError(f"{self.width} channels, please")
        return x


class Chain(nn.Module):
    """Convolutions of 8 channels one after the other; `between` may put something behind each."""

    def __init__(self, length: int, between: dict[int, nn.Module]) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(8 if i else 1, 8, 3, padding=1) for i in range(length)])
        self.between = nn.ModuleDict({str(i): module for i, module in between.items()})
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, conv in enumerate(self.convs):
            x = conv(x).relu()
            x = self.between[str(i)](x) if str(i) in self.between else x
        return self.head(x)


def assert_right(network: nn.Module, plan: PruningPlan, image: torch.Tensor = IMAGE) -> None:
    noise = torch.randn(2, *image.shape[1:], dtype=torch.float64)
    small = rebuild(network, plan).double().eval()
    assert largest_difference(small, unheard(network, plan).double().eval(), noise) < 1e-12


@pytest.mark.parametrize("guarded", [[0], [3], [5], [1, 4], [0, 1, 2], [0, 2, 4]])
def test_exactly_what_insists_is_left_whole(guarded: list[int]):
    network = Chain(6, {i: Guard(8) for i in guarded})
    plan = rank(network, IMAGE, align="none")
    assert list(plan.groups) == [f"convs.{i}" for i in range(6) if i not in guarded]
    assert all(len(kept) == 4 for kept in plan.kept.values())
    for i in guarded:
        assert plan.whole[f"convs.{i}"] == f"the network does not run in between.{i}: 8 channels, please (8 channels)"
    assert_right(network, plan)


def test_groups_that_only_fail_together_lose_one_of_them():
    class Pair(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert self.convs[0].out_channels + self.convs[1].out_channels > 8, "too few"
            return super().forward(x)

    network = Pair(3, {})
    plan = rank(network, IMAGE, align="none")
    assert list(plan.groups) == ["convs.0", "convs.2"]
    assert_right(network, plan)


class Repeats(nn.Module):
    """A one-channel image repeated to a width that the code fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inner(self.stem(x) + x.repeat(1, 16, 1, 1)).relu())


def test_an_image_repeated_to_a_fixed_width():
    network = Repeats()
    plan = rank(network, IMAGE, align="none")
    assert list(plan.groups) == ["inner"]
    assert plan.whole["stem"].startswith("the network does not run: The size of tensor a (8) must match")
    assert_right(network, plan)


class Stream(nn.Module):
    """Attention on a residual stream without LayerNorm, and a layer that can be pruned beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.attend = nn.Linear(8, 32), nn.MultiheadAttention(32, 4, batch_first=True)
        self.wide, self.narrow, self.head = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 4)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        h = self.enter(tokens)
        h = h + self.attend(h, h, h, need_weights=False)[0]
        return self.head(h + self.narrow(self.wide(h).relu()))


def test_attention_on_a_stream():
    network = Stream().eval()
    example = torch.zeros(2, 5, 8)
    plan = rank(network, example, align="none")
    assert list(plan.groups) == ["wide"]
    assert plan.whole["enter"].startswith("the network does not run in attend: passed-in embed_dim 32")
    assert_right(network, plan, example)


def test_a_global_ranking_takes_more_of_the_others():
    network = Chain(4, {2: Guard(8)})
    plan = rank(network, IMAGE, ratio=0.5, scope="global", align="none")
    kept = [len(group.kept) for group in plan.groups.values()]
    assert len(kept) == 3 and sum(kept) == 12
    assert_right(network, plan)


def test_when_trials_run_out_the_rest_stays_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trial, "MOST_TRIALS", 3)
    network = Chain(8, {1: Guard(8), 6: Guard(8)})
    plan = rank(network, IMAGE, align="none")
    assert 0 < len(plan.groups) < 6
    assert_right(network, plan)


def test_a_network_that_does_not_run_itself_is_named():
    class Odd(Chain):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if torch.compiler.is_exporting() else self.fail()

        def fail(self) -> torch.Tensor:
            raise RuntimeError("no such thing")

    with pytest.raises(PlanError, match=r"Odd itself does not run on random inputs .*: no such thing\. Give"):
        rank(Odd(2, {}), IMAGE)


@pytest.mark.parametrize("ratios", [{"convs.1": 0.5}, {"convs.1": 0.25, "convs": 0.5}])
def test_a_ratio_for_what_is_left_whole_is_no_error(ratios: dict[str, float]):
    network = Chain(3, {1: Guard(8)})
    plan = rank(network, IMAGE, ratios=ratios, align="none")
    assert "convs.1" in plan.whole
    assert_right(network, plan)


def test_nothing_is_tried_alone_when_all_is_right(monkeypatch: pytest.MonkeyPatch):
    seen: list[list[str]] = []
    fault = trial.Trial._fault

    def spy(self: trial.Trial, plan: PruningPlan, names: list[str]) -> str:
        seen.append(list(names))
        return fault(self, plan, names)

    monkeypatch.setattr(trial.Trial, "_fault", spy)
    rank(Chain(3, {}), IMAGE, align="none")
    assert seen == [["convs.0", "convs.1", "convs.2"]]
