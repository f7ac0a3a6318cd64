# Makes .venv beside this folder and installs the pinned set into it, unless that is done already.
# Sourced by the other scripts, with the extras to install as its argument: `source venv.sh test`.
# shellcheck shell=bash

extras=${1:-}
venv_python=.venv/bin/python

# PYTHON, where it is set, is the one that is taken: a run on another would prove nothing of it.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
      >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "${PYTHON:+PYTHON=$PYTHON: }no Python 3.11, 3.12 or 3.13 was found: install one, or name" \
    "it in PYTHON=/path/to/python" >&2
  return 1
}

if [[ ! -x $venv_python ]]; then
  python=$(find_python)
  echo "making .venv with $("$python" --version)" >&2
  "$python" -m venv .venv
elif [[ -n ${PYTHON:-} ]]; then
  python=$(find_python)
  if [[ $("$python" --version) != "$("$venv_python" --version)" ]]; then
    echo "PYTHON=$PYTHON is $("$python" --version), .venv has $("$venv_python" --version):" \
      "remove .venv, or leave PYTHON out" >&2
    return 1
  fi
fi

# The stamp is last: an installation that was broken off is done again.
wanted=$("$venv_python" -c 'import hashlib, sys
print(hashlib.sha256(b"".join(open(name, "rb").read() for name in sys.argv[1:])).hexdigest())' \
  setup.py constraints.txt)
stamp=.venv/installed${extras:+-$extras}
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
  echo "installing the packages that constraints.txt pins (some minutes the first time)" >&2
  # uv takes the overrides in pyproject.toml, without which t5x and Beam cannot be put together with
  # the rest; and it is some ten times as fast as pip. Certificates are the system's, as pip's are.
  "$venv_python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
  "$venv_python" -m uv pip install --quiet --system-certs --python "$venv_python" \
    --constraint constraints.txt --editable ".${extras:+[$extras]}"
  echo "$wanted" >"$stamp"
fi
