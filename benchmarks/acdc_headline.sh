#!/usr/bin/env bash
# Everything behind benchmarks/HEADLINE.md: bash benchmarks/acdc_headline.sh <run folder of a trained dense network> <ACDC folder>
# and a budget, coarse48 (the default), coarse or quarter: benchmarks/ship_ratios_<budget>.yaml; and epochs (100).
# About an hour and a half on two cores with bfloat16; stop and start it again at will, finished networks are kept.
set -euo pipefail
: "${1:?give the run folder of the dense network}" "${2:?give the ACDC folder}"
here="$(cd "$(dirname "$0")" && pwd)"
run=artifacts/acdc_headline budget="${3:-coarse48}" epochs="${4:-100}"
[ -d "$run" ] || { mkdir -p "$run" && cp -r "$1"/. "$run" && chmod -R u+w "$run"; }
with=(--config "$1/config.yaml" --set experiment.experiment_name=acdc_headline --set train.paths.save_root=artifacts
      --set "train.paths.train_dir=$2" --set train.parameters.learning_rate=0.001
      --set "export.licence=CC BY-NC-SA 4.0 (trained on ACDC)" --set export.postprocess=small-pieces
      --set export.drop_bare=all)
refused() { [ $? -eq 4 ] && echo "refused by its own rules (exit code 4): see above"; }

dense=$run/baseline/final_model.onnx
small=$run/pruned/$budget/pruned_model.onnx
cardiocompress prune "${with[@]}" --name "$budget" --ratios "$here/ship_ratios_$budget.yaml" --recover --finetune "$epochs" --resume
cardiocompress export "${with[@]}"
cardiocompress gate "$dense" "$small" "${with[@]}" || refused
cardiocompress quantize "$small" "${with[@]}" || refused
cardiocompress bench "${with[@]}" --rounds 200
cardiocompress ship "$small" "${with[@]}" -o "$run/bundle" || refused
python "$here/ship_table.py" "$run" --network "$budget"

# Beside the network of 43.9 M parameters, untrained: latency, memory and size do not depend on the weights.
python "$here/untrained.py" 64 128 256 512 512 --out "$run/untrained_43.9M.onnx"
(cd "$run" && cardiocompress bench untrained_43.9M.onnx "pruned/$budget/pruned_model.onnx" --rounds 20 --out thesis.json)
