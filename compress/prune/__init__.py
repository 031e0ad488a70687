"""Structured pruning of any network that torch.export can follow.

small = prune(model, example, target="latency=0.5x").model

or step by step:

plan = rank(model, example, ratio=0.5)
small = rebuild(model, plan)
save(small, plan, "small.safetensors")
again = load(build_model, "small.safetensors")
"""

from compress.prune.compensate import compensate, kept_outputs
from compress.prune.door import Pruned, prune
from compress.prune.groups import find_groups
from compress.prune.plan import PruningPlan, load_plan, save_plan
from compress.prune.ranking import rank
from compress.prune.rebuild import rebuild
from compress.prune.recalibrate import recalibrate
from compress.prune.sparsity import GroupSparsity
from compress.prune.storage import load, save

__all__ = [
    "GroupSparsity",
    "Pruned",
    "PruningPlan",
    "compensate",
    "find_groups",
    "kept_outputs",
    "load",
    "load_plan",
    "prune",
    "rank",
    "rebuild",
    "recalibrate",
    "save",
    "save_plan",
]
