"""Group sparsity: a penalty that, added to the loss before pruning, makes the channels that will leave small.

DepGraph's (Fang 2023, arXiv:2301.12900, section 3.3): every unit of a channel group pays for the squares of all weights
that would leave with it, those of little importance up to 16 times as much as the most important one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from compress.prune.groups import Group, Member

STEEPNESS = 4.0
"""The least important unit of a group pays 2 to this power times what the most important one pays."""
_WEIGHED = ("filter", "consumer", "scale")


class GroupSparsity:
    """The penalty of one network's channel groups.

    penalty = GroupSparsity(model, find_groups(model, example).groups, strength=1e-4)
    loss = criterion(model(images), labels) + penalty()
    """

    def __init__(
        self, network: nn.Module, groups: Sequence[Group], *, strength: float = 1e-4, steepness: float = STEEPNESS
    ) -> None:
        """strength: weight of the penalty in the loss. The network's own parameters are read at every call."""
        self.network, self.groups = network, groups
        self.strength, self.steepness = strength, steepness

    def __call__(self) -> torch.Tensor:
        """A scalar with gradients; 0 for a network without groups."""
        parameters = dict(self.network.named_parameters(remove_duplicate=False))
        terms = [self._paid(_energies(group, parameters)) for group in self.groups]
        first = next(iter(parameters.values()))
        return self.strength * torch.stack(terms).sum() if terms else first.new_zeros(())

    def _paid(self, energies: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            sizes = energies.sqrt()
            spread = (sizes.max() - sizes) / (sizes.max() - sizes.min()).clamp(min=1e-12)
        return (2 ** (self.steepness * spread) * energies).sum()


def _energies(group: Group, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """(units,): the squares of all weights that leave with a unit."""
    return torch.stack([_energy(member, parameters[member.tensor]) for member in _weighed(group, parameters)]).sum(0)


def _weighed(group: Group, parameters: Mapping[str, torch.Tensor]) -> Iterable[Member]:
    return (member for member in group.members if member.role in _WEIGHED and member.tensor in parameters)


def _energy(member: Member, tensor: torch.Tensor) -> torch.Tensor:
    squares = tensor.movedim(member.dim, 0).flatten(1) if tensor.ndim > 1 else tensor[:, None]
    index = torch.from_numpy(member.index).to(tensor.device)
    return squares.square().sum(1)[index].sum(1)
