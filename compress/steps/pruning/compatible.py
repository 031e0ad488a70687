"""One width per stage, as nnU-Net's own classes need it, so that a pruned network can go back (`export-nnunet`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from compress.errors import ConfigError
from compress.models.checkpoint import Meta
from compress.prune.budget import narrowed
from compress.prune.plan import PruningPlan

REASON = "one width per stage"
_PLACE = re.compile(r"(?P<side>encoder\.stages|encoder\.stem|decoder\.stages|decoder\.transpconvs)\.?(?P<number>\d*)")


def with_one_width_per_stage(plan: PruningPlan, meta: Meta) -> PruningPlan:
    """The same ranking with equal widths within each stage: the largest that the plan leaves any of its layers.

    Of a ResidualEncoderUNet two stages of equal width stay equal, and different ones different, as only between those
    it has a projection. Raises `ConfigError` for a network that nnU-Net does not have.
    """
    if meta.architecture != "nnunet":
        raise ConfigError("keep_nnunet_compatible is for networks that were imported from nnU-Net.")
    settings = meta.arguments["settings"]
    stages = int(settings["n_stages"])
    dense = [int(width) for width in settings["features_per_stage"]]
    if meta.arguments.get("shape", {}).get("tensors"):
        dense = _present(plan, stages, dense)
    touched = {name: _stages(plan, name, stages) for name in plan.groups}
    wanted = dict(enumerate(_largest(plan, touched, dense)))
    residual = meta.arguments["network"] == "ResidualEncoderUNet"
    while changed := _step(wanted, touched, dense, residual, max(1, plan.align)):
        wanted |= changed
    kept = {name: wanted[min(of)] for name, of in touched.items() if of}
    if all(count == len(plan.groups[name].kept) for name, count in kept.items()):
        return plan
    even = narrowed(plan, kept)
    groups = {
        name: replace(
            group,
            asked=plan.groups[name].asked,
            reason=plan.groups[name].reason if len(group.kept) == len(plan.groups[name].kept) else REASON,
        )
        for name, group in even.groups.items()
    }
    return replace(even, groups=groups, align=plan.align, block_ratios=plan.block_ratios)


def _present(plan: PruningPlan, stages: int, dense: list[int]) -> list[int]:
    """Widths of a network that was pruned before."""
    for name, group in plan.groups.items():
        for stage in _stages(plan, name, stages):
            dense[stage] = group.width
    return dense


def _stages(plan: PruningPlan, name: str, stages: int) -> frozenset[int]:
    """The stages whose filters a group removes; an up-convolution belongs to the stage that it leads up to."""
    tensors = [m.tensor for m in plan.groups[name].members if m.role == "filter"]
    return frozenset(s for tensor in tensors if (s := _stage(tensor, stages)) is not None)


def _stage(tensor: str, stages: int) -> int | None:
    found = _PLACE.match(tensor)
    if found is None:
        return None
    if found["side"] == "encoder.stem":
        return 0
    number = int(found["number"])
    return number if found["side"] == "encoder.stages" else stages - 2 - number


def _largest(plan: PruningPlan, touched: Mapping[str, frozenset[int]], dense: Sequence[int]) -> list[int]:
    """What each stage keeps; all of it where something of it is left whole."""
    counts: list[list[int]] = [[] for _ in dense]
    for name, of in touched.items():
        for stage in of:
            counts[stage].append(len(plan.groups[name].kept))
    whole = {s for name in plan.whole if (s := _stage(name, len(dense))) is not None}
    return [w if s in whole or not c else max(c) for s, (w, c) in enumerate(zip(dense, counts, strict=True))]


def _step(
    wanted: Mapping[int, int], touched: Mapping[str, frozenset[int]], dense: Sequence[int], residual: bool, align: int
) -> dict[int, int]:
    """The stages that must be wider still, one rule at a time; empty when all rules hold."""
    for of in touched.values():
        widest = max((wanted[s] for s in of), default=0)
        if narrow := [s for s in of if wanted[s] < widest]:
            return dict.fromkeys(narrow, widest)
    for first, second in zip(range(len(dense)), range(1, len(dense)), strict=False) if residual else ():
        a, b = wanted[first], wanted[second]
        if dense[first] == dense[second] and a != b:
            return {first: max(a, b), second: max(a, b)}
        if dense[first] != dense[second] and a == b:
            wide = first if dense[first] > dense[second] else second
            return {wide: min(dense[wide], wanted[wide] + align)}
    return {}
