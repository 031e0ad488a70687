"""The pruning plan: which channels stay and why. Pure data, JSON in and out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from compress.errors import PlanError
from compress.files import digest_json, read_json, write_json
from compress.prune.allocate import block_ratio, keep_counts
from compress.prune.criteria import score
from compress.prune.groups import find_groups

SCHEMA = 1


@dataclass(frozen=True)
class GroupPlan:
    """One convolution's share of a plan."""

    block: str
    width: int
    kept: tuple[int, ...]
    """Indices that stay, ascending."""
    scores: tuple[float, ...]
    """Importance of every channel, pruned or not."""
    asked: float
    """The ratio that was asked for."""
    achieved: float
    """The ratio that whole channels allow."""


@dataclass(frozen=True)
class PruningPlan:
    """What to remove from one network."""

    criterion: str
    seed: int
    source: str
    """Digest of the checkpoint that the scores were computed on."""
    default: float
    block_ratios: dict[str, float]
    groups: dict[str, GroupPlan]

    @property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Group name -> indices that stay."""
        return {name: group.kept for name, group in self.groups.items()}

    @property
    def digest(self) -> str:
        return digest_json(self.to_json())

    def masks(self) -> dict[str, list[bool]]:
        """{"encoders.1": [true, false, ...]}: a block's name holds the mask of its output channels,
        "<block>.conv1" that of its inner convolution."""
        result = {}
        for name, group in self.groups.items():
            stays = set(group.kept)
            result[name.removesuffix(".conv2")] = [i in stays for i in range(group.width)]
        return result

    def to_json(self) -> dict[str, Any]:
        groups = {
            name: {**asdict(g), "kept": list(g.kept), "scores": [round(s, 9) for s in g.scores]}
            for name, g in self.groups.items()
        }
        return {"schema": SCHEMA, **{k: v for k, v in asdict(self).items() if k != "groups"}, "groups": groups}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PruningPlan:
        """The inverse of `to_json`; `PlanError` for another schema or missing keys."""
        document = dict(value) if isinstance(value, dict) else {}
        if document.pop("schema", None) != SCHEMA:
            raise PlanError(f"The pruning plan's schema is not {SCHEMA}: it was written by another version.")
        try:
            groups = {
                name: GroupPlan(**{**g, "kept": tuple(g["kept"]), "scores": tuple(g["scores"])})
                for name, g in document.pop("groups").items()
            }
            return cls(**document, groups=groups)
        except (TypeError, KeyError, AttributeError) as fault:
            raise PlanError(f"The pruning plan is damaged: {fault}.") from fault


def rank(
    network: nn.Module,
    *,
    in_channels: int,
    criterion: str,
    default: float,
    block_ratios: dict[str, float],
    seed: int,
    source: str,
) -> PruningPlan:
    """Score every channel group and keep the highest; raising a ratio only ever removes more.

    Raises `PlanError` when a group would be emptied or the network cannot be followed.
    """
    groups = find_groups(network, in_channels=in_channels)
    counts = keep_counts(groups, default=default, ratios=block_ratios)
    tensors = network.state_dict()
    plans = {}
    for group in groups:
        scores = score(criterion, group, tensors, seed=seed)
        plans[group.name] = GroupPlan(
            block=group.block,
            width=group.width,
            kept=top(scores, counts[group.name]),
            scores=tuple(float(s) for s in scores),
            asked=block_ratio(group.block, default=default, ratios=block_ratios),
            achieved=1 - counts[group.name] / group.width,
        )
    return PruningPlan(criterion, seed, source, default, dict(block_ratios), plans)


def top(scores: np.ndarray, count: int) -> tuple[int, ...]:
    """Ascending indices of the `count` highest scores; ties go to the lower index."""
    order = np.argsort(-scores, kind="stable")
    return tuple(sorted(int(i) for i in order[:count]))


def save_plan(plan: PruningPlan, path: Path) -> Path:
    """Write a plan as JSON."""
    return write_json(path, plan.to_json())


def load_plan(path: Path) -> PruningPlan:
    """Read a plan; `InputError` or `PlanError` when it is missing or damaged."""
    return PruningPlan.from_json(read_json(path))
