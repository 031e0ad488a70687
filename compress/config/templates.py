"""The files that `cardiocompress init` writes, and the demo's configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from compress.choices import CRITERIA, calibration_words
from compress.config.schema import Ratios, block_names

CONFIG = """\
# cardiocompress configuration. Every value can be overridden on the command line:
#   cardiocompress train --set train.parameters.num_epochs=5

experiment:
  experiment_name: cardiac        # results go to <save_root>/<experiment_name>
  model_name: UNet                # free text, shown on the run's page
  seed: 42
  deterministic: true             # the same bits every time, as far as the device can
  device: auto                    # auto | cpu | cuda | cuda:1 (cuda fails when it is not there)

data:
  spacing_mm: [1.5, 1.5]          # in-plane target spacing (row, column)
  size: [160, 160]                # centred window in pixels; multiples of 2^(number of features)
  clip_percentiles: [0.5, 99.5]   # per volume, before the z-score
  cache_dir: null                 # prepared volumes; null: <save_root>/cache
  phantom:                        # used only while train_dir is null
    patients: 20
    seed: 0

train:
  phase: training
  val_ratio: 0.2                  # share of PATIENTS kept for validation, stratified by disease group
  batch_size: 16
  num_slices_per_volume: null     # null: all; N: evenly spread ones
  model:
    in_channels: 1
    out_channels: 4               # background, RV, MYO, LV
    features: [16, 32, 64, 128, 128]   # [64, 128, 256, 512, 512] is the 43.9M-parameter network
  parameters:
    learning_rate: 0.001
    num_epochs: 30
    save_interval: 10             # keep a checkpoint every so many epochs
    loss_function: ce_dice        # ce | dice | ce_dice
    weight_decay: 0.0001
    schedule: one_cycle           # one_cycle | constant
    precision: auto               # auto: bfloat16 (AMP) where the device is fast at it | bf16 | fp32
    augmentation: strong          # none | light | strong
    rewind_epoch: 1               # weights kept after this epoch are what `rewind` returns to
    workers: 0                    # data-loading processes
    loggers: []                   # tensorboard, wandb
  paths:
    train_dir: {train_dir}        # an ACDC or nnU-Net raw folder; null: the embedded PHANTOM
    label_dir: null               # only where masks lie apart from the images
    save_root: artifacts

evaluation:
  phase: baseline_evaluation      # what `eval` scores: baseline_evaluation | pruned_evaluation
  batch_size: 8
  num_slices_per_volume: null
  num_visuals: 3                  # overlays each of the best, median and worst slices
  bn_recalibration: true          # measure BatchNorm statistics again after pruning
  paths:
    eval_dir: null                # null: the validation patients
    label_dir: null
    save_root: null               # null: train.paths.save_root

pruning:
  name: null                      # folder of the network; null: the word of reinitialize_weights
  method: l1                      # {criteria}
  scope: local                    # local: each block loses its ratio | global: the least important channels of all
  floor: 0.1                      # global: the share of its channels that every convolution keeps
  reinitialize_weights: keep      # keep (trained weights stay) | random | rewind
  rewind_to: early                # early (after rewind_epoch) | initial
  finetune_epochs: null           # null: as many as num_epochs; 0: no retraining
  schedule: lr-rewind             # lr-rewind: the full learning-rate schedule again | finetune: a constant tenth of it
  distill: 0.0                    # share of the retraining loss that the dense network teaches, 0 (off) to 1
  distill_temperature: 2.0        # how soft its answers are made
  rounds: 1                       # N: prune in N steps; finetune_epochs are divided over them
  seed: null                      # of random weights and of retraining; null: experiment.seed
  compensate: false               # kept weights: fit each convolution again to the dense network's outputs
  ckpt_path:
    subfolder: baseline
    ckpt_name: final_model.safetensors
  save_path:
    subfolder: pruned
    filename: pruned_model.safetensors
  ratios:                         # used by `prune` without --ratios
    default: 0.5
    block_ratios: {{}}              # a block (encoders.0) or a convolution inside it (encoders.0.conv1)
    align: auto                   # widths as multiples: auto (what bench.provider computes fastest) | none | 8 | 16

export:                           # what exported files say of themselves
  licence: not stated             # of the weights; those trained on ACDC inherit CC BY-NC-SA 4.0
  intended_use: >-
    Research use only; not a medical device. Segments RV, myocardium and LV in short-axis cine cardiac MRI;
    every result needs the eyes of a qualified reader.

bench:
  provider: cpu                   # {providers}
  threads: null                   # null: every core that the process may use
  rounds: 100                     # interleaved rounds, baseline and candidates in turn
  warmup: 10
  batch_size: 1
  dice: true                      # measure Dice through the session as well

quantization:                     # what `quantize` may do to an exported file
  kind: int8                      # int8 (processors) | fp16 (NVIDIA GPUs)
  provider: null                  # where it must be faster; null: cpu for int8, cuda for fp16
  keep: false                     # write the file even where it is not faster
  method: auto                    # how ranges are found: {calibrations}; auto: best Dice of all
  slices: 64                      # training slices that the ranges are measured on
  budget: 0.003                   # largest loss of mean 3D Dice; layers stay in float until it holds

gate:                             # what a candidate may lose against its baseline; benchmarks/GATE.md says why
  margins:                        # by how much the mean over patients may be worse, shown with an interval
    dice: 0.01                    # each structure
    hd95_mm: 1.0                  # each structure
    volume_ml: 5.0                # absolute error of LV and RV at ED and ES
    ef_points: 2.0                # absolute error of the ejection fractions
    mass_g: 5.0                   # absolute error of the myocardial mass
  limits:                         # by how much a part may be worse, as measured
    structure_dice: 0.02          # one structure at one phase
    group_dice: 0.03              # one disease group
    patient_dice: 0.1             # one structure of one patient
    patient_volume_ml: 25.0       # one patient's absolute error; the same below
    patient_ef_points: 10.0
    patient_mass_g: 25.0
    lost_structures: 0            # structures of which no voxel is found any more
  confidence: 0.95                # of the two-sided interval; its bad end decides (2.5%)
  resamples: 10000
  seed: 0
  min_patients: 10                # fewer are refused; never below 6

sweep:                            # `sweep` trains every combination; `run` uses inits
  inits: [keep, random, rewind]
  ratio_sets:
    - name: quarter
      ratios: {{default: 0.25}}
    - name: half
      ratios: {{default: 0.5}}
  seeds: [42]
"""

_RATIOS_HEAD = """\
# The fraction of each block's filters that is REMOVED, from 0 (none) to below 1.
# `default` holds for blocks that are not listed. A transposed convolution (even decoder index)
# follows the double convolution that it feeds unless it is listed itself. A convolution inside a block
# may be listed too (encoders.0.conv1); the more specific name wins.
# `align` rounds widths to what the processor computes fastest: auto, none (textbook rounding) or a number.
"""


def config_text(train_dir: str | None, *, providers: Iterable[str]) -> str:
    """A commented configuration; `train_dir` null means the embedded phantom, `providers` are those to choose from."""
    quoted = "null" if train_dir is None else yaml.safe_dump(train_dir, default_style='"').strip()
    return CONFIG.format(
        train_dir=quoted,
        criteria=" | ".join(CRITERIA),
        providers=" | ".join(providers),
        calibrations=" | ".join(calibration_words()),
    )


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
