#!/usr/bin/env bash
# Who imports whom: the contracts of pyproject.toml, on the layout that is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
.venv/bin/python setup.py -q build_py --build-lib "$layout"
cp pyproject.toml "$layout"
cd "$layout"
PYTHONPATH=$layout "$OLDPWD/.venv/bin/lint-imports" --no-cache
