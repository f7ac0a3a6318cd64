#!/usr/bin/env bash
# Train on a TPU of one host (v3-8, v4-8, v5litepod-8, v5p-8, v6e-8 or smaller).
#   bash launch/tpu_vm.sh --project P --zone Z --type v4-8 --bucket B -- --gin_file=recipes/X.gin
# What follows -- goes to `tk-instruct train` as it is, after --gin.MODEL_DIR=gs://B/NAME.
set -euo pipefail
# shellcheck source=launch/tpu.sh
source "$(dirname "$0")/tpu.sh"
launch node tpu train "$@"
