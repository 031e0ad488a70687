"""A plan is tried before it is handed out: what a network cannot lose is left whole, with what happened as the reason.

Tracing sees tensors, not the forward code. A module may check its own count, repeat an image to a width that its code
fixes, or compute with the number of channels; only running the smaller network tells (`compress.prune.same_function`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from compress.models.modules import copied
from compress.prune.plan import PruningPlan
from compress.prune.resize import resize
from compress.prune.same_function import Reference

MOST_TRIALS = 96
"""Finding k of n groups takes about k log2(n) trials, each of two forward passes; then no more are told apart."""


class Trial:
    """Finds the groups of a plan that the network cannot lose, by halving."""

    def __init__(self, network: nn.Module, plan: PruningPlan) -> None:
        """Raises `PlanError` when the network itself does not run on the plan's example."""
        self.network, self.reference, self.left = network, Reference(network, plan), MOST_TRIALS

    def refused(self, plan: PruningPlan) -> dict[str, str]:
        """Group -> why it must stay. Without these groups the plan has been tried and is right; empty: as it is."""
        cut = [name for name, group in plan.groups.items() if len(group.kept) < group.width]
        fault = self._fault(plan, cut)
        return self._sift(plan, [], cut, fault)[1] if fault else {}

    def _sift(
        self, plan: PruningPlan, right: list[str], names: Sequence[str], fault: str
    ) -> tuple[list[str], dict[str, str]]:
        """Of `names`, which fail together: those that can be cut beside `right`, which was tried, and the others."""
        if len(names) == 1 or self.left <= 0:
            return [], dict.fromkeys(names, f"the network {fault}")
        half = len(names) // 2
        early, refused = self._half(plan, right, names[:half])
        # When nothing of the first half is to blame, the second is, and it need not be tried again.
        known = "" if refused else fault
        late, more = self._half(plan, [*right, *early], names[half:], known)
        return [*early, *late], {**refused, **more}

    def _half(
        self, plan: PruningPlan, right: list[str], names: Sequence[str], fault: str = ""
    ) -> tuple[list[str], dict[str, str]]:
        fault = fault or self._fault(plan, [*right, *names])
        return self._sift(plan, right, names, fault) if fault else (list(names), {})

    def _fault(self, plan: PruningPlan, names: Sequence[str]) -> str:
        self.left -= 1
        part = replace(plan, groups={name: plan.groups[name] for name in names})
        smaller = copied(self.network)
        resize(smaller, part.channel_groups, part.kept)
        return self.reference.fault(smaller, part)
