"""The pruning plan: which channels stay and why. Pure data, JSON in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from compress.errors import PlanError
from compress.files import digest_json, read_json, write_json
from compress.prune.groups import Group, Member

SCHEMA = 2


@dataclass(frozen=True, eq=False)
class GroupPlan:
    """One group's share of a plan."""

    block: str
    width: int
    """Units that could leave: channels, or whole groups of a grouped convolution or GroupNorm."""
    kept: tuple[int, ...]
    """Units that stay, ascending."""
    scores: tuple[float, ...]
    """Importance of every unit, pruned or not."""
    asked: float
    """The ratio that was asked for."""
    achieved: float
    """The ratio that whole, aligned units allow."""
    reason: str
    """Why achieved differs from asked; empty when it does not."""
    criterion: str
    """What the scores really are, where the asked criterion does not apply."""
    members: tuple[Member, ...]
    """Everything that leaves with a unit."""

    def group(self, name: str) -> Group:
        return Group(name, self.width, self.members)

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        lists = {"kept": list(self.kept), "scores": [round(s, 9) for s in self.scores]}
        return {**plain, **lists, "members": [m.to_json() for m in self.members]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GroupPlan:
        members = tuple(Member.from_json(m, width=value["width"]) for m in value["members"])
        return cls(**{**value, "kept": tuple(value["kept"]), "scores": tuple(value["scores"]), "members": members})


@dataclass(frozen=True, eq=False)
class PruningPlan:
    """What to remove from one network."""

    criterion: str
    scope: str
    """local: every group by its own ratio; global: one ranking over all groups."""
    align: int
    """Widths are multiples of this where they were pruned; 1 is the textbook behaviour."""
    seed: int
    source: str
    """Digest of the checkpoint that the scores were computed on."""
    default: float
    block_ratios: dict[str, float]
    groups: dict[str, GroupPlan]
    whole: dict[str, str] = field(default_factory=dict)
    """Layer -> why none of its channels, or not all of them, can be pruned."""
    inputs: tuple[tuple[int, ...], ...] = ()
    """Shapes of the example that the network was followed with; rebuilding tries them."""
    types: tuple[str, ...] = ()
    """Their types, such as "int64"; empty where all are float32."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The type of every input."""
        return self.types or ("float32",) * len(self.inputs)

    @property
    def kept(self) -> dict[str, tuple[int, ...]]:
        """Group name -> units that stay."""
        return {name: group.kept for name, group in self.groups.items()}

    @property
    def channel_groups(self) -> tuple[Group, ...]:
        """The groups that the plan was made for."""
        return tuple(group.group(name) for name, group in self.groups.items())

    @property
    def digest(self) -> str:
        return digest_json(self.to_json())

    def masks(self) -> dict[str, list[bool]]:
        """{"layer1.0": [true, false, ...]}: a block's name holds the mask of its output channels,
        "<block>.conv1" that of its inner convolution."""
        result = {}
        for name, group in self.groups.items():
            stays = set(group.kept)
            result[name.removesuffix(".conv2")] = [i in stays for i in range(group.width)]
        return result

    def to_json(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        groups = {name: group.to_json() for name, group in self.groups.items()}
        if not self.types:  # plans of images stay as they were
            del plain["types"]
        return {"schema": SCHEMA, **plain, "inputs": [list(s) for s in self.inputs], "groups": groups}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PruningPlan:
        """The inverse of `to_json`; `PlanError` for another schema or missing keys."""
        document = dict(value) if isinstance(value, dict) else {}
        if document.pop("schema", None) != SCHEMA:
            raise PlanError(f"The pruning plan's schema is not {SCHEMA}: it was written by another version.")
        try:
            groups = {name: GroupPlan.from_json(g) for name, g in document.pop("groups").items()}
            inputs = tuple(tuple(shape) for shape in document.pop("inputs"))
            types = tuple(document.pop("types", ()))
            return cls(**document, groups=groups, inputs=inputs, types=types)
        except (TypeError, KeyError, AttributeError, ValueError) as fault:
            raise PlanError(f"The pruning plan is damaged: {fault}.") from fault


def save_plan(plan: PruningPlan, path: Path) -> Path:
    """Write a plan as JSON."""
    return write_json(path, plan.to_json())


def load_plan(path: Path) -> PruningPlan:
    """Read a plan; `InputError` or `PlanError` when it is missing or damaged."""
    return PruningPlan.from_json(read_json(path))
