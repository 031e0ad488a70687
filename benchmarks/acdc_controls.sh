#!/usr/bin/env bash
# What kept weights, the ranking and the teacher give a small network, each alone and after the same number of epochs:
# bash benchmarks/acdc_controls.sh <run folder of the dense network> <ACDC folder> [budget] [epochs], as acdc_headline.sh.
# Four networks of the same widths; stop and start it again at will, finished networks are kept.
set -euo pipefail
: "${1:?give the run folder of the dense network}" "${2:?give the ACDC folder}"
here="$(cd "$(dirname "$0")" && pwd)"
run=artifacts/acdc_controls budget="${3:-coarse48}" epochs="${4:-12}"
[ -d "$run" ] || { mkdir -p "$run" && cp -r "$1"/. "$run" && chmod -R u+w "$run"; }
with=(--config "$1/config.yaml" --set experiment.experiment_name=acdc_controls --set train.paths.save_root=artifacts
      --set "train.paths.train_dir=$2" --set train.parameters.learning_rate=0.001 --set export.postprocess=small-pieces
      --ratios "$here/ship_ratios_$budget.yaml" --finetune "$epochs" --resume)

cardiocompress prune "${with[@]}" --name recover --recover
cardiocompress prune "${with[@]}" --name random-channels --recover --method random
cardiocompress prune "${with[@]}" --name scratch-taught --recover --init random
cardiocompress prune "${with[@]}" --name scratch --init random --set pruning.average=0.99
python "$here/controls_table.py" "$run"
