#!/usr/bin/env bash
# The whole way on a laptop: data, a tiny T5 trained from scratch, predictions, scores, one table.
#   bash launch/local_cpu.sh [--data_dir PATH] [--output DIR]
# Without --data_dir it writes a small synthetic benchmark and takes some minutes; with it, PATH is
# a checkout of github.com/allenai/natural-instructions. Run again it goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,5s/^# \{0,1\}//p' launch/local_cpu.sh
}
data_dir=
output=
while (($#)); do
  case $1 in
    --data_dir=* | --output=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --data_dir | --output)
      [[ $# -ge 2 ]] || { echo "error: $1 needs a value; give $1 PATH" >&2; exit 2; }
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    --help | -h) usage; exit 0 ;;
    *) echo "error: $1 is not an option of this script; it takes --data_dir PATH, --output DIR" >&2
       exit 2 ;;
  esac
done

source launch/venv.sh
# Large pages for what malloc gives: the kernel clears a step's memory in less time.
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}
tk() { .venv/bin/tk-instruct "$@"; }

started=$SECONDS
if [[ -n $data_dir ]]; then
  recipe=recipes/smoke_superni.gin
  output=${output:-runs/smoke_superni}
  cap=10
else
  recipe=recipes/smoke.gin
  output=${output:-runs/smoke}
  data_dir=$output/benchmark
  cap=100
  [[ -d $data_dir ]] || tk mini "$data_dir"
fi
task=superni_en_def_pos2
model=$output/tiny_t5
data=(--data_dir "$data_dir" --max_instances_per_eval_task "$cap")

tk train --gin_file=$recipe --gin.MODEL_DIR="$model" "${data[@]}"
tk predict --model_dir "$model" --split validation --split test "${data[@]}"
for baseline in copy_input copy_demo; do
  tk predict --baseline $baseline --task $task --split validation --split test \
    --output_dir "$output/$baseline" --vocabulary "$model/sentencepiece.model" "${data[@]}"
done
for system in "$model" "$output/copy_input" "$output/copy_demo"; do
  for split in validation test; do
    # shellcheck disable=SC2012  # the names are plain ones
    predictions=$(ls -t "$system/predictions/$task-$split"-*.jsonl | head -n 1)
    name=$(basename "$predictions" .jsonl)
    tk evaluate --predictions "$predictions" --split $split --json "$system/scores/$name.json" \
      "${data[@]}" >"$system/scores-$split.txt"
  done
done
tk report "$model" "$output/copy_input" "$output/copy_demo"
echo "done in $((SECONDS - started)) s; predictions and scores are in $output"
