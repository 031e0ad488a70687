"""Structured pruning of any network that torch.export can follow.

plan = rank(model, example, ratio=0.5)
small = rebuild(model, plan)
save(small, plan, "small.safetensors")
again = load(build_model, "small.safetensors")
"""

from compress.prune.groups import find_groups
from compress.prune.plan import PruningPlan, load_plan, save_plan
from compress.prune.ranking import rank
from compress.prune.rebuild import rebuild
from compress.prune.storage import load, save

__all__ = ["PruningPlan", "find_groups", "load", "load_plan", "rank", "rebuild", "save", "save_plan"]
