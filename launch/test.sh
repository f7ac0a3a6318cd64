#!/usr/bin/env bash
# Everything that must hold: format, lint, types, tests and notebooks. Installs what it needs.
#   bash launch/test.sh [more arguments for pytest]
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/venv.sh test,plan,generate,analysis,beam,wandb

.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
bash launch/imports.sh
# The files that take longest come first, so that neither process is left with one at the end.
.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow" --nbmake \
  notebooks tests/test_distributed.py tests/test_train.py tests/plan tests/readers tests "$@"
