"""Gradients against differences of the loss, and a network that is left as it was found."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.errors import PlanError
from compress.prune.criteria import Context, score
from compress.prune.gradients import gradients
from compress.prune.groups import SILENCED, find_groups


def network() -> nn.Sequential:
    """In float64, with dropout, statistics that are not the data's, and no parameter at its default."""
    torch.manual_seed(0)
    found = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(), nn.Conv2d(3, 2, 1)
    ).double()
    with torch.no_grad():
        for tensor in (found[1].weight, found[1].bias, found[1].running_mean, found[1].running_var):
            tensor.uniform_(0.5, 1.5)
    return found


def batches(count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    image = [torch.randn(2, 1, 4, 4, generator=generator, dtype=torch.float64) for _ in range(count)]
    return [(x, torch.randint(2, (2, 4, 4), generator=generator)) for x in image]


def mean_loss(net: nn.Module) -> float:
    with torch.no_grad():
        losses = [nn.functional.cross_entropy(net.eval()(x), y) for x, y in batches()]
    return float(torch.stack(losses).mean())


def test_taylor_is_the_slope_of_the_loss_when_a_unit_fades():
    """d loss(a * unit) / d a at a = 1, by a central difference, for every unit."""
    net = network()
    found = gradients(net, batches(), nn.functional.cross_entropy)
    (group,) = find_groups(net, batches(1)[0][0]).groups
    scores = score("taylor", group, Context(net.state_dict(), found, 0))
    step = 1e-5
    for unit in range(3):
        ends = []
        for factor in (1 - step, 1 + step):
            faded = network()
            for member in group.members:
                if member.role in SILENCED:
                    faded.get_parameter(member.tensor).data[unit] *= factor
            ends.append(mean_loss(faded))
        assert scores[unit] == pytest.approx(abs(ends[1] - ends[0]) / (2 * step), rel=1e-6)
    assert scores.min() > 1e-4


def test_the_mean_is_that_of_the_batches_apart():
    net = network()
    apart = gradients(net, batches(), nn.functional.cross_entropy, each=True)
    mean = gradients(net, batches(), nn.functional.cross_entropy)
    assert set(mean) == {name for name, _ in net.named_parameters()}
    for name, parameter in net.named_parameters():
        assert apart[name].shape == (3, *parameter.shape)
        torch.testing.assert_close(apart[name].mean(0), mean[name])
    (second,) = gradients(net, batches()[1:2], nn.functional.cross_entropy, each=True)["0.weight"]
    torch.testing.assert_close(apart["0.weight"][1], second)


def test_the_network_is_left_as_found():
    net = network().train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    net[0].bias.grad = torch.full_like(net[0].bias, 5.0)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = gradients(net, batches(), nn.functional.cross_entropy)
    assert found["0.weight"].abs().max() > 0, "frozen parameters have gradients as well"
    assert [m.training for m in net] == [True, False, True, True, True]
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert net[0].bias.grad.tolist() == [5, 5, 5]
    assert all(p.grad is None for p in list(net.parameters())[2:])
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_loss_that_fails_leaves_the_network_as_found():
    net = network().train()
    net[0].weight.requires_grad_(False)

    def broken(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        gradients(net, batches(), broken)
    assert net[3].training and not net[0].weight.requires_grad


def test_it_works_where_gradients_are_switched_off():
    with torch.no_grad():
        found = gradients(network(), batches(), nn.functional.cross_entropy)
    assert all(not g.requires_grad for g in found.values())


class Odd(nn.Module):
    """Two inputs, one weight under two names, one parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.first(a) + self.second(b)


def test_several_inputs_shared_weights_and_idle_parameters():
    data = [((torch.ones(1, 2), torch.full((1, 2), 2.0)), torch.zeros(1))]
    found = gradients(Odd(), data, lambda outputs, targets: outputs.sum())
    assert found["first.weight"].tolist() == found["second.weight"].tolist() == [[3, 3], [3, 3]]
    assert found["idle"].tolist() == [0, 0, 0]


def test_no_batch_is_refused():
    with pytest.raises(PlanError, match=r"no batch to compute gradients on\. Give `data` at least one batch\."):
        gradients(network(), [], nn.functional.cross_entropy)
