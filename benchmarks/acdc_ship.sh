#!/usr/bin/env bash
# Everything behind benchmarks/SHIP.md, from training to the bundle: bash benchmarks/acdc_ship.sh <ACDC folder>
# About two hours on two cores without bfloat16; stop and start it again at will, finished networks are kept.
set -euo pipefail
: "${1:?give the ACDC folder}"
here="$(cd "$(dirname "$0")" && pwd)"
with=(--config "$here/acdc_ship.yaml" --set "train.paths.train_dir=$1")
run=artifacts/acdc_ship
dense=$run/baseline/final_model.onnx
refused() { [ $? -eq 4 ] && echo "refused by its own rules (exit code 4): see above"; }

cardiocompress train "${with[@]}" --resume
prune() {  # name, ratios, then further options; an unfinished one goes on
  cardiocompress prune "${with[@]}" --name "$1" --ratios "$here/ship_ratios_$2.yaml" --finetune 12 "${@:3}" --resume
}
prune quarter quarter --compensate
prune scratch quarter --init random   # the control: the same small network, from random weights
prune eighth eighth --compensate
cardiocompress export "${with[@]}"
for name in quarter scratch eighth; do
  small=$run/pruned/$name/pruned_model.onnx
  cardiocompress gate "$dense" "$small" "${with[@]}" || refused
  cardiocompress quantize "$small" "${with[@]}" || refused
done
cardiocompress bench "${with[@]}" --rounds 200
cardiocompress ship "$run/pruned/quarter/pruned_model.onnx" --config "$here/acdc_ship.yaml" -o "$run/bundle" || refused
python "$here/ship_table.py" "$run" --network quarter
