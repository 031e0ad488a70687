#!/usr/bin/env bash
# Reproduces every row of benchmarks/RESULTS.md: bash benchmarks/acdc_w16.sh <ACDC folder>
# About two hours on two CPU cores with bfloat16; an interrupted run continues when it is started again.
set -euo pipefail
data=${1:?usage: $0 <ACDC folder>}
here=$(dirname "$0")
step() { cardiocompress "$@" --config "$here/acdc_w16.yaml" --set "train.paths.train_dir=$data"; }
step train --resume
for init in keep random rewind; do
    step prune --init "$init" --resume
done
step bench --rounds 200
