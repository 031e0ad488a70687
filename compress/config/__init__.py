"""The configuration: its sections, all of it (schema), reading it (read), what `init` writes (templates)."""

from compress.config.blocks import block_names, double_blocks, ratio_names, top_level
from compress.config.learning import Cycle, Network, Phantom
from compress.config.pruning import RECOVERY, Pruning, Ratios, RatioSet
from compress.config.schema import PATH_KEYS, Config
from compress.config.shipping import Bench, Export, Gate, GateLimits, GateMargins, Quantization
from compress.config.words import Init, Method, Schedule, Scope, check_align

__all__ = [
    "PATH_KEYS",
    "RECOVERY",
    "Bench",
    "Config",
    "Cycle",
    "Export",
    "Gate",
    "GateLimits",
    "GateMargins",
    "Init",
    "Method",
    "Network",
    "Phantom",
    "Pruning",
    "Quantization",
    "RatioSet",
    "Ratios",
    "Schedule",
    "Scope",
    "block_names",
    "check_align",
    "double_blocks",
    "ratio_names",
    "top_level",
]
