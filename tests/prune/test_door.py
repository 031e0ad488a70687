"""`prune` in one call: any target, any criterion, in rounds, with a teacher; and the penalty before pruning."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import compress.prune.door
from compress.errors import ConfigError, PlanError
from compress.prune import GroupSparsity, find_groups, prune, rebuild
from compress.prune.criteria import Context, l1
from compress.prune.groups import Group
from compress.prune.shapes import Shapes

IMAGE = torch.zeros(1, 3, 16, 16)


class Net(nn.Module):
    """Two convolutions with a residual stream, and a head."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem, self.mid = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.norm, self.wide = nn.BatchNorm2d(width), nn.Conv2d(width, 2 * width, 3, padding=1)
        self.head = nn.Conv2d(2 * width, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.stem(x).relu()
        h = h + self.norm(self.mid(h)).relu()
        return self.head(self.wide(h).relu())


@pytest.fixture
def model() -> Net:
    torch.manual_seed(0)
    return Net().eval()


def batches(count: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    made = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 16, 16, generator=made), torch.randint(0, 4, (8, 16, 16), generator=made))
        for _ in range(count)
    ]


def cost(network: nn.Module, quantity: str) -> int:
    shapes = Shapes(network, IMAGE, ())
    return shapes.macs({}) if quantity == "macs" else shapes.parameters({})


@pytest.mark.parametrize("target", ["macs=0.4x", "params=0.3x", "params=20k", "macs=3M"])
@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_target_holds_and_little_is_given_away(model: Net, target: str, scope: str):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = prune(model, IMAGE, target=target, scope=scope, align="none")
    quantity, amount = target.split("=")
    units = {"k": 1e3, "M": 1e6}
    dense = cost(model, quantity)
    share = float(amount[:-1]) if amount[-1] == "x" else float(amount[:-1]) * units[amount[-1]] / dense
    assert found.share == cost(found.model, quantity) / dense
    assert 0.9 * share < found.share <= share
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    again = rebuild(model, found.history[0])
    assert all(
        torch.equal(a, b) for a, b in zip(again.state_dict().values(), found.model.state_dict().values(), strict=True)
    )


def test_latency_is_measured(model: Net, monkeypatch: pytest.MonkeyPatch):
    """A clock that counts multiply-adds: the search is the same as for MACs."""
    monkeypatch.setattr("compress.prune.door.seconds", lambda network, example: cost(network, "macs") * 1e-9)
    monkeypatch.setattr(
        "compress.prune.door.time_share", lambda first, second, _: cost(second, "macs") / cost(first, "macs")
    )
    by_time, by_macs = (prune(model, IMAGE, target=f"{name}=0.4x", align=4) for name in ("latency", "macs"))
    assert by_time.history[0].kept == by_macs.history[0].kept
    assert by_time.share == pytest.approx(by_macs.share)
    monkeypatch.undo()
    real = prune(Net(96), IMAGE.repeat(1, 1, 4, 4), target="latency=0.5x", align=16)
    assert 0 < real.share < 0.9


def test_in_rounds_the_cost_falls_geometrically_and_each_round_is_retrained(model: Net):
    seen: list[float] = []
    found = prune(
        model,
        IMAGE,
        target="macs=0.25x",
        rounds=2,
        align="none",
        ratios={"stem": 0.5},
        retrain=lambda network: seen.append(cost(network, "macs") / cost(model, "macs")),
    )
    assert len(found.history) == 2
    assert seen == [pytest.approx(0.5, rel=0.05), pytest.approx(0.25, rel=0.05)] and seen[0] <= 0.5 and seen[1] <= 0.25
    assert found.model.stem.out_channels == 24, "a ratio is one of the first width, however many rounds there are"
    assert rebuild(rebuild(model, found.history[0]), found.history[1]).head.in_channels == found.model.head.in_channels


def test_a_function_ranks(model: Net):
    def last_first(group: Group, context: Context) -> np.ndarray:
        return np.arange(group.width)[::-1].copy()

    found = prune(model, IMAGE, target="macs=0.5x", criterion=last_first, align="none")
    assert found.history[0].criterion == "last_first"
    for group in found.history[0].groups.values():
        assert group.kept == tuple(range(len(group.kept)))
    with pytest.raises(PlanError, match=r"'short' gives scores of shape \(3,\) for stem; \(48,\) is needed"):
        prune(model, IMAGE, target="macs=0.5x", criterion=_short)
    gradients: list[bool] = []

    def asks(group: Group, context: Context) -> np.ndarray:
        gradients.append(context.gradients is not None)
        return l1(group, context)

    asks.needs_gradients = True
    prune(model, IMAGE, target="macs=0.9x", criterion=asks, data=batches(1))
    assert all(gradients)


def _short(group: Group, context: Context) -> np.ndarray:
    return np.ones(3)


_short.__name__ = "short"


def test_data_repairs_and_a_teacher_teaches(model: Net):
    images = torch.cat([image for image, _ in batches(2)])

    def distance(network: nn.Module) -> float:
        with torch.no_grad():
            return float((network.eval()(images) - model(images)).square().mean())

    how = {"target": "macs=0.4x", "align": "none"}
    bare, fitted = prune(model, IMAGE, **how), prune(model, IMAGE, data=batches(), **how)
    taught = prune(model, IMAGE, data=batches(), teacher=model, epochs=8, **how)
    assert fitted.repairs and bare.repairs == ()
    assert distance(taught.model) < 0.7 * distance(fitted.model) < 0.5 * distance(bare.model)
    assert not taught.model.training


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(2, 8, 3), nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.head((self.a(x) + self.b(y)).relu())


def test_networks_of_several_inputs():
    example = (torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8))
    data = [((torch.randn(4, 1, 8, 8), torch.randn(4, 2, 8, 8)), torch.zeros(4))]
    model = Two()
    found = prune(model, example, target="params=0.6x", align="none", data=data, teacher=model)
    assert found.model.a.out_channels == found.model.b.out_channels < 8 and found.repairs


@pytest.mark.parametrize(
    ("more", "fault", "message"),
    [
        ({"target": "speed=2x"}, ConfigError, "names no known quantity"),
        ({"target": "macs=1.5x"}, ConfigError, "between 0x and 1x"),
        ({"target": "macs=1G"}, ConfigError, "already meets the target"),
        ({"target": "macs=0.5x", "rounds": 0}, ConfigError, "rounds is 0; at least 1"),
        ({"target": "macs=0.5x", "teacher": nn.Identity()}, ConfigError, "Pass data"),
        ({"target": "macs=0.5x", "scope": "everywhere"}, ConfigError, "Unknown scope"),
        ({"target": "latency=0.5x", "scope": "global"}, ConfigError, "scope='local'"),
        ({"target": "macs=0.5x", "criterion": "beauty"}, ConfigError, "beauty"),
        ({"target": "macs=0.5x", "ignore": ["tail"]}, PlanError, "tail"),
        ({"target": "macs=0.5x", "ratios": {"tail": 0.5}}, PlanError, "No channel group lies under 'tail'"),
        ({"target": "macs=0.01x", "floor": 0.5}, PlanError, "cannot be reached: the narrowest widths"),
        ({"target": "macs=0.01x", "scope": "global"}, PlanError, "cannot be reached: the narrowest widths"),
        ({"target": "macs=0.5x", "data": []}, ConfigError, "at least one batch"),
    ],
)
def test_what_cannot_be_meant_is_refused(model: Net, more, fault, message: str):
    with pytest.raises(fault, match=message):
        prune(model, IMAGE, **more)


def test_what_is_ignored_stays_whole(model: Net):
    found = prune(model, IMAGE, target="macs=0.6x", ignore=["stem"], align="none")
    assert found.model.stem.out_channels == 48 and found.model.wide.out_channels < 96


class TestGroupSparsity:
    def test_it_is_the_sum_of_squares_that_leave_weighed_by_rank(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.ReLU(), nn.Conv2d(3, 2, 1))
        penalty = GroupSparsity(model, find_groups(model, torch.zeros(1, 1, 4, 4)).groups, strength=0.5)
        first, last = model[0].weight.detach(), model[2].weight.detach()
        energy = first.square().sum((1, 2, 3)) + last.square().sum((0, 2, 3))
        size = energy.sqrt()
        weight = 2 ** (4 * (size.max() - size) / (size.max() - size.min()))
        assert float(penalty().detach()) == pytest.approx(0.5 * float((weight * energy).sum()), rel=1e-5)

    def test_training_with_it_makes_what_leaves_small(self, model: Net):
        penalty = GroupSparsity(model, find_groups(model, IMAGE).groups, strength=0.05)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

        def removed_share() -> float:
            found = prune(model, IMAGE, target="macs=0.5x", align="none")
            lost = [
                np.sort(g.scores)[: g.width - len(g.kept)].sum() / np.sum(g.scores)
                for g in found.history[0].groups.values()
            ]
            return float(np.mean(lost))

        before = removed_share()
        for _ in range(60):
            optimizer.zero_grad()
            penalty().backward()
            optimizer.step()
        assert removed_share() < 0.8 * before

    def test_a_network_without_groups_pays_nothing(self):
        assert float(GroupSparsity(nn.Linear(2, 2), ())()) == 0.0


def test_the_example_in_the_docstring_runs():
    found = doctest.DocTestFinder().find(compress.prune.door.prune, globs=vars(compress.prune.door))
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert (runner.failures, runner.tries > 2) == (0, True)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # it writes a file
    page = (Path(__file__).resolve().parents[2] / "docs" / "any_network.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) >= 3
    exec(compile("\n".join(blocks), "docs/any_network.md", "exec"), {})
