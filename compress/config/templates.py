"""The files that `cardiocompress init` writes, and the demo's configuration."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from compress.choices import CRITERIA, calibration_words
from compress.config.blocks import block_names
from compress.config.pruning import Ratios
from compress.config.schema import Config
from compress.config.words import Section

_HEAD = """\
# cardiocompress configuration. Every value can be overridden on the command line:
#   cardiocompress train --set train.parameters.num_epochs=5
"""
_COMMENT_COLUMN = 34

_RATIOS_HEAD = """\
# The fraction of each block's filters that is REMOVED, from 0 (none) to below 1.
# `default` holds for blocks that are not listed. A transposed convolution (even decoder index)
# follows the double convolution that it feeds unless it is listed itself. A convolution inside a block
# may be listed too (encoders.0.conv1); the more specific name wins.
# `align` rounds widths to what the processor computes fastest: auto, none (textbook rounding) or a number.
"""


def config_text(
    train_dir: str | None,
    *,
    providers: Iterable[str],
    pruning: Mapping[str, Any] = MappingProxyType({}),
    model: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """A commented configuration; `train_dir` null means the embedded phantom, `providers` are those to choose from.

    pruning, model: what is not the default of these sections.

    Keys, defaults and comments are those of `Config`; a sweep gets two sets of ratios to begin with.
    """
    sets = [{"name": name, "ratios": {"default": ratio}} for name, ratio in (("quarter", 0.25), ("half", 0.5))]
    config = Config.model_validate(
        {
            "train": {"paths": {"train_dir": train_dir}, "model": dict(model)},
            "pruning": dict(pruning),
            "sweep": {"ratio_sets": sets},
        }
    )
    known = words(providers)
    sections = ["\n".join(_lines(config, name, known)) + "\n" for name in type(config).model_fields]
    return "\n".join([_HEAD, *sections])


def words(providers: Iterable[str]) -> dict[str, str]:
    """What the words in braces in a key's comment stand for."""
    return {
        "criteria": " | ".join(CRITERIA),
        "providers": " | ".join(providers),
        "calibrations": " | ".join(calibration_words()),
    }


def _lines(section: Section, name: str, words: Mapping[str, str], depth: int = 0) -> Iterator[str]:
    """A key with its value and comment; of a section all keys below it."""
    value, text = getattr(section, name), type(section).model_fields[name].description
    comment = f" # {text.format_map(words)}" if text else ""
    if isinstance(value, Section):
        yield f"{'  ' * depth + name + ':':<{_COMMENT_COLUMN - 1}}{comment}".rstrip()
        for key in type(value).model_fields:
            yield from _lines(value, key, words, depth + 1)
        return
    plain = section.model_dump(mode="json", exclude_unset=name == "ratio_sets")[name]  # sets of ratios: what differs
    written = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False)
    written = written.removesuffix("...\n").strip()
    yield f"{'  ' * depth + name + ': ' + written:<{_COMMENT_COLUMN - 1}}{comment}".rstrip()


def ratios_text(levels: int) -> str:
    """A commented ratios.yaml that removes half of every block of a U-Net with `levels` encoders."""
    names = [n for n in block_names(levels) if not n.startswith("decoders.") or int(n.split(".")[1]) % 2]
    blocks = "".join(f"  {name}: 0.5\n" for name in names)
    depth = f"# The blocks below are those of a network with {levels} entries in train.model.features.\n"
    return f"{_RATIOS_HEAD}{depth}default: {Ratios().default}\nalign: {Ratios().align}\nblock_ratios:\n{blocks}"


def demo_document(save_root: str) -> dict[str, Any]:
    """A small configuration that runs the whole chain on phantoms in minutes on two cores.

    Many patients, few slices of each and few pixels teach more per second than the reverse. The dense network
    stops early: the pruned one, which trains on from its weights, then has something to gain that shows through the
    noise of 15 patients. The demo says so.
    """
    return {
        "experiment": {"experiment_name": "demo", "seed": 0, "device": "auto"},
        "data": {"size": [64, 64], "spacing_mm": [3.0, 3.0], "phantom": {"patients": 60, "seed": 7}},
        "train": {
            "val_ratio": 0.25,
            "batch_size": 8,
            "num_slices_per_volume": 5,
            "model": {"features": [16, 32, 64, 64]},
            "parameters": {
                "num_epochs": 3,
                "learning_rate": 0.003,
                "save_interval": 8,
                # Phantoms all lie the same way: learning to find them turned would cost epochs for nothing.
                "augmentation": "none",
            },
            "paths": {"save_root": save_root},
        },
        "evaluation": {"num_visuals": 1},
        "pruning": {
            # So narrow a network has little to align: it shows the ratios as they are asked for.
            "ratios": {"default": 0.5, "align": "none"},
            "finetune_epochs": 10,
            "compensate": True,
        },
        "bench": {"rounds": 64},
        # One way of finding ranges, and a budget that needs no search over layers: each trial scores every patient.
        "quantization": {"slices": 24, "method": "minmax", "budget": 0.01},
        # Networks that train for a minute are unsteady: one slice more or less at the base or the apex moves an HD95 by
        # a slice gap, and one patient's volumes and EF by more than the defaults accept. What the means of Dice and
        # mass may lose stays as it is; the demo prints what does not.
        "gate": {
            "margins": {"hd95_mm": 10.0, "volume_ml": 15.0, "ef_points": 5.0},
            "limits": {
                "patient_dice": 0.3,
                "patient_volume_ml": 80.0,
                "patient_ef_points": 30.0,
                "patient_mass_g": 50.0,
            },
        },
    }
