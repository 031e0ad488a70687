"""Widths alone, with single convolutions, without the level of full resolution: which loses least for a target?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compress.config import Ratios
from compress.errors import PlanError
from compress.prune.allocate import Grid
from compress.prune.budget import Cost, Kept, Tables, allocate, allowed_counts, interpolate, ratios_of
from compress.prune.plan import PruningPlan
from compress.prune.target import Target
from compress.steps.planning.costs import Count, Network, count_of
from compress.steps.planning.depth import FOLD, Move, measure_depth, moves_of, ratios_for
from compress.steps.planning.request import BudgetRequest
from compress.steps.planning.sensitivity import Sensitivity, whole_plan
from compress.steps.pruning.depth import restructured
from compress.steps.workspace import Workspace


@dataclass(frozen=True)
class Problem:
    """What is to be reached."""

    target: Target
    share: float
    """The target as a share of the dense network's cost."""
    grid: Grid
    """The widths that are allowed."""
    dense_cost: float


@dataclass(frozen=True)
class Option:
    """Widths that meet the target, of one network."""

    network: Network
    kept: dict[str, int]
    """Group -> units that stay; 0 where a block's first convolution is gone."""
    choices: Mapping[str, Sequence[int]]
    tables: Tables
    cost_of: Cost
    """Share of the dense network's cost."""
    count: Count
    fold_loss: float | None = None
    """Dice that goes with the level of full resolution; None where that stays."""

    @property
    def cost(self) -> float:
        return self.cost_of(self.kept)

    @property
    def loss(self) -> float:
        """Dice, by adding up what every part alone loses, which holds only roughly."""
        return (self.fold_loss or 0.0) + sum(self.tables[name][count] for name, count in self.kept.items())

    @property
    def single(self) -> tuple[str, ...]:
        return tuple(name.removesuffix(".conv1") for name, count in self.kept.items() if count == 0)

    @property
    def ratios(self) -> Ratios:
        """What `prune` needs to make this network."""
        there = {name: count for name, count in self.kept.items() if count}
        return Ratios(
            default=0.0,
            block_ratios=ratios_of(self.network.base, there),
            align="none",
            single=self.single,
            space_to_depth=self.fold_loss is not None,
            precision="float32" if self.float_layers is None else "int8",
            float_layers=self.float_layers or (),
        )

    @property
    def float_layers(self) -> tuple[str, ...] | None:
        """Layers that stay in float32 where the others become INT8; None: nothing becomes INT8."""
        return self.count.float_layers(self.kept) if self.count.float_layers else None


SURE = 1e-4
"""Dice by which a move of depth must be better to be taken."""


class Search:
    """The search for one target on one dense network."""

    def __init__(
        self, ws: Workspace, wanted: BudgetRequest, problem: Problem, whole: Network, count: Count, found: Sensitivity
    ) -> None:
        self.ws, self.wanted, self.problem = ws, wanted, problem
        self.whole, self.count, self.found = whole, count, found

    def best(self) -> tuple[Option, tuple[Move, ...]]:
        """The option that loses least, and every move with the reason for or against it.

        Raises `PlanError` when no option reaches the target.
        """
        narrow = self._try(self.whole, self.count, {})
        if not self.wanted.depth:
            return _reached(narrow), ()
        names, dice = moves_of(self.whole.base, self.whole.checkpoint), self.found.dense_dice
        lost = measure_depth(self.ws, self.whole.checkpoint, names, slices=self.wanted.slices, dense_dice=dice)
        singles = {block: loss for block, loss in lost.items() if block != FOLD}
        option = _better(narrow, self._try(self.whole, self.count, singles))
        moves = []
        if FOLD in lost:
            folded = self._folded(singles, lost[FOLD], option)
            moves.append(self._fold_move(lost[FOLD], option, folded))
            option = _better(option, folded)
        option = _reached(option)
        return option, (*(self._single_move(block, singles, option) for block in singles), *moves)

    def _try(
        self,
        network: Network,
        count: Count,
        singles: Mapping[str, float],
        fold_loss: float | None = None,
        forced: str | None = None,
    ) -> Option | PlanError:
        """The best widths of a network whose blocks in `singles` may become single, `forced` being one that must."""
        groups, problem = network.base.channel_groups, self.problem
        choices = {group.name: allowed_counts(group, grid=problem.grid) for group in groups}
        tables = {name: dict(table) for name, table in damage_tables(self.found, network.base, choices).items()}
        for block, loss in singles.items():
            if (name := f"{block}.conv1") in choices:
                choices[name] = (0,) if block == forced else (0, *choices[name])
                tables[name][0] = loss

        def cost(kept: Kept) -> float:
            return count(kept) / problem.dense_cost

        try:
            kept = allocate(choices, cost, damage=tables, target=problem.share, show=self._amount)
        except PlanError as fault:
            return fault
        return Option(network, kept, choices, tables, cost, count, fold_loss)

    def _folded(self, singles: Mapping[str, float], loss: float, best: Option | PlanError) -> Option | PlanError | None:
        """Without the level of full resolution; None where its loss alone is more than another option's.

        What other blocks lose is taken from the network that has the level.
        """
        if isinstance(best, Option) and loss >= best.loss:
            return None
        checkpoint = restructured(self.ws, self.whole.checkpoint, ratios_for(FOLD))
        network = Network.of(self.ws, checkpoint, whole_plan(self.ws, checkpoint))
        wanted, problem = self.wanted, self.problem
        count = count_of(problem.target.quantity, self.ws, network, wanted.provider, problem.grid, wanted.precision)
        return self._try(network, count, singles, fold_loss=loss)

    def _fold_move(self, loss: float, best: Option | PlanError, folded: Option | PlanError | None) -> Move:
        quantity = self.problem.target.quantity
        if isinstance(folded, PlanError):
            return Move(FOLD, loss, False, "does not reach the target")
        if not isinstance(best, Option):
            reached = folded is not None
            return Move(FOLD, loss, reached, "nothing else reaches the target")
        if folded is None:
            return Move(FOLD, loss, False, f"widths and single convolutions lose {best.loss:.3f} Dice altogether")
        words = f"{folded.loss:.3f} Dice altogether, {best.loss:.3f} with the level, at equal {quantity}"
        return Move(FOLD, loss, folded.loss < best.loss, words)

    def _single_move(self, block: str, singles: Mapping[str, float], option: Option) -> Move:
        """Why a block has become single, or what it would change at the same cost."""
        loss, quantity = singles[block], self.problem.target.quantity
        if block in option.single:
            saved = option.cost_of({**option.kept, f"{block}.conv1": option.choices[f"{block}.conv1"][-1]})
            return Move(block, loss, True, f"saves {saved - option.cost:.1%} of the dense {quantity}")
        if f"{block}.conv1" not in option.kept:
            return Move(block, loss, False, "gone with the level of full resolution")
        forced = self._try(option.network, option.count, singles, option.fold_loss, block)
        if isinstance(forced, PlanError):
            return Move(block, loss, False, "the target cannot be reached with it")
        return Move(block, loss, False, f"{forced.loss - option.loss:+.3f} Dice against widths at equal {quantity}")

    def _amount(self, value: float) -> str:
        return f"{value:.3g}x {self.problem.target.quantity}"


def _reached(option: Option | PlanError) -> Option:
    if isinstance(option, PlanError):
        raise option
    return option


def _better(first: Option | PlanError, second: Option | PlanError | None) -> Option | PlanError:
    """The one that loses less; the first of equals."""
    if not isinstance(second, Option):
        return first
    return second if not isinstance(first, Option) or second.loss < first.loss - SURE else first


def damage_tables(found: Sensitivity, base: PruningPlan, choices: Mapping[str, Sequence[int]]) -> Tables:
    """Lost Dice of every group at every count: a block's loss, shared equally by its groups.

    Losses of several blocks are taken to add up, which they do only roughly.
    """
    members = {b: [n for n, g in base.groups.items() if g.block == b] for b in {r.block for r in found.rows}}
    tables = {}
    for name, group in base.groups.items():
        rows = [r for r in found.rows if r.block == group.block]
        ratios = [1 - r.kept[name] / group.width for r in rows]
        losses = [(found.dense_dice - r.dice) / len(members[group.block]) for r in rows]
        tables[name] = interpolate(ratios, losses, choices[name], group.width)
    return tables
