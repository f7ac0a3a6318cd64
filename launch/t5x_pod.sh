#!/usr/bin/env bash
# Train with upstream t5x on all hosts of a TPU pod slice, which is asked for as a queued resource.
#   bash launch/t5x_pod.sh --project P --zone Z --type v3-256 --bucket B -- --gin_file=recipes/X.gin
# What follows -- goes to `tk-instruct t5x train --distributed` as it is, after --gin.MODEL_DIR=gs://B/NAME.
set -euo pipefail
# shellcheck source=launch/tpu.sh
source "$(dirname "$0")/tpu.sh"
launch queued tpu,t5x 't5x train --distributed' "$@"
