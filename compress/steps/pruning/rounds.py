"""The arithmetic of pruning in rounds: how far each one goes, and what all of them leave of the dense network.

After round i of n a ratio r has become 1 - (1 - r)^(i/n): the kept share falls geometrically (Han 2015,
arXiv:1506.02626; Renda 2020, arXiv:2003.02389). How many channels a round leaves is decided on the dense
network, so that rounds end with exactly the widths of pruning at once and the two can be compared;
which channels, the network that the round before has trained decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from compress.config import Ratios
from compress.errors import ConfigError
from compress.models.checkpoint import Checkpoint
from compress.prune.plan import PruningPlan

Kept = Mapping[str, Sequence[int]]
"""Group name -> the indices that stay."""


@dataclass(frozen=True)
class Cut:
    """One pruning step."""

    dense: Checkpoint
    """What the first round began with."""
    source: Checkpoint
    """What is cut: the dense network, or the one that the round before has trained."""
    step: PruningPlan
    """What leaves `source`, in its own indices."""
    plan: PruningPlan
    """What has left the dense network by now, in the dense network's indices."""

    def then(self, trained: Checkpoint, step: PruningPlan, target: PruningPlan) -> Cut:
        """The next one: `step` cuts what this one's retraining made; `target` is its plan on the dense network."""
        return Cut(self.dense, trained, step, with_kept(target, composed(self.plan.kept, step.kept)))


def first_cut(dense: Checkpoint, plan: PruningPlan) -> Cut:
    """The dense network is ranked and cut: both plans are one."""
    return Cut(dense, dense, plan, plan)


def epochs_per_round(total: int, rounds: int) -> tuple[int, ...]:
    """Retraining epochs of each round; the last takes the remainder. `ConfigError` when one would get none."""
    if rounds > 1 and total < rounds:
        raise ConfigError(
            f"{rounds} rounds of pruning need at least {rounds} epochs of retraining, got {total}.",
            cure="Raise pruning.finetune_epochs (--finetune), or prune in fewer rounds.",
        )
    each = total // rounds
    return (*[each] * (rounds - 1), total - each * (rounds - 1))


def ratios_after(ratios: Ratios, number: int, rounds: int) -> Ratios:
    """What the dense network has lost after round `number` (from 1); the last round's ratios are those asked for."""
    if number == rounds:
        return ratios

    def part(ratio: float) -> float:
        return 1 - (1 - ratio) ** (number / rounds)

    blocks = {name: part(ratio) for name, ratio in ratios.block_ratios.items()}
    return ratios.model_copy(update={"default": part(ratios.default), "block_ratios": blocks})


def ratios_between(before: Kept, after: Kept) -> Ratios:
    """Ratios that take every group from one width to another, exactly: the widths are aligned already."""
    lost = {name: 1 - len(after[name]) / len(kept) for name, kept in before.items() if len(after[name]) < len(kept)}
    return Ratios(default=0.0, block_ratios=lost, align="none")


def composed(before: Kept, later: Kept) -> dict[str, tuple[int, ...]]:
    """Indices of the dense network after two cuts, the second in indices of what the first had left."""
    return {
        name: tuple(kept[i] for i in later[name]) if name in later else tuple(kept)  # a last channel is no group
        for name, kept in before.items()
    }


def with_kept(plan: PruningPlan, kept: Kept) -> PruningPlan:
    """The same plan with other channels staying; its scores remain the dense network's."""
    groups = {
        name: replace(group, kept=tuple(kept[name]), achieved=1 - len(kept[name]) / group.width)
        for name, group in plan.groups.items()
    }
    return replace(plan, groups=groups)
