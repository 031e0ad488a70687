#!/usr/bin/env bash
# Everything behind the frontier in benchmarks/PRUNING.md:  bash benchmarks/acdc_frontier.sh <ACDC folder>
# About five hours on two cores; stop and start it again at will, finished networks are kept.
set -euo pipefail
: "${1:?give the ACDC folder}"
here="$(cd "$(dirname "$0")" && pwd)"
with=(--config "$here/acdc_w32.yaml" --set "train.paths.train_dir=$1" --set evaluation.num_visuals=0)
retrain=8      # epochs after pruning
total=28       # dense and retraining epochs together: what the control from scratch gets
network() {    # name, then the options of `prune`; an unfinished one goes on
  cardiocompress prune "${with[@]}" --name "$1" "${@:2}" || cardiocompress prune "${with[@]}" --name "$1" "${@:2}" --resume
}

cardiocompress train --config "$here/acdc_w32.yaml" --set "train.paths.train_dir=$1" --resume
cardiocompress sensitivity "${with[@]}" --slices 96
for budget in b10:0.1 b25:0.25 b09:0.092 b15:0.15 b35:0.35; do
  name="${budget%%:*}" ratios="${budget%%:*}.yaml"
  cardiocompress plan "${with[@]}" --slices 96 --target "latency=${budget##*:}x" --out "$ratios"
  network "${name}_compensated" --ratios "$ratios" --finetune "$retrain" --method l1 --compensate
  network "${name}_plain" --ratios "$ratios" --finetune "$retrain" --method l1
  network "${name}_random" --ratios "$ratios" --finetune "$retrain" --method random
  network "${name}_scratch" --ratios "$ratios" --finetune "$total" --init random
done
python "$here/frontier.py" artifacts/acdc_w32 --out frontier.md --picture frontier.png
