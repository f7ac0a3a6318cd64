# What tpu_vm.sh, tpu_pod.sh and t5x_pod.sh have in common: sourced by them, which then call
#   launch KIND EXTRAS VERB "$@"
# KIND is node (there at once or not at all) or queued (waits for its turn), EXTRAS are setup.py's to
# install, VERB is what tk-instruct is given before its arguments.
# shellcheck shell=bash

project=${TK_INSTRUCT_PROJECT-}
zone=${TK_INSTRUCT_ZONE-}
type=${TK_INSTRUCT_TYPE-}
bucket=${TK_INSTRUCT_BUCKET-}
name=${TK_INSTRUCT_NAME-tk-instruct}
runtime_version=${TK_INSTRUCT_RUNTIME_VERSION-}
max_restarts=${TK_INSTRUCT_MAX_RESTARTS-20}
copy_to='' spot='' dry_run='' delete=''
poll_seconds=${TK_INSTRUCT_POLL_SECONDS-30}
arguments=()

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch='' model_dir='' job='' command_id='' source_id=''
there='' # whether the TPU exists, as far as is known: '' no, else what to say about it
began=''  # $SECONDS when this script last started the job or saw it run
restarts=0

usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
  cat <<'EOT'

The working tree goes to the hosts as it is (what git does not ignore), and the packages that
constraints.txt pins with it. The same command given again attaches to the job that runs, reports a
job that has ended (and starts it anew where it was stopped, or the code or arguments have changed).
Ctrl-C leaves the job running. A TPU that is preempted is made anew and the job goes on from its
last checkpoint. Nothing is deleted at the end without --delete.

required, as flags or in the environment:
  --project P          $TK_INSTRUCT_PROJECT
  --zone Z             $TK_INSTRUCT_ZONE
  --type T             $TK_INSTRUCT_TYPE     v3-256, v4-256, v5litepod-256, v5p-256, v6e-256, …
  --bucket B           $TK_INSTRUCT_BUCKET   the run's directory is gs://B/NAME
others:
  --name NAME          $TK_INSTRUCT_NAME     of the TPU and the run (default: tk-instruct)
  --runtime_version V  $TK_INSTRUCT_RUNTIME_VERSION   image of the hosts (default: by type)
  --spot               cheaper, and may be preempted at any time
  --max_restarts N     $TK_INSTRUCT_MAX_RESTARTS   in a row, before giving up (default: 20)
  --copy_to DIR        copy the run's directory here, without checkpoints, when the job has ended
  --dry_run            print every command and run none
  --delete             delete the TPU; with --copy_to after copying
$TK_INSTRUCT_POLL_SECONDS (default: 30) is how long to wait before looking again.

Each host keeps a folder ~/tk_instruct_run/TIME for each attempt, with command, log and status; the
log goes to gs://B/NAME/logs/ when the job ends.
exit status: 0 done, 1 failed, 2 wrong use or tk-instruct's own 2, 130 interrupted
EOT
}

say() { echo "$(date +%T) $*" >&2; }
die() { # MESSAGE [STATUS]
  echo "error: $1" >&2
  exit "${2-1}"
}

launch() {
  local kind=$1 extras=$2 verb=$3
  shift 3
  local again
  again="bash$(printf ' %q' "$0" "$@")"
  read_flags "$@"
  if [[ -n $delete ]]; then
    need project zone ${copy_to:+bucket}
  else
    need project zone type bucket
    ((${#arguments[@]})) ||
      die "nothing is to be trained; give the arguments of tk-instruct $verb after --, such as -- --gin_file=recipes/smoke.gin" 2
    [[ $kind == queued || ${type##*-} -le 8 ]] ||
      die "--type=$type has several hosts; give one of at most 8, or use launch/tpu_pod.sh" 2
    runtime_version=${runtime_version:-$(runtime_version_of "$type")} || exit
  fi
  describe_job
  if [[ -n $dry_run ]]; then
    show_commands
    return
  fi
  scratch=$(mktemp -d)
  trap leave EXIT
  trap 'interrupted INT' INT
  trap 'interrupted TERM' TERM
  if [[ -n $delete ]]; then
    delete_tpu
  else
    pack
    bring_to_its_end
  fi
}

read_flags() {
  while (($#)); do
    case $1 in
      --) arguments=("${@:2}"); return ;;
      --help | -h) usage; exit 0 ;;
      --spot | --dry_run | --delete) printf -v "${1#--}" yes; shift ;;
      --project=* | --zone=* | --type=* | --bucket=* | --name=* | --runtime_version=* | \
        --max_restarts=* | --copy_to=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
      --project | --zone | --type | --bucket | --name | --runtime_version | --max_restarts | --copy_to)
        [[ -n ${2-} && $2 != --* ]] || die "$1 needs a value; give $1 VALUE" 2
        printf -v "${1#--}" %s "$2"
        shift 2 ;;
      *) die "$1 is not an option of this script (see --help); arguments of tk-instruct go after --" 2 ;;
    esac
  done
}

need() { # VARIABLE…
  local variable missing=''
  for variable in "$@"; do
    [[ -n ${!variable} ]] ||
      missing+="${missing:+, }--$variable (or \$TK_INSTRUCT_$(tr '[:lower:]' '[:upper:]' <<<"$variable"))"
  done
  [[ -z $missing ]] || die "$missing must be given" 2
  bucket=${bucket#gs://} bucket=${bucket%/}
  [[ $name =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ ]] ||
    die "--name=$name must be lower-case letters, digits and -, starting with a letter" 2
  [[ $max_restarts =~ ^[0-9]+$ ]] || die "--max_restarts=$max_restarts must be a whole number" 2
}

# cloud.google.com/tpu/docs/runtimes
runtime_version_of() { # TYPE
  case $1 in
    v2-* | v3-* | v4-*) echo tpu-ubuntu2204-base ;;
    v5litepod-* | v5e-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) die "--type=$1 is none that an image is known for; give --runtime_version too" 2 ;;
  esac
}

describe_job() {
  local argument words
  model_dir=gs://$bucket/$name
  for argument in ${arguments[@]+"${arguments[@]}"}; do
    case $argument in
      --gin.MODEL_DIR=*) model_dir=$(tr -d \"\' <<<"${argument#*=}") ;;
    esac
  done
  read -ra words <<<"$verb"
  job=$(printf ' %q' "${words[@]}" "--gin.MODEL_DIR=\"$model_dir\"" \
    ${arguments[@]+"${arguments[@]}"})
  job=${job# }
  command_id=$(git hash-object --stdin <<<"$job")
}

call() { # COMMAND… runs it, or prints it with --dry_run
  if [[ -n $dry_run ]]; then
    local line
    line=$(printf ' %q' "$@")
    echo "${line# }"
  else
    "$@" </dev/null
  fi
}
tpus() { call gcloud compute tpus "$@" --project="$project" --zone="$zone" --quiet; }
ssh_to() { # WORKER COMMAND; a connection that is dead is given up after 90 s
  tpus tpu-vm ssh "$name" --worker="$1" --ssh-flag=-oServerAliveInterval=30 --command="$2"
}

node_create() {
  tpus tpu-vm create "$name" --accelerator-type="$type" --version="$runtime_version" \
    ${spot:+--spot}
}
node_state() { state_of tpu-vm state; }
node_delete() { tpus tpu-vm delete "$name"; }

queued_create() {
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$type" \
    --runtime-version="$runtime_version" ${spot:+--spot}
}
queued_state() {
  local state
  state=$(state_of queued-resources state.state) || return
  if [[ $state == ACTIVE ]]; then
    state=$(state_of tpu-vm state) || return
    [[ $state != ABSENT ]] || state=TERMINATED # someone has deleted the node alone
  fi
  echo "$state"
}
queued_delete() { tpus queued-resources delete "$name" --force; }

state_of() { # RESOURCES FIELD; ABSENT where there is no such resource
  local state
  if state=$(tpus "$1" describe "$name" --format="value($2)" 2>"$scratch/error"); then
    echo "${state:-ABSENT}"
  elif grep -q NOT_FOUND "$scratch/error"; then
    echo ABSENT
  else
    cat "$scratch/error" >&2
    return 1
  fi
}

source_files() {
  git -C "$root" ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do
      [[ ! -f $root/$file ]] || printf '%s\n' "$file"
    done
}
pack() {
  git -C "$root" rev-parse --git-dir >/dev/null 2>&1 ||
    die "$root is no git checkout, whose files would go to the hosts; clone it or run git init there"
  source_files >"$scratch/files"
  source_id=$(cd "$root" && { cat "$scratch/files"; git hash-object --stdin-paths <"$scratch/files"; } |
    git hash-object --stdin)
  tar -C "$root" -czf "$scratch/tk_instruct.tar.gz" -T "$scratch/files"
}
upload() {
  tpus tpu-vm scp "$scratch/tk_instruct.tar.gz" "$name:tk_instruct.tar.gz" --worker=all
}
on_host='bash tk_instruct/launch/tpu_host.sh'
install_on_hosts() {
  ssh_to all "mkdir -p tk_instruct && cd tk_instruct &&\
 find . -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} + &&\
 tar xzf ../tk_instruct.tar.gz && bash launch/tpu_host.sh install $extras"
}
start_on_hosts() {
  ssh_to all "$on_host start $command_id $source_id $(printf %q "$model_dir") $job"
}
# A line STATE HOST COMMAND_ID SOURCE_ID of each host.
ask_hosts() {
  ssh_to all "if [ -e tk_instruct/launch/tpu_host.sh ]; then $on_host status;\
 else echo none \$(hostname) - -; fi"
}
follow_first_host() { ssh_to 0 "$on_host follow"; }
copy_results() {
  [[ -n $copy_to ]] || return 0
  call mkdir -p "$copy_to"
  if call gcloud storage rsync --recursive --exclude='checkpoint.*' "$model_dir" "$copy_to" \
    --project="$project"; then
    [[ -n $dry_run ]] || say "copied $model_dir to $copy_to, checkpoints apart"
  else
    die "$model_dir could not be copied to $copy_to; the same command with --copy_to tries again"
  fi
}

show_commands() {
  if [[ -n $delete ]]; then
    copy_results
    "${kind}_delete"
    return
  fi
  scratch=/tmp
  source_id=SOURCE_ID
  [[ $kind == node ]] || tpus queued-resources describe "$name" --format='value(state.state)'
  tpus tpu-vm describe "$name" --format='value(state)'
  "${kind}_create"
  echo "git -C $root ls-files --cached --others --exclude-standard | tar -C $root -czf $scratch/tk_instruct.tar.gz -T -"
  upload
  install_on_hosts
  start_on_hosts
  follow_first_host
  ask_hosts
  copy_results
  echo "# after a preemption, and then all of it again; at the end only with --delete:"
  "${kind}_delete"
}

bring_to_its_end() {
  local state='' before=''
  while true; do
    before=$state
    if ! state=$("${kind}_state"); then
      there=${there:-'may exist'}
      [[ -n $began ]] || die "gcloud cannot tell whether $name exists (its message is above)"
      retry "gcloud does not answer"
      continue
    fi
    there='exists and costs money'
    case $state in
      ABSENT) there=''; create ;;
      READY) attend ;;
      PREEMPTED | TERMINATED | SUSPENDED | FAILED)
        retry "$name is $state and will be deleted and made anew"
        "${kind}_delete" || say "$name could not be deleted" ;;
      WAITING_FOR_RESOURCES | ACCEPTED)
        there='waits for its turn, and costs money from then on'
        wait_for "$state" "$before" ;;
      CREATING | PROVISIONING | STARTING | RESTARTING | REIMAGING | REPAIRING | \
        DELETING | STOPPING | SUSPENDING) wait_for "$state" "$before" ;;
      *) die "$name is in state $state, from which this script knows no way on; start it with gcloud, or delete it" ;;
    esac
  done
}

wait_for() { # STATE STATE_BEFORE
  [[ $1 == "$2" ]] || say "$name is $1; waiting"
  sleep "$poll_seconds"
}

create() {
  say "creating $name ($type, $runtime_version${spot:+, spot}) in $zone"
  there='may exist'
  ! "${kind}_create" || return 0
  # A creation that has failed here can have succeeded there.
  local state
  if state=$("${kind}_state") && [[ $state == ABSENT ]]; then
    there=''
    [[ -n $began ]] || die "$name could not be created (gcloud's message is above)"
    retry "$name could not be created"
  fi
}

# The TPU is there: starts the job, follows it, or tells how it ended.
attend() {
  local states
  if ! states=$(settled); then
    retry "the hosts of $name do not answer"
    return
  fi
  local hosts=0 running=0 succeeded=0 refused=0 crashed=0 stopped=0 absent=0
  local same_command=yes same_source=yes
  local state command source
  while read -r state _ command source; do
    hosts=$((hosts + 1))
    case $state in
      running) running=$((running + 1)) ;;
      0) succeeded=$((succeeded + 1)) ;;
      2) refused=$((refused + 1)) ;;
      none) absent=$((absent + 1)) ;;
      lost) stopped=$((stopped + 1)) ;;
      *) if ((state > 128)); then stopped=$((stopped + 1)); else crashed=$((crashed + 1)); fi ;;
    esac
    [[ $command == "$command_id" ]] || same_command=''
    [[ $source == "$source_id" ]] || same_source=''
  done <<<"$states"

  if ((running == hosts)); then
    [[ -n $same_command ]] ||
      die "$name runs another command; wait for its end, give another --name, or --delete it first"
    [[ -n $began || -n $same_source ]] || say "the code has changed since this job was started"
    follow
  elif ((succeeded == hosts)) && [[ -n $same_command ]]; then
    report "$states"
    copy_results
    exit 0
  elif ((refused)) && [[ -n $same_command && -n $same_source ]]; then
    report "$states"
    copy_results
    die "tk-instruct refused the command, as its log says; correct it and run this again" 2
  elif ((crashed && !stopped)) && [[ -n $began ]] && still_ready; then
    report "$states"
    copy_results
    die "the job failed, as its log says; the same command starts it again"
  else
    ((absent == hosts)) || report "$states"
    [[ -z $began ]] || retry "the job was stopped and will be started again"
    [[ $("${kind}_state") != READY ]] || start
  fi
}

# Whether the TPU is there, a while after a crash: a preemption can look like one at first.
still_ready() {
  sleep "$poll_seconds"
  [[ $("${kind}_state") == READY ]]
}

# What the hosts say, once all of them run or none does: they start and end at about the same time.
settled() {
  local states until=$((SECONDS + 300)) running
  while true; do
    states=$(ask_hosts 2>"$scratch/error") || { cat "$scratch/error" >&2; return 1; }
    states=$(grep -E '^(running|none|lost|[0-9]+) ' <<<"$states") || return 1
    running=$(grep -c '^running ' <<<"$states" || true)
    if ((running == 0 || running == $(wc -l <<<"$states") || SECONDS >= until)); then
      echo "$states"
      return
    fi
    sleep "$poll_seconds"
  done
}

report() { # STATES
  say "host by host, how the job ended (exit status; lost: the host was restarted):"
  sort -k 2 <<<"$1" | while read -r state host _; do echo "  $host $state" >&2; done
  say "run directory $model_dir, logs in $model_dir/logs/ and on the hosts in ~/tk_instruct_run/"
}

start() {
  say "copying the working tree to all hosts of $name, installing, starting: tk-instruct $job"
  if upload && install_on_hosts && start_on_hosts; then
    began=$SECONDS
    follow
  elif still_ready; then
    die "the job could not be started on every host (the message is above); the same command tries again"
  fi # else it was preempted meanwhile
}

follow() {
  began=${began:-$SECONDS}
  say "the log of host 0; Ctrl-C leaves the job running"
  follow_first_host || say "the connection to host 0 has ended"
}

retry() { # REASON; waits, each time in a row longer
  if [[ -n $began ]] && ((SECONDS - began > 3600)); then
    restarts=0
    began=$SECONDS
  fi
  ((restarts < max_restarts)) || die "$1; this was tried $max_restarts times in a row (--max_restarts)"
  local seconds=$((restarts < 5 ? poll_seconds << restarts : poll_seconds << 5))
  restarts=$((restarts + 1))
  say "$1: $restarts of at most $max_restarts in a row, in $seconds s"
  sleep "$seconds"
}

delete_tpu() {
  local state
  there='may exist'
  copy_results
  state=$("${kind}_state") || die "gcloud cannot tell whether $name exists (its message is above)"
  if [[ $state == ABSENT ]]; then
    there=''
    say "there is no $name in $zone of $project: nothing to delete"
    return
  fi
  there='exists and costs money'
  say "deleting $name ($state)"
  "${kind}_delete" || die "$name could not be deleted (gcloud's message is above)"
  there=''
  say "$name is deleted${bucket:+; $model_dir stays}"
}

interrupted() { # SIGNAL
  if [[ -n $began ]]; then
    say "interrupted; the job goes on. Attach again: $again"
  else
    say "interrupted. Go on: $again"
  fi
  exit $((128 + $(kill -l "$1")))
}

leave() {
  local status=$?
  if [[ -n $there ]]; then
    say "$name in $zone of $project $there. Delete it: bash$(printf ' %q' "$0" --delete \
      --project "$project" --zone "$zone" --name "$name")"
  fi
  rm -rf "$scratch"
  exit "$status"
}
