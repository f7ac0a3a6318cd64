#!/usr/bin/env bash
# Train on all hosts of a TPU pod slice, which is asked for as a queued resource.
#   bash launch/tpu_pod.sh --project P --zone Z --type v4-256 --bucket B -- --gin_file=recipes/X.gin
# What follows -- goes to `tk-instruct train --distributed` as it is, after
# --gin.MODEL_DIR=gs://B/NAME.
set -euo pipefail
# shellcheck source=launch/tpu.sh
source "$(dirname "$0")/tpu.sh"
launch queued tpu 'train --distributed' "$@"
