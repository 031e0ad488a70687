#!/usr/bin/env bash
# Everything behind benchmarks/SHIP.md, from training to the bundle: bash benchmarks/acdc_ship.sh <ACDC folder>
# About three hours on two cores without bfloat16; stop and start it again at will, finished networks are kept.
set -euo pipefail
: "${1:?give the ACDC folder}"
here="$(cd "$(dirname "$0")" && pwd)"
with=(--config "$here/acdc_ship.yaml" --set "train.paths.train_dir=$1")
run=artifacts/acdc_ship
dense=$run/baseline/final_model.onnx
refused() { [ $? -eq 4 ] && echo "refused by its own rules (exit code 4): see above"; }

cardiocompress train "${with[@]}" --resume
cardiocompress prune "${with[@]}" --ratios "$here/ship_ratios.yaml" --name quarter --finetune 12 --compensate --resume
cardiocompress prune "${with[@]}" --ratios "$here/ship_ratios.yaml" --name scratch --finetune 12 --init random --resume
cardiocompress export "${with[@]}"
for name in quarter scratch; do
  cardiocompress gate "$dense" "$run/pruned/$name/pruned_model.onnx" "${with[@]}" || refused
done
cardiocompress quantize "$run/pruned/quarter/pruned_model.onnx" "${with[@]}" || refused
cardiocompress bench "${with[@]}" --rounds 200
cardiocompress ship "$run/pruned/quarter/pruned_model.onnx" --config "$here/acdc_ship.yaml" -o "$run/bundle" || refused
