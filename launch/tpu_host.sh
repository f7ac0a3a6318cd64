#!/usr/bin/env bash
# What launch/tpu.sh has done on each host of a TPU, in the copy of the working tree there:
#   install EXTRAS | start COMMAND_ID SOURCE_ID MODEL_DIR ARGUMENTS… | status | follow
# Each attempt has a folder ~/tk_instruct_run/TIME of command, log and status; `current` is the last.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=$HOME/tk_instruct_run
session=tk_instruct

install() { # EXTRAS; the images have an older Python
  export PATH=$HOME/.local/bin:$PATH
  command -v tmux >/dev/null || { sudo apt-get update -qq && sudo apt-get install -qq tmux; }
  command -v uv >/dev/null || python3 -m pip install --quiet --user uv
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    rm -rf .venv
    uv venv --quiet --seed --python 3.11 .venv
  fi
  # shellcheck source=launch/venv.sh
  source launch/venv.sh "$1"
}

start() { # COMMAND_ID SOURCE_ID MODEL_DIR ARGUMENTS…
  tmux kill-session -t $session 2>/dev/null || true
  local attempt
  attempt=$runs/$(date -u +%Y%m%dT%H%M%SZ)-$$
  mkdir -p "$attempt"
  echo "$1 $2" >"$attempt/ids"
  printf '%q ' "${@:4}" >"$attempt/command"
  ln -sfn "$attempt" "$runs/current"
  tmux new-session -d -s $session "bash launch/tpu_host.sh job $(printf '%q ' "$attempt" "$3")"
}

job() { # ATTEMPT MODEL_DIR; in tmux
  trap : TERM HUP # tk-instruct gets it too and saves; its status must be kept
  local log=$1/log status=0
  echo "$(date -u +%FT%TZ) tk-instruct $(<"$1/command")" >"$log"
  bash -c "exec .venv/bin/tk-instruct $(<"$1/command")" >>"$log" 2>&1 || status=$?
  echo "$(date -u +%FT%TZ) exit status $status" >>"$log"
  gcloud storage cp --quiet "$log" "$2/logs/$(hostname)-${1##*/}.log" >/dev/null 2>&1 ||
    echo "this log could not be copied to $2/logs/" >>"$log"
  echo "$status" >"$1/status.part"
  mv "$1/status.part" "$1/status"
}

status() {
  local state=none ids='- -'
  if [[ -d $runs/current ]]; then
    ids=$(<"$runs/current/ids")
    if [[ -f $runs/current/status ]]; then
      state=$(<"$runs/current/status")
    elif tmux has-session -t $session 2>/dev/null; then
      state=running
    else
      state=lost
    fi
  fi
  echo "$state $(hostname) $ids"
}

follow() { # until the job ends
  local pid
  pid=$(tmux list-panes -t $session -F '#{pane_pid}' 2>/dev/null) || pid=
  tail -n 50 ${pid:+--pid="$pid" -F} "$runs/current/log"
}

"$@"
