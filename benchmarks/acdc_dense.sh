#!/usr/bin/env bash
# Train a dense network on by cycles of 15 epochs, until one gives less than 0.002 Dice on the validation patients:
# bash benchmarks/acdc_dense.sh <run folder of a dense network> <ACDC folder> [epochs that it has been trained for]
# Half an hour a cycle on two cores with AMX; what comes out is artifacts/acdc_dense. Stop and start it again at will: the cycle goes
# on, and the first comparison is again with the network that was given.
set -euo pipefail
: "${1:?give the run folder of the dense network}" "${2:?give the ACDC folder}"
run=artifacts/acdc_dense
with=(--config "$1/config.yaml" --set experiment.experiment_name=acdc_dense --set train.paths.save_root=artifacts
      --set "train.paths.train_dir=$2" --set train.parameters.num_epochs=15 --set "train.start.epochs=${3:-null}")
dice() { python -c 'import json, sys; print(json.load(open(sys.argv[1]))["mean_dice"])' "$1/baseline/eval/metrics.json"; }
grew() { python -c 'import sys; sys.exit(float(sys.argv[2]) - float(sys.argv[1]) < 0.002)' "$1" "$2"; }

before=$(dice "$1")
cardiocompress train "${with[@]}" --from "$1/baseline/final_model.safetensors" --resume
while after=$(dice "$run"); echo "Dice $before -> $after" && grew "$before" "$after"; do
  before=$after
  cardiocompress train "${with[@]}" --from "$1/baseline/final_model.safetensors" --extend 15
done
